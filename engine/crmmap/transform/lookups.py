"""Foreign keys: a field's value is compared with a parent's rows, and the parent's key is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from crmmap.plan import LookupPlan, Step, Target
from crmmap.values import AT, INDEX, KEY, PAGE, REJECT_SCHEMA, Batch, Reason, cut_raw

Known = Callable[[Target, str, pl.Series], pl.DataFrame]
"""`known(parent, by, values)` gives the parent's rows whose `by` is among `values`: two columns,
`by` and the parent's key (one column where they are the same)."""

BY = "#by"
PARENT = "#parent"
LOST = "#lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A batch's rows after their lookups, and what the lookups made of the others.

    `waiting` has the columns `key`, `field` and `raw`; `stubs` are parents to
    insert bare before the rows.
    """

    rows: pl.DataFrame
    rejects: pl.DataFrame
    waiting: pl.DataFrame
    stubs: tuple[tuple[Target, pl.Series], ...]


def resolve(step: Step, batch: Batch, known: Known) -> Resolved:
    """Resolve every lookup of the step for the batch's rows."""
    rows = batch.rows
    stubs: list[tuple[Target, pl.Series]] = []
    lost: list[tuple[LookupPlan, pl.DataFrame]] = []
    for lookup in step.lookups:
        marked = _marked(rows, lookup, _stored(lookup, rows, known))
        if lookup.stream == step.name:
            marked = _marked_by_own(marked, lookup)
        missing = marked.filter(LOST)
        if lookup.missing == "stub":
            stubs.append((lookup.parent, missing[lookup.field].unique()))
        elif lookup.missing in ("reject", "wait") or lookup.required:
            lost.append((lookup, missing))
            marked = marked.filter(~pl.col(LOST))
        else:
            empty = pl.when(~pl.col(LOST)).then(pl.col(lookup.field))
            marked = marked.with_columns(empty.alias(lookup.field))
        rows = _replaced(marked, lookup)
    return _sorted_out(rows, lost, tuple(each for each in stubs if len(each[1])), batch)


def _stored(lookup: LookupPlan, rows: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Return the pairs (value compared, parent's key) that the store has for the rows' values."""
    values = rows[lookup.field].drop_nulls().unique()
    return known(lookup.parent, lookup.by, values).select(
        pl.col(lookup.by).alias(BY), pl.col(lookup.parent.key[0]).alias(PARENT)
    )


def _marked(rows: pl.DataFrame, lookup: LookupPlan, found: pl.DataFrame) -> pl.DataFrame:
    """Add the parent's key, and whether the row names a parent that is not there."""
    unique = found.unique(BY, keep="first", maintain_order=True)
    joined = rows.join(unique, left_on=lookup.field, right_on=BY, how="left", maintain_order="left")
    lost = pl.col(PARENT).is_null() & pl.col(lookup.field).is_not_null()
    return joined.with_columns(lost.alias(LOST))


def _marked_by_own(marked: pl.DataFrame, lookup: LookupPlan) -> pl.DataFrame:
    """Let the rows of this very batch be parents too, but only those that are not lost themselves.

    Losing a row may lose those that name it, hence the repetition; rows that
    name each other are parents of each other.
    """
    stored = marked.filter(~pl.col(LOST) & pl.col(PARENT).is_not_null())
    pairs = stored.select(pl.col(lookup.field).alias(BY), PARENT)
    plain, remaining = marked.drop(PARENT, LOST), len(marked) + 1
    alive = plain
    while len(alive) < remaining:
        remaining = len(alive)
        own = alive.select(
            pl.col(lookup.by).alias(BY), pl.col(lookup.parent.key[0]).alias(PARENT)
        ).drop_nulls()
        result = _marked(plain, lookup, pl.concat([pairs, own]))
        alive = result.filter(~pl.col(LOST)).drop(PARENT, LOST)
    return result


def _replaced(marked: pl.DataFrame, lookup: LookupPlan) -> pl.DataFrame:
    if not lookup.own:
        marked = marked.with_columns(pl.col(PARENT).alias(lookup.field))
    return marked.drop(PARENT, LOST)


def _sorted_out(
    rows: pl.DataFrame,
    lost: list[tuple[LookupPlan, pl.DataFrame]],
    stubs: tuple[tuple[Target, pl.Series], ...],
    batch: Batch,
) -> Resolved:
    rejects = [
        (row[PAGE], row[AT], row[KEY], _reasons(lookup), cut_raw(batch.raw(row[PAGE], row[INDEX])))
        for lookup, frame in lost
        if lookup.missing != "wait"
        for row in frame.iter_rows(named=True)
    ]
    waiting = [
        (row[KEY], lookup.field, batch.raw(row[PAGE], row[INDEX]))
        for lookup, frame in lost
        if lookup.missing == "wait"
        for row in frame.iter_rows(named=True)
    ]
    return Resolved(
        rows=rows,
        rejects=pl.DataFrame(rejects, schema=REJECT_SCHEMA, orient="row"),
        waiting=pl.DataFrame(
            waiting, schema={"key": pl.String, "field": pl.String, "raw": pl.String}, orient="row"
        ),
        stubs=stubs,
    )


def _reasons(lookup: LookupPlan) -> str:
    message = f"no row of {lookup.stream} has this value in {lookup.by}"
    return json.dumps([Reason(field=lookup.field, rule="lookup", message=message).as_json()])
