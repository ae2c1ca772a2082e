"""What every step of a `shape` offers, and what steps have in common.

A step takes one value that the source sent and makes records of it, or makes one record into
others. What does not fit it becomes a `Misfit` that keeps the value: nothing vanishes.

`pretend` is the same step from the other side: what a source would send, of which the step
makes these records. The mock is built on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from crmmap.values import Expression

Record = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a step may look at beside its value: the page's document, and how texts are read.

    `read` gives a JSON text's value and raises ValueError. `doubtful` says whether an object
    with the same key twice stands anywhere in a value; copying such an object would hide it.
    """

    document: object
    read: Callable[[str], object]
    doubtful: Callable[[object], bool] = lambda _: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A value of which a step makes nothing, with the rule that it breaks."""

    value: object
    rule: str
    message: str


Make = Callable[[object], Iterable[object]]
"""Makes records, and misfits, of one value."""

Put = Callable[[object, Expression, object], object]
"""Returns the document, with the value where the expression finds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a source would send: the values, and by expression what stands in the page beside."""

    values: Sequence[object]
    beside: Mapping[str, object] = field(default_factory=dict)


Takes = Literal["record", "object", "whole"]
"""What a step takes: a record; an object that holds records, or each of a list of such; or,
whatever it is, the one value that `records` finds."""


class Shape(Protocol):
    """What every step of a shape offers."""

    @property
    def takes(self) -> Takes: ...

    def maker(self, around: Around) -> Make:
        """Return what makes records of a value of this page."""
        ...

    def pretend(self, records: Sequence[object], put: Put) -> Sent:
        """Return what a source would send for these records to be made of it."""
        ...


Way = tuple[str, ...]
"""Names that lead through objects."""

PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
"""A way through objects, by names with dots between."""
WITHIN = f"^@$|{PATH}"
"""Such a way, or the object itself."""


def no_object(value: object) -> Misfit:
    """Return the misfit that every step makes of what should be an object and is none."""
    return Misfit(value=value, rule="json.record", message="the record is not an object")


def doubled(value: object) -> Misfit:
    """Return the misfit made of an object that has a key twice."""
    message = "an object in the record has the same key twice"
    return Misfit(value=value, rule="json.duplicate_key", message=message)


def unsuited(value: object, expression: Expression) -> Misfit:
    """Return the misfit made of a value whose types an expression doesn't suit."""
    message = f"'{expression.text}' does not suit the types in the record"
    return Misfit(value=value, rule="shape.type", message=message)


def way_of(text: str) -> Way:
    """Return the names that an expression is no more than (`a.b`); none, if it is more."""
    return tuple(text.split(".")) if re.fullmatch(PATH, text) else ()


def without(record: Record, way: Way) -> Record:
    """Return the record without what stands at the way."""
    if not way:
        return record
    first, *others = way
    rest = {**record}
    if not others:
        rest.pop(first, None)
    elif isinstance(inner := record.get(first), dict):
        rest[first] = without(inner, tuple(others))
    return rest


def changed(record: Record, way: str | None, change: Callable[[Record], Record]) -> Record:
    """Return the record with the object at the way changed, where there is one.

    Raises ValueError where something else stands there, or as `change` does.
    """
    if not way:
        return change(record)
    first, _, rest = way.partition(".")
    inner = record.get(first)
    if inner is None:
        return record
    if not isinstance(inner, dict):
        message = f"what stands at '{way}' is not an object"
        raise ValueError(message)
    return {**record, first: changed(inner, rest, change)}
