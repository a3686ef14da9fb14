"""`learning-pipelines evaluate …`: scoring what serves, or anything that could, on examples of one's own.

Belongs here: the verbs of prompts and retrieval. Not here: behavior (cli_evaluate_behavior.py), scoring (prompts/), what every verb shares (cli_output.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from learning_pipelines.cli_evaluate_behavior import evaluate_behavior
from learning_pipelines.cli_output import Output, interval, organization_option, refused_line, say, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput


@click.group()
def evaluate() -> None:
    """Score what serves (or another version) on examples, judged queries or demonstrations in files. Nothing of them is stored but the model's answers."""


evaluate.add_command(evaluate_behavior)


@evaluate.command("prompt")
@click.option("--agent", required=True, metavar="SLUG", help="Whose prompt.")
@click.option("--examples", "file", required=True, type=click.Path(path_type=Path), help="A file of the kind examples (.jsonl or .jsonl.gz).")
@click.option("--version", "name", default="serving", show_default=True, metavar="VERSION", help="serving, candidate (or another label), or a number.")
@click.option("--against", metavar="VERSION", help="A second version, side by side on the same examples.")
@organization_option
@verb
def evaluate_prompt(agent: str, file: Path, name: str, against: str | None, organization: str | None, output: Output) -> int:
    """Score a version of the prompt of an agent by the agent's metric. What the model answered before is not asked again."""
    from learning_pipelines.feedback.importing import window_now
    from learning_pipelines.prompts.comparing import side_by_side
    from learning_pipelines.prompts.example_files import read_examples
    from learning_pipelines.prompts.registry import named_version
    from learning_pipelines.prompts.scoring import Scorer
    from learning_pipelines.prompts.summary import evaluate as score
    from learning_pipelines.storage import prompt_runs, versions

    with opened(organization) as at, tqdm(desc=f"scoring {agent}", unit="answer", delay=2, leave=False, disable=None) as bar:
        connection, settings, found = at.connection, at.settings, at.agent(agent)
        version, other = named_version(connection, found, name), None if against is None else named_version(connection, found, against)
        examples = read_examples(file, agent, window_now(settings.start_date, settings.zone))
        learnt = versions.newest(connection, found)
        in_train = prompt_runs.learnt_from(connection, found, learnt.id, [item.input for item in examples.items]) if learnt else 0
        scorer = Scorer(connection, found, settings, examples.items, lambda done, total: _shown(bar, done, total))
        try:
            if other is None:
                result = score(*scorer.of(version), examples.items)
                document, lines = result.as_json(version.version), _one(result.as_json(version.version))
            else:
                document = side_by_side(scorer.of(version), scorer.of(other), examples.items).as_json(version.version, other.version)
                lines = _both(document)
        finally:
            scorer.record()
    if learnt and in_train:
        say(
            f"{in_train} of the {document['n']} examples are in the train split of dataset version {learnt.version}: prompts learn from them and show them, "
            "so the score promises more than new inputs will give. Score on examples that were never imported, or are held out."
        )
    if scorer.metric.doubt:
        say(f"These scores are the judge's alone, and there is no evidence yet that it can judge: {scorer.metric.doubt}.")
    if examples.others:
        say(f"{sum(examples.others.values())} lines are of other agents and were left out.")
    for error in examples.errors[:20]:
        say(refused_line(error))
    more = {"in_train": in_train, "doubt": scorer.metric.doubt or None, "rejected": examples.rejected, "errors": examples.errors}
    output.answer({**document, **more}, lambda: lines)
    unusable = sum(document["faults"].values()) == document["n"]
    if unusable:
        say("No answer could be used: look at the model before you look at the prompt.")
    return 1 if examples.rejected or unusable else 0


@evaluate.command("retrieval")
@click.option("--queries", required=True, type=click.Path(path_type=Path), help="JSON Lines {_id, text} (.jsonl or .jsonl.gz).")
@click.option("--qrels", required=True, type=click.Path(path_type=Path), help="TSV with the header query-id, corpus-id, score; corpus ids are document ids.")
@click.option("--index", "name", default="serving", show_default=True, metavar="INDEX", help="serving, candidate, or the number of a version (0: the base).")
@click.option("--agent", metavar="SLUG", help="Whose index (default: the organization's only agent, else the base over all documents).")
@organization_option
@verb
def evaluate_retrieval(queries: Path, qrels: Path, name: str, agent: str | None, organization: str | None, output: Output) -> int:
    """Score an index on judged queries: nDCG@10, MRR@10, Recall@10 and @100 of documents, with 95 % intervals."""
    from learning_pipelines.retrieval.encoders import Encoders
    from learning_pipelines.retrieval.evaluation import evaluate as score
    from learning_pipelines.retrieval.judged_files import read_judged
    from learning_pipelines.retrieval.knowledge import ensure_base
    from learning_pipelines.retrieval.loaded import Loaded
    from learning_pipelines.retrieval.registry import named_version, whose
    from learning_pipelines.storage.found_chunks import any_document

    judged = read_judged(queries, qrels)
    with opened(organization) as at, Encoders(at.settings) as encoders:
        connection = at.connection
        found = whose(connection, at.slug, agent)
        only = None if found is None else found.agent_id
        if not any_document(connection, at.tenant, only):
            raise BadInput("There are no documents to search.", "Import them first: learning-pipelines import documents FILE.")
        ensure_base(connection, at.tenant, encoders, agent_id=only, progress=lambda share, line, numbers: say(f"  {line}"))
        version = named_version(connection, at.tenant, found, name)
        loaded = Loaded(at.settings, encoders.of)
        measured = score(connection, at.tenant, only, version, loaded, judged.queries, judged.gains)
    for error in judged.errors[:20]:
        say(refused_line(error))
    document = {
        **measured.as_json(), "index": version.number, "agent": None if found is None else found.agent, "unjudged": judged.unjudged + measured.unjudged,
        "rejected": judged.rejected, "errors": judged.errors,
    }  # fmt: skip
    output.answer(document, lambda: _retrieval(document))
    return 1 if judged.rejected else 0


def _retrieval(result: dict[str, Any]) -> list[str]:
    which = "The base index" if result["index"] == 0 else f"Version {result['index']} of the index"
    whose = f" for {result['agent']}" if result["agent"] else ""
    return [f"{which}{whose} on {result['n']} queries:"] + [
        f"  {name:10} {value:.3f} {interval(result['intervals'][name])}" for name, value in result["metrics"].items()
    ]


def _shown(bar: Any, done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _one(result: dict[str, Any]) -> list[str]:
    lines = [
        f"Version {result['version']}: {result['metric']} {result['score']:.3f} {interval(result['interval'])} on {result['n']} examples.",
        _spent(result),
    ]
    return [
        *lines,
        *(f"  {item['score']:.2f}  {_short(item['input'])} → {_short(item['output'])} (expected {_short(item['expected'])})" for item in result["items"]),
    ]


def _both(result: dict[str, Any]) -> list[str]:
    against = result["against"]
    lines = [
        f"Version {result['version']}: {result['metric']} {result['score']:.3f} {interval(result['interval'])}; "
        f"version {against['version']}: {against['score']:.3f} {interval(against['interval'])}; on the same {result['n']} examples.",
        f"Difference {result['difference']:+.3f} {interval(result['difference_interval'])}: better on {result['wins']}, worse on {result['losses']}.",
        _spent(result),
    ]
    rows = (
        f"  {item['score']:.2f} {item['against_score']:.2f}  {_short(item['input'])} → {_short(item['output'])} | {_short(item['against_output'])}"
        f" (expected {_short(item['expected'])})"
        for item in result["items"]
    )
    return [*lines, *rows]


def _spent(result: dict[str, Any]) -> str:
    faults = "".join(f" {count} answers could not be used: {cause}." for cause, count in result["faults"].items())
    return f"{result['calls']} calls, {result['input_tokens']} tokens in and {result['output_tokens']} out.{faults}"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 60 else f"{plain[:59]}…"
