"""Clean, cast and judge: the raw frame's texts become typed cells and one Boolean per rule.

Column names in the judged frame, for a field `phone`:

    phone           the typed value, null where there is none or it is refused
    phone=          its tidy text
    phone|type      a Boolean per rule: did the value pass?

A rule that can't be asked (there is no value, or an earlier rule refused it)
is passed, so that a cell is refused for the first cause only. There is no column
for `type` and `required` where every value passes, as nulls counted tell at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from crmmap.plan import FieldPlan, Filter
from crmmap.values import DELETED, INDEX, PAGE, RawFrame, fault_column


def text_column(field: str) -> str:
    """Return the name of the column with the field's tidy text."""
    return f"{field}="


def verdict_column(field: str, rule: str) -> str:
    """Return the name of the column that says whether the field passed the rule."""
    return f"{field}|{rule}"


SELECTION = "#selection"
"""Stands for the rule that selection broke, whose name differs from row to row."""


def judge(
    raw: RawFrame, fields: Sequence[FieldPlan], tombstones: Sequence[Filter] = ()
) -> pl.DataFrame:
    """Return the raw frame with every field typed, its text kept and its rules answered.

    With `tombstones`, `#deleted` says of each record whether it passes them. One that does is
    given no default, and nothing is required of it.
    """
    tidy = raw.with_columns(_tidy(field, raw) for field in fields)
    textual = [field for field in fields if tidy.schema[field.name] == pl.String]
    texts = tidy.hstack([tidy[field.name].alias(text_column(field.name)) for field in textual])
    typed = texts.with_columns(
        field.read.alias(field.name) for field in textual if not field.read.meta.is_column()
    )
    judged = typed.with_columns(
        verdict for field in fields for verdict in _first_verdicts(field, typed)
    )
    judged = judged.with_columns(
        rule.passes.fill_null(value=True).alias(verdict_column(field.name, rule.name))
        for field in fields
        for rule in field.rules
    )
    if tombstones:
        passes = [rule.passes.fill_null(value=False) for each in tombstones for rule in each.rules]
        judged = judged.with_columns(pl.all_horizontal(passes).alias(DELETED))
    return _complete(judged, fields)


def judge_all(
    frames: Sequence[RawFrame], fields: Sequence[FieldPlan], tombstones: Sequence[Filter] = ()
) -> pl.DataFrame:
    """Return what `judge` makes of several raw frames, as one, in the order of their records."""
    judged = [judge(frame, fields, tombstones) for frame in frames]
    if len(judged) == 1:
        return judged[0]
    asked = dict.fromkeys(
        verdict_column(field.name, rule)
        for each in judged for field in fields for rule in rules_of(field, each)
    )  # fmt: skip
    # What was not asked of a frame its records pass.
    return (
        pl.concat(judged, how="diagonal")
        .with_columns(pl.col(name).fill_null(value=True) for name in asked)
        .sort(PAGE, INDEX)
    )


def _tidy(field: FieldPlan, raw: RawFrame) -> pl.Expr:
    # A column that came with its own type has no text to tidy.
    return field.clean if raw.schema[field.name] == pl.String else pl.col(field.name)


def _first_verdicts(field: FieldPlan, typed: pl.DataFrame) -> list[pl.Expr]:
    verdicts = []
    text = text_column(field.name)
    if text in typed.columns and typed[field.name].null_count() > typed[text].null_count():
        read = pl.col(field.name).is_not_null() | pl.col(text).is_null()
        verdicts.append(read.alias(verdict_column(field.name, "type")))
    if (fault := fault_column(field.name)) in typed.columns:
        verdicts.append(pl.col(fault).is_null().alias(verdict_column(field.name, SELECTION)))
    return verdicts


def _complete(judged: pl.DataFrame, fields: Sequence[FieldPlan]) -> pl.DataFrame:
    """Null what was refused, fill in defaults, then ask whether anything required is missing."""
    deleted = pl.col(DELETED) if DELETED in judged.columns else pl.lit(value=False)
    filled = judged.with_columns(
        _settled(field, judged, deleted).alias(field.name)
        for field in fields
        if field.default is not None or rules_of(field, judged)
    )
    return filled.with_columns(
        (pl.col(field.name).is_not_null() | ~sound(field, filled)).alias(
            verdict_column(field.name, "required")
        )
        for field in fields
        if field.required and filled[field.name].null_count()
    )


def _settled(field: FieldPlan, judged: pl.DataFrame, deleted: pl.Expr) -> pl.Expr:
    value, passed = pl.col(field.name), sound(field, judged)
    if field.on_error == "keep_text":
        kept = pl.when(passed).then(value).otherwise(pl.col(text_column(field.name)))
    else:
        kept = pl.when(passed).then(value)
    if field.default is None:
        return kept
    # A refused value is not "no value": its cell stays empty rather than made up.
    return pl.when(passed & value.is_null() & ~deleted).then(_default(field)).otherwise(kept)


def _default(field: FieldPlan) -> pl.Expr:
    value = pl.DataFrame({field.name: [field.default]}).select(field.read).to_series()
    return pl.lit(value[0], dtype=field.type.dtype)


def rules_of(field: FieldPlan, judged: pl.DataFrame) -> list[str]:
    """Return the names of the rules that were asked of the field's values, in order."""
    asked = set(judged.columns)
    names = [SELECTION, "type", *(rule.name for rule in field.rules), "required"]
    return [name for name in names if verdict_column(field.name, name) in asked]


def sound(field: FieldPlan, judged: pl.DataFrame) -> pl.Expr:
    """Return whether the cell passed every rule asked so far but `required`."""
    names = [name for name in rules_of(field, judged) if name != "required"]
    if not names:
        return pl.lit(value=True)
    return pl.all_horizontal(verdict_column(field.name, name) for name in names)
