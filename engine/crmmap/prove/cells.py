"""The law of cells: every record ends somewhere, and what is stored obeys its type and checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from crmmap.kinds.types import Decimal
from crmmap.plan import FieldPlan, Step
from crmmap.prove.exhibits import exhibit
from crmmap.prove.replay import outcome_of
from crmmap.prove.results import Finding, Proof
from crmmap.prove.sheets import Draft, Sheet
from crmmap.prove.trying import Bounds, Broken, crashed, tried
from crmmap.transform import apply
from crmmap.values import KEY, Batch

LAW = "what is stored obeys its type and checks, and nothing is lost"


def cells_obey(sheet: Sheet, bounds: Bounds) -> Iterator[Proof]:
    """Yield whether good and broken records give rows that are all that the mapping says."""
    from hypothesis import strategies as st

    from crmmap.prove.strategies import drafts

    def check(example: Sequence[Draft]) -> None:
        check_records(sheet, sheet.records(example))

    result = tried(st.lists(drafts(sheet), max_size=5), check, bounds)
    yield Proof(
        law=LAW, stream=sheet.step.name, examples=result.examples, finding=result.finding,
        unproven="" if result.examples else "there was no time",
    )  # fmt: skip


def check_records(sheet: Sheet, records: Sequence[Any]) -> None:
    """Raise Broken unless the records become rows, rejects and filtered ones as they must."""
    step = sheet.step
    try:
        batch = apply(step, [sheet.page(records)])
        one_by_one = [apply(step, [sheet.page([each])]) for each in records]
    except Exception as error:
        failed = crashed(error)
        raise Broken(
            Finding(
                where=step.name,
                what=failed.what,
                lines=failed.lines,
                case=exhibit("nothing fails", sheet, records, []),
            )
        ) from error
    for what in _faults(step, records, batch, one_by_one):
        found = outcome_of(step, batch)
        raise Broken(
            Finding(
                where=step.name,
                what=what,
                case=exhibit(
                    "what is stored obeys",
                    sheet,
                    records,
                    found.rows,
                    rejects=[dict(each) for each in found.rejects],
                    notes=[dict(each) for each in found.notes],
                    duplicate=found.duplicate,
                    filtered=found.filtered,
                ),
            )
        )


def _faults(
    step: Step, records: Sequence[Any], batch: Batch, one_by_one: Sequence[Batch]
) -> Iterator[str]:
    ended = len(batch.rows) + len(batch.rejects) + batch.filtered
    if batch.fetched != ended or (batch.fetched != len(records) and not step.shape):
        yield f"{len(records)} records were sent, {batch.fetched} came, and {ended} ended somewhere"
    for field in step.fields:
        yield from _disobedient(step, field, batch.rows)
    for each in step.filters:
        if not _all_pass(batch.rows, [rule.passes for rule in each.rules]):
            yield f"a row is stored that `where` leaves out for its '{each.field}'"
    if batch.rows[KEY].null_count():
        yield "a row is stored without a key"
    names = step.target.names
    apart = [each.rows.select(names) for each in one_by_one]
    # What has one name twice is named apart only where it comes together.
    repeated = step.shape and batch.rows[KEY].is_duplicated().any()
    # Sorted, for a shape may unite two lists in which a source has the records of a page.
    together = batch.rows.select(names).sort(names)
    if apart and not repeated and not pl.concat(apart).sort(names).equals(together):
        yield "a record gives another row when it comes on a page of its own"


def _disobedient(step: Step, field: FieldPlan, rows: pl.DataFrame) -> Iterator[str]:
    column = pl.col(field.name)
    if field.required and rows[field.name].null_count():
        yield f"'{field.name}' is required, and is stored empty"
    if field.on_error == "keep_text":
        return
    for rule in field.rules:
        if not _all_pass(rows, [rule.passes]):
            yield f"'{field.name}' is stored with a value that breaks its check '{rule.name}'"
    if isinstance(field.type, Decimal) and field.type.point != ".":
        return
    again = rows.select(
        column.alias("one"), field.type.read(field.type.show(column)).alias("other")
    ).select(pl.col("one").eq_missing(pl.col("other")).all())
    if not again.item():
        yield f"'{field.name}' is stored with a value that its type does not read again"


def _all_pass(rows: pl.DataFrame, passes: Sequence[pl.Expr]) -> bool:
    kept = [each.fill_null(value=True).all() for each in passes]
    return bool(rows.select(pl.all_horizontal(kept)).item()) if kept else True
