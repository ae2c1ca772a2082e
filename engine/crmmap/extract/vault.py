"""Where tokens outlive a run: one file, each token encrypted, readable by its owner alone."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from crmmap.errors import Interrupted, SourceError
from crmmap.values import Secret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

GLANCE = 0.1
"""Seconds after which somebody who waits for the lock looks up."""


class Keeper(Protocol):
    """Where tokens outlive a run."""

    @property
    def where(self) -> str:
        """Where the tokens are, in words."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Keep every other process from using it meanwhile."""
        ...

    def get(self, name: str) -> str | None:
        """Return what is kept under a name."""
        ...

    def put(self, name: str, text: str) -> None:
        """Keep a text under a name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """A folder with the file of tokens and, unless a key is given, the key in a file of its own.

    Raises SourceError where the folder can't be used, or the key is another than that with
    which the tokens were written.
    """

    folder: Path
    key: Secret | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends the wait for another process."""

    @property
    def where(self) -> str:
        """Where the tokens are, in words."""
        return str(self.folder)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process from using the vault meanwhile."""
        with locked(self.folder, self.stop):
            yield

    def get(self, name: str) -> str | None:
        """Return what is kept under a name."""
        from cryptography.fernet import InvalidToken

        kept = self._read().get(name)
        if kept is None:
            return None
        try:
            return self._fernet().decrypt(kept.encode()).decode()
        except InvalidToken:
            message = (
                f"{self._file}: the tokens in it were written with another key. Give that key in "
                "CRMMAP_KEY, or take the file away and log in again"
            )
            raise SourceError(message) from None

    def put(self, name: str, text: str) -> None:
        """Keep a text under a name: on the disk, all of it or none, once this returns."""
        _prepare(self.folder)
        every = {**self._read(), name: self._fernet().encrypt(text.encode()).decode()}
        _write(self._file, json.dumps(every, indent=1))

    @property
    def _file(self) -> Path:
        return self.folder / "tokens.json"

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unusable(self._file, error) from None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            message = f"{self._file}: is damaged. Take it away, and log in again"
            raise SourceError(message)
        return found

    def _fernet(self) -> Fernet:
        from cryptography.fernet import Fernet

        text = self.key.reveal() if self.key is not None else self._own_key()
        try:
            return Fernet(text)
        except ValueError:
            message = (
                "the key of the tokens (CRMMAP_KEY) must be 32 bytes in URL-safe base64. Make one: "
                "python -c 'from cryptography.fernet import Fernet; "
                "print(Fernet.generate_key().decode())'"
            )
            raise SourceError(message) from None

    def _own_key(self) -> str:
        from cryptography.fernet import Fernet

        file = self.folder / "key"
        try:
            if not file.exists():
                _write(file, Fernet.generate_key().decode())
            return file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeError) as error:
            raise _unusable(file, error) from None


@contextmanager
def locked(folder: Path, stop: threading.Event) -> Iterator[None]:
    """Hold the lock of a folder, which is made if need be. Raises Interrupted where `stop` is set.

    Another process may hold it for as long as a source takes to give a token.
    """
    _prepare(folder)
    with _opened(folder / "lock", os.O_RDWR | os.O_CREAT) as handle:
        while not _taken(handle):
            if stop.wait(GLANCE):
                message = "stopped while another process gains a token"
                raise Interrupted(message)
        yield


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from None


def _write(file: Path, text: str) -> None:
    """Replace a file by one that only its owner may read, and see it onto the disk."""
    fresh = file.with_suffix(".new")
    try:
        with _opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as handle:
            os.write(handle, text.encode())
            os.fsync(handle)
        fresh.replace(file)
        with _opened(file.parent, os.O_RDONLY) as handle:
            os.fsync(handle)
    except OSError as error:
        raise _unusable(file, error) from None


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    handle = os.open(path, flags, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _unusable(path: Path, error: Exception) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) else "is damaged"
    return SourceError(f"{path}: tokens can't be kept there: {reason}")
