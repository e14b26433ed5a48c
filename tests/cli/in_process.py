"""The command in this process: a fresh one imports for seconds."""

import contextlib
import io
import sys
from unittest.mock import patch

import pytest

from durian_cli.app import main


def durian(*args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `durian args`."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["durian", *map(str, args)]),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        pytest.raises(SystemExit) as exit,
    ):
        main()
    assert isinstance(exit.value.code, int)
    return exit.value.code, stdout.getvalue(), stderr.getvalue()
