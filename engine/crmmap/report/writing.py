"""Writing to an output that may have gone away: a closed pipe is no failure of ours."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TextIO


def write(stream: TextIO, text: str) -> None:
    """Write the text now; if nobody reads the stream any more, it is sent nowhere from here on."""
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):  # `crmmap plan … | head`; a closed terminal
        discard(stream)


def discard(stream: TextIO) -> None:
    """Send the rest of a stream nowhere, or Python complains of it once more at its exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
