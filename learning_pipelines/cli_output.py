"""What every verb of the command line shares: its output, its exit code, errors in words.

Belongs here: Output, the decorator of verbs, common options, how the same things look everywhere. Not here: verbs (cli.py, cli_*.py).
"""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, ParamSpec

import click

from learning_pipelines.errors import LearningError
from learning_pipelines.unknown_settings import warnings

P = ParamSpec("P")
_ADVICE = {
    errno.EROFS: "LEARNING_HOME must be writable: point it to another folder.",
    errno.EACCES: "LEARNING_HOME must be writable for this user: point it to another folder, or change its owner.",
    errno.EPERM: "LEARNING_HOME must be writable for this user: point it to another folder, or change its owner.",
    errno.ENOTDIR: "LEARNING_HOME must be a folder: point it to another path.",
    errno.ENOSPC: "Free space on that disk and run it again: nothing committed is lost.",
    errno.EDQUOT: "Free space within your quota and run it again: nothing committed is lost.",
}
_PATH = "Check that path, and LEARNING_HOME if it leads there."


class Output:
    """Where answers go: one JSON document on stdout with --json, else lines; progress and errors always to stderr."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def answer(self, document: dict[str, Any], lines: Callable[[], list[str]]) -> None:
        click.echo(json.dumps(document, ensure_ascii=False, default=str) if self.as_json else "\n".join(lines()))

    def fail(self, error: LearningError) -> NoReturn:
        if self.as_json:
            click.echo(json.dumps({"error": {"cause": error.cause, "advice": error.advice}}, ensure_ascii=False))
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


def say(text: str) -> None:
    """A line of progress, on stderr."""
    click.echo(text, err=True)


def refused_line(error: Mapping[str, Any]) -> str:
    """A line of a file that was not taken: {line, field, reason}, of one of several files {file} too."""
    file, field = (f"{error['file']} " if "file" in error else ""), (f", {error['field']}" if error["field"] else "")
    return f"{file}line {error['line']}{field}: {error['reason']}"


def interval(bounds: Sequence[float]) -> str:
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"


def verb(function: Callable[P, int | None]) -> Callable[P, None]:
    """Adds --json and turns named errors into one paragraph and the right exit code. What looks like a setting and is none is named first."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        output = Output(bool(kwargs.pop("as_json")))
        kwargs["output"] = output
        for warning in warnings(os.environ):
            say(warning)
        try:
            code = function(*args, **kwargs)
        except LearningError as error:
            output.fail(error)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # whoever reads the output has read enough (`| head`): click ends the process
            where = f" {error.filename}" if error.filename else ""
            output.fail(LearningError(f"The file system refuses{where}: {error.strerror or error}.", _ADVICE.get(error.errno or 0, _PATH)))
        except KeyboardInterrupt:
            say("Stopped.")
            sys.exit(130)
        sys.exit(code or 0)

    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(run)


organization_option = click.option("--organization", metavar="SLUG", default=None, help="The organization (default: default).")
