"""Answers kept for the time of a run, so that several streams read them, asked for once.

They are known by the requests that brought them. What is not there is asked of the source: so a
stream loses nothing when the one before it was interrupted, limited, or not run at all.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from tempfile import TemporaryFile
from typing import IO, Protocol, TypeVar

from crmmap.extract.asker import Asker
from crmmap.values import Request, Response

Decoded = TypeVar("Decoded")

LARGEST = 1024 * 1024 * 1024
"""Bytes that are kept on disk, compressed."""
MOST = 20_000
"""Answers that are kept; what is known of each stays in memory."""


class Asked(Protocol):
    """Where answers come from."""

    def read(
        self, request: Request, decode: Callable[[Response], Decoded], asker: Asker | None = None
    ) -> tuple[Response, Decoded]:
        """Return the answer to a request, and what `decode` makes of it."""
        ...

    def is_secret(self, text: str) -> bool:
        """Say whether a text is a secret: the mapping's, or one that was gained."""
        ...

    def tells(self, text: str) -> bool:
        """Say whether a text has a secret in it, however it is written."""
        ...


class Spool:
    """Answers in a file without a name, which is gone when the process is. Threads may share it."""

    def __init__(self, *, largest: int = LARGEST, most: int = MOST) -> None:
        self._largest, self._most = largest, most
        self._file: IO[bytes] | None = None
        self._kept: dict[bytes, tuple[Response, int, int]] = {}
        self._end = 0
        self._lock = threading.Lock()

    def keep(self, request: Request, response: Response) -> None:
        """Keep an answer, if there is room for it."""
        packed = zlib.compress(response.body, 1)
        with self._lock:
            if self._end + len(packed) > self._largest or len(self._kept) >= self._most:
                return
            try:
                self._file = self._file or TemporaryFile(prefix="crmmap-")  # noqa: SIM115
                written = os.pwrite(self._file.fileno(), packed, self._end)
            except (OSError, ValueError):
                return  # a full disk, or closed: it is asked for again
            if written == len(packed):
                about = replace(response, body=b"")
                self._kept[_digest(request)] = (about, self._end, written)
                self._end += written

    def find(self, request: Request) -> Response | None:
        """Return the answer that was kept for just this request."""
        with self._lock:
            kept, file = self._kept.get(_digest(request)), self._file
        if kept is None or file is None:
            return None
        about, start, size = kept
        try:
            body = zlib.decompress(os.pread(file.fileno(), size, start))
        except (OSError, ValueError, zlib.error):
            return None
        return replace(about, body=body)

    def close(self) -> None:
        """Drop all that was kept."""
        with self._lock:
            if self._file is not None:
                self._file.close()


@dataclass(frozen=True, slots=True)
class Spooled:
    """Asks a client, but for what is in the spool. `keeps` says whether to put answers there."""

    client: Asked
    spool: Spool
    keeps: bool

    def read(
        self, request: Request, decode: Callable[[Response], Decoded], asker: Asker | None = None
    ) -> tuple[Response, Decoded]:
        if not self.keeps and (found := self.spool.find(request)) is not None:
            return found, decode(found)
        response, decoded = self.client.read(request, decode, asker)
        if self.keeps:
            self.spool.keep(request, response)
        return response, decoded

    def is_secret(self, text: str) -> bool:
        return self.client.is_secret(text)

    def tells(self, text: str) -> bool:
        return self.client.tells(text)


def _digest(request: Request) -> bytes:
    """Return what tells requests apart. No secret is among it: signing comes later."""
    said = (request.method, request.url, request.params, request.headers, request.body,
            request.form)  # fmt: skip
    return sha256(repr(said).encode("utf-8", "backslashreplace")).digest()
