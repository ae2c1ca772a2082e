"""A file wherever it lies: what every reader of files needs to know of it."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO, Protocol

from crmmap.errors import SourceError
from crmmap.extract.text_files import Bytes

HEAD = 1024 * 1024
"""How many bytes at the start of a file are digested to tell it from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A file's size in bytes, and when it was changed, in nanoseconds; 0 where nobody knows."""

    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells a file from its replacement: size in bytes, time of change, digest of its head."""

    size: int
    mtime_ns: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open file: its bytes, and the file that stands in the store, which tells how far it is.

    They are the same but where the one is unpacked from the other.
    """

    bytes: Bytes
    raw: BinaryIO
    digest: str = ""
    """A digest of all of its bytes, where it is known without reading them."""
    begin: int = 0
    """Where it begins in a file that holds others too."""

    def passed(self, ahead: int) -> int:
        """Return how many bytes of the file were taken; of those read, `ahead` were not yet."""
        place = self.raw.tell() - self.begin
        return max(0, place - ahead) if self.raw is self.bytes else max(0, place)


class Stored(Protocol):
    """A file that can be read; each of its methods raises SourceError that names it."""

    @property
    def name(self) -> str:
        """Its path, by which it is known from run to run."""
        ...

    def status(self) -> Status:
        """Return what it is now."""
        ...

    def opened(self) -> AbstractContextManager[Opened]:
        """Open it; an OSError within becomes a SourceError."""
        ...


def identify(file: Stored, opened: Opened) -> Identity:
    """Return what an open file is. It stands at its beginning afterwards."""
    status = file.status()
    # What unpacks a file reads ahead in it: nobody else may move there.
    plain = opened.raw is opened.bytes
    head = _digest(opened.raw, whole=False) if plain else digest_of(file, whole=False)
    opened.bytes.seek(0)
    return Identity(size=status.size, mtime_ns=status.mtime_ns, head=head)


def demand_unchanged(file: Stored, identity: Identity) -> None:
    """Raise SourceError if someone has changed, replaced or removed the file since `identify`."""
    try:
        status = file.status()
    except SourceError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        message = (
            f"{shown(file.name)}: the file vanished while it was read. Put it back and run again."
        )
        raise SourceError(message) from error
    if (status.size, status.mtime_ns) != (identity.size, identity.mtime_ns):
        message = (
            f"{shown(file.name)}: the file changed while it was read. "
            "Wait until it is written completely, then run again."
        )
        raise SourceError(message)


def digest_of(file: Stored, *, whole: bool) -> str:
    """Return the digest of a file's head, or of all of it."""
    with file.opened() as opened:
        if opened.digest:
            return _digest(opened.bytes, whole=True) if whole else opened.digest
        return _digest(opened.raw, whole=whole)


def _digest(source: Bytes, *, whole: bool) -> str:
    digest = sha256()
    source.seek(0)
    while piece := source.read(HEAD):
        digest.update(piece)
        if not whole:
            break
    return digest.hexdigest()


def shown(name: object) -> str:
    """Return a path fit for a message, whatever characters its name has."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", _escaped, str(name))


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
