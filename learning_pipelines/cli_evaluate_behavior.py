"""`learning-pipelines evaluate behavior`: how well the policy that serves, or another, predicts what experts did.

Belongs here: the verb. Not here: scoring (behavior/policy/evaluation.py), reading the file (behavior/demonstration_files.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from learning_pipelines.cli_output import Output, interval, organization_option, refused_line, say, verb
from learning_pipelines.cli_store import opened


@click.command("behavior")
@click.option("--agent", required=True, metavar="SLUG", help="Whose policy.")
@click.option("--demonstrations", "file", required=True, type=click.Path(path_type=Path), help="A file of the kind demonstrations (.jsonl or .jsonl.gz).")
@click.option("--policy", "name", default="serving", show_default=True, metavar="POLICY", help="serving, candidate, or a number (0: the transition model).")
@organization_option
@verb
def evaluate_behavior(agent: str, file: Path, name: str, organization: str | None, output: Output) -> int:
    """Score a policy by the type of the action that comes next, the end included: top-1, top-3, both baselines, calibration, arguments apart."""
    from learning_pipelines.behavior.demonstration_files import read_demonstrations
    from learning_pipelines.behavior.demonstrations import load
    from learning_pipelines.behavior.policy.evaluation import evaluate, evaluate_transition
    from learning_pipelines.behavior.policy.files import load_policy
    from learning_pipelines.behavior.policy.registry import named_policy
    from learning_pipelines.feedback.importing import window_now
    from learning_pipelines.retrieval.artifacts import fetch
    from learning_pipelines.retrieval.encoders import Encoders
    from learning_pipelines.retrieval.index import Artifact

    with opened(organization) as at:
        settings, found = at.settings, at.agent(agent)
        version = named_policy(at.connection, found, name)
        read = read_demonstrations(file, agent, window_now(settings.start_date, settings.zone))
        stored = [one for one in load(at.connection, found) if one.outcome == "success"]
    train = [one for one in stored if one.split == "train"] or ([] if version else stored)
    if version is None:
        measured = evaluate_transition(train, read.items)
        say(f"No learnt policy is scored: this is what counting transitions in {len(train)} demonstrations of {agent} gives.")
    else:
        assert version.artifact_path is not None and version.artifact_sha256 is not None
        folder = fetch(settings, Artifact(version.artifact_path, version.artifact_sha256))
        with Encoders(settings) as encoders:
            measured = evaluate(load_policy(folder, encoders.base()), read.items)
    in_train = _known(read.items, train)
    if in_train:
        say(
            f"{in_train} of the {measured.demonstrations} demonstrations are in the train split of {agent}: policies learn from them, so the score promises "
            "more than new tasks will give. Score on demonstrations that were never imported."
        )
    if read.failed:
        say(f"{read.failed} lines show how not to do it and were left out.")
    if read.others:
        say(f"{sum(read.others.values())} lines are of other agents and were left out.")
    for error in read.errors[:20]:
        say(refused_line(error))
    document = {
        **measured.as_json(), "policy": version.number if version else 0, "in_train": in_train, "failed": read.failed, "rejected": read.rejected,
        "errors": read.errors,
    }  # fmt: skip
    output.answer(document, lambda: _lines(document))
    return 1 if read.rejected else 0


def _known(scored: Sequence[Any], train: Sequence[Any]) -> int:
    """How many have the id or the task of one in train, whatever its case and spacing."""
    ids, tasks = {one.id for one in train}, {_plain(one.task) for one in train}
    return sum(one.id in ids or _plain(one.task) in tasks for one in scored)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _lines(result: dict[str, Any]) -> list[str]:
    which = f"Policy {result['policy']}" if result["policy"] else "The transition model"
    lines = [
        f"{which} on {result['n']} steps of {result['demonstrations']} demonstrations: the first suggestion is right in "
        f"{result['top1']:.3f} {interval(result['interval'])}, one of three in {result['top3']:.3f}.",
        *(
            f"  {result['differences'][name]['difference']:+.3f} {interval(result['differences'][name]['interval'])} beside {name} ({score:.3f})"
            for name, score in result["baselines"].items()
        ),
        f"Calibration error {result['calibration_error']:.3f}; it answers {result['coverage']:.0%} of the steps"
        + ("." if result["covered_top1"] is None else f", of those {result['covered_top1']:.3f} right."),
    ]
    if arguments := result["arguments"]:
        lines.append(
            f"Arguments, given the type: {arguments['keys']:.0%} of the values right, all of them in {arguments['exact']:.0%} of {arguments['n']} actions."
        )
    if result["unknown_types"]:
        lines.append(f"{result['unknown_types']} steps are of types that no demonstration it learnt from holds.")
    return lines
