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

from collections.abc import Sequence, Set

import polars as pl

from crmmap.kinds.clean import NEAT
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
    schema = raw.schema
    # A column that came with its own type has no text to tidy.
    textual = [field for field in fields if schema[field.name] == pl.String]
    tidy = _tidied(raw, textual)
    texts = tidy.hstack([tidy[field.name].alias(text_column(field.name)) for field in textual])
    typed = texts.with_columns(
        field.read.alias(field.name) for field in textual if not field.read.meta.is_column()
    )
    judged = typed.with_columns(_first_verdicts(fields, typed))
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
        for each in judged for field in fields for rule in rules_of(field, {*each.columns})
    )  # fmt: skip
    # What was not asked of a frame its records pass.
    return (
        pl.concat(judged, how="diagonal")
        .with_columns(pl.col(name).fill_null(value=True) for name in asked)
        .sort(PAGE, INDEX)
    )


def _tidied(raw: RawFrame, fields: Sequence[FieldPlan]) -> pl.DataFrame:
    """Return the raw frame with the texts of `fields` tidy."""
    if not fields:
        return raw
    neat = _neat(raw, [field.name for field in fields])
    cleans = (field.clean_neat if field.name in neat else field.clean for field in fields)
    return raw.with_columns(clean for clean in cleans if not clean.meta.is_column())


def _neat(raw: RawFrame, names: Sequence[str]) -> set[str]:
    """Return the columns all of whose texts are neat (see `kinds.clean`): most are.

    That is told by a text's first byte and its last, in half of the time that trimming takes.
    """
    octets = pl.col(names).cast(pl.Binary).bin
    first, last = (octets.get(at, null_on_oob=True).is_between(*NEAT) for at in (0, -1))
    told = raw.select((first & last).sum() == pl.col(names).count())
    return {name for name, neat in zip(names, told.row(0), strict=True) if neat}


def _first_verdicts(fields: Sequence[FieldPlan], typed: pl.DataFrame) -> list[pl.Expr]:
    verdicts, names = [], {*typed.columns}
    for field in fields:
        text, fault = text_column(field.name), fault_column(field.name)
        if text in names and typed[field.name].null_count() > typed[text].null_count():
            read = pl.col(field.name).is_not_null() | pl.col(text).is_null()
            verdicts.append(read.alias(verdict_column(field.name, "type")))
        if fault in names:
            sound = pl.col(fault).is_null()
            verdicts.append(sound.alias(verdict_column(field.name, SELECTION)))
    return verdicts


def _complete(judged: pl.DataFrame, fields: Sequence[FieldPlan]) -> pl.DataFrame:
    """Null what was refused, fill in defaults, then ask whether anything required is missing."""
    names = {*judged.columns}
    deleted = pl.col(DELETED) if DELETED in names else pl.lit(value=False)
    filled = judged.with_columns(
        _settled(field, names, deleted).alias(field.name)
        for field in fields
        if field.default is not None or rules_of(field, names)
    )
    return filled.with_columns(
        (pl.col(field.name).is_not_null() | ~sound(field, names)).alias(
            verdict_column(field.name, "required")
        )
        for field in fields
        if field.required and filled[field.name].null_count()
    )


def _settled(field: FieldPlan, names: Set[str], deleted: pl.Expr) -> pl.Expr:
    value, passed = pl.col(field.name), sound(field, names)
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


def rules_of(field: FieldPlan, columns: Set[str]) -> list[str]:
    """Return the names of the rules that were asked of the field's values, in order.

    `columns` are those of the judged frame.
    """
    names = [SELECTION, "type", *(rule.name for rule in field.rules), "required"]
    return [name for name in names if verdict_column(field.name, name) in columns]


def sound(field: FieldPlan, columns: Set[str]) -> pl.Expr:
    """Return whether the cell passed every rule asked so far but `required`."""
    names = [name for name in rules_of(field, columns) if name != "required"]
    if not names:
        return pl.lit(value=True)
    return pl.all_horizontal(verdict_column(field.name, name) for name in names)
