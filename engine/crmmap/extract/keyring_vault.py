"""Tokens in the machine's own keyring: of macOS, Windows, or a desktop of Linux."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from crmmap.errors import SourceError
from crmmap.extract.vault import locked

SERVICE = "crmmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyringVault:
    """Keeps tokens in the keyring; the folder holds only the lock that keeps others out.

    Needs the package `keyring` (`pip install 'crmmap[keyring]'`). Raises SourceError where that
    is missing, or the machine has no keyring that is open.
    """

    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def where(self) -> str:
        """Where the tokens are, in words."""
        return "this machine's keyring"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process from using the vault meanwhile."""
        with locked(self.folder, self.stop):
            yield

    def get(self, name: str) -> str | None:
        """Return what is kept under a name."""
        try:
            from keyring import get_password

            return get_password(SERVICE, name)
        except Exception as error:  # noqa: BLE001  (each machine's keyring raises its own)
            _unusable(error)

    def put(self, name: str, text: str) -> None:
        """Keep a text under a name."""
        try:
            from keyring import set_password

            set_password(SERVICE, name, text)
        except Exception as error:  # noqa: BLE001  (as above)
            _unusable(error)


def _unusable(error: Exception) -> NoReturn:
    if isinstance(error, ImportError):
        message = (
            "CRMMAP_VAULT=keyring needs the package keyring: pip install 'crmmap[keyring]', or "
            "leave the variable out to keep tokens in an encrypted file"
        )
    else:  # its text might quote what was to be kept
        message = (
            f"this machine's keyring can't be used ({type(error).__name__}): unlock it, or leave "
            "CRMMAP_VAULT out to keep tokens in an encrypted file"
        )
    raise SourceError(message) from None
