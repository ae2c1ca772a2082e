"""The law of pagination: all records that the source has arrive, however it cuts its pages.

The judge does not ask the mapping how long a page is, nor which is the first: it sends as
many records as the request asks for, from where the first request begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from crmmap.errors import SourceError
from crmmap.extract.asker import Asker
from crmmap.extract.partitions import with_given
from crmmap.extract.request import first_request
from crmmap.extract.responses import read_responses
from crmmap.kinds.caps import Cap
from crmmap.kinds.numbered import Keyset, Offset, PageNumber
from crmmap.kinds.pagination import Link, NextUrl, Single, Token
from crmmap.kinds.paging import Answer, Pagination
from crmmap.kinds.places import number, put, taken
from crmmap.plan import Plan, Step
from crmmap.prove.exhibits import exhibit
from crmmap.prove.replay import outcome_of
from crmmap.prove.results import Finding, Proof
from crmmap.prove.sheets import Draft, Sheet
from crmmap.prove.source import boundless
from crmmap.spec.model import RequestSpec
from crmmap.template import Template
from crmmap.transform import apply
from crmmap.values import KEY, Expression, Page, Request, Response

if TYPE_CHECKING:
    from crmmap.extract.client import Client

LAW = "all records arrive, however the source cuts its pages"
SIZED = re.compile(r"limit|size|count|per_?page|top|rows|max|take", re.IGNORECASE)
"""How parameters are called that say how long a page may be."""
MOST, LARGEST = 5, 2
"""Records that the source has, and records to a page, at most."""

Decoded = TypeVar("Decoded")


def all_arrive(plan: Plan, sheet: Sheet) -> Iterator[Proof]:
    """Yield whether the stream's pagination brings all, from the start and after a cursor."""
    if sheet.is_file:
        return
    if sheet.step.shape and not isinstance(sheet.step.pagination, Token | Link | NextUrl):
        why = "a page's length is not that of the records that `shape` makes of it"
        yield Proof(law=LAW, stream=sheet.step.name, unproven=why)
        return
    examples = 0
    for step, context in _ways(sheet):
        for total in range(MOST + 1):
            for size in range(1, LARGEST + 1):
                examples += 1
                asked = replace(sheet, step=step)
                found = _misses(plan, asked, context, total, size)
                if found is not None:
                    yield Proof(law=LAW, stream=step.name, examples=examples, finding=found)
                    return
    yield Proof(law=LAW, stream=sheet.step.name, examples=examples)


def _ways(sheet: Sheet) -> Iterator[tuple[Step, Mapping[str, object]]]:
    """Yield how the stream asks without a cursor, and with one."""
    step, context = boundless(sheet.step), sheet.context
    yield step, context
    if step.incremental is not None:
        yield step.changing, {**context, "cursor": step.incremental.sample}


def _misses(
    plan: Plan, sheet: Sheet, context: Mapping[str, object], total: int, size: int
) -> Finding | None:
    """Return what is wrong where not all of so many records arrive, so many to a page."""
    records = _records(sheet, total)
    wanted, trouble = _keys(sheet, [sheet.page(records)]), ""
    came: set[str] = set()
    try:
        came = _keys(sheet, pages_of_source(plan, sheet, records, size, context))
    except SourceError as error:
        trouble = str(error)
    missed = wanted - came
    if not missed and not trouble:
        return None
    step = replace(sheet.step, filters=())
    rows = outcome_of(step, apply(step, [sheet.page(records)])).rows
    name = f"all {total} records come, {size} to a page"
    lines = (trouble or f"{len(missed)} of {total} did not come. Check the pagination.",)
    return Finding(
        where=step.name,
        what=f"records are passed over: the source has {total} and sends {size} to a page",
        lines=lines, case=exhibit(name, sheet, records, rows, page=size),
    )  # fmt: skip


def _records(sheet: Sheet, total: int) -> list[Any]:
    """Return records in the order of the value that pages go on from, if they go on from one.

    One that is taken for unique, and identifies nothing, is shared by some.
    """
    drafts = [Draft(who=at, what=at) for at in range(total)]
    ordered, unique = _ordered(sheet.step.pagination)
    if ordered is None:
        return sheet.records(drafts)
    shared = next(
        (at for at, slot in enumerate(sheet.slots)
         if unique and not slot.identifies and ".".join(map(str, slot.place)) == ordered.text),
        None,
    )  # fmt: skip
    if shared is not None:
        held = ordered.find(sheet.record(Draft(who=0)))
        drafts = [replace(each, changes={shared: held}) for each in drafts]
    return sorted(sheet.records(drafts), key=lambda each: _rank(ordered.find(each)))


def _ordered(paging: Pagination | None) -> tuple[Expression | None, bool]:
    """Return the value that pages go on from, and whether it is taken for unique."""
    if isinstance(paging, Keyset):
        return paging.from_, True
    cap: Cap | None = getattr(paging, "cap", None)
    return (None, True) if cap is None else (cap.from_, cap.unique)


def _rank(value: object) -> tuple[int, str]:
    text = str(value)
    return (int(text) if text.isdecimal() else 0, text)


def _keys(sheet: Sheet, pages: Sequence[Page]) -> set[str]:
    """Return the keys of what came: records are known by nothing else once they were shaped."""
    free = replace(sheet.step, filters=())
    given = [with_given(page, sheet.given) if sheet.given else page for page in pages]
    return set(apply(free, given).rows[KEY]) if given else set()


def pages_of_source(
    plan: Plan, sheet: Sheet, records: Sequence[Any], size: int, context: Mapping[str, object]
) -> list[Page]:
    """Return the pages that the stream's own requests bring, `size` records to a page."""
    # What a second request would bring stands in the records already, as in a case.
    step = replace(_scaled(sheet.step, size), enriching=())
    first = first_request(plan, step, context)
    source = _Source(sheet=sheet, step=step, first=first, records=records, size=size)
    return list(read_responses(plan, step, cast("Client", source), None, context))


# --- small pages ----------------------------------------------------------------------------------


def _scaled(step: Step, size: int) -> Step:
    """Return the stream asking for `size` records to a page, and taking as many for a full one.

    What the mapping says of both keeps its order: who takes 200 for a full page and asks for
    100 does so here with 2 and 1.
    """
    request, paging = step.request, step.pagination
    assert request is not None and paging is not None  # noqa: S101, PT018  (HTTP)
    asked = _asked(request, paging)
    full: int | None = getattr(paging, "size", None)
    if full is not None:
        small = size if asked is None or asked[1] == full else 2 * size if asked[1] < full else 1
        paging = replace(cast("PageNumber", paging), size=small)
    if (cap := getattr(paging, "cap", None)) is not None:
        paging = replace(cast("PageNumber", paging), cap=replace(cap, records=2 * size + 1))
    if asked is not None:
        params = {**request.params, asked[0]: Template.parse(str(size))}
        request = replace(request, params=params)
    return replace(step, request=request, pagination=paging)


def _asked(request: RequestSpec, paging: Pagination) -> tuple[str, int] | None:
    """Return the parameter that says how many records a page may have, and what it says."""
    own = getattr(paging, "param", None)
    numbers = {
        name: int(str(each))
        for name, each in _literals(request)
        if each.isdecimal() and name != own
    }
    full = getattr(paging, "size", None)
    named = [name for name in numbers if SIZED.search(name) and numbers[name] > 0]
    same = [name for name, value in numbers.items() if value == full]
    chosen = next(iter((*named, *same)), None)
    return None if chosen is None else (chosen, numbers[chosen])


def _literals(request: RequestSpec) -> Iterator[tuple[str, str]]:
    for name, template in request.params.items():
        if not template.settings and "{" not in template.text:
            yield name, template.text


# --- the source ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """Answers in place of a client: the records, `size` to a page, as the pagination asks."""

    sheet: Sheet
    step: Step
    first: Request
    records: Sequence[Any]
    size: int

    def read(
        self,
        request: Request,
        decode: Callable[[Response], Decoded],
        asker: Asker | None = None,
    ) -> tuple[Response, Decoded]:
        answer = self._answer(request)
        response = Response(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=self.sheet.body(self.records[answer.start : answer.stop], answer.document),
            url="the pretended source",
        )
        if answer.status != 200:
            message = "the source refuses what lies beyond its cap"
            raise SourceError(message)
        return response, decode(response)

    def is_secret(self, text: str) -> bool:
        return False  # a pretended source has none

    def tells(self, text: str) -> bool:
        return False

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _answer(self, request: Request) -> Answer:
        paging, total = self.step.pagination, len(self.records)
        begun = number(taken(paging, self.first)) if isinstance(paging, PageNumber | Offset) else 0
        if isinstance(paging, Single) and self.step.request is not None:
            sized = _asked(self.step.request, paging) is not None
            return Answer(start=0, stop=min(self.size, total) if sized else total)
        if isinstance(paging, PageNumber):
            told = taken(paging, self.first)
            first = begun if told else paging.first
            return replace(paging, first=first, size=None).answer(
                request, total, self.size, self._after
            )
        if isinstance(paging, Offset):
            # Some count from 1: what the first request says is the beginning.
            passed = max(0, number(taken(paging, request)) - begun)
            moved = put(paging, request, passed)
            return replace(paging, size=None).answer(moved, total, self.size, self._after)
        if isinstance(paging, Keyset):
            return replace(paging, size=None).answer(request, total, self.size, self._after)
        assert paging is not None  # noqa: S101  (HTTP)
        return paging.answer(request, total, self.size, self._after)

    def _after(
        self,
        expression: Expression,
        text: str,
        *,
        written: Callable[[str], str] | None = None,
        after: bool = True,
    ) -> int:
        """Return the place after the last record that has the value: the source asks for more."""
        write = written or str
        found = [
            at for at, each in enumerate(self.records) if write(str(expression.find(each))) == text
        ]
        return 0 if not found else found[-1] + 1 if after else found[0]
