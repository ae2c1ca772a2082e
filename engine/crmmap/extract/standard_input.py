"""Standard input as a file: read once, to its end, into an unnamed temporary file."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from crmmap.errors import SourceError
from crmmap.extract.stored import Opened, Status

NAME = "-"


@dataclass(slots=True)
class StandardInput:
    """What came in by standard input. Streams of one run share it; nobody knows its time."""

    kept: list[BinaryIO] = field(default_factory=list)

    @property
    def name(self) -> str:
        return NAME

    def status(self) -> Status:
        """Return its size. Raises SourceError where nothing is led to standard input."""
        return Status(size=os.fstat(self._spooled().fileno()).st_size, mtime_ns=0)

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Open what was read, once more for each that asks."""
        with os.fdopen(os.dup(self._spooled().fileno()), "rb") as file:
            file.seek(0)
            yield Opened(bytes=file, raw=file)

    def close(self) -> None:
        for file in self.kept:
            file.close()
        self.kept.clear()

    def _spooled(self) -> BinaryIO:
        if self.kept:
            return self.kept[0]
        if sys.stdin is None or sys.stdin.isatty():
            message = "-: nothing is led to standard input. Write `crmmap run … < FILE`"
            raise SourceError(message)
        file = tempfile.TemporaryFile(prefix="crmmap-stdin-")  # noqa: SIM115  (kept for the run)
        try:
            shutil.copyfileobj(sys.stdin.buffer, file)
            file.flush()
        except OSError as error:
            file.close()
            message = f"-: standard input can't be kept in a temporary file ({error.strerror})"
            raise SourceError(message) from error
        self.kept.append(file)
        return file
