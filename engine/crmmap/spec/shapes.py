"""What the annotations of the declaring dataclasses mean, as plain values.

The schema, the construction of a mapping and its checks all walk these shapes;
none of them looks at a type hint. See `crmmap.declare` for what may be declared.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from crmmap.declare import Kind, Limits, OneOrMany, Rendered, Shorthand, Words, hints, word
from crmmap.template import Template
from crmmap.values import Expression, Secret

Form = Literal["text", "setting", "secret", "sealed", "template", "expression"]
"""What becomes of a text: itself; a template over settings; a secret one; one that may also
name no secret; a template; an expression in the stream's language."""

NO_LIMITS = Limits()

NULL = "null"
"""A word that may be chosen, and that YAML without quotes reads as nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextShape:
    """A text, and what becomes of it."""

    form: Form = "text"
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberShape:
    """A number, whole or not."""

    whole: bool
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagShape:
    """True or false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceShape:
    """One of a few words."""

    values: tuple[str | int, ...]
    member: type[Enum] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeShape:
    """Any JSON; texts in it may be templates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListShape:
    """A list; with `single`, one item may stand without brackets."""

    item: Shape
    single: bool
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class MapShape:
    """An object whose words are the author's own."""

    key: TextShape
    value: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectShape:
    """A declared dataclass; with `shorthand`, a bare text stands for that attribute alone.

    So does a bare number for the attribute `number`.
    """

    made: type
    shorthand: str | None = None
    number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindShape:
    """A choice told apart by its word `kind`."""

    family: str
    table: Mapping[str, type]


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsShape:
    """Steps or checks, each told apart by its one word."""

    family: str
    table: Mapping[str, type]
    as_list: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EitherShape:
    """One of a few words, or an object."""

    words: ChoiceShape
    other: ObjectShape


Shape = (
    TextShape | NumberShape | FlagShape | ChoiceShape | FreeShape | ListShape | MapShape
    | ObjectShape | KindShape | WordsShape | EitherShape
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of a declaring dataclass. `word` is its name in YAML."""

    name: str
    word: str
    shape: Shape
    description: str
    required: bool
    default: object = None


@cache
def attributes(made: type) -> tuple[Attribute, ...]:
    """Return a declaring dataclass's attributes, in order. Raises TypeError on an unknown shape."""
    annotations = hints(made)
    return tuple(_attribute(each, annotations[each.name]) for each in dataclasses.fields(made))


def _attribute(declared: dataclasses.Field[Any], hint: object) -> Attribute:
    markers = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    default = declared.default
    if declared.default_factory is not dataclasses.MISSING:
        default = declared.default_factory()
    required = default is dataclasses.MISSING
    return Attribute(
        name=declared.name,
        word=word(declared.name),
        shape=shape_of(hint),
        description=" ".join(each for each in markers if isinstance(each, str)),
        required=required,
        default=None if required else default,
    )


def shape_of(hint: object) -> Shape:
    """Return what an annotation declares. Raises TypeError where it declares nothing known."""
    markers: tuple[object, ...] = ()
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        markers = (*more, *markers)
    for marker in markers:
        if isinstance(marker, Kind):
            return KindShape(family=marker.family, table=marker.table)
        if isinstance(marker, Words):
            return WordsShape(family=marker.family, table=marker.table, as_list=marker.as_list)
    if get_origin(hint) in (Union, types.UnionType):
        return _union(hint, markers)
    return _simple(hint, markers)


def _union(hint: object, markers: tuple[object, ...]) -> Shape:
    """Read `X | None` (None only says that it may be left out) and `Literal | dataclass`."""
    options = [each for each in get_args(hint) if each is not type(None)]
    if len(options) == 1:
        return shape_of(Annotated[(options[0], *markers)] if markers else options[0])
    first, second = (shape_of(option) for option in options)
    if isinstance(first, ChoiceShape) and isinstance(second, ObjectShape):
        return EitherShape(words=first, other=second)
    message = f"a union that can't be declared: {hint}"
    raise TypeError(message)


FORMS: dict[object, Form] = {Template: "template", Expression: "expression", Secret: "secret"}


def _simple(hint: object, markers: tuple[object, ...]) -> Shape:  # noqa: PLR0911  (a flat table)
    limits = next((each for each in markers if isinstance(each, Limits)), NO_LIMITS)
    if hint is object:
        return FreeShape()
    if hint is bool:
        return FlagShape()
    if hint in (int, float):
        return NumberShape(whole=hint is int, limits=limits)
    if hint is str:
        rendered = any(isinstance(each, Rendered) for each in markers)
        return TextShape(form="setting" if rendered else "text", limits=limits)
    if get_origin(hint) is not None:
        return _container(hint, markers, limits)
    if hint in FORMS:
        constant = any(isinstance(each, Rendered) and each.constant for each in markers)
        return TextShape(form="sealed" if constant else FORMS[hint], limits=limits)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ChoiceShape(values=tuple(each.value for each in hint), member=hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        short = next((each for each in markers if isinstance(each, Shorthand)), None)
        if short is None:
            return ObjectShape(made=hint)
        return ObjectShape(made=hint, shorthand=short.attribute, number=short.number)
    message = f"an annotation that can't be declared: {hint}"
    raise TypeError(message)


def _container(hint: object, markers: tuple[object, ...], limits: Limits) -> Shape:
    arguments = get_args(hint)
    if get_origin(hint) is Literal:
        return ChoiceShape(values=arguments)
    if get_origin(hint) is tuple:
        single = any(isinstance(each, OneOrMany) for each in markers)
        return ListShape(item=shape_of(arguments[0]), single=single, limits=limits)
    key = shape_of(arguments[0])
    if get_origin(hint) is Mapping and isinstance(key, TextShape):
        return MapShape(key=key, value=shape_of(arguments[1]))
    message = f"an annotation that can't be declared: {hint}"
    raise TypeError(message)


def bare(made: type) -> bool:
    """Say whether a kind's word may stand alone: all of its attributes have defaults."""
    return not any(each.required for each in attributes(made))


def positional(made: type) -> tuple[Attribute, ...]:
    """Return the attributes that `decimal(14,2)` fills: the whole numbers that come first."""
    numbers = []
    for each in attributes(made):
        if not (isinstance(each.shape, NumberShape) and each.shape.whole):
            break
        numbers.append(each)
    return tuple(numbers)


def only(made: type) -> Attribute | None:
    """Return a step's one attribute, which its value fills; None if it has several or none."""
    found = attributes(made)
    return found[0] if len(found) == 1 else None
