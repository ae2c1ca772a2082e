"""Where a request carries what pagination puts into it: a parameter, a header, the body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Protocol

from crmmap.declare import Limits
from crmmap.values import Expression, Request

PARAM = Annotated[str | None, "Query parameter that takes it.", Limits(min_length=1)]
HEADER = Annotated[str | None, "Header of the request that takes it.", Limits(min_length=1)]
BODY = Annotated[
    str | None,
    "Entry of the JSON body that takes it: `paging.after`, or `filters.0.value`.",
    Limits(min_length=1),
]
TOTAL = Annotated[
    Expression | None,
    "JMESPath to the number of records that the source says it has: a read that ends with "
    "fewer is refused.",
]

DIGITS = re.compile("[0-9]{1,18}")


class Place(Protocol):
    """Names the place: one of the three is not None."""

    @property
    def param(self) -> str | None: ...
    @property
    def header(self) -> str | None: ...
    @property
    def body(self) -> str | None: ...


def demand_one_place(place: Place) -> None:
    """Raise ValueError unless exactly one place is named."""
    if sum(each is not None for each in (place.param, place.header, place.body)) != 1:
        message = "it is sent in one place: write one of `param`, `header` and `body`"
        raise ValueError(message)


def put(place: Place, request: Request, value: str | int) -> Request:
    """Return the request with the value in its place. Raises ValueError if the body has none."""
    if place.param is not None:
        return request.with_param(place.param, str(value))
    if place.header is not None:
        return request.with_header(place.header, str(value))
    return request.with_body(place.body or "", value)


def without(place: Place, request: Request) -> Request:
    """Return the request with nothing in the place."""
    params, headers = request.params, request.headers
    if place.param is not None:
        return replace(request, params=tuple(each for each in params if each[0] != place.param))
    if place.header is not None:
        name = place.header.lower()
        return replace(request, headers=tuple(h for h in headers if h[0].lower() != name))
    return replace(request, body=_cut_out(request.body, (place.body or "").split(".")))


def _cut_out(document: object, way: Sequence[str]) -> object:
    first, rest = way[0], way[1:]
    if isinstance(document, dict) and first in document:
        others = {name: each for name, each in document.items() if name != first}
        return {**others, first: _cut_out(document[first], rest)} if rest else others
    if isinstance(document, list) and rest and first.isdecimal() and int(first) < len(document):
        at = int(first)
        return [*document[:at], _cut_out(document[at], rest), *document[at + 1 :]]
    return document


def taken(place: Place, request: Request) -> str:
    """Return what the request has in the place, as text; empty where it has nothing."""
    found = taken_as_it_is(place, request)
    return "" if found is None else str(found)


def taken_as_it_is(place: Place, request: Request) -> object:
    """Return what the request has in the place, a number of its body as a number; else None."""
    if place.param is not None:
        return dict(request.params).get(place.param)
    if place.header is not None:
        name = place.header.lower()
        return next((str(v) for n, v in request.headers if n.lower() == name), None)
    found: object = request.body
    for step in (place.body or "").split("."):
        if isinstance(found, dict):
            found = found.get(step)
        elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            return None
    return found


def number(text: str) -> int:
    """Return the number that a text is, or 0."""
    return int(text) if DIGITS.fullmatch(text) else 0


def scalar(expression: Expression, document: object, what: str) -> str | int | None:
    """Return a text or whole number that the expression finds; None where it finds nothing.

    Raises ValueError, naming `what`, where it finds something else.
    """
    found = expression.find(document)
    if found is None or found == "":
        return None
    if isinstance(found, bool) or not isinstance(found, str | int):
        message = f"the {what} at '{expression.text}' is neither text nor a number"
        raise ValueError(message)
    return found


def said(expression: Expression | None, value: object) -> dict[str, object]:
    """Return the part of an answer's document that an expression must find."""
    return {} if expression is None else {expression.text: value}
