"""Metadata of the assets of prompts: numbers, ids and links, never a user's text.

Belongs here: pure functions from results to dictionaries. Not here: assets (prompts.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import dagster as dg

from learning_pipelines.acceptance.gate import Evidence
from learning_pipelines.defs.links import Pages
from learning_pipelines.prompts.optimization import Tested
from learning_pipelines.prompts.preparation import Prepared
from learning_pipelines.prompts.results import SearchResult
from learning_pipelines.prompts.summary import Evaluation
from learning_pipelines.prompts.task import Candidate
from learning_pipelines.storage.tenants import AgentRef


def performance_metadata(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over versions, and one line per version."""
    executions, ratings = sum(row["executions"] for row in rows), sum(row["rating_count"] for row in rows)
    issues: dict[str, int] = {}
    for row in rows:
        for category, count in row["issues"].items():
            issues[category] = issues.get(category, 0) + count
    numbers: dict[str, Any] = {
        "executions": executions, "ratings": ratings, "thumbs_up": sum(row["thumbs_up"] for row in rows),
        "thumbs_down": sum(row["thumbs_down"] for row in rows), "corrections": sum(row["corrections"] for row in rows),
    }  # fmt: skip
    if ratings:
        numbers["avg_rating"] = sum(row["rating_sum"] for row in rows) / ratings
    for category, count in sorted(issues.items(), key=lambda one: (-one[1], one[0]))[:5]:
        numbers[f"issue: {category}"] = count
    return numbers | {"by_version": dg.MetadataValue.md(_performance_table(rows))}


def candidate_metadata(prepared: Prepared, result: SearchResult) -> dict[str, Any]:
    """What the search spent and found; the winner's validation score with its caveat."""
    task = prepared.task
    return {
        "dagster/row_count": len({entry.name for entry in result.rounds}),
        "train": len(task.train), "validation": len(task.validation), "test": len(task.test), "examples_outside_labels": prepared.unusable,
        "dataset_version": prepared.dataset.version, "incumbent_version": prepared.incumbent_version, "model": prepared.model, "seed": prepared.seed,
        "calls_allowed": prepared.limits.search, "evaluations": result.evaluations, "evaluations_from_cache": result.cached_evaluations,
        "reflections": result.reflections, "stopped": result.stopped, "winner": result.winner.candidate.name, "improved": result.improved,
        "winner_on_validation": result.winner.score, "incumbent_on_validation": result.incumbent.score, "caveat": result.caveat,
        "front": dg.MetadataValue.md(_front_table(result)), "dropped": dict(result.dropped),
    }  # fmt: skip


def evaluation_metadata(tested: Tested) -> dict[str, Any]:
    """The verdict in numbers, and what the two prompts took."""
    numbers: dict[str, Any] = {"dagster/row_count": 0 if tested.evidence is None else 2, "verdict": tested.verdict.value, "reason": tested.reason}
    if tested.evidence is not None:
        numbers |= evidence_metadata(tested.evidence)
    for name, done in (("incumbent", tested.incumbent), ("candidate", tested.candidate)):
        if done is not None:
            numbers |= {f"{name}: {key}": value for key, value in _taken(done).items()}
    return numbers


def evidence_metadata(evidence: Evidence) -> dict[str, Any]:
    return {
        "n": evidence.n, "wins": evidence.wins, "losses": evidence.losses, "incumbent_score": evidence.incumbent_mean,
        "candidate_score": evidence.candidate_mean, "difference": evidence.difference, "low": evidence.low, "high": evidence.high,
        "p_value": evidence.p_value, "alpha": evidence.alpha, "test_number": evidence.k, "method": evidence.method, "power": evidence.power,
    }  # fmt: skip


def proposal_metadata(
    agent: AgentRef, version: int, proposal: UUID, won: Candidate, prepared: Prepared, evidence: Evidence, pages: Pages
) -> dict[str, Any]:  # fmt: skip
    """What is proposed, by number and link; its text is behind the login of the service."""
    return {
        "dagster/row_count": 1, "proposal": str(proposal), "version": version, "incumbent_version": prepared.incumbent_version, "strategy": won.strategy,
        "demonstrations": len(won.prompt.demonstrations), "retrieved_demonstrations": won.prompt.retrieval.k if won.prompt.retrieval else 0,
        "prompt": pages.version(agent.agent, version), "review": pages.proposal(proposal), **evidence_metadata(evidence),
    }  # fmt: skip


def _taken(done: Evaluation) -> dict[str, Any]:
    return {
        "score": done.mean, "calls": done.calls, "answers from cache": done.cache_hits, "input tokens": done.input_tokens, "output tokens": done.output_tokens,
        "seconds of the model": round(sum(one.seconds for one in done.scored), 3), "without usable answer": sum(done.faults.values()),
    }  # fmt: skip


def _performance_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| version | executions | rating | latency p50 ms | p95 ms | tokens |", "|---|---|---|---|---|---|"]
    for row in rows:
        rating = f"{row['rating_sum'] / row['rating_count']:.2f} (n = {row['rating_count']})" if row["rating_count"] else "none"
        times = " | ".join("–" if row[name] is None else f"{row[name]:.0f}" for name in ("latency_ms_p50", "latency_ms_p95"))
        lines.append(f"| {row['prompt_version'] or 'not named'} | {row['executions']} | {rating} | {times} | {row['input_tokens'] + row['output_tokens']} |")
    return "\n".join(lines)


def _front_table(result: SearchResult) -> str:
    lines = ["| candidate | validation score | tokens per call | seconds per call |", "|---|---|---|---|"]
    lines += [f"| {one.candidate.name} | {one.score:.3f} | {one.input_tokens:.0f} | {one.seconds:.3f} |" for one in result.front]
    return "\n".join(lines)
