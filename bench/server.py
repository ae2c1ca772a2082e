"""The benchmark's HTTP source: a process that sends pages which cost it next to nothing.

`python -m bench.server contacts|people COUNT` prints its port and serves until its standard input
ends. It knows nothing of HTTP but request lines, places in the query and keep-alive, so that it is
never what one waits for; and it holds VARIETY records, which come again and again with ids of their
own, so that it serves ten million in the memory of ten thousand.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from random import Random

from bench import people
from bench.data import FIRST_ID, contact

VARIETY = 10_000
CONTACTS = 100
"""Contacts of a page: as many as a big CRM sends at most."""
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
Answer = Callable[[bytes], bytes]
"""From a request's line to the whole response."""


def contacts(count: int) -> Answer:
    """Send pages of contacts, each with the number of the next one as its token."""
    random, head = Random(0), len(f'{{"id":"{FIRST_ID}')
    tails = [_json(contact(number, random))[head:] for number in range(min(count, VARIETY))]
    after = re.compile(rb"[?&]after=(\d+)")

    def answer(line: bytes) -> bytes:
        asked = after.search(line)
        page = int(asked[1]) if asked else 0
        start, stop = page * CONTACTS, min((page + 1) * CONTACTS, count)
        records = b",".join(
            b'{"id":"%d%b' % (FIRST_ID + number, tails[number % len(tails)])
            for number in range(start, stop)
        )
        following = b',"paging":{"next":{"after":"%d"}}' % (page + 1) if stop < count else b""
        return _response(b"application/json", b'{"results":[%b]%b}' % (records, following))

    return answer


def feeds(count: int) -> Answer:
    """Send feeds of people by `$skip`; the one after the last is empty."""
    random = Random(0)
    tails = [people.tail(people.person(number, random)) for number in range(min(count, VARIETY))]
    skip = re.compile(rb"[?&](?:\$|%24)skip=(\d+)")

    def answer(line: bytes) -> bytes:
        asked = skip.search(line)
        start = int(asked[1]) if asked else 0
        body = people.feed(start, min(start + people.PAGE_SIZE, count), tails)
        return _response(b"application/atom+xml;charset=utf-8", body)

    return answer


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _response(kind: bytes, body: bytes) -> bytes:
    return HEADERS % (kind, len(body)) + body


# --- sockets ------------------------------------------------------------------------------------


def converse(connection: socket.socket, answer: Answer) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pending = b""
    with connection:
        while piece := connection.recv(65536):
            pending += piece
            while (end := pending.find(b"\r\n\r\n")) >= 0:
                connection.sendall(answer(pending[: pending.index(b"\r\n")]))
                pending = pending[end + 4 :]


def serve(listener: socket.socket, answer: Answer) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # whoever opened the socket has closed it
            return
        threading.Thread(target=converse, args=(connection, answer), daemon=True).start()


def listening(what: str, count: int) -> socket.socket:
    """Serve in threads of this process, until it ends; return the socket that is connected to."""
    answer = {"contacts": contacts, "people": feeds}[what](count)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
    return listener


def main(what: str, count: str) -> None:
    print(listening(what, int(count)).getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
