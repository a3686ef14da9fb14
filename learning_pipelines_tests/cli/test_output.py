"""What every verb makes of errors, without a process.

Belongs here: the decorator of verbs. Not here: the words of any one refusal (test_bad_input.py, test_verbs.py).
"""

from __future__ import annotations

import errno

import click
import pytest
from click.testing import CliRunner

from learning_pipelines.cli_output import Output, verb


@pytest.mark.parametrize(("number", "said"), [(errno.ENOSPC, "Free space on that disk"), (errno.EPIPE, "")])
def test_a_reader_that_has_read_enough_is_no_error_of_the_file_system(number: int, said: str) -> None:
    @click.command()
    @verb
    def command(output: Output) -> None:
        raise OSError(number, "it does not go on")

    ended = CliRunner().invoke(command)
    assert ended.exit_code == 1 and (said in ended.stderr if said else ended.stderr == "")
