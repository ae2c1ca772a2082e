"""What went wrong, as a message and an exit code."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Iterator

from crmmap.cli.surroundings import Surroundings
from crmmap.errors import CrmmapError, ExitCode


def told(error: BaseException, surroundings: Surroundings) -> tuple[str, ExitCode]:
    """Return the message for people and the exit code that an exception means.

    Ours say what is wrong, where, and what to do. Of any other only the type is
    told, as its text might quote a record; its traceback goes into a file.
    """
    leaves = tuple(_leaves(error))
    ours = [each for each in leaves if isinstance(each, CrmmapError)]
    if len(ours) < len(leaves):
        return _unexpected(error, leaves, surroundings), ExitCode.STREAM_FAILED
    messages = dict.fromkeys(str(each) for each in ours)
    return "\n".join(messages), max(each.exit_code for each in ours)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, however deep; a lone one is its own leaf."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _unexpected(
    error: BaseException, leaves: tuple[BaseException, ...], surroundings: Surroundings
) -> str:
    text = surroundings.clean("".join(traceback.format_exception(error)))
    names = ", ".join(dict.fromkeys(type(each).__name__ for each in leaves))
    message = f"crmmap failed unexpectedly ({names}). This is a fault of crmmap, not of your data"
    if surroundings.environment.get("CRMMAP_DEBUG", "0") not in ("", "0"):
        return f"{text}{message}"
    return f"{message}; please report it. Traceback {_kept(text)}"


def _kept(text: str) -> str:
    """Write a traceback into a new file that only this user may read; say where it went."""
    try:
        handle, name = tempfile.mkstemp(prefix="crmmap-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return "could not be written to a file; CRMMAP_DEBUG=1 shows it"
    return f"written to {name}; CRMMAP_DEBUG=1 shows it"
