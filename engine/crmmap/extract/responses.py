"""Pages from an HTTP API: ask, decode, find the records, ask for the next page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256

from crmmap.errors import SourceError
from crmmap.extract.client import Client
from crmmap.extract.decode import decode_json
from crmmap.extract.request import first_request
from crmmap.plan import Plan, Step
from crmmap.select.document import Document, ambiguous
from crmmap.select.jmespath import find_records
from crmmap.values import Page, Reason, Refusal, Request, Response, as_json

MAX_PAGES = 100_000
MAX_EMPTY = 50
NOT_AN_OBJECT = Reason(field=None, rule="json.record", message="the record is not an object")
DUPLICATE_KEY = Reason(
    field=None, rule="json.duplicate_key", message="an object in the record has the same key twice"
)


def read_responses(plan: Plan, step: Step, client: Client, position: str | None) -> Iterator[Page]:
    """Yield the stream's pages, from `position` if one is given.

    Raises SourceError where a page is not what the mapping says, where pages go
    in a circle, or where there is no end to them.
    """
    first = first_request(plan, step)
    request, number = _resumed(first, position)
    seen: set[bytes] = set()
    empty = 0
    while True:
        _refuse_circle(request, seen, number)
        try:
            response, document = client.read(request, decode_json)
        except SourceError as error:
            if position is None or number == 1 or type(error) is not SourceError:
                raise
            # A token kept from an interrupted run may have expired: read from the start.
            position, (request, number) = None, _resumed(first, None)
            continue
        position = None
        page = _page(step, number, response, document)
        empty = 0 if page.fetched else empty + 1
        following = _following(step, request, page)
        number += 1
        yield replace(page, position=_position(following, number, first))
        if following is None:
            return
        if empty >= MAX_EMPTY or number > MAX_PAGES:
            message = (
                f"stopped after page {number - 1}: "
                f"{empty} empty pages in a row and no end. Check the pagination"
            )
            raise SourceError(message)
        request = following


def _page(step: Step, number: int, response: Response, document: Document) -> Page:
    records: list[object] = []
    places: list[int] = []
    refused: list[Refusal] = []
    for at, record in enumerate(_records(step, response, document)):
        reason = _unfit(record, document)
        if reason is None:
            records.append(record)
            places.append(at)
        else:
            refused.append(Refusal(at=at, raw=as_json(record), reasons=(reason,)))
    return Page(
        number=number,
        records=records,
        refused=tuple(refused),
        document=document.value,
        headers=response.headers,
        lines=places,
    )


def _records(step: Step, response: Response, document: Document) -> list[object]:
    assert step.records is not None  # noqa: S101  (a step of an HTTP source has it)
    if response.status == 204:
        return []
    try:
        return find_records(step.records, document.value)
    except ValueError as error:
        found = document.value
        keys = (
            f"; the answer has {', '.join(map(repr, list(found)[:8]))}"
            if isinstance(found, dict)
            else ""
        )
        message = f"records: {error} in the answer of {response.url}{keys}"
        raise SourceError(message) from None


def _unfit(record: object, document: Document) -> Reason | None:
    if not isinstance(record, dict):
        return NOT_AN_OBJECT
    return DUPLICATE_KEY if document.has_ambiguous and ambiguous(record) else None


def _following(step: Step, request: Request, page: Page) -> Request | None:
    assert step.pagination is not None  # noqa: S101  (a step of an HTTP source has it)
    try:
        return step.pagination.next(request, page)
    except ValueError as error:
        message = f"page {page.number}: {error}"
        raise SourceError(message) from None


def _refuse_circle(request: Request, seen: set[bytes], number: int) -> None:
    said = repr((request.method, request.url, request.params, request.body))
    digest = sha256(said.encode("utf-8", "backslashreplace")).digest()[:16]
    if digest in seen:
        message = (
            f"page {number} would be one that was read before: the source's "
            "next-page token goes in a circle. Check the pagination"
        )
        raise SourceError(message)
    seen.add(digest)


def _position(following: Request | None, number: int, first: Request) -> str | None:
    """Return where reading goes on: what of the next request the mapping does not say itself."""
    if following is None:
        return None
    # The usual address is left out, so that the position outlives a change of host.
    url = None if following.url == first.url else following.url
    return json.dumps({"page": number, "url": url, "params": following.params})


def _resumed(first: Request, position: str | None) -> tuple[Request, int]:
    if position is None:
        return first, 1
    kept = json.loads(position)
    params = tuple((str(name), str(value)) for name, value in kept["params"])
    return replace(first, url=kept["url"] or first.url, params=params), int(kept["page"])
