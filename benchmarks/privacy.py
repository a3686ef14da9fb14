"""Precision and recall of the privacy rules per entity on both labelled sets, and how fast they are: `make bench-privacy`.

Belongs here: measuring and printing. Not here: the sets and how they are scored (feedback/labelled.py), floors (feedback/test_privacy.py).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from benchmarks.record import record
from learning_pipelines.feedback.privacy import RULES_VERSION, scrub
from learning_pipelines_tests.feedback.labelled import held_out, parsed, scored
from learning_pipelines_tests.feedback.test_privacy import AMBIGUOUS, NEGATIVE, POSITIVE

# What the second set measured when it was new: numbers by the rules before it (version 1), names by the first rules for names.
FIRST = {
    "CREDIT_CARD": (10, 0, 0), "DE_SOCIAL_SECURITY": (4, 0, 0), "DE_TAX_ID": (4, 0, 0), "DE_TAX_NUMBER": (2, 1, 0), "EMAIL": (16, 3, 2),
    "IBAN": (16, 0, 0), "IP_ADDRESS": (9, 0, 0), "NATIONAL_ID": (0, 15, 0), "PERSON": (108, 9, 17), "PHONE": (27, 3, 2), "UK_NINO": (2, 0, 0),
    "UK_UTR": (2, 0, 0), "URL": (4, 0, 0), "US_EIN": (1, 1, 0), "US_ITIN": (2, 0, 0), "US_SSN": (4, 0, 0), "VAT_ID": (8, 1, 0),
}  # fmt: skip


def main() -> None:
    first, second = parsed((POSITIVE + NEGATIVE + AMBIGUOUS).splitlines()), held_out()
    print(f"Rules {RULES_VERSION}\n\nFirst set ({len(first)} texts; the rules were tuned on it)\n{scored(first).table()}")
    print(f"\nSecond set ({len(second)} texts), held out: what it measured before anything was changed because of it")
    print(f"{'entity':20} precision  recall    n")
    for entity, (right, missed, extra) in FIRST.items():
        print(f"{entity:20} {right / max(1, right + extra):9.3f} {right / (right + missed):7.3f} {right + missed:4}")
    now = scored(second)
    for entity in sorted(now.hits | now.misses | now.extra):
        record(f"precision, {entity}", now.precision(entity), "")
        record(f"recall, {entity}", now.recall(entity), "")
    print(f"\nSecond set, today's rules (no longer held out: classes of errors seen on it were mended)\n{now.table()}\n", *now.wrong, sep="\n")
    _speed([one.text for one in second])


def _speed(texts: list[str]) -> None:
    code = "import time; t = time.perf_counter(); from learning_pipelines.feedback.privacy import scrub; scrub('Hi Anna'); print(time.perf_counter() - t)"
    first_use = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    rates = {}
    for name, batch in (("short", texts), ("long", [" ".join(texts[at : at + 20]) for at in range(0, len(texts), 20)])):
        begun, done = time.perf_counter(), 0
        while time.perf_counter() - begun < 2:
            for text in batch:
                scrub(text)
            done += len(batch)
        rates[name] = (done / (time.perf_counter() - begun), sum(map(len, batch)) / len(batch))
    for name, (rate, length) in rates.items():
        record(f"scrubbing of {name} texts", rate, "texts/s")
        print(f"{name} texts ({length:.0f} characters): {rate:,.0f} texts/s, {rate * length / 1e6:.2f} MB/s")
    print(f"first use {first_use:.2f} s with all imports; {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB at most")


if __name__ == "__main__":
    main()
