"""The pretended source, served over real HTTP on this machine."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from crmmap.kinds.source import Http
from crmmap.mock.answers import Answers, agreed, granted, lacking
from crmmap.mock.faults import Faults, asked_of, unnumbered
from crmmap.mock.records import World
from crmmap.mock.reply import Reply, refusal
from crmmap.mock.routes import Route
from crmmap.values import Request

HOST = "127.0.0.1"
LONGEST_BODY = 16 * 1024 * 1024
WORTH_COMPRESSING = 1024

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a connection that is to be broken, not closed."""


class Server:
    """Answers until it is closed. Make it with `serve`."""

    def __init__(self, world: World, source: str, port: int) -> None:
        found = world.plan.sources[source]
        assert isinstance(found, Http)  # noqa: S101  (its caller saw to it)
        self._auth = found.auth
        self._told = _told(found)
        self._answers = Answers(world, source)
        self._rules = found.responses
        self._faults = Faults(rate=world.faults, seed=world.seed, source=found)
        self._counted = threading.Lock()
        self.requests = 0
        """How many requests came, refused ones too."""
        self._listener = _Listener((HOST, port), self)
        self.url = f"http://{HOST}:{self._listener.server_address[1]}"
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name="mock", daemon=True
        )
        self._thread.start()

    @property
    def routes(self) -> tuple[str, ...]:
        """The requests that are answered: `GET /contacts`, once for each stream."""
        return tuple(f"{each.first.method} {each.path}" for each in self._answers.routes)

    def close(self) -> None:
        """Stop listening, and end the connections that clients keep open."""
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
        self._listener.hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def reply(self, request: Request) -> Reply:
        """Return status, body and headers. The body is compressed if the client takes that."""
        with self._counted:
            self.requests += 1
        if (back := agreed(self._auth, request)) is not None:
            return Reply(status=HTTPStatus.FOUND, headers={"Location": back})
        if (token := granted(self._auth, request)) is not None:
            if b'"error"' in token:
                return Reply(status=HTTPStatus.BAD_REQUEST, body=token)
            safe = all(route.first.safe for route in self._answers.routes)
            asked = asked_of(request, safe=safe, gains=True, rules=self._rules)
            return self._faults.spoilt(asked, Reply(body=token))
        routes = self._answers.chosen(request)
        if not routes:
            known = sorted(set(self.routes))
            return refusal(HTTPStatus.NOT_FOUND, "there is no such route", routes=known)
        if missing := lacking(self._auth, unnumbered(request)):
            what = f"missing or wrong: {', '.join(missing)}"
            return refusal(HTTPStatus.UNAUTHORIZED, what)
        own = (rule for route in routes for rule in route.stream.step.responses)
        asked = asked_of(
            request, safe=all(route.first.safe for route in routes), gains=False,
            rules=(*own, *self._rules),
        )  # fmt: skip
        return self._faults.spoilt(asked, self._page(routes, request))

    def _page(self, routes: Sequence[Route], request: Request) -> Reply:
        page = self._answers.page(routes, request)
        if page is None:
            what = "the page lies beyond what one query may have"
            return refusal(HTTPStatus.BAD_REQUEST, what)
        plain, compressed, headers = page
        headers = {**self._told, **headers}
        if len(plain) < WORTH_COMPRESSING or not _takes_gzip(request):
            return Reply(body=plain, headers=headers)
        return Reply(body=compressed, headers={**headers, "Content-Encoding": "gzip"})


def serve(world: World, source: str = "source", *, port: int = 0) -> Server:
    """Serve the streams of an HTTP source, by its name, on 127.0.0.1; port 0 takes a free one.

    The caller closes it, or uses it in a `with`. Raises OSError if the port is taken.
    """
    return Server(world, source, port)


def _told(source: Http) -> dict[str, str]:
    """Return the headers in which the source tells how often it may be asked."""
    daily = [] if source.daily is None else [source.daily.pretend()]
    told = [*(rate.pretend() for rate in source.rate), *daily]
    return {name: value for each in told for name, value in each.items()}


def _takes_gzip(request: Request) -> bool:
    accepted = next((v for n, v in request.headers if n.lower() == "accept-encoding"), "")
    return isinstance(accepted, str) and "gzip" in accepted


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], server: Server) -> None:
        self.answering = server
        self._open: set[socket.socket] = set()
        self._changing = threading.Lock()
        super().__init__(address, _Exchange)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that are still open: their threads wait for a next request."""
        with self._changing:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is no fault of ours; a fault of ours must be seen.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def version_string(self) -> str:
        return "crmmap-mock"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        """Say nothing: the terminal belongs to the command."""

    def _answer(self) -> None:
        assert isinstance(self.server, _Listener)  # noqa: S101  (it makes these)
        try:
            request = self._request(self.server.answering.url)
        except ValueError as error:
            self.close_connection = True
            self._send(refusal(HTTPStatus.BAD_REQUEST, str(error)))
        else:
            self._send(self.server.answering.reply(request))

    def _request(self, url: str) -> Request:
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            url=url + parts.path,
            params=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers=tuple(self.headers.items()),
            body=self._body(),
        )

    def _body(self) -> object:
        """Return the request's JSON body, None without one. Raises ValueError on another body."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            message = "a request's body needs a Content-Length"
            raise ValueError(message)
        if int(length) > LONGEST_BODY:
            message = f"the body is longer than {LONGEST_BODY} bytes"
            raise ValueError(message)
        sent = self.rfile.read(int(length))
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(sent.decode("utf-8", "replace")))
        try:
            return json.loads(sent) if sent else None
        except ValueError:
            message = "the body is not JSON"
            raise ValueError(message) from None

    def _send(self, reply: Reply) -> None:
        time.sleep(reply.pause)
        self.send_response(reply.status)
        typed = {"Content-Type": "application/json; charset=utf-8", **reply.headers}
        for name, value in typed.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: reply.cut])
        if reply.cut is not None:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.close_connection = True
