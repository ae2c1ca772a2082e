"""Steps of a shape that change the names in a record, or what stands under one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Annotated, ClassVar, Literal

import polars as pl
from polars.exceptions import PolarsError

from crmmap.declare import Limits, OneOrMany, Words
from crmmap.kinds.clean import CLEAN, Clean
from crmmap.kinds.shaping import (
    PATH,
    Around,
    Make,
    Misfit,
    Put,
    Record,
    Sent,
    Takes,
    changed,
    no_object,
    unsuited,
)
from crmmap.values import Expression, as_json

NAMED = Limits(min_length=1)
Change = Callable[[Record], Record]
KEPT_NAMES = 10_000
"""Names that are remembered with what a pattern makes of them; most pages have the same ones."""

Within = Annotated[
    str | None, "The object whose names are meant, like `properties`; else the record.",
    Limits(pattern=PATH),
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """Change names in the record by a pattern: `{match: "^cf_", to: "custom_"}`.

    What the pattern matches in a name is replaced, once; `$1` in `to` is its first group, and
    names that don't match stay. `{match: "hs_v2_date_(.+)", to: "date_${1}"}` makes `date_won` of
    `hs_v2_date_won`. A record in which two names become the same is rejected.
    """

    takes: ClassVar[Takes] = "record"

    match: Annotated[str, "A regular expression."]
    to: Annotated[str, "What stands in its place."]
    in_: Within = None

    def maker(self, around: Around) -> Make:
        return _changing(lambda record: changed(record, self.in_, self._renamed))

    def _renamed(self, record: Record) -> Record:
        found = {renamed(self.match, self.to, name): each for name, each in record.items()}
        if len(found) < len(record):
            message = "two names in the record become the same"
            raise ValueError(message)
        return found

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        return _each(records, lambda record: changed(record, self.in_, self._original))

    def _original(self, record: Record) -> Record:
        return {original(self.match, self.to, name): each for name, each in record.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """Gather all fields whose names match a pattern: `{match: "^cf_", into: custom}`.

    They become one object, or with `as: list` the list of `{name: …, value: …}`, and leave the
    record. `to` changes their names as `rename` does.
    """

    takes: ClassVar[Takes] = "record"

    match: Annotated[str, "A regular expression that is found somewhere in the name."]
    into: Annotated[str, "The name under which they stand then.", NAMED]
    to: Annotated[str | None, "What stands in the place of what the pattern matches."] = None
    as_: Annotated[Literal["object", "list"], "What becomes of them."] = "object"
    in_: Within = None

    def maker(self, around: Around) -> Make:
        return _changing(lambda record: changed(record, self.in_, self._collected))

    def _collected(self, record: Record) -> Record:
        matching = {name: each for name, each in record.items() if matches(self.match, name)}
        rest = {name: each for name, each in record.items() if name not in matching}
        found = {self._name(name): each for name, each in matching.items()}
        if len(found) < len(matching) or self.into in rest:
            message = "two names in the record become the same"
            raise ValueError(message)
        if self.as_ == "list":
            listed = [{"name": name, "value": each} for name, each in found.items()]
            return {**rest, self.into: listed}
        return {**rest, self.into: found}

    def _name(self, name: str) -> str:
        return name if self.to is None else renamed(self.match, self.to, name)

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        return _each(records, lambda record: changed(record, self.in_, self._spread))

    def _spread(self, record: Record) -> Record:
        found = record.get(self.into)
        rest = {name: each for name, each in record.items() if name != self.into}
        pairs = found if isinstance(found, list) else []
        named = {
            str(each.get("name")): each.get("value") for each in pairs if isinstance(each, dict)
        }
        for name, each in (found if isinstance(found, dict) else named).items():
            sent = name if self.to is None else original(self.match, self.to, name)
            # What the pattern does not match would not be collected, and may be another field.
            if matches(self.match, sent):
                rest.setdefault(sent, each)
        return rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Pivot:
    """A list of names and values becomes one object: `[{title: Size, value: 3}]` → `{Size: 3}`.

    `clean` makes the names fit to be written in expressions: `[lower, {replace: {find:
    "[^a-z0-9]+", with: _, regex: true}}]`.
    """

    takes: ClassVar[Takes] = "record"

    of: Annotated[Expression, "JMESPath to the list in the record."]
    name: Annotated[Expression, "JMESPath to the name, in an item."]
    value: Annotated[Expression, "JMESPath to the value, in an item."]
    as_: Annotated[str, "The name under which the object stands in the record.", NAMED]
    clean: Annotated[
        tuple[Clean, ...], Words("clean", CLEAN, as_list=True), "Steps that tidy the names."
    ] = ()
    twice: Annotated[
        Literal["reject", "first", "last"],
        "Where a name is there twice: reject the record, or take the first or the last value.",
    ] = "reject"

    def maker(self, around: Around) -> Make:
        known: dict[str, str | None] = {}

        def make(record: object) -> Iterator[object]:
            if not isinstance(record, dict):
                yield no_object(record)
                return
            try:
                found = None if self.of.find(record) is None else self._object(record, known)
            except LookupError as error:
                yield Misfit(value=record, rule="shape.names", message=str(error))
            except ValueError:
                yield unsuited(record, self.of)
            else:
                yield {**record, self.as_: found}

        return make

    def _object(self, record: Record, known: dict[str, str | None]) -> Record:
        found: Record = {}
        for item in self.of.each(record):
            name = self._named(item, known)
            if name in found and self.twice == "reject":
                message = f"a name stands twice in the list at '{self.of.text}'"
                raise LookupError(message)
            if name not in found or self.twice == "last":
                found[name] = self.value.find(item)
        return found

    def _named(self, item: object, known: dict[str, str | None]) -> str:
        name = self.name.find(item)
        if isinstance(name, str) and name not in known:
            known[name] = cleaned(self.clean, name)
        tidy = known[name] if isinstance(name, str) else None
        if not tidy:
            message = f"an item of the list at '{self.of.text}' has no name"
            raise LookupError(message)
        return tidy

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        def paired(record: Record) -> object:
            found = record.get(self.as_)
            rest = {name: each for name, each in record.items() if name != self.as_}
            if not isinstance(found, dict):
                return rest
            pairs = [
                put(put({}, self.name, name), self.value, each) for name, each in found.items()
            ]
            return put(rest, self.of, pairs)

        values = [paired(each) if isinstance(each, dict) else each for each in records]
        return Sent(values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwrap:
    """Take values out of the objects that hold them: `{fax: {raw: "1-2", normal: "12"}}`.

    With `{value: normal}` that gives `{fax: "12"}`. What is no object, or has nothing under such
    a name, stays as it is: some sources send now one and now the other. `as` keeps the objects
    where they are, for what else they hold, and puts the values under a name of their own.
    """

    takes: ClassVar[Takes] = "record"

    value: Annotated[
        tuple[str, ...], OneOrMany(), Limits(min_items=1),
        "The name of the value in such an object; of several, the first under which there is one.",
    ]  # fmt: skip
    in_: Within = None
    as_: Annotated[str | None, "The name under which they stand then.", NAMED] = None
    first: Annotated[bool, "Of a list, take the first item; an empty one is null."] = False

    def maker(self, around: Around) -> Make:
        return _changing(self._changed, "shape.type")

    def _changed(self, record: Record) -> Record:
        if self.as_ is None:
            return changed(record, self.in_, self._unwrapped)
        found: object = record
        for name in self.in_.split(".") if self.in_ else ():
            found = found.get(name) if isinstance(found, dict) else found
        if found is None:
            return record
        if not isinstance(found, dict):
            message = f"what stands at '{self.in_}' is not an object"
            raise ValueError(message)
        return {**record, self.as_: self._unwrapped(found)}

    def _unwrapped(self, record: Record) -> Record:
        return {name: self._plain(each) for name, each in record.items()}

    def _plain(self, value: object) -> object:
        if self.first and isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict) or not any(name in value for name in self.value):
            return value
        return next((each for name in self.value if (each := value.get(name)) is not None), None)

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        return _each(records, self._wrapped)

    def _wrapped(self, record: Record) -> Record:
        if self.as_ is None:
            return changed(record, self.in_, lambda found: self._around(found, {}))
        found = record.get(self.as_)
        rest = {name: each for name, each in record.items() if name != self.as_}
        if not isinstance(found, dict):
            return rest
        return within(rest, self.in_, lambda there: {**there, **self._around(found, there)})

    def _around(self, values: Record, there: Record) -> Record:
        return {name: self._object(each, there.get(name)) for name, each in values.items()}

    def _object(self, value: object, there: object) -> object:
        """Return the value as the source sends it: plain, unless that would be read otherwise."""
        if isinstance(there, dict):
            return {**there, self.value[0]: value}
        return value if self._plain(value) == value else {self.value[0]: value}


def within(record: Record, way: str | None, change: Change) -> Record:
    """Return the record with the object at the way changed; where there is none, an empty one."""
    if not way:
        return change(record)
    first, _, rest = way.partition(".")
    inner = record.get(first)
    return {**record, first: within(inner if isinstance(inner, dict) else {}, rest, change)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseJson:
    """Read texts that hold JSON as what they hold: `{extra: "[1, 2]"}` gives `{extra: [1, 2]}`.

    An object, a list or null stays as it is, as some sources send now one and now the other; an
    empty text is null.
    """

    takes: ClassVar[Takes] = "record"

    of: Annotated[
        tuple[Annotated[str, Limits(pattern=PATH)], ...], OneOrMany(), Limits(min_items=1),
        "Where the texts stand: names, with dots between those of objects in objects.",
    ]  # fmt: skip
    otherwise: Annotated[
        Literal["reject", "keep"], "A text that is no JSON: reject the record, or keep the text."
    ] = "reject"

    def maker(self, around: Around) -> Make:
        return _changing(partial(self._changed, partial(self._read, around)), "shape.json")

    def _changed(self, change: Callable[[str, Record], Record], record: Record) -> Record:
        for way in self.of:
            outer, _, last = way.rpartition(".")
            record = changed(record, outer, partial(change, last))
        return record

    def _read(self, around: Around, name: str, record: Record) -> Record:
        text = record.get(name)
        if not isinstance(text, str):
            return record
        try:
            return {**record, name: around.read(text) if text.strip() else None}
        except ValueError:
            if self.otherwise == "keep":
                return record
            message = f"the text at '{name}' is not JSON"
            raise ValueError(message) from None

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        return _each(records, partial(self._changed, _written))


def _written(name: str, record: Record) -> Record:
    return record if record.get(name) is None else {**record, name: as_json(record[name])}


def _changing(change: Change, rule: str = "shape.names") -> Make:
    """Return what makes the changed record of a record, or a misfit where `change` refuses it."""

    def make(record: object) -> Iterator[object]:
        if not isinstance(record, dict):
            yield no_object(record)
            return
        try:
            yield change(record)
        except ValueError as error:
            yield Misfit(value=record, rule=rule, message=str(error))

    return make


def _each(records: Sequence[object], change: Change) -> Sent:
    def sent(record: object) -> object:
        try:
            return change(record) if isinstance(record, dict) else record
        except ValueError:
            return record

    return Sent(values=[sent(each) for each in records])


# --- patterns over names -------------------------------------------------------------------------


@lru_cache(maxsize=KEPT_NAMES)
def renamed(match: str, to: str, name: str) -> str:
    """Return a name with what the pattern first matches replaced."""
    try:
        return str(pl.Series([name]).str.replace(match, to)[0])
    except (PolarsError, ValueError):
        return name  # not a text that polars holds: a lone surrogate


@lru_cache(maxsize=KEPT_NAMES)
def matches(match: str, name: str) -> bool:
    """Say whether the pattern is found in a name."""
    try:
        return bool(pl.Series([name]).str.contains(match)[0])
    except (PolarsError, ValueError):
        return False


def cleaned(steps: tuple[Clean, ...], name: str) -> str | None:
    """Return a name as the cleaning steps leave it."""
    text = reduce(lambda each, step: step.apply(each), steps, pl.col("name"))
    try:
        found = pl.DataFrame({"name": [name]}).select(text).to_series()[0]
    except (PolarsError, ValueError):
        return None
    return None if found is None else str(found)


def original(match: str, to: str, name: str) -> str:
    """Return a name of which `renamed` makes this one: as far as one can be thought of."""
    return next(
        (each for each in _origins(match, to, name) if renamed(match, to, each) == name), name
    )


def _filled(match: str, groups: list[str]) -> str:
    """Return a pattern's text with its groups replaced, and what is escaped in it as it is."""

    def fill(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        return groups.pop(0) if found[0][0] == "(" and groups else ""

    return GROUP.sub(fill, match)


GROUP = re.compile(r"\\([^\w\s])|\((?!\?)[^()]*\)|[\^$]")
REFERENCE = re.compile(r"\$\{?(\d)\}?")


def _origins(match: str, to: str, name: str) -> Iterator[str]:
    """Yield names in which the pattern, its groups filled with what `to` has of them, stands."""
    parts = REFERENCE.split(to)
    form = "".join("(.+)" if at % 2 else re.escape(each) for at, each in enumerate(parts))
    anchored = f"^{form}" if match.startswith("^") else form
    for found in re.finditer(anchored, name):
        filled = _filled(match, list(found.groups()))
        yield name[: found.start()] + filled + name[found.end() :]
    yield name
