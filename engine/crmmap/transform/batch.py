"""Pages to a batch: judge the cells, then sort the records by where they go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from crmmap.kinds.types import Decimal, Integer, Type, declared
from crmmap.kinds.writes import Replace
from crmmap.plan import FieldPlan, Step
from crmmap.select.compiled import select_pages, texts_of
from crmmap.transform.cells import SELECTION, judge_all, rules_of, text_column, verdict_column
from crmmap.values import (
    AT,
    DELETED,
    INDEX,
    KEY,
    NOTE_SCHEMA,
    PAGE,
    REJECT_SCHEMA,
    Batch,
    Counts,
    Page,
    PageAccount,
    Reason,
    cut_raw,
    fault_column,
)

NAMELESS = "a record was rejected whose key is not known"
"""Why records may be missing."""

REJECTED = "#rejected"
FILTERED = "#filtered"


def apply(step: Step, pages: Sequence[Page]) -> Batch:
    """Return the batch that `pages` (at least one, in order) make. Nothing of them is lost.

    The pages are older than the same runs (`Page.older_than`).
    """
    selected = select_pages(step.selector, pages)
    pages = selected.pages
    sources = {page.number: page for page in pages}
    judged = judge_all(selected.frames, step.fields, step.tombstones)
    broken = _broken(judged, step)
    judged = _with_texts(judged, step, broken, sources)
    sorted_out = _sorted_out(judged, step, broken)
    rejected = sorted_out.filter(~pl.col(FILTERED) & pl.col(REJECTED))
    kept = sorted_out.filter(~pl.col(FILTERED) & ~pl.col(REJECTED))
    rejects = pl.concat([_refused(pages), _rejects(rejected, broken, sources)])
    per = step.target.per is not None
    return Batch(
        rows=kept.select(*step.target.names, PAGE, INDEX, AT, KEY, *_deleted(step)),
        rejects=rejects,
        notes=_notes(kept, broken),
        read=_read(pages, sorted_out),
        position=pages[-1].position,
        sources=sources,
        parts={page.number: page.part for page in pages if not page.skipped},
        cursor=next((page.cursor for page in reversed(pages) if page.cursor is not None), None),
        gap="" if per else _gap(step, pages, rejects),
        asked=_asked(pages, rejects) if per else {},
        older_than=pages[0].older_than,
        tried={page.number: page.tried for page in pages if page.tried},
        compiled=selected.compiled,
    )


def _gap(step: Step, pages: Sequence[Page], rejects: pl.DataFrame) -> str:
    """Return why records may be missing, or why nobody knows which rows some were of.

    The latter is no matter where rows are replaced: there, a reject has no row.
    """
    nameless = rejects["key"].null_count() and not isinstance(step.target.write, Replace)
    return next((page.gap for page in pages if page.gap), NAMELESS if nameless else "")


def _asked(pages: Sequence[Page], rejects: pl.DataFrame) -> dict[str, bool]:
    """Return the rows for which all pages have come; False where a record may be missing."""
    doubtful = {*rejects.filter(pl.col("key").is_null())["page"]}
    asked: dict[str, bool] = {}
    for page in pages:
        if page.gap or page.number in doubtful:
            asked |= dict.fromkeys(page.asked, False)
        elif page.answered:
            asked = dict.fromkeys(page.asked, True) | asked
    return asked


def _read(pages: Sequence[Page], sorted_out: pl.DataFrame) -> tuple[PageAccount, ...]:
    """Return what each page brought, and what of it is filtered."""
    filtered = Counter(sorted_out.filter(FILTERED)[PAGE])
    return tuple(
        PageAccount(
            number=page.number, part=page.part,
            counts=Counts(fetched=page.fetched, filtered=filtered[page.number]),
        )
        for page in pages
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Broken:
    """A rule that some record of the batch broke."""

    field: FieldPlan
    rule: str

    @property
    def verdict(self) -> str:
        return verdict_column(self.field.name, self.rule)

    @property
    def rejects(self) -> bool:
        """Whether it costs the whole record, not only the cell."""
        return self.field.on_error == "reject" or self.rule == "required"


def _broken(judged: pl.DataFrame, step: Step) -> tuple[_Broken, ...]:
    """Return the rules that were broken at all: of most fields none is, and no more is asked."""
    names = {*judged.columns}
    asked = [_Broken(field, rule) for field in step.fields for rule in rules_of(field, names)]
    kept = judged.select(pl.col(each.verdict).all() for each in asked).row(0) if asked else ()
    return tuple(each for each, well in zip(asked, kept, strict=True) if not well)


def _with_texts(
    judged: pl.DataFrame, step: Step, broken: Sequence[_Broken], sources: Mapping[int, Page]
) -> pl.DataFrame:
    """Add the texts of refused values that came without, as they are told in notes."""
    for each in broken:
        text = text_column(each.field.name)
        if each.rule in (SELECTION, "required"):
            continue
        lacking = ~pl.col(each.verdict)
        if text in judged.columns:
            lacking &= pl.col(text).is_null()
        rows = judged.select(PAGE, INDEX, lacking.alias("lacks")).with_row_index("row")
        rows = rows.filter("lacks")
        if rows.is_empty():
            continue
        found = [sources[page].records[index] for page, index in rows.select(PAGE, INDEX).rows()]
        texts = dict(zip(rows["row"], texts_of(step.selector, each.field.name, found), strict=True))
        known = judged[text] if text in judged.columns else [None] * judged.height
        column = [texts.get(row, value) for row, value in enumerate(known)]
        judged = judged.with_columns(pl.Series(text, column, dtype=pl.String))
    return judged


def _sorted_out(judged: pl.DataFrame, step: Step, broken: Sequence[_Broken]) -> pl.DataFrame:
    """Add where each record goes and its key; keep only the columns that are still needed."""
    refusals = [_refusal(step, each) for each in broken if each.rejects]
    passes = [rule.passes.fill_null(value=True) for each in step.filters for rule in each.rules]
    evidence = [
        name
        for each in broken
        for name in (each.verdict, text_column(each.field.name), fault_column(each.field.name))
        if name in judged.columns
    ]
    return judged.select(
        *step.target.names, PAGE, INDEX, AT,
        *dict.fromkeys(evidence),
        pl.any_horizontal(refusals or [pl.lit(value=False)]).alias(REJECTED),
        (~pl.all_horizontal(passes or [pl.lit(value=True)])).alias(FILTERED),
        key_text(step).alias(KEY),
        *_deleted(step),
    )  # fmt: skip


def _deleted(step: Step) -> list[str]:
    return [DELETED] if step.tombstones else []


def _refusal(step: Step, broken: _Broken) -> pl.Expr:
    """Say whether a broken rule costs the record: of a deleted row, only the key matters."""
    refused = ~pl.col(broken.verdict)
    if step.tombstones and broken.field.name not in step.target.key:
        return refused & ~pl.col(DELETED)
    return refused


def key_text(step: Step) -> pl.Expr:
    """Return a row's key as one text, null where a part is null; parts are joined by a comma."""
    parts = [
        step.target.column(name).type.show(pl.col(name))
        for name in step.target.key
        if _own_type(step, name)
    ]
    if len(parts) < len(step.target.key):  # a part that is looked up is known by its text
        parts = [pl.col(text_column(name)) for name in step.target.key]
    if len(parts) == 1:
        return parts[0]
    # Escaped, so that no two different keys give one text.
    escaped = [part.str.replace_all(r"([\\,])", r"\$1") for part in parts]
    return pl.concat_str(escaped, separator=",")


def _own_type(step: Step, name: str) -> bool:
    field = next(field for field in step.fields if field.name == name)
    return field.type == step.target.column(name).type


# --- rejects and notes ------------------------------------------------------------------------


def _refused(pages: Sequence[Page]) -> pl.DataFrame:
    """Return the records that the reader itself refused."""
    return pl.DataFrame(
        [
            (page.number, each.at, None, _as_text(each.reasons), cut_raw(each.raw))
            for page in pages
            for each in page.refused
        ],
        schema=REJECT_SCHEMA,
        orient="row",
    )


def _rejects(
    rejected: pl.DataFrame, broken: Sequence[_Broken], sources: Mapping[int, Page]
) -> pl.DataFrame:
    """Return the records that a rule refused, each with all of its reasons and its raw text."""
    rows = []
    for row in rejected.iter_rows(named=True):
        reasons = [
            _reason(each.field, each.rule, row)
            for each in broken
            if each.rejects and not row[each.verdict]
        ]
        raw = cut_raw(sources[row[PAGE]].raw(row[INDEX]))
        rows.append((row[PAGE], row[AT], row[KEY], _as_text(reasons), raw))
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")


def _reason(field: FieldPlan, rule: str, row: dict[str, object]) -> Reason:
    if rule == SELECTION:
        rule = str(row[fault_column(field.name)])
    return Reason(field=field.name, rule=rule, message=explain(field, rule))


EXPLANATIONS = {
    "required": "a value is required, and there is none",
    "select.type": "the expression does not suit the types in the record",
    "json.container": "an object or a list stands where a single value is expected",
    "json.boolean": "true or false identifies nothing",
    "json.number": "NaN, infinity or a number too large to keep",
    "json.number_given": "a number stands where text is expected",
    "xml.container": "the element holds elements where a single value is expected",
    "text.nul": "the text holds a NUL character, which no database keeps",
    "text.surrogate": "the text holds half of a surrogate pair, which no database keeps",
}


def explain(field: FieldPlan, rule: str) -> str:
    """Return a rule in words; never the value that broke it."""
    if rule == "type":
        return f"not a value of type {declared(field.type)}{_wanted(field.type)}"
    return EXPLANATIONS.get(rule, f"the check '{rule}' is not met")


def _wanted(type_: Type) -> str:
    """Return what a number must look like: of these, most refusals are a matter of writing."""
    match type_:
        case Decimal():
            whole = type_.precision - type_.scale
            places = f" and {type_.scale} after it" if type_.round == "refuse" else ""
            separators = f"groups parted by '{type_.group}'" if type_.group else "no separators"
            return (
                f": at most {whole} digits before the point '{type_.point}'{places}, "
                f"{separators}, no exponent"
            )
        case Integer():
            return ": digits only, no separators, no exponent, 64 bits at most"
    return ""


def _as_text(reasons: Sequence[Reason]) -> str:
    return json.dumps([reason.as_json() for reason in reasons])


def _notes(kept: pl.DataFrame, broken: Sequence[_Broken]) -> pl.DataFrame:
    """Return the cells of kept rows that were emptied, or kept as text, by their field's rule.

    What one that says that its row is deleted lacks is no matter.
    """
    frames = [
        kept.filter(~pl.col(each.verdict)).select(
            pl.col(PAGE).alias("page"),
            pl.col(AT).alias("at"),
            pl.col(KEY).alias("key"),
            pl.lit(each.field.name).alias("field"),
            _rule_name(each.field, each.rule).alias("rule"),
            pl.col(text_column(each.field.name)).alias("value"),
        )
        for each in broken
        if each.rule != "required"
    ]
    return pl.concat([pl.DataFrame(schema=NOTE_SCHEMA), *frames]).sort("page", "at")


def _rule_name(field: FieldPlan, rule: str) -> pl.Expr:
    return pl.col(fault_column(field.name)) if rule == SELECTION else pl.lit(rule)
