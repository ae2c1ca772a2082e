"""One HTTP exchange: a prepared request out, a whole response in, within a deadline.

requests is used for what it does well (TLS, pooling, framing) and kept from what it
does too eagerly: retrying, decompressing without bounds. There is an adapter of its and no
session, which would follow redirects, read the environment and keep cookies.
"""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from contextvars import ContextVar
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from crmmap.extract.body import PIECE, BadBody, decoded
from crmmap.extract.origin import address
from crmmap.extract.watch import Watch, Watchdog
from crmmap.kinds.source import Timeouts
from crmmap.values import Response

EXCERPT = PIECE
"""Bytes read of an error's body: enough for a message, too little to choke on. One piece at least,
for of a longer one nothing would be kept."""

POOL = 32
"""Connections kept open per origin."""

NETWORK_ERRORS = (requests.RequestException, HTTPError, http.client.HTTPException, OSError)
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


class Adapter(HTTPAdapter):
    """Opens watched connections, and knows the pool of the origin that it was last asked for.

    All requests are sent alike, without a proxy, so that nothing else tells pools apart. To find
    one takes requests longer than to write a request.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": WatchedPool, "https": WatchedTlsPool}
        self._last: tuple[list[str], ConnectionPool] | None = None

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> ConnectionPool:
        origin, last = (request.url or "").split("/", 3)[:3], self._last
        if last is None or last[0] != origin:
            last = (origin, super().get_connection_with_tls_context(request, *args, **kwargs))
            self._last = last
        return last[1]


class Transport:
    """Owns the connections. Several threads may exchange at once."""

    def __init__(self, timeout: Timeouts, *, max_body: int) -> None:
        self._timeout = timeout
        self._max_body = max_body
        self._adapter = _adapter()
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
        timeout = (self._timeout.connect, self._timeout.read)
        answer = self._adapter.send(prepared, stream=True, timeout=timeout)
        with closing(answer):
            headers = {name.lower(): value for name, value in answer.headers.items()}
            body = self._body(answer, headers)
        # A body without a length ends where the connection does, even if it was we who cut it.
        if _CURRENT.get().passed:
            raise DeadlinePassed
        return Response(
            status=answer.status_code, headers=headers, body=body, url=address(prepared.url or "")
        )

    def _body(self, answer: requests.Response, headers: Mapping[str, str]) -> bytes:
        encoding = headers.get("content-encoding", "")
        if answer.status_code >= 400:
            return _excerpt(answer.raw, encoding)
        if answer.status_code >= 300 or answer.status_code == 204:
            return b""
        _refuse_lost_headers(answer.raw)
        body = b"".join(decoded(_pieces(answer.raw), encoding, limit=self._max_body))
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
        self._adapter.close()


def _adapter() -> Adapter:
    # These loggers write whole addresses, with the keys in their queries.
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_silent)
    return Adapter(max_retries=0, pool_maxsize=POOL)


def _silent(_record: logging.LogRecord) -> bool:
    return False


def _refuse_lost_headers(raw: BaseHTTPResponse) -> None:
    """Raise BadBody if a malformed line hid the headers that say where the body ends.

    http.client takes what it can't parse for the end of the headers, and a chunked or
    compressed body would then be read as if it were plain.
    """
    # requests reads the same attribute, and has to: there is no public one.
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
