"""Steps of a shape that make records of records: one per item of a list, or with other names.

The table at the foot lists every step; those that find the records are in `tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, ClassVar

from crmmap.declare import Limits, OneOrMany
from crmmap.kinds.naming import Collect, ParseJson, Pivot, Rename, Unwrap
from crmmap.kinds.shaping import (
    Around,
    Make,
    Misfit,
    Put,
    Record,
    Sent,
    Shape,
    Takes,
    Way,
    no_object,
    unsuited,
    way_of,
    without,
)
from crmmap.kinds.tables import Entries, HeaderRow, Union, Wrap, Zip
from crmmap.values import Expression

NAMED = Limits(min_length=1)
LARGEST = 256 * 1024 * 1024
"""Characters that the records made of one page may repeat: a long text, beside a long list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explode:
    """One record for each item of a list in the record, which keeps the record's other fields.

    `{id: 7, phones: [a, b]}`, exploded by `{of: phones, as: phone, index: at}`, gives
    `{id: 7, phone: a, at: 0}` and `{id: 7, phone: b, at: 1}`. A list that `of` names plainly is
    left out of the new records. Of an object, each entry is an item, if `key` is given. A record
    whose list is empty or missing gives none, and is not counted; with `keep_empty` it gives one
    without an item. Lists in lists are exploded by two steps.
    """

    takes: ClassVar[Takes] = "record"

    of: Annotated[Expression, "JMESPath to the list in the record."]
    as_: Annotated[str, "The name under which the item stands in the new record.", NAMED]
    index: Annotated[str | None, "The name under which its place stands, counted from 0."] = None
    key: Annotated[str | None, "Of an object: the name under which the entry's key stands."] = None
    keep_empty: Annotated[bool, "A record without items gives one record nevertheless."] = False

    def maker(self, around: Around) -> Make:
        way = way_of(self.of.text)
        repeated = 0

        def make(record: object) -> Iterator[object]:
            nonlocal repeated
            if not isinstance(record, dict):
                yield no_object(record)
                return
            try:
                keys, items = self._items(record, way)
            except ValueError:
                yield unsuited(record, self.of)
                return
            if not items and not self.keep_empty:
                return
            rest = without(record, way)
            if len(items) > 1:
                repeated += _length(rest) * (len(items) - 1)
                if repeated > LARGEST:
                    message = f"`explode` would repeat more than {LARGEST:,} characters"
                    raise ValueError(message)
            for at, item in enumerate(items):
                yield self._made(rest, item, at, keys[at] if keys else None)
            if not items:
                yield self._made(rest, None, None, None)

        return make

    def _items(self, record: Record, way: Way) -> tuple[Sequence[str], Sequence[object]]:
        found = self.of.find(record)
        if isinstance(found, dict) and self.key is not None:
            return [*found], [*found.values()]
        if found is None:
            return (), ()
        # A plain way leads to the list itself.
        return (), found if way and isinstance(found, list) else self.of.each(record)

    def _made(self, rest: Record, item: object, at: int | None, key: str | None) -> Record:
        made = {**rest, self.as_: item}
        if self.index is not None:
            made[self.index] = at
        if self.key is not None:
            made[self.key] = key
        return made

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        return Sent(values=[self._parent(each, put) for each in records])

    def _parent(self, record: object, put: Put) -> object:
        if not isinstance(record, dict):
            return record
        own = (self.as_, self.index, self.key)
        rest = {name: each for name, each in record.items() if name not in own}
        item = record.get(self.as_)
        key = record.get(self.key) if self.key is not None else None
        if self.key is not None:
            return put(rest, self.of, {str(key): item})
        return put(rest, self.of, [item])


def _length(record: Record) -> int:
    """Return the characters of the texts in a record, and in objects within it."""
    length, pending = 0, [record]
    while pending:
        for each in pending.pop().values():
            if isinstance(each, str):
                length += len(each)
            elif isinstance(each, dict):
                pending.append(each)
    return length


Identity = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Include:
    """Put into each record what it refers to, that the source sends beside the records.

    As JSON:API does: `{from: included, by: [type, id], of: relationships.author.data, as:
    author}` puts the author, found by `type` and `id` in the page's `included`, under `author`.
    Where the record has an id only, name the one word: `{from: users, by: id, of: author_id, as:
    author}`. A list of references gives a list. What is not in the page stays as the reference.
    """

    takes: ClassVar[Takes] = "record"

    from_: Annotated[Expression, "JMESPath to the list, in the whole answer."]
    by: Annotated[
        tuple[str, ...], OneOrMany(), Limits(min_items=1), "What identifies an item of it."
    ]
    of: Annotated[Expression, "JMESPath to the reference, or to a list of them, in the record."]
    as_: Annotated[str, "The name under which the item stands in the record.", NAMED]

    def maker(self, around: Around) -> Make:
        table = self._table(around)
        repeated = 0

        def make(record: object) -> Iterator[object]:
            nonlocal repeated
            if not isinstance(record, dict):
                yield no_object(record)
                return
            try:
                found = self.of.find(record)
                there = (
                    [self._item(each, table) for each in found]
                    if isinstance(found, list)
                    else self._item(found, table)
                )
            except ValueError:
                yield unsuited(record, self.of)
            except LookupError:
                message = f"two items with one identity stand at '{self.from_.text}'"
                yield Misfit(value=record, rule="shape.include", message=message)
            else:
                several = there if isinstance(there, list) else [there]
                repeated += sum(_length(each) for each in several if isinstance(each, dict))
                if repeated > LARGEST:
                    message = f"`include` would repeat more than {LARGEST:,} characters"
                    raise ValueError(message)
                yield {**record, self.as_: there}

        return make

    def _table(self, around: Around) -> Mapping[Identity, list[object]]:
        table: dict[Identity, list[object]] = {}
        # A source that has nothing to include may leave the whole list out.
        items = () if self.from_.find(around.document) is None else self.from_.each(around.document)
        for item in items:
            identity = self._identity(item)
            if identity is not None:
                several = table.setdefault(identity, [])
                if item not in several:
                    several.append(item)
        return table

    def _identity(self, item: object) -> Identity | None:
        if not isinstance(item, dict):
            text = _text(item)
            return (text,) if text is not None and len(self.by) == 1 else None
        texts = [_text(item.get(name)) for name in self.by]
        found = tuple(each for each in texts if each is not None)
        return found if len(found) == len(self.by) else None

    def _item(self, reference: object, table: Mapping[Identity, list[object]]) -> object:
        identity = self._identity(reference)
        several = table.get(identity, []) if identity is not None else []
        if len(several) > 1:
            raise LookupError
        return several[0] if several else reference

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        included: dict[Identity, Record] = {}
        values = [
            self._referring(each, at, included, put) if isinstance(each, dict) else each
            for at, each in enumerate(records)
        ]
        return Sent(values=values, beside={self.from_.text: list(included.values())})

    def _referring(
        self, record: Record, at: int, included: dict[Identity, Record], put: Put
    ) -> object:
        found = record.get(self.as_)
        rest = {name: each for name, each in record.items() if name != self.as_}
        items = found if isinstance(found, list) else [found]
        references = [
            self._kept(each, f"{at}-{place}", included) if isinstance(each, dict) else each
            for place, each in enumerate(items)
        ]
        return put(rest, self.of, references if isinstance(found, list) else references[0])

    def _kept(self, item: Record, name: str, included: dict[Identity, Record]) -> object:
        whole = {**item, **{each: name for each in self.by if _text(item.get(each)) is None}}
        identity = self._identity(whole)
        if identity is not None:
            included.setdefault(identity, whole)
        reference = {each: whole[each] for each in self.by}
        return reference if len(self.by) > 1 else whole[self.by[0]]


def _text(value: object) -> str | None:
    """Return an id as one text, however it is written; None of what is no id."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)


SHAPES: dict[str, type[Shape]] = {
    "entries": Entries,
    "header_row": HeaderRow,
    "zip": Zip,
    "wrap": Wrap,
    "union": Union,
    "explode": Explode,
    "include": Include,
    "rename": Rename,
    "collect": Collect,
    "pivot": Pivot,
    "unwrap": Unwrap,
    "parse_json": ParseJson,
}
