"""Where a person's browser comes back to after a login: this machine, for a few minutes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from crmmap.errors import SourceUnreachable
from crmmap.kinds.tokens import plain_code
from crmmap.values import Secret

HOST = "127.0.0.1"
SLOWEST = 5.0
"""Seconds that one connection may take to say what it wants."""

DONE = "Logged in. You may close this window; the command goes on by itself."
REFUSED = "The login did not succeed. The command says why; you may close this window."


class Landing:
    """Listens until it is closed. Raises OSError where the port is taken.

    `url` is the address that the source is told; of port 0, with the port that was free.
    """

    def __init__(self, redirect_url: str, *, port: int | None = None) -> None:
        asked = urlsplit(redirect_url)
        self.path = asked.path or "/"
        self.state = secrets.token_urlsafe(32)
        self.code: Secret | None = None
        self.refused: str | None = None
        self._listener = _Listener(port if port is not None else asked.port or 80, self)
        host = asked.hostname or HOST
        self.url = f"http://{host}:{self._listener.server_address[1]}{asked.path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.server_close()

    def wait(self, seconds: float) -> Secret:
        """Return the code that the browser brings. Raises SourceUnreachable where none comes."""
        until = time.monotonic() + seconds
        while self.code is None and self.refused is None:
            self._listener.timeout = until - time.monotonic()
            if self._listener.timeout <= 0:
                message = (
                    f"nobody logged in within {seconds:g} seconds. Start again, and open the "
                    "address in a browser on this machine"
                )
                raise SourceUnreachable(message)
            self._listener.handle_request()
        if self.code is None:
            raise SourceUnreachable(self.refused or "")
        return self.code

    def take(self, brought: Mapping[str, str]) -> tuple[HTTPStatus, str]:
        """Take what a browser brings, and return what it shows its person."""
        if not secrets.compare_digest(brought.get("state", "").encode(), self.state.encode()):
            self.refused = (
                "what came back belongs to another login (its state is not ours): somebody else "
                "may have sent it. Start again"
            )
            return HTTPStatus.BAD_REQUEST, REFUSED
        if "error" in brought or not brought.get("code"):
            code = plain_code(brought.get("error")) or "no code came back"
            self.refused = f"the login was refused ({code}). Start again, and agree"
            return HTTPStatus.OK, REFUSED
        self.code = Secret(brought["code"])
        return HTTPStatus.OK, DONE


class _Listener(HTTPServer):
    allow_reuse_port = False

    def __init__(self, port: int, landing: Landing) -> None:
        self.landing = landing
        super().__init__((HOST, port), _Visit)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: whoever goes away or speaks no HTTP is not the browser waited for."""


class _Visit(BaseHTTPRequestHandler):
    timeout = SLOWEST

    def do_GET(self) -> None:
        assert isinstance(self.server, _Listener)  # noqa: S101  (it makes these)
        landing = self.server.landing
        asked = urlsplit(self.path)
        host = self.headers.get("Host", "").rpartition(":")[0]
        if asked.path != landing.path or host not in (HOST, "localhost"):
            self._show(HTTPStatus.NOT_FOUND, "There is nothing here.")
            return
        self._show(*landing.take(dict(parse_qsl(asked.query, keep_blank_values=True))))

    def _show(self, status: HTTPStatus, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        # The code stands in the address: it is told to nobody.
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "crmmap"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        """Say nothing: the address holds the code."""
