"""The benchmark's HTTP source: a process that sends answers rendered beforehand, and does no more.

`python -m bench.server COUNT` prints its port and serves until its standard
input ends. It knows nothing of HTTP but request lines, `after=` and keep-alive,
so that it is never what one waits for.
"""

from __future__ import annotations

import re
import socket
import sys
import threading

from bench.data import contact_pages

PAGE_SIZE = 100
AFTER = re.compile(rb"[?&]after=(\d+)")
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


def answers(count: int) -> list[bytes]:
    """Return whole responses, headers and all."""
    return [HEADERS % (len(page), page) for page in contact_pages(count, PAGE_SIZE)]


def converse(connection: socket.socket, responses: list[bytes]) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pending = b""
    with connection:
        while piece := connection.recv(65536):
            pending += piece
            while (end := pending.find(b"\r\n\r\n")) >= 0:
                asked = AFTER.search(pending[: pending.index(b"\r\n")])
                connection.sendall(responses[int(asked[1]) if asked else 0])
                pending = pending[end + 4 :]


def serve(listener: socket.socket, responses: list[bytes]) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=converse, args=(connection, responses), daemon=True).start()


def main() -> None:
    responses = answers(int(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, responses), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
