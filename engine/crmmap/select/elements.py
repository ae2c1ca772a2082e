"""Records that are XML elements, made into a raw frame: one compiled XPath per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from lxml import etree

from crmmap.select.xpath import XPath, element_of, element_text, element_value, first
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


@dataclass(frozen=True, slots=True, kw_only=True)
class XPathSelector:
    """Makes the raw frame of a page of XML records.

    A field takes the first of its alternatives that is not empty, white space apart. Where
    none is, it is the empty text if an element or attribute stands there, else null.
    """

    cells: tuple[ElementCell, ...]

    def select(self, page: Page) -> RawFrame:
        records = page.records
        assert not isinstance(records, pl.DataFrame)  # noqa: S101  (a plan pairs selector and source)
        rows = [self._row(record) for record in records]
        places = page.lines if page.lines is not None else range(len(records))
        columns = [
            pl.Series(PAGE, [page.number] * len(records), dtype=pl.UInt32),
            pl.Series(INDEX, range(len(records)), dtype=pl.UInt32),
            pl.Series(AT, places, dtype=pl.UInt32),
        ]
        for at, cell in enumerate(self.cells):
            columns += _columns(cell.field, [row[at] for row in rows])
        return pl.DataFrame(columns)

    def _row(self, record: object) -> list[Found]:
        try:
            element = element_of(record)
        except ValueError:
            element = None
        return [_cell(cell, record, element) for cell in self.cells]


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
