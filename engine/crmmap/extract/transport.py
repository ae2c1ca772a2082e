"""One HTTP exchange: a prepared request out, a whole response in, within a deadline.

urllib3 is used for what it does well (TLS, pooling, framing) and kept from what it
does too eagerly: following redirects, retrying, decompressing without bounds. What
requests would add (the environment, cookies, a second set of headers) is not wanted here.
"""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import certifi
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from crmmap.extract.body import PIECE, BadBody, decoded
from crmmap.extract.origin import address
from crmmap.extract.watch import Watch, Watchdog
from crmmap.kinds.source import Timeouts
from crmmap.values import Response

if TYPE_CHECKING:
    import requests

EXCERPT = 64 * 1024
"""Bytes read of an error's body: enough for a message, too little to choke on."""

POOL = 32
"""Connections kept open per origin."""

NETWORK_ERRORS = (HTTPError, http.client.HTTPException, OSError)
"""All that an exchange may raise from below, beside BadBody and DeadlinePassed."""


FRAMING = ("content-length", "transfer-encoding", "content-encoding")


class DeadlinePassed(Exception):
    """The exchange took longer than it may, and was cut."""


_CURRENT: ContextVar[Watch] = ContextVar("watch")
"""The watch of the exchange that this thread is in; the connection finds it here."""


class WatchedConnection(HTTPConnection):
    """A connection that shows its socket to the watch, before TLS and again when reused."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        _CURRENT.get().hold(connection)
        return connection

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _CURRENT.get().hold(self.sock)
        super().request(*args, **kwargs)


class WatchedTlsConnection(HTTPSConnection):
    """The same, speaking TLS."""

    def _new_conn(self) -> socket.socket:
        connection = super()._new_conn()
        _CURRENT.get().hold(connection)
        return connection

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _CURRENT.get().hold(self.sock)
        super().request(*args, **kwargs)


class WatchedPool(HTTPConnectionPool):
    """Makes watched connections."""

    ConnectionCls = WatchedConnection


class WatchedTlsPool(HTTPSConnectionPool):
    """Makes watched TLS connections."""

    ConnectionCls = WatchedTlsConnection


class Transport:
    """Owns the connections. Several threads may exchange at once."""

    def __init__(self, timeout: Timeouts, *, max_body: int) -> None:
        self._timeout = Timeout(connect=timeout.connect, read=timeout.read)
        self._max_body = max_body
        self._pools = _pools()
        self._watchdog = Watchdog(timeout.total)
        self._watches: set[Watch] = set()
        self._precious: set[Watch] = set()
        self._halted = False

    def exchange(self, prepared: requests.PreparedRequest, *, precious: bool = False) -> Response:
        """Send and read to the end; of an error's body, only the beginning; of a redirect's, none.

        What is `precious` is not cut by `halt`. Raises one of NETWORK_ERRORS, DeadlinePassed, or
        BadBody.
        """
        with self._watchdog.watching() as watch:
            token = _CURRENT.set(watch)
            watches = self._precious if precious else self._watches
            watches.add(watch)
            try:
                if self._halted and not precious:
                    raise DeadlinePassed
                return self._exchange(prepared)
            except (*NETWORK_ERRORS, BadBody):
                if watch.passed:
                    raise DeadlinePassed from None
                raise
            finally:
                watches.discard(watch)
                _CURRENT.reset(token)

    def _exchange(self, prepared: requests.PreparedRequest) -> Response:
        place = urlsplit(str(prepared.url))
        pool = self._pools.connection_from_host(place.hostname, place.port, place.scheme)
        answer = pool.urlopen(
            str(prepared.method), prepared.path_url, prepared.body, prepared.headers,
            retries=False, redirect=False, assert_same_host=False, timeout=self._timeout,
            preload_content=False, decode_content=False,
        )  # fmt: skip
        with _put_back(answer):
            # A header that comes several times is one, of all its values.
            headers = {name.lower(): value for name, value in answer.headers.itermerged()}
            body = self._body(answer, headers)
        # A body without a length ends where the connection does, even if it was we who cut it.
        if _CURRENT.get().passed:
            raise DeadlinePassed
        return Response(
            status=answer.status, headers=headers, body=body, url=address(prepared.url or "")
        )

    def _body(self, answer: BaseHTTPResponse, headers: Mapping[str, str]) -> bytes:
        encoding = headers.get("content-encoding", "")
        if answer.status >= 400:
            return _excerpt(answer, encoding)
        if answer.status >= 300 or answer.status == 204:
            return b""
        _refuse_lost_headers(answer)
        body = b"".join(decoded(_pieces(answer), encoding, limit=self._max_body))
        if not body and not any(name in headers for name in FRAMING):
            # A connection cut amid the headers looks just like this.
            message = "the answer has neither a body nor a length: it is cut short"
            raise BadBody(message)
        return body

    def halt(self) -> None:
        """Cut the exchanges under way, but for precious ones, and begin no more."""
        self._halted = True
        for watch in tuple(self._watches):
            watch.cut()

    def close(self) -> None:
        """Cut the exchanges under way and close the connections."""
        self._watchdog.close()
        self._pools.clear()


def _pools() -> PoolManager:
    pools = PoolManager(maxsize=POOL, cert_reqs="CERT_REQUIRED", ca_certs=certifi.where())
    pools.pool_classes_by_scheme = {"http": WatchedPool, "https": WatchedTlsPool}
    # These loggers write whole addresses, with the keys in their queries.
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_silent)
    return pools


@contextmanager
def _put_back(answer: BaseHTTPResponse) -> Iterator[None]:
    """Give the connection back in the end; one of which not all was read is closed before."""
    try:
        yield
    finally:
        answer.close()
        answer.release_conn()


def _silent(_record: logging.LogRecord) -> bool:
    return False


def _refuse_lost_headers(raw: BaseHTTPResponse) -> None:
    """Raise BadBody if a malformed line hid the headers that say where the body ends.

    http.client takes what it can't parse for the end of the headers, and a chunked or
    compressed body would then be read as if it were plain.
    """
    # There is no public one; requests reads it, too.
    original = getattr(raw, "_original_response", None)
    headers = getattr(original, "msg", None)
    rest = str(headers.get_payload()).lower() if headers is not None and headers.defects else ""
    if any(f"{name}:" in rest for name in FRAMING):
        message = "a malformed line hides some of the answer's headers"
        raise BadBody(message)


def _pieces(raw: BaseHTTPResponse) -> Iterator[bytes]:
    while piece := raw.read(PIECE, decode_content=False):
        yield piece


def _excerpt(raw: BaseHTTPResponse, encoding: str) -> bytes:
    """Return what can be read of an error's body: the status matters more than its wrapping."""
    kept = bytearray()
    with suppress(BadBody, *NETWORK_ERRORS):
        _refuse_lost_headers(raw)
        for piece in decoded(_pieces(raw), encoding, limit=EXCERPT):
            kept += piece
    return bytes(kept)
