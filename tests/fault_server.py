"""A server on this machine that sends exactly the bytes it is told to, when it is told to.

    with FaultServer(answer(b"{}"), [b"HTTP/1.1 200 OK\\r\\n", Pause(1), RESET]) as server:
        client.get(server.url)

Each request gets the next answer; the last one is given again for ever. An answer
is bytes, or a sequence of steps: bytes, `Pause`, `RESET` and `CLOSE`; or a function
from the `Seen` request to either. Without `CLOSE` or `RESET` the connection is kept.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import BinaryIO


class End(Enum):
    CLOSE = auto()
    RESET = auto()


CLOSE, RESET = End.CLOSE, End.RESET


@dataclass(frozen=True)
class Pause:
    """Send nothing for so many seconds, or until the server is shut down."""

    seconds: float


@dataclass(frozen=True)
class Seen:
    """A request as it arrived. Header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Steps = bytes | Iterable[bytes | Pause | End]
Answer = Steps | Callable[[Seen], Steps]


def answer(
    body: bytes = b"{}", status: int = 200, *, length: int | None = None, **headers: str
) -> bytes:
    """Return a whole answer; `content_type="x"` becomes the header `content-type: x`."""
    fields = {"content_length": str(len(body) if length is None else length), **headers}
    lines = [f"HTTP/1.1 {status} X", *(f"{k.replace('_', '-')}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> bytes:
    lines = ["HTTP/1.1 200 X", "transfer-encoding: chunked"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body + end


def zipped(body: bytes, *, cut: int = 0, **headers: str) -> bytes:
    """Return an answer compressed with gzip, its last `cut` bytes missing, its length right."""
    data = gzip.compress(body, mtime=0)
    return answer(data[: len(data) - cut], content_encoding="gzip", **headers)


def dripped(data: bytes, every: float) -> list[bytes | Pause | End]:
    """Return steps that send one byte at a time, `every` so many seconds."""
    return [step for at in range(len(data)) for step in (data[at : at + 1], Pause(every))]


class FaultServer:
    """`greeting` is sent as soon as a client connects, before it says anything."""

    def __init__(
        self, *answers: Answer, tls: ssl.SSLContext | None = None, greeting: bytes = b""
    ) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self._answers = answers
        self._tls = tls
        self._greeting = greeting
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultServer:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
            self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        # Whatever the client does to its end, the server's business is only to stop.
        plain = connection
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as incoming:
                connection.sendall(self._greeting)
                while (request := _read(incoming)) and self._answer(connection, request):
                    pass
        plain.close()
        self._open.discard(plain)

    def _answer(self, connection: socket.socket, request: Seen) -> bool:
        with self._lock:
            steps = self._answers[min(len(self.requests), len(self._answers) - 1)]
            self.requests.append(request)
        if callable(steps):
            steps = steps(request)
        for step in (steps,) if isinstance(steps, bytes) else steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, Pause):
                if self._closing.wait(step.seconds):
                    return False
            else:
                if step is RESET:
                    hard = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, hard)
                else:
                    connection.shutdown(socket.SHUT_RDWR)
                return False
        return True


def _read(incoming: BinaryIO) -> Seen | None:
    first = incoming.readline().decode("latin-1").split(" ")
    if len(first) != 3:
        return None
    method, target, _ = first
    headers: dict[str, str] = {}
    while line := incoming.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, body)
