"""Files that are packed, as files: a gzip file as what is in it, a zip archive as several."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from crmmap.errors import SourceError
from crmmap.extract.body import RATIO, RATIO_FREE
from crmmap.extract.stored import Opened, Status, Stored, shown
from crmmap.extract.text_files import Bytes
from crmmap.extract.unpack import ENCRYPTED, told
from crmmap.kinds.formats import Unpack

MAGIC = 4


def unpacked_files(file: Stored, how: Unpack, pattern: str) -> Sequence[Stored]:
    """Return what is in a file: itself where it is not packed, the files of a zip archive.

    Raises SourceError for an archive that can't be read, or that holds what is not read.
    """
    if how == "auto":
        with file.opened() as opened:
            how = told(opened.bytes.read(MAGIC))
    if how == "zip":
        return [Member(archive=file, entry=each) for each in _entries(file, pattern)]
    return [Gzipped(inner=file)] if how == "gzip" else [file]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gzipped:
    """What is in a gzip file, under the name of that."""

    inner: Stored

    @property
    def name(self) -> str:
        return self.inner.name

    def status(self) -> Status:
        """Return what the packed file is."""
        return self.inner.status()

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Open it; what comes out is bounded by what went in."""
        with self.inner.opened() as opened:
            opened.raw.seek(0)
            with gzip.GzipFile(fileobj=opened.raw) as file:
                source = _Guarded(file, opened.raw, self.name)
                _demand_plain(source)
                yield replace(opened, bytes=source)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in a zip archive. Its name is a name alone: nothing is written under it."""

    archive: Stored
    entry: ZipInfo

    @property
    def name(self) -> str:
        return f"{self.archive.name}/{self.entry.filename}"

    def status(self) -> Status:
        """Return its size within the archive, and when that was changed."""
        size = self.entry.compress_size
        return Status(size=size, mtime_ns=self.archive.status().mtime_ns)

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Open it; what comes out is bounded by what went in."""
        begin = self.entry.header_offset
        digest = f"{self.entry.CRC:08x}{self.entry.file_size:016x}"
        with (
            self.archive.opened() as opened,
            _archive(opened, self.name) as archive,
            archive.open(self.entry) as file,
        ):
            source = _Guarded(file, opened.raw, self.name, begin=begin)
            _demand_plain(source)
            yield Opened(bytes=source, raw=opened.raw, digest=digest, begin=begin)


class _Guarded:
    """Bytes that are unpacked: their faults told in words, a compression bomb stopped."""

    def __init__(self, file: Bytes, raw: Bytes, name: str, *, begin: int = 0) -> None:
        self._file, self._raw, self._name, self._begin = file, raw, name, begin

    def read(self, size: int = -1, /) -> bytes:
        with self._told():
            return self._bounded(self._file.read(size))

    def readline(self, size: int = -1, /) -> bytes:
        with self._told():
            return self._bounded(self._file.readline(size))

    def seek(self, offset: int, /) -> int:
        with self._told():
            return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()

    def _bounded(self, piece: bytes) -> bytes:
        packed = max(1, self._raw.tell() - self._begin)
        if self._file.tell() > max(RATIO_FREE, RATIO * packed):
            message = (
                f"{shown(self._name)}: what is packed grows more than {RATIO} times: "
                "a compression bomb. Unpack it yourself if you trust it."
            )
            raise SourceError(message)
        return piece

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError) as error:
            message = f"{shown(self._name)}: the packed file is damaged or cut short. Get it again."
            raise SourceError(message) from error


def _demand_plain(source: _Guarded) -> None:
    if told(source.read(MAGIC)) != "none":
        message = f"{shown(source._name)}: what is packed is packed once more. Unpack it first."
        raise SourceError(message)
    source.seek(0)


@contextmanager
def _archive(opened: Opened, name: str) -> Iterator[ZipFile]:
    opened.raw.seek(0)
    try:
        archive = ZipFile(opened.raw)
    except (BadZipFile, ValueError, NotImplementedError) as error:
        message = f"{shown(name)}: the zip archive is damaged or cut short. Get it again."
        raise SourceError(message) from error
    with archive:
        yield archive


def _entries(file: Stored, pattern: str) -> Sequence[ZipInfo]:
    """Return an archive's files, in the order of their names."""
    with file.opened() as opened, _archive(opened, file.name) as archive:
        found = [each for each in archive.infolist() if not each.is_dir()]
    entries = [each for each in found if fnmatchcase(each.filename, pattern)]
    for each in entries:
        if message := _unread(each):
            raise SourceError(f"{shown(file.name)}: {message}")
    if len({each.filename for each in entries}) < len(entries):
        message = "two files in the archive have one name. Pack it again."
        raise SourceError(f"{shown(file.name)}: {message}")
    return sorted(entries, key=lambda each: each.filename)


def _unread(entry: ZipInfo) -> str:
    if entry.flag_bits & ENCRYPTED:
        return "the zip archive is encrypted. Ask for one without a password."
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "the zip archive is compressed in a way that is not read. Allowed: deflate, none."
    return ""
