"""What a walk finds in records, taken out of a table of their document's tags, by the column."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from crmmap.extract.xml_tags import CLOSES, OPENS, WHOLE, Wanted, texts_read
from crmmap.frozen import dataclass
from crmmap.select.walk import HOLDS_ELEMENTS, NULLED, Node, Walk

TOLD = (
    pl.when("null").then(pl.lit(NULLED))
    .when((pl.col("step") == OPENS) & ~pl.col("leaf")).then(pl.lit(HOLDS_ELEMENTS))
    .when(pl.col("step") == WHOLE).then(pl.lit(""))
    .otherwise("after").alias("told")
)  # fmt: skip
"""What an element says, in the walk's words, but that its references still stand."""


def on_the_way(
    rows: pl.DataFrame, tags: tuple[str, ...], wanted: Wanted, base: int
) -> list[pl.Series]:
    """Say which rows begin a record, and which stand in one or after it, up to the next.

    `tags` lead to the records; the first row stands in elements that are the first `base` of them.
    """
    level, name = rows["level"], rows["name"]
    here = opened = pl.repeat(value=True, n=rows.height, eager=True)
    for depth, tag in enumerate(tags[1:], start=2):
        at = (level == depth).fill_null(value=False)
        opened = at & here if tag == "*" else at & here & (name == wanted.names[tag])
        here = _since(at, opened, before=depth <= base)
    return [opened.alias("record"), here.alias("inside")]


def _since(at: pl.Series, opened: pl.Series, *, before: bool) -> pl.Series:
    """Return, for each row, what `opened` says of the last row that is `at`."""
    return opened.set(~at, None).forward_fill().fill_null(value=before)


def places(rows: pl.DataFrame, level: int, at: int) -> pl.DataFrame:
    """Return where each record begins, where it ends, and where the next tag is.

    `at` is where the rows' window begins in the document.
    """
    step = pl.col("step")
    closed = (step == CLOSES) & (pl.col("depth") == level - 1) & pl.col("inside")
    ends = rows.filter(closed | ((step == WHOLE) & pl.col("record")))
    starts = rows.filter("record").select("start")
    return starts.hstack(ends.select("end", "resumes")).select(pl.all().cast(pl.Int64) + at)


def cells(rows: pl.DataFrame, walk: Walk, wanted: Wanted, level: int) -> pl.DataFrame:
    """Return what a walk finds in the records that begin in these rows, by its places."""
    own = rows.filter("record")
    inside = pl.col("inside") & (pl.col("level") > level)
    attributes = [f"@{name}" for name in wanted.attributes]
    within = rows.select(
        "level", "name", "step", "null", "leaf", "after", *attributes, "inside",
        at=pl.col("record").cum_sum().cast(pl.Int64) - 1,
    ).filter(inside).with_columns(TOLD)  # fmt: skip
    within = within.with_columns(_read(within["told"]))
    every = pl.int_range(own.height, dtype=pl.Int64, eager=True)
    finder = _Finder(rows=within, names=wanted.names, every=every)
    found = {place: own[f"@{name}"] for name, place in walk.root.attributes.items()}
    found |= finder.below(walk.root, level + 1, None)
    return pl.DataFrame([found[place].alias(str(place)) for place in range(len(walk.places))])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finder:
    """Finds texts among the elements within records: those are numbered by `every`."""

    rows: pl.DataFrame
    names: Mapping[str, int]
    every: pl.Series

    def below(self, node: Node, level: int, here: pl.Series | None) -> dict[int, pl.Series]:
        """Return what is found below a node; `here` says which rows stand in its elements."""
        at = self.rows["level"] == level
        children = at if here is None else at & here
        rows = self.rows.filter(children)
        found = {
            place: self._first(rows, "told", rows["name"] == self.names[name])
            for name, place in node.texts.items()
        }
        for name, inner in node.inner.items():
            opened = children & (self.rows["name"] == self.names[name])
            for attribute, place in inner.attributes.items():
                found[place] = self._first(self.rows, f"@{attribute}", opened)
            if inner.texts or inner.inner:
                found |= self.below(inner, level + 1, _since(at, opened, before=False))
        return found

    def _first(self, rows: pl.DataFrame, column: str, which: pl.Series) -> pl.Series:
        """Return each record's first value of some rows; null where it has none."""
        at, values = rows["at"].filter(which), rows[column].filter(which)
        if len(at) == len(self.every) and (at == self.every).all():
            return values
        some = pl.DataFrame({"at": at, "value": values}).drop_nulls()
        some = some.unique("at", keep="first", maintain_order=True)
        return self.every.alias("at").to_frame().join(
            some, on="at", how="left", maintain_order="left"
        )["value"]  # fmt: skip


def _read(told: pl.Series) -> pl.Series:
    """Return texts with the characters that their references name."""
    at = told.str.contains("&", literal=True).arg_true()
    some = told.gather(at)
    distinct = some.unique()
    read = pl.Series(texts_read(distinct.to_list()), dtype=pl.String)
    return told.scatter(at, some.replace(distinct, read)) if len(at) else told
