"""How the next page is asked for.

A pagination kind keeps no state: the position is read back from the request
just sent and the page it brought. Only `None` ends a stream; a short or an
empty page does not. Circles and bounds are the driver's business (`extract`).

`answer` is the same protocol from the other side: what a source that speaks
it would send. The mock is built on it, so a kind describes both ends at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Protocol
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from crmmap.declare import Limits
from crmmap.values import Expression, Page, Request

LINK = re.compile(r'<([^<>]*)>((?:[^",<]|"(?:[^"\\]|\\.)*(?:"|$))*)')
"""A target, which may hold commas, and its attributes up to the comma; quotes may hold any."""
ATTRIBUTE = re.compile(r';\s*([^\s=;,"]+)\s*=\s*("(?:[^"\\]|\\.)*(?:"|$)|[^\s;,"]*)')
BARE = re.compile(r"(?:\s*;\s*[^\s;,=\"<>]*)*\s*")
"""What may be left of attributes without those that have a value: names alone."""
UNREADABLE = "the link to the next page is empty, or not an address that can be read"
DIGITS = re.compile("[0-9]{1,18}")

PLACE = "from_record"
"""Query parameter of the links that `Link.answer` makes: hardly one of the source's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Records `start` to `stop` of the list, and what stands beside them.

    `document` maps an expression's text to the value that it must find; a
    value of None means that it must find nothing.
    """

    start: int
    stop: int
    document: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Pagination(Protocol):
    """What every pagination kind offers."""

    def next(self, request: Request, page: Page) -> Request | None:
        """Return the request for the page after `page`, which `request` brought."""
        ...

    def answer(self, request: Request, total: int, size: int) -> Answer:
        """Return what a source with `total` records, `size` to a page, answers."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """One request brings all."""

    def next(self, request: Request, page: Page) -> Request | None:
        return None

    def answer(self, request: Request, total: int, size: int) -> Answer:
        return Answer(start=0, stop=total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The answer holds a token; the next request sends it back. No token: the last page."""

    token: Annotated[Expression, "JMESPath to the token in the answer."]
    param: Annotated[str, "Query parameter that takes the token.", Limits(min_length=1)]

    def next(self, request: Request, page: Page) -> Request | None:
        token = self.token.find(page.document)
        if token is None or token == "":
            return None
        if isinstance(token, bool) or not isinstance(token, str | int):
            message = f"the next-page token at '{self.token.text}' is neither text nor a number"
            raise ValueError(message)
        return request.with_param(self.param, str(token))

    def answer(self, request: Request, total: int, size: int) -> Answer:
        start = min(_number(dict(request.params).get(self.param, "")), total)
        stop = min(start + size, total)
        token = str(stop) if stop < total else None
        return Answer(start=start, stop=stop, document={self.token.text: token})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The answer's `Link` header names the next page (RFC 8288). None named: the last page."""

    rel: Annotated[str, "The relation that marks the next page."] = "next"
    header: Annotated[str, "The header's name."] = "Link"

    def __post_init__(self) -> None:
        # Neither would ever be found, and every stream would end after its first page.
        if len(self.rel.split()) != 1 or not self.header.strip():
            message = "`rel` must be one word, and `header` a header's name"
            raise ValueError(message)

    def next(self, request: Request, page: Page) -> Request | None:
        header = page.headers.get(self.header.lower(), "")
        target = next((target for target, rels in _links(header) if self.rel.lower() in rels), None)
        if target is not None:
            return _followed(request, target)
        if not _readable(header):
            # The link may well be in it: taking this for the last page would lose the others.
            message = f"the header '{self.header}' can't be read as links (RFC 8288)"
            raise ValueError(message)
        return None

    def answer(self, request: Request, total: int, size: int) -> Answer:
        start = min(_number(dict(request.params).get(PLACE, "")), total)
        stop = min(start + size, total)
        if stop >= total:
            return Answer(start=start, stop=stop)
        query = urlencode(request.with_param(PLACE, str(stop)).params)
        target = f'<{request.url}?{query}>; rel="{self.rel}"'
        return Answer(start=start, stop=stop, headers={self.header: target})


def _links(header: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each link's target and its relations, in lower case."""
    for target, attributes in LINK.findall(header):
        found = ATTRIBUTE.findall(attributes)
        # A link has one `rel`: RFC 8288 has us ignore all but the first.
        rel = next((value for name, value in found if name.lower() == "rel"), "")
        yield target, rel.strip("\"'").lower().split()


def _readable(header: str) -> bool:
    """Whether all of a header is links, each with a relation or surely without one."""
    relations = (
        any(name.lower() == "rel" for name, _ in ATTRIBUTE.findall(attributes))
        or BARE.fullmatch(ATTRIBUTE.sub("", attributes))
        for _, attributes in LINK.findall(header)
    )
    return not LINK.sub("", header).strip(", \t") and all(relations)


def _followed(request: Request, target: str) -> Request:
    """Return the request for a link's target, which is taken from where `request` was sent."""
    try:
        parts = urlsplit(urljoin(request.url, target))
        params = parse_qsl(parts.query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise ValueError(UNREADABLE) from None  # Python's own message may quote the address
    if not target.strip():
        raise ValueError(UNREADABLE)
    address = parts._replace(query="", fragment="").geturl()
    return replace(request, url=address, params=tuple(params))


def _number(text: str) -> int:
    return int(text) if DIGITS.fullmatch(text) else 0


PAGINATION: dict[str, type] = {"none": Single, "token": Token, "link": Link}
