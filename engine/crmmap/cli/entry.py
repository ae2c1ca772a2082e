"""From a process's arguments to its exit code, whatever happens on the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from crmmap.cli.commands import commands
from crmmap.cli.failures import told
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode, MappingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; nothing is raised, not even `SystemExit`.

    `arguments` are the process's own by default.
    """
    _never_fail_to_encode()
    surroundings = Surroundings(environment=dict(os.environ))
    try:
        given = None if arguments is None else list(arguments)
        code = commands.main(given, "crmmap", obj=surroundings, standalone_mode=False)
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        surroundings.warn("interrupted")
        return ExitCode.INTERRUPTED
    except BaseException as error:  # noqa: BLE001  (the last stop: a message, never a traceback)
        message, code = told(error, surroundings)
        # The lines of a mapping's problems begin with file:line:column, which editors look for.
        surroundings.warn(message if isinstance(error, MappingError) else f"error: {message}")
        return code
    return int(code or 0)


def _never_fail_to_encode() -> None:
    """Have characters that the terminal's encoding lacks written as escapes, not raised over."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # a test's or a caller's own stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
