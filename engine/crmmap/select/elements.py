"""Records that are XML elements, made into a raw frame: by one walk, or by XPath per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl
from lxml import etree

from crmmap.select.walk import HOLDS_ELEMENTS, NULLED, Walk, Way, walk_of, way_of
from crmmap.select.xml_records import Element, XmlRecords
from crmmap.select.xpath import (
    XPath,
    element_of,
    element_text,
    element_value,
    first,
)
from crmmap.values import (
    AT,
    INDEX,
    PAGE,
    Expression,
    Page,
    RawFrame,
    as_json,
    fault_column,
)

Found = tuple[str | None, str | None]
"""A cell's text, or the rule that selection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementCell:
    """How one field is selected: expressions in order; `whole` takes an element as JSON."""

    field: str
    expressions: tuple[Expression, ...]
    whole: bool = False


def plain_ways(cell: ElementCell) -> tuple[Way, ...] | None:
    """Return the ways of a cell that a walk can find; None where some expression is more."""
    ways = [way_of(each) for each in cell.expressions if isinstance(each, XPath)]
    found = tuple(way for way in ways if way is not None)
    whole = cell.whole or len(found) < len(cell.expressions)
    return None if whole else found


def unwalked(cell: ElementCell) -> str | None:
    """Return why a cell is found by XPath, record by record; None where a walk finds it."""
    if plain_ways(cell) is not None:
        return None
    if cell.whole:
        return "it takes an element whole"
    given = all(not isinstance(each, XPath) for each in cell.expressions)
    return "the mapping gives its value" if given else "an expression is more than names"


def walk_through(cells: Sequence[ElementCell]) -> Walk | None:
    """Return the walk that finds all plain cells of a record; None where there is none."""
    ways = [way for cell in cells for way in plain_ways(cell) or ()]
    null_names = [
        each.dialect.null_name
        for cell in cells for each in cell.expressions if isinstance(each, XPath)
    ]  # fmt: skip
    return walk_of(ways, null_names[0]) if ways else None


@dataclass(frozen=True, slots=True, kw_only=True)
class XPathSelector:
    """Makes the raw frame of a page of XML records.

    A field takes the first of its alternatives that is not empty, white space apart. Where
    none is, it is the empty text if an element or attribute stands there, else null.
    What `walk` finds in records as they are read is taken from there, by the column; all
    other cells by XPath. Both give the same.
    """

    cells: tuple[ElementCell, ...]
    walk: Walk | None = None

    @property
    def exact(self) -> XPathSelector:
        return replace(self, walk=None)

    def select(self, page: Page) -> RawFrame:
        records = page.records
        assert not isinstance(records, pl.DataFrame)  # noqa: S101  (a plan pairs selector and source)
        places = page.lines if page.lines is not None else range(len(records))
        columns = [
            pl.Series(PAGE, [page.number] * len(records), dtype=pl.UInt32),
            pl.Series(INDEX, range(len(records)), dtype=pl.UInt32),
            pl.Series(AT, places, dtype=pl.UInt32),
        ]
        walked = _walked(self.walk, records)
        ways = {cell.field: plain_ways(cell) for cell in self.cells} if walked else {}
        found = _by_xpath([each for each in self.cells if not ways.get(each.field)], records)
        for cell in self.cells:
            ends = [walked[way] for way in ways.get(cell.field) or ()]
            columns += _of_walk(cell.field, ends) if ends else found[cell.field]
        return pl.DataFrame(columns)


def walk_for(selector: object) -> Walk | None:
    """Return what is to be found in XML records as they are read, for this selector."""
    return selector.walk if isinstance(selector, XPathSelector) else None


def _walked(walk: Walk | None, records: Sequence[object]) -> dict[Way, pl.Series]:
    """Return what the walk found in each record, by its ways; nothing where not all have it."""
    if walk is not None and isinstance(records, XmlRecords):
        return {way: records.found.to_series(at) for way, at in walk.places.items()}
    rows = [each.row for each in records if isinstance(each, Element)]
    if walk is None or not rows or len(rows) < len(records):
        return {}
    return {
        way: pl.Series(column, dtype=pl.String)
        for way, column in zip(walk.places, zip(*rows, strict=True), strict=True)
    }


def _of_walk(name: str, found: Sequence[pl.Series]) -> list[pl.Series]:
    """Return a field's texts and faults, by what stands at the ends of its ways."""
    texts = [pl.select(pl.when(each != NULLED).then(each)).to_series() for each in found]
    if len(texts) > 1:
        filled = [pl.when(each.str.strip_chars() != "").then(each) for each in texts]
        texts = [pl.select(pl.coalesce(*filled, *texts)).to_series()]
    text = texts[0].alias(name)
    held = text == HOLDS_ELEMENTS
    if not held.any():
        return [text]
    told = pl.select(
        pl.when(~held).then(text).alias(name),
        pl.when(held).then(pl.lit("xml.container")).alias(fault_column(name)),
    )
    return told.get_columns()


def _by_xpath(
    cells: Sequence[ElementCell], records: Sequence[object]
) -> dict[str, list[pl.Series]]:
    """Return the columns of cells that are found by XPath, an element at a time."""
    if not cells:
        return {}
    rows = [_row(cells, record) for record in records]
    return {
        cell.field: _columns(cell.field, [row[at] for row in rows]) for at, cell in enumerate(cells)
    }


def _row(cells: Sequence[ElementCell], record: object) -> list[Found]:
    try:
        element = element_of(record)
    except ValueError:
        element = None
    return [_cell(cell, record, element) for cell in cells]


def _columns(name: str, found: Sequence[Found]) -> list[pl.Series]:
    column = pl.Series(name, [text for text, _ in found], dtype=pl.String)
    faults = [fault for _, fault in found]
    if not any(faults):
        return [column]
    return [column, pl.Series(fault_column(name), faults, dtype=pl.String)]


def _cell(cell: ElementCell, record: object, element: etree._Element | None) -> Found:
    trouble, empty = None, None
    for expression in cell.expressions:
        try:
            text, fault = _one(expression, record, element, whole=cell.whole)
        except ValueError:
            trouble = trouble or "select.type"
            continue
        if fault is not None or (text is not None and text.strip()):
            return text, fault
        empty = text if empty is None else empty
    return (None, trouble) if trouble else (empty, None)


def _one(
    expression: Expression, record: object, element: etree._Element | None, *, whole: bool
) -> Found:
    if not isinstance(expression, XPath):  # what the mapping gives stands beside the element
        return _text(expression.find(record)), None
    if element is None:
        return None, "select.type"
    found = first(expression.evaluate(element))
    if whole:
        return _whole(found, expression), None
    if isinstance(found, etree._Element):
        return element_text(found, expression.dialect)
    return _text(found), None


def _whole(found: object, expression: XPath) -> str | None:
    """Return what was found as JSON; what is empty is nothing, as in a JSON record."""
    value = element_value(found, expression.dialect) if isinstance(found, etree._Element) else found
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return as_json(value, ascii_only=False)


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
