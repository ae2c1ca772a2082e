"""From a process's arguments to its exit code, whatever happens on the way."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from crmmap.cli.commands import commands
from crmmap.cli.failures import told
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import CrmmapError, ExitCode, MappingError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; nothing is raised, not even `SystemExit`.

    `arguments` are the process's own by default.
    """
    _open_what_is_closed()
    _never_fail_to_encode()
    surroundings = Surroundings(environment=dict(os.environ))
    try:
        given = None if arguments is None else list(arguments)
        code = commands.main(given, "crmmap", obj=surroundings, standalone_mode=False)
    except click.ClickException as error:
        surroundings.warn(_usage(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        surroundings.warn("interrupted")
        return ExitCode.INTERRUPTED
    except SystemExit:  # click's answer to a closed pipe, which is no failure
        return ExitCode.OK
    except BaseException as error:  # noqa: BLE001  (the last stop: a message, never a traceback)
        message, code = told(_cause(error), surroundings)
        # The lines of a mapping's problems begin with file:line:column, which editors look for.
        surroundings.warn(message if isinstance(error, MappingError) else f"error: {message}")
        return code
    return int(code or 0)


def _usage(error: click.ClickException) -> str:
    told = io.StringIO()
    error.show(told)
    return told.getvalue().rstrip("\n")


def _cause(error: BaseException) -> BaseException:
    """Return what is behind an error: of click's own writing, that standard output is full."""
    if isinstance(error, OSError):
        from crmmap.report.writing import write_result

        try:
            write_result(sys.stdout, "")
        except CrmmapError as unwritten:
            return unwritten
    return error


def _open_what_is_closed() -> None:
    """Give the process the standard streams that its parent has closed, leading nowhere.

    Else the next file opened, which may be the store's, would get the number of one.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(nowhere, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _never_fail_to_encode() -> None:
    """Have characters that the terminal's encoding lacks written as escapes, not raised over."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # a test's or a caller's own stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
