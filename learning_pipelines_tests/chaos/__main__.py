"""`python -m learning_pipelines_tests.chaos --events 200 --seed 7` (`make chaos ARGS=…`): exit code 1 when an invariant fails.

Belongs here: arguments. Not here: anything else (harness.py).
"""

from __future__ import annotations

import argparse
import datetime as dt
import signal
import sys
from pathlib import Path

from learning_pipelines_tests.chaos.harness import Options, run


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--events", type=int, default=200)
    given.add_argument("--seed", type=int, default=7)
    given.add_argument("--model", choices=("embedded", "fake"), default="embedded", help="fake: a server that answers with what it was asked")
    given.add_argument("--until", type=dt.time.fromisoformat, help="no further blow after this time of day")
    given.add_argument("--rest", type=float, default=1800.0, help="most seconds that coming to rest may take")
    given.add_argument("--pace", type=float, default=1.0, help="2: half the load")
    given.add_argument("--patience", type=float, default=6.0, help="most seconds from a blow to the next one, except after every tenth")
    given.add_argument("--calm", type=float, default=60.0, help="most seconds of peace after every tenth blow, until there is a dataset to break")
    given.add_argument("--megabytes", type=int, default=4000, help="size of the disk that fills up")
    given.add_argument("--conditions", default="", help="a sentence for the report: what else ran on the machine")
    given.add_argument("--out", type=Path, default=Path(".learning/chaos"))
    given.add_argument("--keep", action="store_true", help="keep the home, to look into it")
    chosen = given.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell that put it into the background had it ignored: everything is ended in order
        signal.signal(number, signal.default_int_handler)
    until = dt.datetime.combine(dt.date.today(), chosen.until).timestamp() if chosen.until else float("inf")
    options = Options(
        chosen.seed, chosen.events, chosen.model, chosen.megabytes, chosen.pace, chosen.patience, chosen.calm, chosen.rest, until,
        conditions=chosen.conditions, keep=chosen.keep,
    )  # fmt: skip
    report = run(options, lambda line: print(line, flush=True))
    print(report.as_markdown())
    page = report.write(chosen.out)
    print(f"{page} and {page.with_suffix('.json')}")
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
