"""Files on this machine: only regular ones are opened, and every trouble is told in words."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crmmap.errors import SourceError
from crmmap.extract.stored import Opened, Status, shown

UNFOLLOWED, UNWAITED = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)
"""How to open no link, and without waiting for a pipe's writer, where the system knows of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A file on this machine, by its path; nothing is opened whose real path is not in `root`."""

    path: Path
    root: Path | None = None

    @property
    def name(self) -> str:
        return str(self.path)

    def status(self) -> Status:
        """Return what the file is. Raises SourceError if it is not a regular file."""
        try:
            status = _regular(self._real(), self.path)
        except OSError as error:
            raise _refused(self.path, error) from error
        return Status(size=status.st_size, mtime_ns=status.st_mtime_ns)

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Open it for reading bytes; an OSError within is told in words."""
        try:
            path = self._real()
            _regular(path, self.path)
            # Between the look and the opening it may have become a link, or a pipe nobody writes.
            flags = UNWAITED | (UNFOLLOWED if self.root is not None else 0)
            with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
                _demand_regular(os.fstat(file.fileno()), self.path)
                yield Opened(bytes=file, raw=file)
        except OSError as error:
            raise _refused(self.path, error) from error

    def _real(self) -> Path:
        if self.root is None:
            return self.path
        root, real = os.path.realpath(self.root), os.path.realpath(_without_nul(self.path))
        if os.path.commonpath([root, real]) != root:
            message = (
                f"{shown(self.path)}: leads out of the source's `root`, {shown(self.root)}. "
                "Only files in there are read."
            )
            raise SourceError(message)
        return Path(real)


def _without_nul(path: Path) -> Path:
    if "\0" in str(path):
        message = f"{shown(path)}: is not a path. Check the setting that gives it."
        raise SourceError(message)
    return path


def _regular(path: Path, named: Path) -> os.stat_result:
    status = _without_nul(path).stat()
    _demand_regular(status, named)
    return status


def _demand_regular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        message = f"{shown(path)}: is a directory. Give the path of one file."
        raise SourceError(message)
    if not stat.S_ISREG(status.st_mode):
        message = f"{shown(path)}: is not a regular file. Copy its content to a file."
        raise SourceError(message)


def _refused(path: Path, error: OSError) -> SourceError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            message = "no such file. Check the setting that gives the path."
        case PermissionError():
            message = "permission denied. Allow this user to read the file."
        case _:
            message = f"can't be read ({error.strerror}). Try again, or copy the file elsewhere."
    return SourceError(f"{shown(path)}: {message}")
