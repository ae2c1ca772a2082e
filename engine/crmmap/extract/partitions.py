"""A stream read partition by partition: what each one is asked with, and where reading stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain, islice
from typing import Any

import polars as pl

from crmmap.errors import SourceError
from crmmap.extract.choices import combinations, samples
from crmmap.extract.descent import Row, descend
from crmmap.extract.request import SAMPLE, Context, given_values
from crmmap.extract.windows import TooMany, Window, windows
from crmmap.kinds.incremental import Timestamp
from crmmap.plan import Plan, Step
from crmmap.select.raw_records import RawRecords, with_entry
from crmmap.values import GIVEN, Page, Start

ReadPart = Callable[[Step, Context, str | None], Iterator[Page]]
"""Reads the pages of one partition, asked with a context, from a position within it."""

PARENTS = 500
"""Rows of a parent that are taken from the store at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One partition. `label` names it for its cursor; `context` is what templates may name.

    `place` is JSON that finds it again: its number among the combinations, the key of the
    parent's row before it and a digest of those within it, and the piece of its window, if it is
    read in pieces. `asked` are the keys of the parent's rows, if each has
    one field.
    """

    label: str
    context: Context
    place: Mapping[str, object]
    window: Window | None = None
    asked: tuple[str, ...] = ()

    def within(self, window: Window) -> Part:
        """Return the partition with a piece of its window."""
        span = [window.named["start"], window.named["end"]]
        return replace(
            self, window=window, context={**self.context, "window": window.named},
            place={**self.place, "span": span},
        )  # fmt: skip

    def rest(self) -> Part | None:
        """Return the partition with the next piece of its window, if it is read in pieces."""
        following = self.window.rest() if self.window is not None else None
        return None if following is None else self.within(following)


def read_parts(plan: Plan, step: Step, start: Start, read: ReadPart) -> Iterator[Page]:
    """Yield the pages of all partitions, in order, numbered through.

    A page's position names its partition and where reading stands in that. Raises SourceError.
    """
    whole = json.loads(start.position) if start.position is not None else {}
    parts = _parts(step, start, whole.get("part"))
    part, inner, number = next(parts, None), whole.get("inner"), int(whole.get("number", 0))
    if part is None:
        # A parent without rows: nothing to ask for, and the stream's end must be written still.
        yield Page(number=1, records=[])
        return
    part = _found_again(part, whole.get("part"))
    if whole and part.place != whole["part"]:
        inner = None
    following = next(parts, None)
    while part is not None:
        try:
            for page in _pages(plan, step, part, start, inner, read):
                # Of a stream that is one partition, a read that had to start over shows as page 1.
                again = page.number == 1 and inner is not None and not step.parts.split
                number = 1 if again else number + 1
                place = _place(part, page.position, part.rest() or following, number)
                answered = page.position is None and part.rest() is None
                yield replace(
                    page, number=number, position=place, part=part.label, asked=part.asked,
                    answered=answered,
                )  # fmt: skip
        except TooMany as found:
            assert part.window is not None  # noqa: S101  (nothing else has too many)
            part, inner = part.within(part.window.halved(step, found.declared)), None
            continue
        inner, rest = None, part.rest()
        if rest is None:
            part, following = following, next(parts, None)
        else:
            part = rest


def _found_again(part: Part, place: Mapping[str, Any] | None) -> Part:
    """Return a partition as a position names it: with a piece of its window, maybe."""
    if place is None or part.window is None or place != {**part.place, "span": place.get("span")}:
        return part
    return part.within(part.window.piece(place["span"]))


def _place(part: Part, inner: str | None, following: Part | None, number: int) -> str | None:
    """Return where reading goes on after a page: in its partition, or with the following one."""
    if inner is not None:
        return json.dumps({"part": part.place, "inner": inner, "number": number})
    if following is None:
        return None
    return json.dumps({"part": following.place, "inner": None, "number": number})


def _pages(
    plan: Plan, step: Step, part: Part, start: Start, inner: str | None, read: ReadPart
) -> Iterator[Page]:
    asked = step if start.since.get(part.label) is None else step.changing
    if step.parts.recursion is None:
        yield from _asked_with(plan, asked, part.context, inner, read)
        return

    def below(row: Row, place: str | None) -> Iterator[Page]:
        return _asked_with(plan, asked, {**part.context, "parent": row}, place, read)

    first = part.context.get("parent")
    yield from descend(step, first if isinstance(first, Mapping) else {}, inner, below)


def _asked_with(
    plan: Plan, step: Step, context: Context, inner: str | None, read: ReadPart
) -> Iterator[Page]:
    given = given_values(plan, step, context) if step.given else {}
    for page in read(step, context, inner):
        yield with_given(page, given) if given else page


def with_given(page: Page, given: Mapping[str, str]) -> Page:
    """Return the page with the texts that the mapping gives put into every record."""
    if isinstance(page.records, pl.DataFrame):
        columns = [pl.lit(text).alias(f"{GIVEN}.{name}") for name, text in given.items()]
        return replace(page, records=page.records.with_columns(columns), nul=True)
    if isinstance(page.records, RawRecords):
        return replace(page, records=with_entry(page.records, GIVEN, given))
    records = [
        record | {GIVEN: given} if isinstance(record, dict) else record for record in page.records
    ]
    return replace(page, records=records)


# --- which partitions there are ------------------------------------------------------------------


def _parts(step: Step, start: Start, place: Mapping[str, object] | None) -> Iterator[Part]:
    """Yield the partitions in order, from the one that `place` tells; all, where it is gone."""
    found = _combined(step, start)
    if place is not None:
        first = int(str(place["at"]))
        found = islice(_combined(step, start), first, None)
        part = next(found, None)
        if part is None or part.place.get("over") != place.get("over"):
            place, found = None, _combined(step, start)
        else:
            found = chain((part,), found)
    for at, part in enumerate(found):
        after = place.get("after") if place is not None and at == 0 else None
        yield from _for_parents(step, start, part, after)


def _combined(step: Step, start: Start) -> Iterator[Part]:
    """Yield each combination of the parts' values, in each window."""
    at = 0
    for values in combinations(step, start):
        labels = [each.label for each in values.values()]
        label = ",".join(labels)
        context = _cursor(step, start, label) if step.parts.own_cursors is None else {}
        if values:
            context["partition"] = {name: each.given for name, each in values.items()}
        for window in _windows(step, start, label):
            named = {} if window is None else {"window": window.named}
            # What a run alone knows may be another the next time.
            place = {"at": at} if step.parts.fixed else {"at": at, "over": labels}
            yield Part(label=label, context={**context, **named}, place=place, window=window)
            at += 1


def _cursor(step: Step, start: Start, label: str) -> dict[str, object]:
    if step.incremental is None:
        return {}
    try:
        cursor = step.incremental.cursor(start.since.get(label))
    except ValueError as error:
        message = f"stream '{step.name}': incremental: {error}"
        raise SourceError(message) from None
    return {} if cursor is None else {"cursor": cursor}


def _windows(step: Step, start: Start, label: str) -> Iterator[Window | None]:
    """Yield the windows from the cursor to the moment when the read began; else none, once."""
    how = step.incremental
    if not isinstance(how, Timestamp) or how.window is None:
        yield None
        return
    yield from windows(how, str(_cursor(step, start, label)["cursor"]), start.began)


def _for_parents(step: Step, start: Start, part: Part, after: object) -> Iterator[Part]:
    """Yield a combination once for every row of the parent, or for so many rows at a time."""
    if step.parts.parent is None:
        yield part
        return
    key = [str(each) for each in after] if isinstance(after, list) else None
    batch = step.parts.batch
    while rows := start.parents(key, batch or PARENTS):
        for chunk in [rows] if batch else [[row] for row in rows]:
            named = {"parents": [*chunk]} if batch else {"parent": chunk[0]}
            keys = [_key(step, row) for row in chunk]
            place = {**part.place, "after": key, "of": _digest(keys)}
            asked = tuple(parts[0] for parts in keys if len(parts) == 1)
            context = {**part.context, **named}
            found = replace(part, context=context, place=place, asked=asked)
            key = keys[-1]
            yield found if step.parts.own_cursors is None else _with_own(step, start, found, key)


def _with_own(step: Step, start: Start, part: Part, key: list[str]) -> Part:
    """Return the partition of a row that has a cursor of its own."""
    label = json.dumps([part.label, *key])
    return replace(part, label=label, context={**part.context, **_cursor(step, start, label)})


def _digest(keys: list[list[str]]) -> str:
    """Return what tells the rows asked for: where one has come or gone, the part is another."""
    return blake2b(json.dumps(keys).encode(), digest_size=12).hexdigest()


def _key(step: Step, row: Row) -> list[str]:
    assert step.parts.parent is not None  # noqa: S101  (its caller saw to it)
    return [row[name] or "" for name in step.parts.parent.key]


def sample(step: Step) -> dict[str, object]:
    """Return a context with which the step's templates can be rendered, for people to look at."""
    parts, found = step.parts, dict[str, object]({SAMPLE: True})
    values = next(samples(step), {})
    if values:
        found["partition"] = {name: each.given for name, each in values.items()}
    if parts.parent is not None or parts.recursion is not None:
        row = {name: f"{{parent.{name}}}" for name in (*parts.columns, *parts.blank)}
        found.update({"parents": [row]} if parts.batch else {"parent": row})
    if step.incremental is not None and step.incremental.start is not None:
        found["cursor"] = step.incremental.sample
    if isinstance(step.incremental, Timestamp) and step.incremental.window is not None:
        found["window"] = {"start": "1970-01-01T00:00:00.000Z", "end": "1970-01-02T00:00:00.000Z"}
    return found
