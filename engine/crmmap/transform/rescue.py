"""When a whole batch fails: find the records that make it fail, and reject only those.

polars reports its own faults as panics, which are no `Exception`; nothing a
source sends should cause one, but if it does it must cost one record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from crmmap.plan import Step
from crmmap.transform.batch import apply
from crmmap.values import Batch, Page, Reason, Refusal

FAULTS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
FAILED = Reason(
    field=None, rule="record.failed", message="the record can't be processed; please report this"
)


def apply_safely(step: Step, pages: Sequence[Page]) -> Batch:
    """Return what `apply` gives; records that make it fail are rejected one by one."""
    try:
        return apply(step, pages)
    except FAULTS:
        return apply(step, [_without(page, _failing(step, page)) for page in pages])


def _failing(step: Step, page: Page) -> list[int]:
    """Return the indexes of the records that can't be processed, found by halving."""
    suspects, failing = [range(len(page.records))], []
    while suspects:
        part = suspects.pop()
        if _works(step, _only(page, part)):
            continue
        if len(part) == 1:
            failing.append(part[0])
        else:
            middle = len(part) // 2
            suspects += [part[:middle], part[middle:]]
    return sorted(failing)


def _works(step: Step, page: Page) -> bool:
    try:
        apply(step, [page])
    except FAULTS:
        return False
    return True


def _only(page: Page, part: range) -> Page:
    places = _places(page)
    return replace(
        page,
        records=page.records[part.start : part.stop],
        lines=places[part.start : part.stop],
        refused=(),
    )


def _without(page: Page, failing: Sequence[int]) -> Page:
    places, gone = _places(page), set(failing)
    kept = [index for index in range(len(page.records)) if index not in gone]
    refusals = tuple(
        Refusal(at=places[index], raw=page.raw(index), reasons=(FAILED,)) for index in failing
    )
    records = page.records
    return replace(
        page,
        records=records[kept] if isinstance(records, pl.DataFrame) else [records[i] for i in kept],
        lines=[places[index] for index in kept],
        refused=(*page.refused, *refusals),
    )


def _places(page: Page) -> list[int]:
    return list(range(len(page.records)) if page.lines is None else page.lines)
