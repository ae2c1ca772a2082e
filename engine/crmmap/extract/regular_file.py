"""Opening a file that a user names: only regular files, and every trouble told in words."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from crmmap.errors import SourceError
from crmmap.extract.csv_header import foreign_format

HEAD = 1024 * 1024
"""How many bytes at the start of a file are digested to tell it from another."""

SIGNATURE = 1024
"""How many bytes at the start of a file show what format it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells a file from its replacement: size in bytes, time of change, digest of its head."""

    size: int
    mtime_ns: int
    head: str


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading bytes.

    Raises SourceError if its first bytes are those of another format than CSV,
    and wherever the code in its `with` meets an OSError.
    """
    try:
        _regular(path)
        with path.open("rb") as file:
            _demand_own_format(path, file)
            yield file
    except OSError as error:
        raise _refused(path, error) from error


def _demand_own_format(path: Path, file: BinaryIO) -> None:
    # The bytes as they are: decoded, a signature would look different in every encoding.
    if message := foreign_format(file.read(SIGNATURE)):
        raise SourceError(f"{shown(path)}: {message}")
    file.seek(0)


def file_total(path: Path) -> int:
    """Return the size of a file in bytes. Raises SourceError if it is not a regular file."""
    try:
        return _regular(path).st_size
    except OSError as error:
        raise _refused(path, error) from error


def identify(file: BinaryIO) -> Identity:
    """Return what the open file is. It stands at its beginning afterwards."""
    status = os.fstat(file.fileno())
    file.seek(0)
    head = sha256(file.read(HEAD)).hexdigest()
    file.seek(0)
    return Identity(size=status.st_size, mtime_ns=status.st_mtime_ns, head=head)


def demand_unchanged(path: Path, identity: Identity) -> None:
    """Raise SourceError if someone has changed, replaced or removed the file since `identify`."""
    try:
        status = _regular(path)
    except FileNotFoundError as error:
        message = f"{shown(path)}: the file vanished while it was read. Put it back and run again."
        raise SourceError(message) from error
    if (status.st_size, status.st_mtime_ns) != (identity.size, identity.mtime_ns):
        message = (
            f"{shown(path)}: the file changed while it was read. "
            "Wait until it is written completely, then run again."
        )
        raise SourceError(message)


def shown(path: Path) -> str:
    """Return a path fit for a message, whatever characters its name has."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", _escaped, str(path))


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")


def _regular(path: Path) -> os.stat_result:
    # Looked at before it is opened: opening a FIFO would wait for its writer.
    try:
        status = path.stat()
    except ValueError as error:  # a NUL in the name
        message = f"{shown(path)}: is not a path. Check the setting that gives it."
        raise SourceError(message) from error
    if stat.S_ISDIR(status.st_mode):
        message = f"{shown(path)}: is a directory. Give the path of one file."
        raise SourceError(message)
    if not stat.S_ISREG(status.st_mode):
        message = f"{shown(path)}: is not a regular file. Copy its content to a file."
        raise SourceError(message)
    return status


def _refused(path: Path, error: OSError) -> SourceError:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            message = "no such file. Check the setting that gives the path."
        case PermissionError():
            message = "permission denied. Allow this user to read the file."
        case _:
            message = f"can't be read ({error.strerror}). Try again, or copy the file elsewhere."
    return SourceError(f"{shown(path)}: {message}")
