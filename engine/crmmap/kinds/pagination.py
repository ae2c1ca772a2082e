"""How the next page is asked for by what the answer says: a token, a link, an address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from crmmap.kinds.caps import CAP, query_of
from crmmap.kinds.numbered import Keyset, Offset, PageNumber
from crmmap.kinds.paging import Answer, Find
from crmmap.kinds.places import (
    BODY,
    HEADER,
    PARAM,
    TOTAL,
    demand_one_place,
    number,
    put,
    said,
    scalar,
    taken,
    without,
)
from crmmap.values import Expression, Page, Request

LINK = re.compile(r'<([^<>]*)>((?:[^",<]|"(?:[^"\\]|\\.)*(?:"|$))*)')
"""A target, which may hold commas, and its attributes up to the comma; quotes may hold any."""
ATTRIBUTE = re.compile(r';\s*+([^\s=;,"]++)\s*+=\s*+("(?:[^"\\]|\\.)*+(?:"|$)|[^\s;,"]*+)')
BARE = re.compile(r"(?:\s*+;\s*+[^\s;,=\"<>]*+)*+\s*+")
"""What may be left of attributes without those that have a value: names alone. Nothing in it is
tried in two ways, or a header of blanks and semicolons would take for ever."""
UNREADABLE = "the link to the next page is empty, or not an address that can be read"

PLACE = "from_record"
"""Query parameter of the links that `Link.answer` makes: hardly one of the source's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """One request brings all."""

    def next(self, request: Request, page: Page) -> Request | None:
        return None

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        return Answer(start=0, stop=total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """The answer holds a token; the next request sends it back. No token: the last page.

    It stands in the answer's body (`token`) or in a header of it (`token_header`), and is sent
    as a query parameter (`param`), a header, or an entry of the JSON body (`body`).
    """

    token: Annotated[Expression | None, "JMESPath to the token in the answer."] = None
    token_header: Annotated[str | None, "The answer's header that holds the token."] = None
    param: PARAM = None
    header: HEADER = None
    body: BODY = None
    total: TOTAL = None
    cap: CAP = None

    def __post_init__(self) -> None:
        if (self.token is None) == (self.token_header is None):
            message = "the token comes from `token` or from `token_header`: write one of them"
            raise ValueError(message)
        demand_one_place(self)

    def next(self, request: Request, page: Page) -> Request | None:
        if self.token is not None:
            token = scalar(self.token, page.document, "next-page token")
        else:
            token = page.headers.get((self.token_header or "").lower())
        following = None if token in (None, "") else put(self, request, token)
        if self.cap is None:
            return following
        return self.cap.within(request, page, following, without(self, request))

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        query = query_of(self.cap, request, total, find)
        found = query.answer(number(taken(self, request)), size)
        token = str(query.passed(found)) if query.more(found) else None
        document = {} if self.token is None else said(self.token, token)
        headers = {self.token_header: token} if self.token_header and token else {}
        document |= said(self.total, query.there)
        return replace(found, document=document, headers=headers)


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

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        start = min(number(dict(request.params).get(PLACE, "")), total)
        stop = min(start + size, total)
        if stop >= total:
            return Answer(start=start, stop=stop)
        query = urlencode(request.with_param(PLACE, str(stop)).params)
        target = f'<{request.url}?{query}>; rel="{self.rel}"'
        return Answer(start=start, stop=stop, headers={self.header: target})


@dataclass(frozen=True, slots=True, kw_only=True)
class NextUrl:
    """The answer holds the address of the next page, whole or relative. None there: the last page.

    The address must lead to the source's own origin: nothing is asked of another.
    """

    url: Annotated[Expression, "JMESPath to the address in the answer."]
    total: TOTAL = None

    def next(self, request: Request, page: Page) -> Request | None:
        found = self.url.find(page.document)
        if found is None or found == "":
            return None
        if not isinstance(found, str):
            message = f"what stands at '{self.url.text}' is no address"
            raise ValueError(message)
        return _followed(request, found)

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        start = min(number(dict(request.params).get(PLACE, "")), total)
        stop = min(start + size, total)
        target = None
        if stop < total:
            query = urlencode(request.with_param(PLACE, str(stop)).params)
            target = f"{request.url}?{query}"
        document = {self.url.text: target, **said(self.total, total)}
        return Answer(start=start, stop=stop, document=document)


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


PAGINATION: dict[str, type] = {
    "none": Single,
    "token": Token,
    "link": Link,
    "next_url": NextUrl,
    "page": PageNumber,
    "offset": Offset,
    "keyset": Keyset,
}
