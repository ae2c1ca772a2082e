"""The law of cursors: a second read sees all that has changed since the first began to be kept.

The judge has its own idea of when a record changed: the field that the mapping itself takes
for that when it keeps the latest of several (`dedupe`), and only without one the cursor's field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crmmap.errors import SourceError
from crmmap.kinds.incremental import EventId, Timestamp
from crmmap.moments import moment
from crmmap.plan import Plan
from crmmap.prove.exhibits import as_given, exhibit
from crmmap.prove.replay import Outcome, outcome_of
from crmmap.prove.results import Finding, Proof
from crmmap.prove.sheets import PREPARED, Draft, Sheet
from crmmap.prove.source import Invented, alone, load, only, stored_rows
from crmmap.transform import apply
from crmmap.values import INDEX

LAW = "a cursor passes no record that was not read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the source has at two moments, and what happened between them."""

    happened: str
    first: tuple[Draft, ...]
    second: tuple[Draft, ...]


def cursors_pass_nothing(plan: Plan, sheet: Sheet) -> Iterator[Proof]:
    """Yield whether what came to the source between two reads is in the table after the second."""
    how = sheet.step.incremental
    if how is None or not how.field:
        return  # the moment of the last read passes nothing that came after it
    stories = _stories(sheet)
    if not stories:
        why = "too few values of the cursor's field are known"
        yield Proof(law=LAW, stream=sheet.step.name, unproven=why)
        return
    for number, story in enumerate(stories, 1):
        finding = _refuted(plan, sheet, story)
        if finding is not None:
            yield Proof(law=LAW, stream=sheet.step.name, examples=number, finding=finding)
            return
    yield Proof(law=LAW, stream=sheet.step.name, examples=len(stories))


# --- stories -------------------------------------------------------------------------------------


def _stories(sheet: Sheet) -> list[Story]:
    step, how = sheet.step, sheet.step.incremental
    assert how is not None and how.field  # noqa: S101, PT018  (its caller saw to it)
    if isinstance(how, EventId):
        return [_joined(tuple(Draft(who=at, what=at) for at in range(3)))]
    places = _places(sheet, how.field)
    if len(places) < 3:
        return []
    low, middle, high = places[0], places[len(places) // 2], places[-1]
    version = step.target.version
    one, two, three = (
        _at(sheet, Draft(who=who, what=who), how.field, at)
        for who, at in ((0, low), (1, middle), (2, high))
    )
    new = [_joined((one, two, three))]
    if not isinstance(how, Timestamp):
        return new
    tie = _at(sheet, Draft(who=2, what=2), how.field, middle)
    same_time = Story(
        happened="another record of the same time appeared",
        first=(one, two),
        second=(one, two, tie),
    )
    changed = replace(one, what=3)
    if version is None or version == how.field:
        return [_changed(sheet, one, two, _at(sheet, changed, how.field, high)), *new, same_time]
    versions = _places(sheet, version)
    if len(versions) < 2:
        return [*new, same_time]
    one = _at(sheet, one, version, versions[0])
    moved = _at(sheet, _at(sheet, changed, how.field, low), version, versions[-1])
    return [_changed(sheet, one, two, moved), *new, same_time]


def _joined(drafts: tuple[Draft, ...]) -> Story:
    return Story(happened="a record was added", first=drafts[:-1], second=drafts)


def _changed(sheet: Sheet, one: Draft, other: Draft, moved: Draft) -> Story:
    version = sheet.step.target.version
    told = f", and its '{version}' with it" if version is not None else ""
    return Story(happened=f"a record was changed{told}", first=(one, other), second=(moved, other))


def _places(sheet: Sheet, name: str) -> list[int]:
    """Return prepared values of a field, by number, in the order of what they mean."""
    number = sheet.column(name)
    if number is None:
        return []
    step = replace(sheet.step, filters=())
    drafts = [Draft(who=at, what=at) for at in range(PREPARED)]
    rows = apply(step, [sheet.page(sheet.records(drafts))]).rows
    found = rows.select(INDEX, name).drop_nulls().unique(name).sort(name)
    return [int(at) for at in found[INDEX]]


def _at(sheet: Sheet, draft: Draft, name: str, place: int) -> Draft:
    """Return the draft with the field's prepared value of that number."""
    number = sheet.column(name)
    assert number is not None  # noqa: S101  (its caller saw to it)
    if sheet.slots[number].identifies:
        return replace(draft, who=place)
    return replace(draft, changes={**draft.changes, number: sheet.value(number, place)})


# --- two reads -----------------------------------------------------------------------------------


def _refuted(plan: Plan, sheet: Sheet, story: Story) -> Finding | None:
    first, second = sheet.records(story.first), sheet.records(story.second)
    step = alone(sheet.step)
    expected = outcome_of(step, apply(step, [sheet.page(second)])).rows
    found = twice(plan, sheet, first, second).rows
    if _in_order(found) == _in_order(expected):
        return None
    how = sheet.step.incremental
    assert how is not None  # noqa: S101  (its caller saw to it)
    return Finding(
        where=step.name,
        what=f"the cursor passes what was not read: {story.happened}, and is not seen",
        lines=(
            f"The cursor is taken from '{how.field}'.",
            "Take it from the field that moves with every change, or read all every time.",
        ),
        case=exhibit(
            f"after a first read, {story.happened}", sheet, first, expected,
            then=as_given(sheet, second),
        ),
    )  # fmt: skip


def _in_order(rows: Sequence[Mapping[str, object]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)


def twice(plan: Plan, sheet: Sheet, first: Sequence[Any], second: Sequence[Any]) -> Outcome:
    """Return what is stored after a source was read twice: what it had first, and what later.

    Raises SourceError where a read fails.
    """
    step = alone(sheet.step)
    sheets = {step.name: replace(sheet, step=step)}
    with TemporaryDirectory(prefix="crmmap-proof-") as name:
        folder = Path(name)
        for records in (first, second):
            reader = Invented(
                plan=only(plan, step), sheets=sheets, sent={step.name: records}, chosen=_since
            )
            (stream,) = load(reader, folder).streams
            if stream.status != "done":
                raise SourceError(stream.message)
        return Outcome(rows=stored_rows(folder, step))


def _since(sheet: Sheet, records: Sequence[Any], cursor: str) -> Sequence[Any]:
    """Return the records that a source has for a cursor, by the cursor's own field."""
    how = sheet.step.incremental
    assert how is not None and how.field  # noqa: S101, PT018  (there is a cursor)
    free = replace(sheet.step, filters=())
    rows = apply(free, [sheet.page(records)]).rows.select(INDEX, how.field).iter_rows()
    values: dict[int, Any] = dict(rows)
    if isinstance(how, EventId):
        last = [at for at, value in values.items() if str(value) == cursor]
        return records[last[-1] + 1 :] if last else records
    return [
        each for at, each in enumerate(records)
        if values.get(at) is None or _beyond(values[at], cursor, how)
    ]  # fmt: skip


def _beyond(value: Any, cursor: str, how: object) -> bool:
    if not isinstance(how, Timestamp):
        return bool(value > int(cursor))
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return bool(value >= moment(cursor))
