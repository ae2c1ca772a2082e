"""Files in other stores, by URL (`s3://bucket/exports/*.csv`), where fsspec is installed."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from crmmap.errors import SourceError
from crmmap.extract.stored import Opened, Status, shown

URL = re.compile(r"(?P<kind>[A-Za-z][A-Za-z0-9+.-]+)://|\w+::")
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
"""What stores call the time when a file was changed."""


def is_url(named: str) -> bool:
    """Say whether a stream's `file` names another store."""
    return URL.match(named) is not None


def local_path(named: str) -> str:
    """Return the path that a `file://` URL means; anything else as it is."""
    return re.sub(r"^(?:file|local)://", "", named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A file in a store that fsspec knows. `name` is its URL."""

    system: Any
    path: str
    name: str

    def status(self) -> Status:
        """Return what the store says of it. Raises SourceError if it is not a file."""
        with _told(self.name):
            info = self.system.info(self.path)
        if info.get("type") != "file":
            message = f"{shown(self.name)}: is no file. Give the address of one, or a pattern."
            raise SourceError(message)
        found = next((info[each] for each in TIMES if info.get(each)), 0)
        return Status(size=int(info.get("size") or 0), mtime_ns=_nanoseconds(found))

    @contextmanager
    def opened(self) -> Iterator[Opened]:
        """Open it; what of it is asked for is fetched."""
        with _told(self.name), self.system.open(self.path, "rb") as file:
            yield Opened(bytes=file, raw=file)


def remote_files(named: str, pattern: str) -> tuple[list[Remote], bool]:
    """Return the files that an address has, by name, and whether it might have had several.

    Raises SourceError where fsspec, or what it needs for this store, is not installed.
    """
    system, path = _store(named)
    with _told(named):
        if system.isdir(path):
            found, several = system.glob(f"{path.rstrip('/')}/{pattern}"), True
        elif glob.has_magic(path) and not system.exists(path):
            found, several = system.glob(path), True
        else:
            found, several = [path], False
        paths = sorted(each for each in found if not (several and system.isdir(each)))
    files = [Remote(system=system, path=each, name=system.unstrip_protocol(each)) for each in paths]
    return files, several


def _store(named: str) -> tuple[Any, str]:
    if "::" in named:
        message = f"{shown(named)}: addresses within addresses are not read. Give a plain one."
        raise SourceError(message)
    if "@" in urlsplit(named).netloc:
        message = (
            "the file's address holds a name or a password. Leave them out, and put them where the "
            "store's library looks for them"
        )
        raise SourceError(message)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        message = f"{shown(named)}: needs fsspec. Install it: pip install 'crmmap[fsspec]'"
        raise SourceError(message) from error
    try:
        system, path = url_to_fs(named)
    except (ImportError, ValueError) as error:
        message = f"{shown(named)}: the store can't be opened: {error}"
        raise SourceError(message) from error
    return system, str(path)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell a store's errors in words; its library's own are not known here."""
    try:
        yield
    except SourceError:
        raise
    except FileNotFoundError as error:
        message = f"{shown(name)}: no such file. Check the setting that gives the address."
        raise SourceError(message) from error
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__ == "builtins":
            raise
        what = type(error).__name__
        message = f"{shown(name)}: the store can't be read ({what}). Check address and access."
        raise SourceError(message) from error


def _nanoseconds(found: object) -> int:
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            return 0
    if isinstance(found, datetime):
        found = found.timestamp()
    return int(found * 1_000_000_000) if isinstance(found, int | float) else 0
