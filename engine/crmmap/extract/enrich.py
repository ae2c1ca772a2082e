"""What belongs to a page's records and stands elsewhere: asked for, and put into each of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from crmmap.errors import SourceError
from crmmap.extract.partitions import sample
from crmmap.extract.request import Context
from crmmap.extract.ruling import Skipped
from crmmap.plan import Enriching, Step
from crmmap.plan.partitions import texts_of
from crmmap.values import Page, Reason, Refusal, as_json

More = Callable[[Step, Context], Iterator[Page]]
"""Reads the pages of a second request, made with a context."""

Report = Callable[[str], None]
"""Takes note that something was skipped, and why."""

MOST = 200_000
"""What is found for one request, at most."""

Key = tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Worked:
    """The records of a page on their way through its second requests."""

    records: list[object]
    places: list[int]
    refused: list[Refusal] = field(default_factory=list)


def enriched(step: Step, page: Page, context: Context, more: More, report: Report) -> Page:
    """Return the page with what was found for its records. Raises SourceError.

    A record goes in and comes out, or is refused; none is lost, and none made.
    """
    if not step.enriching or not len(page.records):
        return page
    places = list(page.lines) if page.lines is not None else list(range(len(page.records)))
    worked = _Worked(records=list(page.records), places=places)
    for each in step.enriching:
        worked = _enriched(step, each, worked, context, more, report)
    return replace(
        page, records=worked.records, lines=worked.places,
        refused=(*page.refused, *worked.refused),
    )  # fmt: skip


def sample_of(step: Step, each: Enriching) -> Context:
    """Return a context with which the second request's templates can be rendered, to be seen."""
    words = set(re.findall(r"\w+", " ".join(texts_of(each.spec.request))))
    row = {word: f"{{record.{word}}}" for word in sorted(words)}
    return {**sample(step), **({"records": [row]} if each.spec.batch else {"record": row})}


def _enriched(
    step: Step, each: Enriching, before: _Worked, context: Context, more: More, report: Report
) -> _Worked:
    after = _Worked(records=[], places=[], refused=before.refused)
    size = each.spec.batch or 1
    for start in range(0, len(before.records), size):
        records = before.records[start : start + size]
        places = before.places[start : start + size]
        try:
            found = _found(step, each, records, context, more)
        except SourceError as error:
            if each.spec.on_failure == "fail" or type(error) not in (SourceError, Skipped):
                raise
            if each.spec.on_failure == "reject":
                reason = _reason("failed", f"the request of `enrich.{each.name}` failed: {error}")
                after.refused += map(_refusal, places, records, [reason] * len(records))
                continue
            # Not in the error's words, which may be others for every record.
            report(f"enrich.{each.name} failed")
            found = {}
        for record, place in zip(records, places, strict=True):
            _put(each, after, record, place, found)
    return after


def _found(
    step: Step, each: Enriching, records: Sequence[object], context: Context, more: More
) -> Mapping[Key, list[object]]:
    """Return what is found for records, by what it is known by."""
    asking = [record for record in records if _key(each, record, side=0) is not None]
    if not asking:
        return {}
    named = {"records": asking} if each.spec.batch else {"record": asking[0]}
    asked = step.second(each.spec.request, each.records, each.spec.pagination)
    found: dict[Key, list[object]] = {}
    count = 0
    for page in more(asked, {**context, **named}):
        if page.refused:
            what = page.refused[0].reasons[0].message
            message = f"enrich.{each.name}: {len(page.refused)} found things are unfit: {what}"
            raise SourceError(message)
        for record in page.records:
            key = _key(each, record, side=1)
            if key is not None:
                found.setdefault(key, []).append(record)
        count += page.fetched
        if count > MOST:
            message = f"enrich.{each.name}: more than {MOST} records were found for one request"
            raise SourceError(message)
    return found


def _put(
    each: Enriching, after: _Worked, record: object, place: int, found: Mapping[Key, list[object]]
) -> None:
    """Put what was found into a record, or refuse the record."""
    assert isinstance(record, dict)  # noqa: S101  (others were refused when the page was read)
    if each.name in record:
        message = (
            f"enrich.{each.name}: the source's records have an entry '{each.name}' of their own. "
            "Take another name"
        )
        raise SourceError(message)
    key = _key(each, record, side=0)
    several = found.get(key, []) if key is not None else []
    refused = None
    if not several and each.spec.missing == "reject":
        refused = _reason("missing", f"nothing was found for the record (`enrich.{each.name}`)")
    elif len(several) > 1 and not each.spec.many:
        refused = _reason(
            "several",
            f"more than one was found for the record (`enrich.{each.name}`); write `many: true`",
        )
    if refused is not None:
        after.refused.append(_refusal(place, record, refused))
        return
    value: object = several if each.spec.many else several[0] if several else None
    after.records.append({**record, each.name: value})
    after.places.append(place)


def _key(each: Enriching, record: object, *, side: int) -> Key | None:
    """Return what a record is known by, as texts; None where a part of it is missing."""
    parts = []
    for pair in each.on:
        try:
            value = pair[side].find(record)
        except ValueError:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal) or value == "":
            return None
        parts.append(str(value))
    return tuple(parts)


def _reason(rule: str, message: str) -> Reason:
    return Reason(field=None, rule=f"enrich.{rule}", message=message)


def _refusal(place: int, record: object, reason: Reason) -> Refusal:
    return Refusal(at=place, raw=as_json(record), reasons=(reason,))
