"""Writing to an output that may have gone away: a closed pipe is no failure of ours.

A result that can't be written otherwise (a full disk) is one; a message or a
progress line is not, as there is nobody left to tell.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TextIO

from crmmap.errors import CrmmapError


def write_result(stream: TextIO, text: str) -> None:
    """Write a command's result now; a pipe that nobody reads any more is no failure.

    Raises CrmmapError where it can't be written for any other reason.
    """
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:  # `crmmap plan … | head`
        discard(stream)
    except (OSError, ValueError) as error:
        discard(stream)
        raise unwritable(error) from None


def unwritable(error: Exception) -> CrmmapError:
    """Return the error of a standard output that takes nothing."""
    why = (isinstance(error, OSError) and error.strerror) or "it is closed"
    return CrmmapError(f"standard output can't be written to: {why}")


def write(stream: TextIO, text: str) -> None:
    """Write a message now; if the stream takes none, it is sent nowhere from here on."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        discard(stream)


def discard(stream: TextIO) -> None:
    """Send the rest of a stream nowhere, or Python complains of it once more at its exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
