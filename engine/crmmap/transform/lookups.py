"""Foreign keys: a field's value is compared with a parent's rows, and the parent's key is kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from crmmap.plan import LookupPlan, Step, Target
from crmmap.values import (
    AT,
    DELETED,
    FIELD,
    INDEX,
    KEY,
    PAGE,
    RAW,
    REJECT_SCHEMA,
    Batch,
    Reason,
    cut_raw,
)

Known = Callable[[Target, str, pl.Series], pl.DataFrame]
"""`known(parent, by, values)` gives the parent's rows whose `by` is among `values`: two columns,
`by` and the parent's key (one column where they are the same)."""

BY = "#by"
PARENT = "#parent"
SEVERAL = "#several"
LOST = "#lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A batch's rows after their lookups, and what the lookups made of the others.

    `waiting` has `#key`, `#page`, `#index`, `#at`, the version column, if there is one, and the
    texts `#field` (whose parent is missing) and `#raw`, in the order of reading; `stubs` are
    parents to insert bare before the rows. `keys` counts foreign keys by field, and by what became
    of them: `resolved`, `stubbed`, `missing`; of the resolved ones, those are `ambiguous` that
    named several parents.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    waiting: pl.DataFrame
    stubs: tuple[tuple[Target, pl.Series], ...]
    keys: Mapping[str, Counter[str]]


def resolve(step: Step, batch: Batch, known: Known) -> Resolved:
    """Resolve every lookup of the step for the batch's rows.

    A record that says that its row is deleted is not lost for want of a parent. A stub is made
    for it as for any other: what its row holds must not depend on which of two streams that
    name one parent comes first.
    """
    if not step.lookups or DELETED not in batch.rows.columns:
        return _resolved(step, batch, known)
    live = _resolved(step, replace(batch, rows=batch.rows.filter(~pl.col(DELETED))), known)
    lenient = [each for each in step.lookups if each.field not in step.target.key]
    lookups = tuple(_forgiving(each) if each in lenient else each for each in step.lookups)
    rows = batch.rows.filter(DELETED).with_columns(
        pl.when(each.compared.is_not_null()).then(pl.col(each.field)).alias(each.field)
        for each in lenient
        if _stubbed(each) and each.compared is not None
    )
    gone = _resolved(replace(step, lookups=lookups), replace(batch, rows=rows), known)
    return Resolved(
        rows=pl.concat([live.rows, gone.rows]).sort(PAGE, INDEX),
        rejects=pl.concat([live.rejects, gone.rejects]),
        waiting=pl.concat([live.waiting, gone.waiting]).sort(PAGE, INDEX),
        stubs=(*live.stubs, *gone.stubs),
        keys={field: live.keys[field] + gone.keys[field] for field in live.keys},
    )


def _forgiving(lookup: LookupPlan) -> LookupPlan:
    return replace(lookup, missing="stub" if _stubbed(lookup) else "null", required=False)


def _resolved(step: Step, batch: Batch, known: Known) -> Resolved:
    """Resolve the lookups of rows of one sort.

    A row that is lost can't be the parent of another, so losing is repeated
    until it costs no more rows; only then are keys replaced and stubs named.
    """
    lost: list[tuple[LookupPlan, pl.DataFrame]] = []
    rows = batch.rows
    for lookup in step.lookups:
        if lookup.compared is not None:
            rows, unfit = _as_in_parent(lookup, rows, lookup.compared)
            lost.append((lookup, unfit))
    stored = {lookup.field: _stored(lookup, rows, known) for lookup in step.lookups}
    while True:
        before = len(rows)
        for lookup in step.lookups:
            if strict(lookup):
                marked = _marked(rows, lookup, _found(step, lookup, stored, rows))
                lost.append((lookup, marked.filter(LOST)))
                rows = marked.filter(~pl.col(LOST)).drop(PARENT, SEVERAL, LOST)
        if len(rows) == before:
            break
    stubs: list[tuple[Target, pl.Series]] = []
    keys = {lookup.field: Counter[str]() for lookup in step.lookups}
    for lookup, frame in lost:
        keys[lookup.field]["missing"] += len(frame) if lookup.missing != "wait" else 0
    final = {lookup.field: _found(step, lookup, stored, rows) for lookup in step.lookups}
    for lookup in step.lookups:
        marked = _marked(rows, lookup, final[lookup.field])
        without = int(marked[LOST].sum())
        counts = keys[lookup.field]
        counts["resolved"] += len(marked) - marked[lookup.field].null_count() - without
        counts["stubbed" if _stubbed(lookup) else "missing"] += without
        counts["ambiguous"] += int(marked[SEVERAL].sum() or 0)
        if _stubbed(lookup):
            stubs.append((lookup.parent, marked.filter(LOST)[lookup.field].unique()))
        rows = _replaced(marked, lookup)
    named = tuple(each for each in stubs if len(each[1]))
    return Resolved(
        rows=rows,
        rejects=_rejected(lost, batch),
        waiting=_waiting(step, lost, batch),
        stubs=named,
        keys=keys,
    )


def unmet(step: Step, rows: pl.DataFrame, known: Known) -> Iterator[tuple[int, LookupPlan, object]]:
    """Yield the parents that rows can't do without and that are not there.

    By the row's `#index`, the lookup, and the value that is compared.
    """
    for lookup in filter(strict, step.lookups):
        if lookup.compared is not None:
            rows, _ = _as_in_parent(lookup, rows, lookup.compared)
        named = rows.select(INDEX, lookup.field).drop_nulls()
        there = _stored(lookup, rows, known)
        for index, value in named.join(there, left_on=lookup.field, right_on=BY, how="anti").rows():
            yield index, lookup, value


def strict(lookup: LookupPlan) -> bool:
    """Say whether a record becomes no row while the parent is missing."""
    return lookup.missing in ("reject", "wait") or (lookup.required and not _stubbed(lookup))


def _as_in_parent(
    lookup: LookupPlan, rows: pl.DataFrame, compared: pl.Expr
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the field's texts as the parent's field would hold them.

    One that it could not hold stays as it is, and no parent has it; nor can it be a stub's key:
    the rows with one, of which a stub should be made, are returned apart.
    """
    value = pl.col(lookup.field)
    told = rows.with_columns(compared.alias(PARENT))
    unfit = pl.col(PARENT).is_null() & value.is_not_null()
    if not _stubbed(lookup):
        unfit = pl.lit(value=False)
    read = told.filter(~unfit).with_columns(pl.coalesce(PARENT, value).alias(lookup.field))
    return read.drop(PARENT), told.filter(unfit).drop(PARENT)


def _stubbed(lookup: LookupPlan) -> bool:
    return lookup.missing == "stub"


def _stored(lookup: LookupPlan, rows: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Return the pairs (value compared, parent's key) that the store has for the rows' values."""
    values = rows[lookup.field].drop_nulls().unique()
    return _pairs(known(lookup.parent, lookup.by, values), lookup)


def _pairs(parents: pl.DataFrame, lookup: LookupPlan) -> pl.DataFrame:
    return parents.select(
        pl.col(lookup.by).alias(BY), pl.col(lookup.parent.key[0]).alias(PARENT)
    ).drop_nulls()


def _found(
    step: Step, lookup: LookupPlan, stored: dict[str, pl.DataFrame], rows: pl.DataFrame
) -> pl.DataFrame:
    """Return the pairs that the store has, and for a self-reference those of the rows themselves.

    Where several parents have the value, the one with the least key is taken: any rule
    will do, so long as it is always the same one.
    """
    found = stored[lookup.field]
    if lookup.parent.table == step.target.table:
        found = pl.concat([found, _pairs(rows, lookup)])
    several = (pl.col(PARENT).n_unique() > 1).alias(SEVERAL)
    return found.group_by(BY).agg(pl.col(PARENT).min(), several)


def _marked(rows: pl.DataFrame, lookup: LookupPlan, found: pl.DataFrame) -> pl.DataFrame:
    """Add the parent's key, and whether the row names a parent that is not there."""
    joined = rows.join(found, left_on=lookup.field, right_on=BY, how="left", maintain_order="left")
    lost = pl.col(PARENT).is_null() & pl.col(lookup.field).is_not_null()
    return joined.with_columns(lost.alias(LOST))


def _replaced(marked: pl.DataFrame, lookup: LookupPlan) -> pl.DataFrame:
    """Put the parent's key in the place of the value; a stub's key is the value itself."""
    key = pl.col(lookup.field) if _stubbed(lookup) else pl.col(PARENT)
    return marked.with_columns(key.alias(lookup.field)).drop(PARENT, SEVERAL, LOST)


def _rejected(lost: Sequence[tuple[LookupPlan, pl.DataFrame]], batch: Batch) -> pl.DataFrame:
    rejects = [
        (row[PAGE], row[AT], row[KEY], _reasons(lookup), cut_raw(batch.raw(row[PAGE], row[INDEX])))
        for lookup, frame in lost
        if lookup.missing != "wait"
        for row in frame.iter_rows(named=True)
    ]
    return pl.DataFrame(rejects, schema=REJECT_SCHEMA, orient="row")


def _waiting(
    step: Step, lost: Sequence[tuple[LookupPlan, pl.DataFrame]], batch: Batch
) -> pl.DataFrame:
    names = [KEY, PAGE, INDEX, AT, *([step.target.version] if step.target.version else [])]
    texts = [pl.lit(None, dtype=pl.String).alias(name) for name in (FIELD, RAW)]
    frames = [batch.rows.clear().select(names).with_columns(texts)]
    for lookup, frame in lost:
        if lookup.missing == "wait":
            raws = [batch.raw(*place) for place in frame.select(PAGE, INDEX).iter_rows()]
            field, raw = pl.lit(lookup.field).alias(FIELD), pl.Series(RAW, raws, dtype=pl.String)
            frames.append(frame.select(names).with_columns(field, raw))
    return pl.concat(frames).sort(PAGE, INDEX) if len(frames) > 1 else frames[0]


def _reasons(lookup: LookupPlan) -> str:
    message = f"no row of {lookup.stream} has this value in {lookup.by}"
    return json.dumps([Reason(field=lookup.field, rule="lookup", message=message).as_json()])
