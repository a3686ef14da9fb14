"""What a run of prompt optimization leaves in the database, and reads back: candidates, the search in numbers, evaluations, scores of a version.

Belongs here: pure conversions between results and rows. Not here: SQL (storage/prompt_runs.py), making the results.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.acceptance.gate import Evidence
from learning_pipelines.prompts.preparation import Prepared
from learning_pipelines.prompts.prompt import Prompt, from_stored
from learning_pipelines.prompts.results import SearchResult, Standing
from learning_pipelines.prompts.summary import Evaluation
from learning_pipelines.prompts.task import Candidate


def candidate_rows(result: SearchResult) -> list[dict[str, Any]]:
    """What the search tried, one row a candidate as it stood last; messages of the winner and the front only."""
    known = {standing.candidate.name: standing for standing in (*result.front, result.incumbent, result.winner)}
    front = {standing.candidate.name for standing in result.front}
    rows: dict[str, dict[str, Any]] = {}
    for entry in result.rounds:
        rows[entry.name] = {
            "name": entry.name, "strategy": entry.strategy, "parent": entry.parent, "note": entry.note, "content_hash": None, "messages": None, "serving": None,
            "shown": [], "items": entry.n, "mean_score": entry.score if entry.n else None, "input_tokens": None, "seconds": None,
            "outcome": entry.eliminated or "finished", "is_winner": False, "on_front": False,
        }  # fmt: skip
    for name, standing in known.items():
        rows[name] = candidate_row(standing, standing.eliminated or "finished", winner=name == result.winner.candidate.name, front=name in front)
    return list(rows.values())


def candidate_row(standing: Standing, outcome: str, *, winner: bool, front: bool) -> dict[str, Any]:
    candidate = standing.candidate
    messages, serving = candidate.prompt.stored()
    return {
        "name": candidate.name, "strategy": candidate.strategy, "parent": candidate.parent, "note": candidate.note,
        "content_hash": candidate.prompt.content_hash, "messages": messages, "serving": serving, "shown": list(candidate.shown), "items": standing.n,
        "mean_score": standing.score if standing.n else None, "input_tokens": standing.input_tokens if standing.n else None,
        "seconds": standing.seconds if standing.n else None, "outcome": outcome, "is_winner": winner, "on_front": front,
    }  # fmt: skip


def search_numbers(result: SearchResult) -> dict[str, Any]:
    """The search in numbers, without a word of a prompt."""
    return {
        "evaluations": result.evaluations, "cached_evaluations": result.cached_evaluations, "reflections": result.reflections,
        "cached_reflections": result.cached_reflections, "compared": result.compared, "existed_after": result.existed_after, "stopped": result.stopped,
        "winner": result.winner.candidate.name, "winner_validation": result.winner.score, "incumbent_validation": result.incumbent.score,
        "caveat": result.caveat, "dropped": dict(result.dropped), "seed": result.seed,
        "front": [
            {"name": one.candidate.name, "score": one.score, "input_tokens": one.input_tokens, "seconds": one.seconds} for one in result.front
        ],
    }  # fmt: skip


def winner_of(row: Mapping[str, Any]) -> Candidate:
    """The stored winner of a search."""
    return Candidate(from_stored(row["messages"], row["serving"] or {}), row["strategy"], tuple(row["shown"]), row["parent"], row["note"])


def scores_of(evidence: Evidence) -> dict[str, Any]:
    """What a version keeps of its test; `score` is its mean on the held-out items."""
    return {
        "score": evidence.candidate_mean,
        "test": {"n": evidence.n, "score": evidence.candidate_mean, "incumbent": evidence.incumbent_mean, "difference": evidence.difference,
                 "low": evidence.low, "high": evidence.high, "p_value": evidence.p_value, "alpha": evidence.alpha, "verdict": evidence.verdict.value},
    }  # fmt: skip


def evaluation_row(prompt: Prompt, done: Evaluation, version: int | None, prepared: Prepared) -> dict[str, Any]:
    return {
        "content_hash": prompt.content_hash, "version": version, "dataset_id": prepared.dataset.id, "split": "test", "metric": done.metric,
        "model": prepared.model, "items": len(done.scored), "mean_score": done.mean, "low": done.interval.low, "high": done.interval.high,
        "faults": sum(done.faults.values()),
        "input_tokens": done.input_tokens,
        "output_tokens": done.output_tokens, "seconds": sum(one.seconds for one in done.scored),
    }  # fmt: skip
