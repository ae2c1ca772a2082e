"""What the pretended source answers to a request: a page of records, in the mapping's own terms."""

from __future__ import annotations

import gzip
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from itertools import zip_longest
from threading import Lock
from urllib.parse import unquote, urlsplit

from crmmap.kinds.auth import Auth
from crmmap.kinds.formats import Csv, Ndjson, Xml
from crmmap.kinds.tokens import InMemory
from crmmap.mock.elements import merged as merged_documents
from crmmap.mock.lined import media_type, packed
from crmmap.mock.records import World
from crmmap.mock.routes import Route, routes_of
from crmmap.mock.shelf import Shelf
from crmmap.values import Request, Response, Secret, as_json

KEPT = 64 * 1024 * 1024
"""Bytes of answers that are kept, in case they are asked for again."""


class Answers:
    """All that the source can answer. Keeps bodies that were made, up to `KEPT` bytes."""

    def __init__(self, world: World, source: str) -> None:
        self.routes = routes_of(world, source)
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
            if route.first.method == request.method and route.leads_from(path)
        ]
        nearest = max((route.nearness for route in found), default=(0, 0))
        found = [route for route in found if route.nearness == nearest]
        best = max((route.fits(request) for route in found), default=0)
        fitting = (route for route in found if route.fits(request) == best)
        # A stream that asks alike with a cursor and without is answered once.
        return tuple({route.answers_as: route for route in fitting}.values())

    def page(
        self, routes: Sequence[Route], request: Request
    ) -> tuple[bytes, bytes, Mapping[str, str]] | None:
        """Return a page's body, the same compressed, and the headers that belong to it.

        None where the request asks for what the source would refuse.
        """
        answers = [route.answer(request) for route in routes]
        if any(answer.status != HTTPStatus.OK for answer in answers):
            return None
        headers = {name: each for answer in answers for name, each in answer.headers.items()}
        headers["Content-Type"] = media_type(routes[0].form)
        key = repr([(route.stream.step.name, route.indexes(request), answer.start, answer.stop,
                     answer.document, route.view.said(request))
                    for route, answer in zip(routes, answers, strict=True)])  # fmt: skip
        with self._lock:
            bodies = self._kept.get(key)
        if bodies is None:
            pairs = zip(routes, answers, strict=True)
            texts = [route.text(request, answer, self._shelf) for route, answer in pairs]
            plain = packed(_merged(routes, texts), routes[0].form)
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


def lacking(auth: Auth, request: Request) -> tuple[str, ...]:
    """Return the headers and parameters that authentication adds, and this request lacks."""
    bare = Request(method=request.method, url=request.url, body=request.body)
    signed = _signed(auth, bare)
    sent = {name.lower(): _secret(value) for name, value in request.headers}
    if getattr(auth, "varies", False):  # a signature over the moment of sending: only its presence
        return tuple(f"header {name}" for name, _ in signed.headers if name.lower() not in sent)
    headers = [name for name, value in signed.headers if sent.get(name.lower()) != _secret(value)]
    params = [name for name, value in signed.params if (name, value) not in request.params]
    return (*(f"header {name}" for name in headers), *(f"parameter {name}" for name in params))


def _signed(auth: Auth, bare: Request) -> Request:
    """Return a request signed with what the pretended source itself gives as tokens."""
    move = getattr(auth, "moved", None)
    conversation = (move("http://pretended") if move else auth).flow(bare, InMemory())
    signed = next(conversation)
    while signed.url != bare.url:
        document = getattr(auth, "pretend", lambda _: None)(signed)
        body = as_json(document).encode()
        signed = conversation.send(Response(status=200, headers={}, body=body, url=signed.url))
    return signed


def granted(auth: Auth, request: Request) -> bytes | None:
    """Return what the pretended source answers to a request for a token; None if it is none."""
    document = getattr(auth, "pretend", lambda _: None)(request)
    return None if document is None else as_json(document).encode()


def agreed(auth: Auth, request: Request) -> str | None:
    """Return where the browser is sent of a person who logs in; None of any other request."""
    where: str | None = getattr(auth, "agreed", lambda _: None)(request)
    return where


def _secret(value: str | Secret) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _merged(routes: Sequence[Route], texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    if isinstance(routes[0].form, Xml):
        return merged_documents(texts)
    if isinstance(routes[0].form, Csv):
        return texts[0]  # cells have no places beside each other
    if isinstance(routes[0].form, Ndjson):
        lines = zip_longest(*(text.split("\n") for text in texts))
        found = ([each for each in line if each] for line in lines)
        return "".join(f"{_merged_json(several)}\n" for several in found if several)
    return _merged_json(texts)


def _merged_json(texts: Sequence[str]) -> str:
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
