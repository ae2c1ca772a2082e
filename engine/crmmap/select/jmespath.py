"""JMESPath: expressions compiled once, and the selector that makes a raw frame with them.

This is the exact path: expressions as functions, record by record, over
documents whose numbers kept their digits. The compiled one stands beside it
behind the same `select` (`compiled.py`); both must give the same cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import reduce
from typing import Any

import jmespath
import polars as pl
from jmespath.exceptions import JMESPathError, LexerError, ParseError

from crmmap.select.closures import Find, Tree, closure
from crmmap.select.document import NotANumber, Unsuited
from crmmap.select.raw_records import cells_in, raw_records
from crmmap.select.strict import written
from crmmap.values import AT, INDEX, PAGE, Page, RawFrame, as_json, fault_column

LONGEST = 2000
UNSUITED = (JMESPathError, TypeError, ArithmeticError, RecursionError)
"""What a search raises over a document's types; jmespath compares text with a number
by Python's own rules, hence TypeError."""

WORTH = 32
"""Records of a page of which it is worth while to make a frame."""

NUL = re.compile("\x00")
ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""NUL as JSON text has it; the backslash before it must not be an escaped one itself."""


@dataclass(frozen=True, slots=True)
class Jmespath:
    """A compiled JMESPath expression (an `Expression`)."""

    text: str
    tree: Tree = field(compare=False)
    search: Find = field(repr=False, compare=False)
    names: tuple[str, ...] | None
    """The way, where the expression is a plain walk through objects, as most are."""

    def find(self, document: object) -> object:
        if self.names is None:
            return _search(self.search, self.text, document)
        for name in self.names:
            if not isinstance(document, dict):
                return None
            document = document.get(name)
        return document

    def each(self, document: object) -> list[object]:
        """Return the list that the expression selects, with the nulls in it. Raises ValueError."""
        found = find_records(self, document)
        if self.names is None and any(isinstance(item, Unsuited) for item in found):
            message = f"'{self.text}' does not suit the types in this document"
            raise ValueError(message)
        return found


def compile_expression(text: str) -> Jmespath:
    """Compile JMESPath. Raises ValueError that says where in the text the fault is."""
    if len(text) > LONGEST:
        message = f"is longer than {LONGEST} characters"
        raise ValueError(message)
    try:
        compiled = jmespath.compile(text)
    except (ParseError, LexerError) as error:
        place = f" at character {error.lex_position + 1}" if error.lex_position is not None else ""
        message = f"is not JMESPath{place}. Quote names that hold other than letters, digits and _"
        raise ValueError(message) from None
    except (JMESPathError, RecursionError, ValueError):
        message = "is not JMESPath: empty, too deeply nested, or not finished"
        raise ValueError(message) from None
    tree = dict(compiled.parsed)
    try:
        return Jmespath(text, tree, closure(tree), names_of(tree))
    except RecursionError:
        message = "is too deeply nested"
        raise ValueError(message) from None


def names_of(tree: Tree) -> tuple[str, ...] | None:
    """Return the names of a plain walk through objects; None of anything else."""
    if tree["type"] == "field":
        return (tree["value"],)
    if tree["type"] == "subexpression":
        parts = [names_of(child) for child in tree["children"]]
        if all(part is not None for part in parts):
            return tuple(name for part in parts for name in part or ())
    return None


def find_records(expression: Jmespath, document: object) -> list[object]:
    """Return the records that the expression selects, nulls included.

    A JMESPath projection (`results[]`, `by_id.*`) drops nulls, and records would
    be lost without a trace; so the outermost projection is walked here, item by
    item. An item that the rest of the expression does not suit is `Unsuited`.
    Raises ValueError where there is no list.
    """
    tree, text = expression.tree, expression.text
    if tree["type"] not in ("projection", "value_projection"):
        return _list(expression.find(document), text)
    left, right = tree["children"]
    if left["type"] == "flatten":
        found = _flattened(_list(_search(closure(left["children"][0]), text, document), text))
    else:
        under = _search(closure(left), text, document)
        values = tree["type"] == "value_projection" and isinstance(under, dict)
        found = list(under.values()) if values and isinstance(under, dict) else _list(under, text)
    if right["type"] == "identity":
        return found
    make = closure(right)
    return [_made(make, text, each) for each in found]


def _flattened(found: list[object]) -> list[object]:
    # An empty list among the records stays one, to be rejected, rather than vanish.
    return [
        item for each in found for item in (each if each and isinstance(each, list) else [each])
    ]


def _made(make: Find, text: str, item: object) -> object:
    try:
        return _search(make, text, item)
    except ValueError:
        return Unsuited(item)


def _list(found: object, text: str) -> list[object]:
    if isinstance(found, list):
        return found
    message = f"'{text}' selects {'nothing' if found is None else 'something that is no list'}"
    raise ValueError(message)


def _search(find: Find, text: str, document: object) -> object:
    try:
        return find(document)
    except UNSUITED as error:
        message = f"'{text}' does not suit the types in this document"
        raise ValueError(message) from error


# --- what an expression touches ---------------------------------------------------------------

Leaf = tuple[str | int, ...]
"""A way into a document: names of objects' entries and indexes into lists."""
ANY = "any"
"""Stands for each entry of an object."""


def leaves(expression: Jmespath) -> tuple[Leaf, ...]:
    """Return the places in a document whose values the expression reads, each once.

    Those are among them of which it reads only whether something is there: `a` of ``a.[`1`]``.
    """
    return leaves_of(expression.tree)


def leaves_of(tree: Tree) -> tuple[Leaf, ...]:
    """Return the places in a document whose values a part of an expression reads, each once."""
    return tuple(dict.fromkeys(_leaves(tree, ())))


def _leaves(tree: Tree, at: Leaf) -> Iterator[Leaf]:
    kind, children = tree["type"], tree.get("children", [])
    if kind == "field":
        yield (*at, tree["value"])
    elif kind in ("index", "slice"):
        yield (*at, tree["value"] if kind == "index" and tree["value"] >= 0 else 0)
    elif kind in ("identity", "current"):
        yield at
    elif kind in ("subexpression", "index_expression", "pipe"):
        yield from reduce(_then, children, [at])
    elif kind in ("projection", "filter_projection"):
        # A list written out in the expression has no list behind it in the document.
        item = () if children[0]["type"] == "multi_select_list" else (0,)
        yield from _then([(*left, *item) for left in _leaves(children[0], at)], children[1])
    elif kind == "value_projection":
        yield from _then([(*left, ANY) for left in _leaves(children[0], at)], children[1])
    elif kind != "literal":
        for child in children:
            yield from _leaves(child, at)


def _then(places: list[Leaf], tree: Tree) -> list[Leaf]:
    return [leaf for place in places for leaf in [*_leaves(tree, place)] or [place]]


def names_under(expressions: Sequence[Jmespath], name: str) -> tuple[str, ...]:
    """Return the entries of the record's object `name` that the expressions read, sorted."""
    return tuple(
        sorted(
            {
                str(leaf[1])
                for expression in expressions
                for leaf in leaves(expression)
                if len(leaf) > 1 and leaf[0] == name
            }
        )
    )


# --- records to a raw frame ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How one field is selected: the expressions in order, and the JSON kinds it takes."""

    field: str
    expressions: tuple[Jmespath, ...]
    accepts: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JmespathSelector:
    """Makes the raw frame of a page of JSON records, one function per cell."""

    cells: tuple[Cell, ...]

    @property
    def exact(self) -> JmespathSelector:
        return self

    def select(self, page: Page) -> RawFrame:
        assert not isinstance(page.records, pl.DataFrame)  # noqa: S101  (a plan pairs selector and source)
        count = len(page.records)
        places = page.lines if page.lines is not None else range(count)
        columns = [
            pl.Series(PAGE, [page.number] * count, dtype=pl.UInt32),
            pl.Series(INDEX, range(count), dtype=pl.UInt32),
            pl.Series(AT, places, dtype=pl.UInt32),
        ]
        known = cells_in(page.records)
        found = cells_of(self.cells, [*page.records]) if known is None else known.get_columns()
        return pl.DataFrame([*columns, *found])


def with_cells(selector: JmespathSelector, page: Page, *, least: int = WORTH) -> Page:
    """Return a page of values with its cells, and its records as bytes from here on.

    What lives for the time of one page is sooner made and forgotten than what waits for a batch.
    No key may come twice. Fewer records than `least`, and what JSON can't say, stay as they are.
    """
    values = page.records
    if not isinstance(values, list) or len(values) < least or (raws := written(values)) is None:
        return page
    cells = pl.DataFrame(cells_of(selector.cells, values))
    return replace(page, records=raw_records(raws, cells), size=sum(map(len, raws)))


def cells_of(cells: Iterable[Cell], records: Sequence[object]) -> list[pl.Series]:
    """Return the fields' columns of decoded records, and `<field>!` where one needs it."""
    walked: Walked = {(): records}
    return [column for cell in cells for column in _select_cell(cell, records, walked)]


def _select_cell(cell: Cell, records: Sequence[object], walked: Walked) -> list[pl.Series]:
    plain = _plain(cell, walked)
    if plain is not None:
        try:
            return [pl.Series(cell.field, plain, dtype=pl.String)]
        except UnicodeEncodeError:  # a surrogate
            pass
    found = [_first(cell, record) for record in records]
    column = pl.Series(cell.field, [text for text, _ in found], dtype=pl.String)
    faults = [fault for _, fault in found]
    if not any(faults):
        return [column]
    return [column, pl.Series(fault_column(cell.field), faults, dtype=pl.String)]


Walked = dict[tuple[str, ...], Sequence[object]]
"""What stands in the records at the end of a way."""


def _plain(cell: Cell, walked: Walked) -> list[str | None] | None:
    """Return what `_first` does for each record, sooner: where values at plain ways are alike."""
    chosen: list[str | None] | None = None
    for expression in cell.expressions:
        if expression.names is None or "container" in cell.accepts:
            return None
        texts = _alike(_values(expression.names, walked), cell.accepts)
        if texts is None or chosen is None:
            chosen = texts
        else:
            both = zip(chosen, texts, strict=True)
            chosen = [other if one is None else one for one, other in both]
        if chosen is None:
            return None
    return chosen


def _values(names: tuple[str, ...], walked: Walked) -> Sequence[object]:
    if names not in walked:
        *way, name = names
        above = _values(tuple(way), walked)
        walked[names] = [each.get(name) if isinstance(each, dict) else None for each in above]
    return walked[names]


def _alike(values: Sequence[Any], accepts: frozenset[str]) -> list[str | None] | None:
    """Return the texts of values of one kind; None where that may not be said, or not stored."""
    kinds = {*map(type, values)} - {type(None)}
    if kinds <= {str}:
        texts = [each if each and each.strip() else None for each in values]
        return None if NUL.search("".join(filter(None, texts))) else texts
    if kinds == {bool} and "boolean" in accepts:
        return [None if each is None else str(each).lower() for each in values]
    if kinds <= {int, Decimal} and "number" in accepts:
        return [None if each is None else _digits(each) for each in values]
    return None


def _digits(number: int | Decimal) -> str:
    return format(number, "f") if isinstance(number, Decimal) else str(number)


def _first(cell: Cell, record: object) -> tuple[str | None, str | None]:
    """Return the text of the first value that is not empty, or why there is none."""
    trouble: str | None = None
    for expression in cell.expressions:
        try:
            value = expression.find(record)
        except ValueError:
            trouble = trouble or "select.type"
            continue
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        return text_of(value, cell.accepts)
    return None, trouble


def text_of(value: object, accepts: frozenset[str]) -> tuple[str | None, str | None]:
    """Return a JSON value's text as the raw frame holds it, or the rule that it breaks."""
    if "container" in accepts:
        return _storable(as_json(value, ascii_only=False), nul=ESCAPED_NUL)
    if isinstance(value, str):
        return _storable(value, nul=NUL)
    if isinstance(value, bool):
        return (str(value).lower(), None) if "boolean" in accepts else (None, "json.boolean")
    if isinstance(value, dict | list):
        return None, "json.container"
    return _number(value, accepts)


def _number(value: object, accepts: frozenset[str]) -> tuple[str | None, str | None]:
    if isinstance(value, NotANumber):
        return None, "json.number"
    if "number" not in accepts:
        return None, "json.number_given"
    return (_digits(value) if isinstance(value, Decimal | int) else str(value)), None


def _storable(text: str, nul: re.Pattern[str]) -> tuple[str | None, str | None]:
    if nul.search(text):
        return None, "text.nul"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return None, "text.surrogate"
    return text, None
