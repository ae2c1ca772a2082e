"""How a dataclass declares a piece of the mapping language.

A mapping's schema, its defaults, its reference page and its values all come
from the same frozen dataclasses. An attribute is declared as

    size: Annotated[int, "Records asked for per page.", Limits(minimum=1)] = 100

where the string is the description. Attributes without a default are required.
An attribute called `from_` is the word `from` in YAML.

Shapes that an attribute may have: `str`, `int`, `float`, `bool`, `Literal`,
an enum of text, another declared dataclass, `tuple[X, ...]` (a list),
`Mapping[str, X]`, `X | None`, `Template`, `Secret`, `Expression`, and the
three made here: `Kind`, `Words` and `Json`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

from crmmap.values import Secret


@dataclass(frozen=True, slots=True)
class Limits:
    """What JSON Schema can say of a value beside its type."""

    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    min_length: int | None = None
    min_items: int | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A choice told apart by its word `kind`: `{kind: token, param: after}`.

    The bare word stands for the kind with all its defaults (`phone`), and
    `decimal(14,2)` fills its attributes in order.
    """

    family: str
    table: Mapping[str, type]


@dataclass(frozen=True, slots=True)
class Words:
    """A choice told apart by its single key: `trim`, or `{null_if: [n/a]}`.

    The value fills the one attribute of the dataclass, or all by name if there
    are several. As the marker of a `tuple` it makes a list of steps (clean); of
    another type, an object whose keys are the words (check), read as a tuple too.
    """

    family: str
    table: Mapping[str, type]
    as_list: bool


@dataclass(frozen=True, slots=True)
class OneOrMany:
    """A list of which a single item may stand without brackets."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template over the settings alone, rendered when the plan is made.

    Of a secret: with `constant`, it may also be a text that names none.
    """

    constant: bool = False


@dataclass(frozen=True, slots=True)
class Shorthand:
    """Of a dataclass: a bare text stands for the object with this attribute.

    A bare number stands for the object with the attribute `number`, where one is named.
    """

    attribute: str
    number: str | None = None


SettingText = Annotated[str, Rendered()]
"""Text that may name settings: `{{ settings.region }}`. Never a secret one."""

SecretText = Annotated[Secret, Rendered()]
"""Text that may name secret settings; wrapped from the moment it is read."""

SealedText = Annotated[Secret, Rendered(constant=True)]
"""Like `SecretText`, and may also be a text without any setting: part of it, or all, is secret."""

Json = object
"""Any JSON value; texts in it may be templates."""


def word(attribute: str) -> str:
    """Return an attribute's name as the YAML writes it."""
    return attribute.rstrip("_")


@cache
def hints(made: type) -> dict[str, Any]:
    """Return the annotations of a declaring dataclass's attributes, by name."""
    return get_type_hints(made, include_extras=True)


def inside(value: object, *, whole: tuple[type, ...] = ()) -> Iterator[object]:
    """Yield what stands in a declared value, however deep; what is `whole` is not looked into."""
    if isinstance(value, whole):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from inside(getattr(value, part.name), whole=whole)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from inside(each, whole=whole)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from inside(each, whole=whole)
    else:
        yield value
