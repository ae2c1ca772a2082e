"""The laws of keys: what the source tells apart stays apart, and what is required is enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl

from crmmap.kinds.texts import Text
from crmmap.mock.pools import Reading, fits
from crmmap.plan import FieldPlan, Step
from crmmap.prove.exhibits import exhibit
from crmmap.prove.replay import outcome_of
from crmmap.prove.results import Finding, Proof
from crmmap.prove.sheets import PREPARED, Draft, Sheet
from crmmap.select.jmespath import text_of
from crmmap.spec.model import Stream as StreamSpec
from crmmap.transform import apply
from crmmap.values import INDEX, KEY

LAW_KEY = "records that the source tells apart stay apart"
LAW_NEEDED = "a record that has all that is required is stored"
SPELLINGS = ("aB3xYz7Qw", "Ab3xYz7Qw", "ab3xyz7qw", "AB3XYZ7QW")
"""One id in different letters: four ids, to a source whose ids are texts."""


def keys_tell_apart(sheet: Sheet) -> Iterator[Proof]:
    """Yield whether ids that differ give keys that differ, by letters and in number."""
    step = sheet.step
    if all(name in step.given for name in step.target.key):
        why = "the key holds what the mapping gives itself"
        yield Proof(law=LAW_KEY, stream=step.name, unproven=why)
        return
    examples = 0
    for drafts, name in (*_respelt(sheet), (_numbered(sheet), "")):
        examples += len(drafts)
        pair = _lost(sheet, drafts)
        if pair is not None:
            finding = _collision(sheet, pair, name)
            yield Proof(law=LAW_KEY, stream=step.name, examples=examples, finding=finding)
            return
    yield Proof(law=LAW_KEY, stream=step.name, examples=examples)


def _numbered(sheet: Sheet) -> list[Draft]:
    """Return drafts of records that differ in all that they hold."""
    return [Draft(who=at, what=at) for at in range(PREPARED)]


def _respelt(sheet: Sheet) -> Iterator[tuple[list[Draft], str]]:
    """Yield drafts whose ids differ in their letters' case alone, for parts of keys that are texts.

    Ids that are something else once they are tidy, such as their digits, say nothing.
    """
    for name in sheet.step.target.key:
        if name in sheet.step.given:
            continue  # a partition's value, which the mapping spells itself
        field = next(each for each in sheet.step.fields if each.name == name)
        number = sheet.column(name)
        if number is None or not isinstance(field.type, Text):
            continue
        reading = Reading(field=field, identifies=True)
        spellings = [each for each in SPELLINGS if fits(reading, [each])[0]]
        if all(_tidy(field, each).lower() == each.lower() for each in spellings):
            changes = [{number: each} for each in spellings]
            yield [Draft(who=0, what=at, changes=each) for at, each in enumerate(changes)], name


def _tidy(field: FieldPlan, text: str) -> str:
    cell = text_of(text, field.type.accepts)[0]
    frame = pl.DataFrame({field.name: [cell]}, schema={field.name: pl.String})
    return str(frame.select(field.clean)[field.name][0] or "")


def _lost(sheet: Sheet, drafts: Sequence[Draft]) -> tuple[Draft, Draft] | None:
    """Return two drafts that the key takes for one, if there are such."""
    if len(drafts) < 2:
        return None
    records = sheet.records(drafts)
    seen: dict[str, int] = {}
    batch = apply(_unfiltered(sheet.step), [sheet.page(records)])
    for at, key in batch.rows.select(INDEX, KEY).iter_rows():
        other = seen.setdefault(key, at)
        if other != at and records[other] != records[at]:
            return drafts[other], drafts[at]
    return None


def _unfiltered(step: Step) -> Step:
    return replace(step, filters=())


def _collision(sheet: Sheet, pair: tuple[Draft, Draft], name: str) -> Finding:
    """Return what is wrong with a key that takes two records for one; `name` is the part of it."""
    step, key = sheet.step, ", ".join(sheet.step.target.key)
    records = sheet.records(pair)
    free = _unfiltered(step)
    rows = [outcome_of(free, apply(free, [sheet.page([each])])).rows[0] for each in records]
    why = f"the key ({key}) has fewer values than the source has records"
    number = sheet.column(name) if name else None
    if number is not None:
        why = f"'{name}' makes ids equal that differ in their letters' case"
        sent = [draft.changes[number] for draft in pair]
        rows = [{**row, name: each} for row, each in zip(rows, sent, strict=True)]
    return Finding(
        where=step.name,
        what=f"two records are taken for one, and one of them is lost: {why}",
        lines=("On whatever pages they come, the later one overwrites the earlier.",),
        case=exhibit("two records stay two rows", sheet, records, rows),
    )


def required_is_enough(sheet: Sheet, stream: StreamSpec) -> Iterator[Proof]:
    """Yield whether a record may be without its key while the mapping requires something else.

    Whoever begins with a field that is `required`, and makes a later one the key that is not,
    has another identity in mind.
    """
    step, key = sheet.step, stream.table.key
    place = {name: at for at, name in enumerate(stream.fields)}
    needed = [
        name for name, each in stream.fields.items()
        if each.required and each.lookup is None and each.value is None
        and name not in (*key, step.target.version)
        and all(place[name] < place[each] for each in key)
    ]  # fmt: skip
    numbers = [sheet.column(name) for name in key]
    if not needed or None in numbers or any(stream.fields[name].required for name in key):
        return
    changes = {number: None for number in numbers if number is not None}
    record = sheet.record(Draft(who=0, changes=changes))
    free = replace(
        step, filters=(),
        fields=tuple(
            replace(each, required=False) if each.name in key else each for each in step.fields
        ),
    )  # fmt: skip
    names = ", ".join(key)
    finding = Finding(
        where=step.name,
        what=f"a record that has all that is required is refused, for it has no '{names}'",
        lines=(
            f"'{names}', the key, may be missing; '{needed[0]}' is required, and is not in it.",
            f"Make '{needed[0]}' the key, or require the key.",
        ),
        case=exhibit(
            "a record with all that is required is stored", sheet, [record],
            outcome_of(free, apply(free, [sheet.page([record])])).rows,
        ),
    )  # fmt: skip
    yield Proof(law=LAW_NEEDED, stream=step.name, examples=1, finding=finding)
