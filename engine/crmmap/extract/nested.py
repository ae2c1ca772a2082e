"""Lists within records that a source sends in pieces: the further ones are asked for and added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from crmmap.errors import SourceError
from crmmap.extract.asker import Asker
from crmmap.extract.circles import Circles
from crmmap.extract.decoders import decoder_of
from crmmap.extract.request import Context, first_request
from crmmap.extract.ruling import SKIPPED, Skipped
from crmmap.extract.spool import Asked
from crmmap.kinds.shaping import Misfit, Record, changed, doubled
from crmmap.plan import Plan, Step
from crmmap.select.document import Document, ambiguous
from crmmap.select.jmespath import text_of
from crmmap.spec.model import Nested
from crmmap.values import Page, Request, Response

MOST = 10_000
LARGEST = 64 * 1024 * 1024
"""Answers, and bytes of them, that belong to one record at most: they are held together."""
SCALARS = frozenset({"number", "boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Completer:
    """Completes the lists in a stream's records, before they are shaped."""

    plan: Plan
    step: Step
    client: Asked
    asker: Asker
    context: Context
    gaps: list[str] = field(default_factory=list)
    """Why lists could not be completed, where a rule for answers allows that."""

    def whole(self, record: object) -> object:
        """Return the record with its lists complete, or a misfit. Raises SourceError."""
        if not isinstance(record, dict) or ambiguous(record):
            return record  # to be refused as it is
        for nested in self.step.nested:
            try:
                complete = partial(self._complete, nested, record)
                record = (
                    complete(record) if nested.at == "@" else changed(record, nested.at, complete)
                )
            except ValueError as error:
                return Misfit(value=record, rule="nested", message=str(error))
        return record

    def _complete(self, nested: Nested, record: Record, inner: Record) -> Record:
        page = _page(nested, inner, 1)
        # Most lists are whole: then the request need not even be made.
        if nested.pagination.next(Request(url=""), page) is None:
            return inner
        items = [*page.records]
        try:
            for following in self._pages(nested, self._first(nested, record), page):
                items += following.records
        except Skipped as skipped:
            self.asker.account.skipped(skipped.why)
            self.gaps.append(SKIPPED)
        return {**inner, nested.records: items}

    def _first(self, nested: Nested, record: Record) -> Request:
        asked = replace(self.step, request=nested.request, incremental=None)
        return first_request(self.plan, asked, {**self.context, "record": _texts(record)})

    def _pages(self, nested: Nested, request: Request, page: Page) -> Iterator[Page]:
        circles, size, decode = Circles(), 0, decoder_of(self.step)
        while (following := _following(nested, request, page)) is not None:
            request, number = following, page.number + 1
            circles.refuse_request(request, number)
            response, document = self.client.read(request, decode, self.asker)
            size += len(response.body)
            if number > MOST or size > LARGEST:
                message = f"{_where(nested)} has no end, or is too large to be held with its record"
                raise SourceError(message)
            page = _piece(nested, response, document, number)
            yield page


def _piece(nested: Nested, response: Response, document: Document, number: int) -> Page:
    try:
        found = document.value if nested.answer is None else nested.answer.find(document.value)
        if document.has_ambiguous and ambiguous(found):
            raise ValueError(doubled(None).message)
        return replace(_page(nested, found, number), headers=response.headers)
    except ValueError as error:
        message = f"{_where(nested)}: {error} in the answer of {response.url}"
        raise SourceError(message) from None


def _where(nested: Nested) -> str:
    return f"nested: the list at '{nested.at}.{nested.records}'"


def _page(nested: Nested, inner: object, number: int) -> Page:
    """Return a piece of the list as a page. Raises ValueError where there is none."""
    found = inner.get(nested.records) if isinstance(inner, dict) else None
    if not isinstance(found, list):
        message = f"there is no list '{nested.records}'"
        raise ValueError(message)
    return Page(number=number, records=found, document=inner)


def _following(nested: Nested, request: Request, page: Page) -> Request | None:
    try:
        return nested.pagination.next(request, page)
    except ValueError as error:
        message = f"{_where(nested)}, piece {page.number}: {error}"
        raise SourceError(message) from None


def _texts(record: Mapping[str, object]) -> dict[str, object]:
    """Return a record for templates: texts, and objects of such; lists are left out."""
    found: dict[str, object] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            found[name] = _texts(value)
        elif value is not None and (text := text_of(value, SCALARS)[0]) is not None:
            found[name] = text
    return found
