"""Where gbstats' sequential test stops: reads {alpha, tuning, every, successes: [[control per look], [treatment per look]] per run} from stdin, answers
with the look (from 1; null: never) of each run and the seconds that an analysis takes.

Belongs here: calls of gbstats. Not here: drawing runs, our own test (experiments_contest.py). Runs in the environment of the peer, so it imports nothing
of ours.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
from gbstats.models.statistics import ProportionStatistic

warnings.filterwarnings("ignore")


def main() -> None:
    asked = json.load(sys.stdin)
    config = SequentialConfig(alpha=asked["alpha"], sequential_tuning_parameter=asked["tuning"])
    looks, seconds, calls = [], 0.0, 0
    for control, treatment in asked["successes"]:
        stopped = None
        for look, (one, other) in enumerate(zip(control, treatment), start=1):  # noqa: B905  the peer's Python may be older
            n = look * asked["every"]
            begun = time.perf_counter()
            low, high = SequentialTwoSidedTTest(ProportionStatistic(n=n, sum=one), ProportionStatistic(n=n, sum=other), config).compute_result().ci
            seconds, calls = seconds + time.perf_counter() - begun, calls + 1
            if low > 0 or high < 0:
                stopped = look
                break
        looks.append(stopped)
    json.dump({"looks": looks, "seconds": seconds / max(1, calls)}, sys.stdout)


main()
