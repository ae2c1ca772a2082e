"""What the pretended source answers to a request: a page of records, in the mapping's own terms."""

from __future__ import annotations

import gzip
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from threading import Lock
from urllib.parse import unquote, urlsplit

from crmmap.extract.request import first_request
from crmmap.kinds.auth import Auth
from crmmap.kinds.pagination import Answer
from crmmap.kinds.source import Http
from crmmap.mock.envelopes import Envelope, envelope_of
from crmmap.mock.records import Stream, World
from crmmap.mock.streams import streams_of
from crmmap.plan import Plan
from crmmap.values import Request, Secret, as_json

SIZE = 100
"""Records to a page where the request does not say how many."""
KEPT = 64 * 1024 * 1024
"""Bytes of answers that are kept, in case they are asked for again."""
BLOCK, SHELVED = 1000, 16
"""Records in a block, and blocks that are kept, in case the next page is asked for."""


class Shelf:
    """Lines by the block: to make a page of a hundred takes as long as to make a block."""

    def __init__(self) -> None:
        self._block = lru_cache(maxsize=SHELVED)(_block)

    def lines(self, stream: Stream, start: int, stop: int) -> list[str]:
        """Return the stream's lines from `start` to before `stop`."""
        if stop - start > BLOCK:
            return stream.lines(start, stop)
        first, last = start // BLOCK, max(start, stop - 1) // BLOCK
        blocks = [line for number in range(first, last + 1) for line in self._block(stream, number)]
        return blocks[start - first * BLOCK : stop - first * BLOCK]


def _block(stream: Stream, number: int) -> list[str]:
    return stream.lines(number * BLOCK, min((number + 1) * BLOCK, stream.world.records))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One stream's endpoint. `first` is the request for its first page."""

    stream: Stream
    first: Request
    path: str
    envelope: Envelope

    def fits(self, request: Request) -> int:
        """Return how much of the stream's own request stands in this one."""
        own = sum(pair in request.params for pair in self.first.params)
        return own + (self.first.body is not None and self.first.body == request.body)

    def size(self, request: Request) -> int:
        """Return how many records the request asks for: its first parameter that is a number."""
        asked = dict(request.params)
        for name, value in self.first.params:
            if value.isdecimal() and int(value):
                given = asked.get(name, "")
                return int(given) if given.isdecimal() and int(given) else int(value)
        return SIZE

    def answer(self, request: Request) -> Answer:
        """Return what the stream's pagination answers."""
        pagination, total = self.stream.step.pagination, self.stream.world.records
        assert pagination is not None  # noqa: S101  (a step of an HTTP source has it)
        return pagination.answer(request, total, self.size(request))

    def text(self, answer: Answer, shelf: Shelf) -> str:
        """Return the JSON text of an answer's body."""
        lines = shelf.lines(self.stream, answer.start, answer.stop)
        return self.envelope.around(lines, answer.document)


class Answers:
    """All that the source can answer. Keeps bodies that were made, up to `KEPT` bytes."""

    def __init__(self, world: World) -> None:
        self.routes = _routes(world)
        self._kept: OrderedDict[object, tuple[bytes, bytes]] = OrderedDict()
        self._size = 0
        self._lock = Lock()
        self._shelf = Shelf()

    def chosen(self, request: Request) -> tuple[Route, ...]:
        """Return the streams that the request asks for: several where it can't tell them apart."""
        path = unquote(urlsplit(request.url).path)
        found = [
            route
            for route in self.routes
            if route.first.method == request.method and _ends(path, route.path)
        ]
        longest = max((len(route.path) for route in found), default=0)
        found = [route for route in found if len(route.path) == longest]
        best = max((route.fits(request) for route in found), default=0)
        return tuple(route for route in found if route.fits(request) == best)

    def page(
        self, routes: Sequence[Route], request: Request
    ) -> tuple[bytes, bytes, Mapping[str, str]]:
        """Return a page's body, the same compressed, and the headers that belong to it."""
        answers = [route.answer(request) for route in routes]
        headers = {name: each for answer in answers for name, each in answer.headers.items()}
        key = repr([(route.stream.step.name, answer.start, answer.stop, answer.document)
                    for route, answer in zip(routes, answers, strict=True)])  # fmt: skip
        with self._lock:
            bodies = self._kept.get(key)
        if bodies is None:
            pairs = zip(routes, answers, strict=True)
            texts = [route.text(answer, self._shelf) for route, answer in pairs]
            plain = _merged(texts).encode()
            bodies = (plain, gzip.compress(plain, 1, mtime=0))
            self._keep(key, bodies)
        return (*bodies, headers)

    def _keep(self, key: object, bodies: tuple[bytes, bytes]) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = bodies
            self._size += sum(map(len, bodies))
            while self._size > KEPT and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._size -= sum(map(len, dropped))


def _routes(world: World) -> tuple[Route, ...]:
    streams = streams_of(world)
    plan = based_on(world.plan, "http://127.0.0.1")
    routes = []
    for step in plan.steps:
        first = first_request(plan, step)
        assert step.records is not None  # noqa: S101  (a step of an HTTP source has it)
        routes.append(
            Route(
                stream=streams[step.name],
                first=first,
                path=unquote(urlsplit(first.url).path),
                envelope=envelope_of(step.records),
            )
        )
    return tuple(routes)


def based_on(plan: Plan, url: str) -> Plan:
    """Return the plan with its requests going to the URL, and nowhere else."""
    source = plan.source
    assert isinstance(source, Http)  # noqa: S101  (its caller saw to it)
    return replace(plan, source=replace(source, base_url=url, origins=()))


def _ends(path: str, wanted: str) -> bool:
    return path == wanted or (wanted.startswith("/") and path.endswith(wanted))


def lacking(auth: Auth, request: Request) -> tuple[str, ...]:
    """Return the headers and parameters that authentication adds, and this request lacks."""
    bare = Request(method=request.method, url=request.url, body=request.body)
    signed = next(auth.flow(bare))
    if signed.url != bare.url:
        # A conversation that begins elsewhere: what it will add can't be known from here.
        return ()
    sent = {name.lower(): _secret(value) for name, value in request.headers}
    headers = [name for name, value in signed.headers if sent.get(name.lower()) != _secret(value)]
    params = [name for name, value in signed.params if (name, value) not in request.params]
    return (*(f"header {name}" for name in headers), *(f"parameter {name}" for name in params))


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _merged(texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    merged: object = None
    for text in texts:
        merged = _together(merged, json.loads(text, parse_float=Decimal))
    return as_json(merged)


def _together(one: object, other: object) -> object:
    """Merge two documents, entry by entry; where they differ, the first one stands."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys((*one, *other))
        return {name: _together(one.get(name), other.get(name)) for name in names}
    if isinstance(one, list) and isinstance(other, list):
        length = max(len(one), len(other))
        pad = [None] * length
        pairs = zip([*one, *pad][:length], [*other, *pad][:length], strict=True)
        return [_together(first, second) for first, second in pairs]
    return other if one is None else one
