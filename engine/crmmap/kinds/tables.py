"""Steps of a shape that find the records where they stand hidden: in maps, tables and lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar
from zlib import crc32

from crmmap.declare import Limits
from crmmap.kinds.shaping import Around, Make, Misfit, Put, Sent, Takes, doubled, no_object
from crmmap.values import Expression, as_json

NAMED = Limits(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Records that are the entries of an object: `{"7": {…}, "9": {…}}`.

    Each entry's key is put into its record under a name, in the place of what may stand there.
    With `value`, the entry's value is put under a name too, and may be anything: of
    `{"EUR": 1.08}`, `{key: currency, value: rate}` makes `{currency: EUR, rate: 1.08}`.
    `records` finds the object, or a list of such.
    """

    takes: ClassVar[Takes] = "object"

    key: Annotated[str, "The name under which the key stands in the record.", NAMED]
    value: Annotated[
        str | None, "The name under which the value stands; else it is the record."
    ] = None

    def maker(self, around: Around) -> Make:
        def make(found: object) -> Iterator[object]:
            if not isinstance(found, dict):
                yield no_object(found)
                return
            for key, each in found.items():
                if self.value is not None:
                    yield {self.key: key, self.value: each}
                elif not isinstance(each, dict):
                    yield no_object(each)
                else:
                    yield doubled(each) if around.doubtful(each) else {**each, self.key: key}

        return make

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        found: dict[str, object] = {}
        for at, record in enumerate(records):
            if not isinstance(record, dict):
                found[f"#{at}"] = record
                continue
            key = record.get(self.key)
            name = key if isinstance(key, str) and key not in found else f"#{at}"
            rest = {each: value for each, value in record.items() if each != self.key}
            found[name] = rest if self.value is None else record.get(self.value)
        return Sent(values=[found])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRow:
    """Rows of cells, the first of which names the columns: `[["id", "name"], ["7", "Ann"]]`.

    `records` finds the list of rows. A row may have fewer cells than there are names; with more
    it is rejected, if there is anything in them. A column without a name is left out. Names
    that are there twice reject every row. The rows above the names are not records.
    """

    takes: ClassVar[Takes] = "whole"

    row: Annotated[int, "Which row has the names, counted from 0.", Limits(minimum=0)] = 0

    def maker(self, around: Around) -> Make:
        def make(found: object) -> Iterator[object]:
            if not isinstance(found, list):
                message = "what `records` finds is no list of rows"
                yield Misfit(value=found, rule="shape.rows", message=message)
            elif len(found) > self.row:
                names = _names(found[self.row])
                for row in found[self.row + 1 :]:
                    yield _named(names, row, row, exact=False)
            elif found:
                yield Misfit(value=found, rule="shape.names", message="no row has the names")

        return make

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        names = _every_name(records)
        above: list[object] = [[] for _ in range(self.row)]
        return Sent(values=[[*above, names, *(_cells(names, each) for each in records)]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Zip:
    """Rows of cells, whose columns are named elsewhere: `{columns: [{name: id}], rows: [["7"]]}`.

    The expressions are asked of the object that `records` finds, or of each object of a list.
    Each row must have as many cells as there are names. Where `rows` may be missing, say so:
    "rows || `[]`".
    """

    takes: ClassVar[Takes] = "object"

    names: Annotated[Expression, "JMESPath to the list of names, like `columns[].name`."]
    rows: Annotated[Expression, "JMESPath to the list of rows."]
    cells: Annotated[
        Expression | None, "JMESPath to the list of cells within a row; else the row is the list."
    ] = None

    def maker(self, around: Around) -> Make:
        def make(found: object) -> Iterator[object]:
            try:
                names, rows = _names(self.names.find(found)), self.rows.each(found)
            except ValueError as error:
                yield Misfit(value=found, rule="shape.rows", message=str(error))
                return
            for row in rows:
                yield self._record(names, row)

        return make

    def _record(self, names: Names, row: object) -> object:
        try:
            cells = row if self.cells is None else self.cells.find(row)
        except ValueError as error:
            return Misfit(value=row, rule="shape.cells", message=str(error))
        return _named(names, cells, row, exact=True)

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        names = _every_name(records)
        rows = [_cells(names, each) for each in records]
        if self.cells is not None:
            rows = [self._sent(row, put) if isinstance(row, list) else row for row in rows]
        return Sent(values=[put(put({}, self.names, names), self.rows, rows)])

    def _sent(self, cells: list[object], put: Put) -> object:
        assert self.cells is not None  # noqa: S101  (its caller saw to it)
        # Most expressions leave a null out, so that a source must have another word for nothing.
        return put({}, self.cells, ["" if each is None else each for each in cells])


Names = list[str | None] | Misfit


def _names(found: object) -> Names:
    """Return the columns' names, None for a column without one, or what is wrong with them."""
    if not isinstance(found, list):
        return Misfit(value=None, rule="shape.names", message="the columns' names are no list")
    names = [None if each is None or each == "" else each for each in found]
    if any(isinstance(each, dict | list | bool) for each in names):
        return Misfit(value=None, rule="shape.names", message="a column's name is no text")
    texts = [None if each is None else str(each) for each in names]
    given = [each for each in texts if each is not None]
    if len(set(given)) < len(given):
        return Misfit(value=None, rule="shape.names", message="two columns have the same name")
    return texts


def _named(names: Names, cells: object, row: object, *, exact: bool) -> object:
    if isinstance(names, Misfit):
        return Misfit(value=row, rule=names.rule, message=names.message)
    if not isinstance(cells, list):
        return Misfit(value=row, rule="shape.cells", message="the row is no list of cells")
    more = any(each not in (None, "") for each in cells[len(names) :])
    if more or (exact and len(cells) != len(names)):
        message = "the row does not have as many cells as there are columns"
        return Misfit(value=row, rule="shape.cells", message=message)
    return {name: each for name, each in zip(names, cells, strict=False) if name is not None}


def _every_name(records: Sequence[object]) -> list[str]:
    return list(dict.fromkeys(name for each in records if isinstance(each, dict) for name in each))


def _cells(names: Sequence[str], record: object) -> object:
    return [record.get(name) for name in names] if isinstance(record, dict) else record


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrap:
    """Values that are no objects: `["a", "b"]` gives the records `{value: a}` and `{value: b}`."""

    takes: ClassVar[Takes] = "record"

    name: Annotated[str, "The name under which the value stands in the record.", NAMED] = "value"

    def maker(self, around: Around) -> Make:
        return lambda found: ({self.name: found},)

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        return Sent(
            values=[each.get(self.name) if isinstance(each, dict) else each for each in records]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Union:
    """Several lists of one kind of record: `{open: […], closed: […]}`, each tagged with its name.

    The expressions are asked of the object that `records` finds, or of each object of a list.
    A list may be missing, but not all of them.
    """

    takes: ClassVar[Takes] = "object"

    of: Annotated[
        Mapping[str, Expression], "Tag → JMESPath to a list of records.",
    ]  # fmt: skip
    as_: Annotated[str | None, "The name under which the tag stands in the record."] = None

    def maker(self, around: Around) -> Make:
        def make(found: object) -> Iterator[object]:
            try:
                lists = {tag: self._list(each, found) for tag, each in self.of.items()}
            except ValueError as error:
                yield Misfit(value=found, rule="shape.lists", message=str(error))
                return
            if all(each is None for each in lists.values()):
                message = "none of the lists of `union` is there"
                yield Misfit(value=found, rule="shape.lists", message=message)
            for tag, items in lists.items():
                for each in items or ():
                    yield self._tagged(tag, each, around)

        return make

    def _list(self, expression: Expression, found: object) -> list[object] | None:
        return None if expression.find(found) is None else expression.each(found)

    def _tagged(self, tag: str, item: object, around: Around) -> object:
        if self.as_ is None:
            return item
        if not isinstance(item, dict):
            return no_object(item)
        return doubled(item) if around.doubtful(item) else {**item, self.as_: tag}

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        lists: dict[str, list[object]] = {tag: [] for tag in self.of}
        for record in records:
            bare = record
            if isinstance(record, dict):
                bare = {name: each for name, each in record.items() if name != self.as_}
            lists[self._tag(record, bare)].append(bare)
        document: object = {}
        for tag, expression in self.of.items():
            document = put(document, expression, lists[tag])
        return Sent(values=[document])

    def _tag(self, record: object, bare: object) -> str:
        """Return the tag that a record has, or one that depends on what else is in it alone."""
        tag = record.get(self.as_) if isinstance(record, dict) and self.as_ else None
        if isinstance(tag, str) and tag in self.of:
            return tag
        return list(self.of)[crc32(as_json(bare).encode()) % len(self.of)]
