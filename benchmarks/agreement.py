"""Agreement and quality on real human judgements, and the speed of scoring: `make bench-agreement [ARGS="--examples 100000"]`.

Belongs here: printing figures. Not here: asserting anything. FeedbackQA is looked for where LEARNING_TEST_DATA says.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import left_out, record
from learning_pipelines.examples.agreement import Agreement, Level, alpha
from learning_pipelines.examples.agreement_refresh import refresh_agreement
from learning_pipelines.examples.calibration import Calibration, judge, out_of_fold
from learning_pipelines.examples.quality import score
from learning_pipelines.examples.quality_refresh import refresh_quality
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.examples.judgements import DATA, DOMAINS, approvals, levels, second_given_first


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--examples", type=int, default=100_000, help="Examples to score; 0: only the real judgements.")
    chosen = arguments.parse_args()
    if DATA.is_dir():
        real_agreement()
        real_quality()
    else:
        left_out("FeedbackQA is not there: LEARNING_TEST_DATA names the folder that holds feedbackqa_dev")
    if chosen.examples:
        with database() as connection:
            speed(connection, chosen.examples)


def real_agreement() -> None:
    """Alpha of two raters by domain, with 95 % bootstrap intervals."""
    print("| answers rated | n | nominal | ordinal | interval | approving or not |\n|---|---|---|---|---|---|")
    both = {domain: levels(domain) for domain in DOMAINS}
    for name, ratings in {**both, "all": np.concatenate(list(both.values()), axis=1)}.items():
        found = [alpha(ratings, level, resamples=1_000) for level in Level] + [alpha(approvals(ratings), Level.NOMINAL, resamples=1_000)]
        record(f"agreement of two raters, {name}, ordinal alpha", found[1].value or 0.0, "")
        print(f"| {name} | {ratings.shape[1]} | {' | '.join(map(_shown, found))} |")


def real_quality() -> None:
    """How well what one rater said predicts whether the other approves, out of fold."""
    print("\n| predicted from | scores | n | Brier | of the base rate | ECE | AUC |\n|---|---|---|---|---|---|---|")
    for first in (0, 1):
        opinions, ratings = second_given_first(first)
        outcomes = approvals(ratings)
        stated = score(opinions, Calibration())
        for name, scores in (("stated mapping", stated.score), ("calibrated", out_of_fold(stated.evidence, outcomes, np.arange(len(outcomes))))):
            found = judge(scores, outcomes)
            numbers = " | ".join(f"{found[key]:.3f}" for key in ("brier", "brier_base", "ece", "auc"))
            for key in ("auc", "brier", "brier_base"):
                record(f"quality from one rater, {name}, {key}", found[key], "")
            print(f"| rater {first + 1} | {name} | {found['verdicts']} | {numbers} |")


def speed(connection: Connection, count: int) -> None:
    """Time of the first look at everything, of one without news, and of one after 100 new verdicts."""
    _fill(connection, count)
    (agent,) = agents(connection)
    print(f"\n{count:,} examples, {count // 10:,} of them reviewed by two of 50 experts, one user's feedback each\n| | agreement s | quality s | scored |")
    print("|---|---|---|---|")
    for name in ("first look", "nothing new", "100 new verdicts"):
        if name.startswith("100"):
            connection.execute(_VERDICTS, {"first": count // 10, "last": count // 10 + 99, "expert": 3})
        agreed = _timed(lambda: refresh_agreement(connection, agent, "UTC"))
        scored = _timed(lambda: refresh_quality(connection, agent))
        record(f"agreement, {count:,} examples, {name}", agreed[0], "s")
        record(f"quality, {count:,} examples, {name}", scored[0], "s")
        print(f"| {name} | {agreed[0]:.2f} | {scored[0]:.2f} | {scored[1].scored:,} |", flush=True)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def _shown(found: Agreement) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]" if found.low is not None else str(found.value)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.monotonic()
    done = work()
    return time.monotonic() - begun, done


@contextmanager
def database() -> Iterator[Connection]:
    """A migrated database of its own, gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="agreement-"))
    try:
        server = embedded.ensure_running(home)
        here = of_server(server)
        migrate(here)
        with here.connect("pipeline") as connection:
            yield connection
        embedded.stop(home)
        shutil.rmtree(server.data_dir.parent, ignore_errors=True)
    finally:
        embedded.stop(home)
        shutil.rmtree(home, ignore_errors=True)


_ORGANIZATION = "learning.organization_id('default')"
_VERDICTS = f"""
INSERT INTO expert_annotations (organization_id, example_id, expert_id, approved, technical_accuracy, created_at)
SELECT {_ORGANIZATION}, 'x' || n, md5('user' || (n * 7 + %(expert)s * 13) %% 50)::uuid, hashint4(n) %% 3 <> 0, (hashint4(n + %(expert)s) & 255) / 255.0,
    now() - make_interval(days => n %% 60)
FROM generate_series(%(first)s::integer, %(last)s) AS n"""


def _fill(connection: Connection, count: int) -> None:
    connection.execute(f"INSERT INTO organizations (organization_id, slug) VALUES ({_ORGANIZATION}, 'default')")
    connection.execute(f"INSERT INTO agents (organization_id, slug) VALUES ({_ORGANIZATION}, 'desk')")
    connection.execute(
        f"INSERT INTO users (organization_id, id, external_id) SELECT {_ORGANIZATION}, md5('user' || n)::uuid, 'user' || n FROM generate_series(0, 999) AS n"
    )
    connection.execute(
        f"""INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, original_output, expected_output,
            content_hash, scrub_rules)
        SELECT {_ORGANIZATION}, 'x' || n, id, 'positive', 'user_feedback', 'Question ' || n, 'Answer', 'Answer', sha256(n::text::bytea), '1'
        FROM agents, generate_series(1, %s::integer) AS n""",
        [count],
    )
    connection.execute(
        f"""INSERT INTO example_sources (organization_id, example_id, feedback_id, execution_id, user_id)
        SELECT {_ORGANIZATION}, 'x' || n, 'f' || n, 'e' || n, md5('user' || n %% 1000)::uuid FROM generate_series(1, %s::integer) AS n""",
        [count],
    )
    for expert in (1, 2):
        connection.execute(_VERDICTS, {"first": 1, "last": count // 10, "expert": expert})


if __name__ == "__main__":
    main()
