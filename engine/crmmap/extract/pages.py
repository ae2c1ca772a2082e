"""An answer as a page: its records found and shaped, and what is none refused with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from crmmap.errors import SourceError
from crmmap.extract.shaping import Placed, sent_by, shaped
from crmmap.kinds.numbered import Keyset
from crmmap.kinds.shaping import Around, Misfit
from crmmap.plan import Step
from crmmap.select.compiled import DUPLICATE_KEY
from crmmap.select.document import Document, Found, Unsuited, ambiguous
from crmmap.select.jmespath import Jmespath
from crmmap.select.raw_records import RawRecords
from crmmap.select.strict import read_whole
from crmmap.values import Page, Reason, Refusal, Request, Response, as_json

NOT_AN_OBJECT = Reason(field=None, rule="json.record", message="the record is not an object")
UNSUITED = Reason(
    field=None, rule="json.unsuited", message="`records` does not suit the types in the record"
)
NOT_SUCCEEDED = Reason(
    field=None, rule="response.rejects", message="the source says that it has failed"
)


Complete = Callable[[object], object] | None
"""Makes a record whole before it is looked at."""


def page_of(step: Step, number: int, response: Response, document: Document) -> Page:
    """Return an answer as a page. Raises SourceError where `records` does not suit it."""
    return both_pages(step, number, response, document)[1]


def both_pages(
    step: Step, number: int, response: Response, document: Document,
    complete: Complete = None,
) -> tuple[Page, Page]:  # fmt: skip
    """Return an answer's page as the source sent it, for the pagination to count, and as shaped.

    `complete` makes each record whole before it is looked at. Raises SourceError where
    `records` does not suit the answer.
    """
    if document.found is not None:
        page = _read(number, document.found, response, document)
        return page, page
    around = Around(
        document=document.value, read=read_whole,
        doubtful=ambiguous if document.has_ambiguous else lambda _: False,
    )  # fmt: skip
    sent = _sent(step, response, document, around)
    if complete is not None:
        sent = [(at, complete(value)) for at, value in sent]
    if not step.shape:
        page = _page(number, sent, response, document)
        return page, page
    try:
        page = _page(number, shaped(sent, step.shape, around), response, document)
    except ValueError as error:
        message = f"{error} in the answer of {response.url}"
        raise SourceError(message) from None
    fit = [each for _, each in sent if not isinstance(each, Misfit | Unsuited)]
    unfit = [Refusal(at=0, raw="", reasons=())] * (len(sent) - len(fit) + len(response.refused))
    return replace(page, records=fit, refused=tuple(unfit), lines=None), page


def settled(step: Step, request: Request, page: Page) -> Page:
    """Return a page as paging must see it: by values, where it goes on from those of records.

    What is no record is refused then; of records that stay bytes, that comes out later.
    """
    if not isinstance(page.records, RawRecords) or not page.records:
        return page
    cap = getattr(step.pagination, "cap", None)
    near = cap is not None and request.passed + 2 * page.fetched > cap.records
    last = isinstance(step.pagination, Keyset) and ambiguous(page.records[-1])
    if not (near or last):
        return page
    sound = [record for record in page.records if not ambiguous(record)]
    unfit = [Refusal(at=0, raw="", reasons=())] * (page.fetched - len(sound))
    return replace(page, records=sound, refused=tuple(unfit), lines=None)


def _read(number: int, found: Found, response: Response, document: Document) -> Page:
    """Return the page of an answer whose records were found as it was decoded."""
    return Page(
        number=number,
        records=found.records,
        refused=(*found.refused, *_failed(response, found.count)),
        document=document.value,
        headers=response.headers,
        lines=found.lines,
        mended=found.mended,
        size=len(response.body),
    )


def _failed(response: Response, after: int) -> list[Refusal]:
    return [
        Refusal(at=at, raw=as_json(each), reasons=(NOT_SUCCEEDED,))
        for at, each in enumerate(response.refused, start=after)
    ]


def _page(number: int, values: Sequence[Placed], response: Response, document: Document) -> Page:
    records: list[object] = []
    places: list[int] = []
    refused: list[Refusal] = []
    sound = not document.has_ambiguous
    for at, record in values:
        reason = None if sound and type(record) is dict else _unfit(record, document)
        if reason is None:
            records.append(record)
            places.append(at)
        else:
            refused.append(Refusal(at=at, raw=as_json(_original(record)), reasons=(reason,)))
    refused += _failed(response, len(records) + len(refused))
    return Page(
        number=number,
        records=records,
        refused=tuple(refused),
        document=document.value,
        headers=response.headers,
        lines=places,
        size=len(response.body),
    )


def _sent(step: Step, response: Response, document: Document, around: Around) -> list[Placed]:
    assert isinstance(step.records, Jmespath)  # noqa: S101  (a plan pairs it with the format)
    if response.status == 204:
        return []
    try:
        return sent_by(step.records, document.value, step.shape, around)
    except ValueError as error:
        keys = _names(document.value)
        message = f"records: {error} in the answer of {response.url}{keys}"
        raise SourceError(message) from None


def _original(record: object) -> object:
    if isinstance(record, Misfit):
        return record.value
    return record.record if isinstance(record, Unsuited) else record


def _names(document: object) -> str:
    """Name what an answer has instead; only what looks like names, for keys may be data too."""
    if not isinstance(document, dict):
        return ""
    names = [repr(name) for name in document if re.fullmatch(r"[A-Za-z_]\w{0,40}", name)]
    return f"; the answer has {', '.join(names[:8])}" if names else ""


def _unfit(record: object, document: Document) -> Reason | None:
    if isinstance(record, Unsuited):
        return UNSUITED
    if isinstance(record, Misfit):
        return Reason(field=None, rule=record.rule, message=record.message)
    if not isinstance(record, dict):
        return NOT_AN_OBJECT
    return DUPLICATE_KEY if document.has_ambiguous and ambiguous(record) else None
