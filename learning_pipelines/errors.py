"""The errors a person reads: each names the cause and the next step.

Belongs here: the base class and the kinds that the CLI maps to exit codes. Not here: errors of one noun (they subclass these beside their code).
"""

from __future__ import annotations


class LearningError(Exception):
    """Something went wrong that the reader can act on.

    `cause` is one sentence about what happened, `advice` one about what to do next.
    The CLI prints both as one paragraph and ends with `exit_code`.
    """

    exit_code = 1

    def __init__(self, cause: str, advice: str) -> None:
        super().__init__(f"{cause.rstrip()} {advice.rstrip()}".strip())
        self.cause = cause
        self.advice = advice


class BadInput(LearningError):
    """The command line, a setting or a file as a whole cannot be used (exit code 2)."""

    exit_code = 2


class Unavailable(LearningError):
    """Something the work needs is not there right now: database, server, disk, port."""
