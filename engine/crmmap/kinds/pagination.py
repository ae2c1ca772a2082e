"""How the next page is asked for.

A pagination kind keeps no state: the position is read back from the request
just sent and the page it brought. Only `None` ends a stream; a short or an
empty page does not. Circles and bounds are the driver's business (`extract`).

`answer` is the same protocol from the other side: what a source that speaks
it would send. The mock is built on it, so a kind describes both ends at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol
from urllib.parse import parse_qsl, urljoin, urlsplit

from crmmap.declare import Limits
from crmmap.values import Expression, Page, Request


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
        start = _number(dict(request.params).get(self.param, ""))
        stop = min(start + size, total)
        token = str(stop) if stop < total else None
        return Answer(start=start, stop=stop, document={self.token.text: token})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The answer's `Link` header names the next page (RFC 8288). None named: the last page."""

    rel: Annotated[str, "The relation that marks the next page."] = "next"
    header: Annotated[str, "The header's name."] = "Link"

    def next(self, request: Request, page: Page) -> Request | None:
        target = self._target(page.headers.get(self.header.lower(), ""))
        if target is None:
            return None
        parts = urlsplit(urljoin(request.url, target))
        address = parts._replace(query="", fragment="").geturl()
        params = tuple(parse_qsl(parts.query, keep_blank_values=True))
        return Request(
            method=request.method, url=address, params=params,
            headers=request.headers, body=request.body, safe=request.safe,
        )  # fmt: skip

    def _target(self, header: str) -> str | None:
        for match in re.finditer(r"<([^<>]*)>([^<]*)", header):
            for relation in re.findall(r';\s*rel\s*=\s*"?([^";,]+)"?', match[2], re.IGNORECASE):
                if self.rel.lower() in relation.lower().split():
                    return match[1]
        return None

    def answer(self, request: Request, total: int, size: int) -> Answer:
        start = _number(dict(request.params).get("from", ""))
        stop = min(start + size, total)
        if stop >= total:
            return Answer(start=start, stop=stop)
        target = f'<{request.url}?from={stop}>; rel="{self.rel}"'
        return Answer(start=start, stop=stop, headers={self.header: target})


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


PAGINATION: dict[str, type] = {"none": Single, "token": Token, "link": Link}
