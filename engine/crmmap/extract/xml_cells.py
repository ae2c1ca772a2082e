"""What a walk finds in records, taken out of a table of their document's tags, by the column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from crmmap.extract.xml_tags import CLOSES, OPENS, WHOLE, Wanted
from crmmap.select.walk import HOLDS_ELEMENTS, NULLED, Node, Walk

TOLD = (
    pl.when("null").then(pl.lit(NULLED))
    .when((pl.col("step") == OPENS) & ~pl.col("leaf")).then(pl.lit(HOLDS_ELEMENTS))
    .when(pl.col("step") == WHOLE).then(pl.lit(""))
    .otherwise("after").alias("told")
)  # fmt: skip
"""What an element says, in the walk's words."""


def outer_of(rows: pl.DataFrame, tags: tuple[str, ...], wanted: Wanted) -> pl.DataFrame:
    """Return the elements down to the level to which `tags` lead, and which is a `record`.

    `rows` are a table's, from the root's on.
    """
    attributes = [f"@{name}" for name in wanted.attributes]
    own = (rows["level"] <= len(tags)) & (rows["step"] != CLOSES)
    outer = _some(rows, own, "tag", "level", "name", "start", *attributes)
    level, name = outer["level"], outer["name"]
    at = opened = level == 1
    for depth, tag in enumerate(tags[1:], start=2):
        here = _since(at, opened)
        at = level == depth
        opened = at & here if tag == "*" else at & here & (name == wanted.names[tag])
    return outer.hstack([opened.alias("record")])


def _some(rows: pl.DataFrame, which: pl.Series, *names: str) -> pl.DataFrame:
    # Of a frame, polars would make a plan of that first.
    return pl.DataFrame([rows[name].filter(which) for name in names])


def _since(at: pl.Series, opened: pl.Series) -> pl.Series:
    """Return, for each row, what `opened` says of the last row that is `at`."""
    return opened.set(~at, None).forward_fill().fill_null(value=False)


def places(rows: pl.DataFrame, tops: pl.DataFrame, level: int) -> pl.DataFrame:
    """Return where each record begins, where it ends, and where the next tag is.

    `tops` are the elements of a `level`, all of which end in `rows`.
    """
    last = (rows["level"] == level) & (rows["step"] != OPENS)
    end = rows["start"].filter(last) + rows["tag"].filter(last).str.len_bytes() + len("<>")
    resumes = rows["resumes"].filter(last)
    every = [tops["start"], end.alias("end"), resumes]
    return pl.DataFrame([each.filter(tops["record"]) for each in every])


def cells(
    rows: pl.DataFrame, tops: pl.DataFrame, walk: Walk, wanted: Wanted, level: int
) -> pl.DataFrame:
    """Return what a walk finds in the records among the `tops` of a `level`, by its places."""
    record = tops["record"]
    begins = rows["step"] != CLOSES
    at = ((rows["level"] == level) & begins).cum_sum().cast(pl.Int64) - 1
    attributes = [f"@{name}" for name in wanted.attributes]
    names = ("level", "name", "step", "null", "leaf", "after", *attributes, "at")
    within = _some(rows.hstack([at.alias("at")]), begins & (rows["level"] > level), *names)
    if not record.all():
        number = (record.cum_sum().cast(pl.Int64) - 1).set(~record, None)
        within = within.with_columns(number.gather(within["at"]).alias("at")).drop_nulls("at")
    within = within.with_columns(TOLD)
    every = pl.int_range(int(record.sum()), dtype=pl.Int64, eager=True)
    finder = _Finder(rows=within, names=wanted.names, every=every)
    found = {place: tops[f"@{name}"].filter(record) for name, place in walk.root.attributes.items()}
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
        rows = self.rows if children.all() else self.rows.filter(children)
        found = self._texts(rows, node)
        for name, inner in node.inner.items():
            opened = children & (self.rows["name"] == self.names[name])
            for attribute, place in inner.attributes.items():
                found[place] = self._first(self.rows, f"@{attribute}", opened)
            if inner.texts or inner.inner:
                found |= self.below(inner, level + 1, _since(at, opened))
        return found

    def _texts(self, rows: pl.DataFrame, node: Node) -> dict[int, pl.Series]:
        """Return the texts that are wanted of elements' children."""
        names, told, order = rows["name"], rows["told"], self._order(rows)
        return {
            place: told.gather_every(len(order), order.index(self.names[name]))
            if self.names[name] in order
            else self._first(rows, "told", names == self.names[name])
            for name, place in node.texts.items()
        }

    def _order(self, rows: pl.DataFrame) -> list[int]:
        """Return the names that come in each record, if all have the same in the same order."""
        name, at = rows["name"], rows["at"]
        width = len(rows) // max(len(self.every), 1)
        if not width or len(rows) != width * len(self.every):
            return []
        first, last = at.gather_every(width), at.gather_every(width, width - 1)
        even = (first == self.every).all() and (last == self.every).all()
        return name[:width].to_list() if even and (name[width:] == name[:-width]).all() else []

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
