"""Pagination by numbers and by keys: the next page is known from the one that came."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from crmmap.declare import Limits
from crmmap.kinds.caps import CAP, query_of
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
)  # fmt: skip
from crmmap.values import Expression, Page, Request

SIZE = Annotated[
    int | None,
    "Records to a full page: a page with fewer is the last. Leave it out if the source may send "
    "short pages in between.",
    Limits(minimum=1),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageNumber:
    """Pages are counted. The last is the one that is empty, or that the answer says is the last."""

    param: PARAM = None
    header: HEADER = None
    body: BODY = None
    first: Annotated[int, "The first page's number.", Limits(minimum=0)] = 1
    size: SIZE = None
    pages: Annotated[Expression | None, "JMESPath to the number of pages."] = None
    more: Annotated[Expression | None, "JMESPath to whether there is another page."] = None
    total: TOTAL = None
    cap: CAP = None

    def __post_init__(self) -> None:
        demand_one_place(self)

    def next(self, request: Request, page: Page) -> Request | None:
        at = number(taken(self, request) or str(self.first))
        last = page.fetched == 0 or (self.size is not None and page.fetched < self.size)
        if self.more is not None:
            last = self.more.find(page.document) in (None, False, "", 0, "false")
        elif self.pages is not None:
            pages = number(str(scalar(self.pages, page.document, "number of pages") or 0))
            last = at - self.first + 1 >= pages
        following = None if last else put(self, request, at + 1)
        if self.cap is None:
            return following
        return self.cap.within(request, page, following, put(self, request, self.first))

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        size = self.size or size
        query = query_of(self.cap, request, total, find)
        at = max(0, number(taken(self, request) or str(self.first)) - self.first)
        found = query.answer(at * size, size)
        document = {
            **said(self.pages, -(-query.there // size)), **said(self.more, query.more(found)),
            **said(self.total, query.there),
        }  # fmt: skip
        return replace(found, document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """The next request says how many records to pass over: those that came so far.

    The last page is the one that is empty, has fewer than `size`, or reaches `total`.
    OData's `$skip` is of this kind.
    """

    param: PARAM = None
    header: HEADER = None
    body: BODY = None
    size: SIZE = None
    total: TOTAL = None
    cap: CAP = None

    def __post_init__(self) -> None:
        demand_one_place(self)

    def next(self, request: Request, page: Page) -> Request | None:
        passed = number(taken(self, request)) + page.fetched
        last = page.fetched == 0 or (self.size is not None and page.fetched < self.size)
        if self.total is not None and page.fetched:
            declared = scalar(self.total, page.document, "number of records")
            last = last if declared is None else passed >= number(str(declared))
        following = None if last else put(self, request, passed)
        if self.cap is None:
            return following
        return self.cap.within(request, page, following, put(self, request, 0))

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        query = query_of(self.cap, request, total, find)
        found = query.answer(number(taken(self, request)), self.size or size)
        return replace(found, document=said(self.total, query.there))


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """The next request asks for what comes after the last record, by a value that it holds.

    Each request stands for itself, so neither a cap on the records of one query nor records
    that move in between lose any: a source that must be asked for an order is asked for that
    of the value (`sort`), which must be unique. The last page is the one that is empty, or has
    fewer than `size`.
    """

    from_: Annotated[Expression, "JMESPath to the value in a record."]
    param: PARAM = None
    header: HEADER = None
    body: BODY = None
    size: SIZE = None

    def __post_init__(self) -> None:
        demand_one_place(self)

    def next(self, request: Request, page: Page) -> Request | None:
        if page.fetched == 0 or (self.size is not None and page.fetched < self.size):
            return None
        if not len(page.records):
            message = "no record of the page can be read, so what comes after it can't be asked for"
            raise ValueError(message)
        last = page.records[len(page.records) - 1]
        value = scalar(self.from_, last, "value to go on from")
        if value is None:
            message = f"the page's last record has nothing at '{self.from_.text}'"
            raise ValueError(message)
        return put(self, request, value)

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        value = taken(self, request)
        start = min(find(self.from_, value) if value else 0, total)
        stop = min(start + (self.size or size), total)
        return Answer(start=start, stop=stop)
