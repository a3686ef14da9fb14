"""How far a judging model agrees with people: `make bench-judge` (real ratings of FeedbackQA; embedded model unless an endpoint is set).

Belongs here: answers that both raters judged alike, judged again by a model, and what chance would get. Not here: asserting anything.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from benchmarks.record import record
from learning_pipelines.prompts.judge import Case, Judge
from learning_pipelines.prompts.judge_agreement import JudgeAgreement, judge_agreement
from learning_pipelines_tests.examples.judgements import LEVELS
from learning_pipelines_tests.feedback.feedbackqa import DATA, DOMAINS, convert


@dataclass(frozen=True)
class Rated:
    """An answer and whether both raters found it acceptable (or both not)."""

    question: str
    answer: str
    good: bool


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--most", type=int, default=100, help="Answers that are judged, half of each domain.")
    arguments.add_argument("--seed", type=int, default=1, help="Which answers.")
    arguments.add_argument("--json", action="store_true", help="The numbers as JSON.")
    chosen = arguments.parse_args()
    if not DATA.exists():
        sys.exit(f"The ratings are not here: {DATA}. Set LEARNING_TEST_DATA.")
    from learning_pipelines.llm import open_model
    from learning_pipelines.llm_server import stop_model
    from learning_pipelines.settings import load_settings

    with tempfile.TemporaryDirectory(prefix="learning-benchmark-") as home:
        os.environ.setdefault("LEARNING_HOME", home)
        settings = load_settings()
        try:
            rated = sample(chosen.most, chosen.seed)
            begun = time.monotonic()
            found, faults = judged(Judge(open_model(settings, role="judge")), rated)
            rate = len(rated) / (time.monotonic() - begun)
        finally:
            stop_model(settings)
    for name, value in (("right", found.accuracy), ("always the same", found.majority), ("kappa", found.kappa)):
        if value is not None:
            record(f"judge against experts, {name}", value, "")
    record("verdicts", rate, "verdicts/s")
    if chosen.json:
        print(orjson.dumps({**found.as_json(), "faults": faults, "per_second": rate}, option=orjson.OPT_INDENT_2).decode())
    else:
        print(as_table(found, faults, rate))


def sample(most: int, seed: int) -> list[Rated]:
    """Answers that two raters agree on, drawn by seed, the same number of each domain."""
    return [one for domain in DOMAINS for one in random.Random(seed).sample(list(agreed(domain)), most // len(DOMAINS))]


def agreed(domain: str) -> Iterator[Rated]:
    answers = {row["execution_id"]: row for row in convert(domain)["executions"]}
    for line in (DATA / domain / "feedback_valid.jsonl").read_bytes().splitlines():
        row = orjson.loads(line)
        verdicts = {LEVELS[rating] >= 2 for rating in row["rating"]}
        if len(verdicts) == 1:
            execution = answers[f"{domain}-{row['_id']}"]
            yield Rated(execution["input"], execution["output"], verdicts.pop())


def judged(judge: Judge, rated: Sequence[Rated]) -> tuple[JudgeAgreement, int]:
    """The judge's agreement with the raters, and how often it gave no verdict."""
    table, faults = [[0, 0], [0, 0]], 0
    for one, verdict in zip(rated, judge.verdicts(Case(one.question, one.answer) for one in rated), strict=True):
        if verdict.approved is None:
            faults += 1
        else:
            table[one.good][verdict.approved] += 1
    return judge_agreement(judge.name, table), faults


def as_table(found: JudgeAgreement, faults: int, rate: float) -> str:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.2f}"

    interval = found.accuracy_interval
    accuracy = "–" if interval is None else f"{number(found.accuracy)} [{interval.low:.2f}, {interval.high:.2f}]"
    return "\n".join(
        [
            "| judge | n | no verdict | right | always the same | kappa | p | may decide | verdicts/s |",
            "|---|---|---|---|---|---|---|---|---|",
            f"| {found.judge} | {found.n} | {faults} | {accuracy} | {number(found.majority)} | {number(found.kappa)} [{number(found.kappa_low)}, "
            f"{number(found.kappa_high)}] | {number(found.p)} | {'yes' if found.trusted else found.cause} | {rate:.1f} |",
            f"experts × judge (rejected, approved): {found.table}",
        ]
    )


if __name__ == "__main__":
    main()
