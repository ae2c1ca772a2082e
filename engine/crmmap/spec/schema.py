"""The JSON Schema (2020-12) of the mapping language, printed from the declaring dataclasses.

Kinds are told apart by `if kind = x then …` and never by `oneOf`, so that an
error names the missing word and an editor offers the words of that kind only.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Any

from crmmap.declare import Limits
from crmmap.spec.model import Mapping
from crmmap.spec.shapes import (
    NULL,
    Attribute,
    ChoiceShape,
    EitherShape,
    FlagShape,
    FreeShape,
    KindShape,
    ListShape,
    MapShape,
    NumberShape,
    ObjectShape,
    Shape,
    TextShape,
    WordsShape,
    attributes,
    bare,
    only,
    positional,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def mapping_schema() -> Schema:
    """Return the schema of a whole mapping."""
    printer = _Printer()
    top = printer.object_schema(Mapping)
    definitions = dict(sorted(printer.definitions.items()))
    return {"$schema": DIALECT, "title": "A crmmap mapping", **top, "$defs": definitions}


@dataclass(slots=True)
class _Printer:
    """Collects each family and each dataclass once, under `$defs`."""

    definitions: dict[str, Schema] = field(default_factory=dict)

    def schema(self, shape: Shape) -> Schema:  # noqa: PLR0911  (one line per shape)
        match shape:
            case TextShape():
                return {"type": "string", **_text_limits(shape.limits)}
            case NumberShape():
                return {"type": "integer" if shape.whole else "number", **_bounds(shape.limits)}
            case FlagShape():
                return {"type": "boolean"}
            case ChoiceShape():
                # YAML reads a bare `null` as nothing; where it is a word, both are meant alike.
                nothing = [None] if NULL in shape.values else []
                return {"enum": [*shape.values, *nothing]}
            case FreeShape():
                return {}
            case ListShape():
                return self._list(shape)
            case MapShape():
                return self._map(shape)
            case ObjectShape():
                return self._object(shape)
            case EitherShape():
                other = self.schema(shape.other)
                return _text_or(self.schema(shape.words), other)
            case KindShape():
                return self._reference(shape.family, lambda: self._kind(shape))
            case WordsShape():
                name = shape.family if shape.as_list else f"{shape.family}s"
                return self._reference(name, lambda: self._words(shape))

    def object_schema(self, made: type) -> Schema:
        own = {each.word: self._attribute(each) for each in attributes(made)}
        return self._properties(made, own)

    def _properties(self, made: type, properties: Schema, *required: str) -> Schema:
        needed = [*required, *(each.word for each in attributes(made) if each.required)]
        return {
            **_described(made),
            "type": "object",
            "properties": properties,
            **({"required": needed} if needed else {}),
            "additionalProperties": False,
        }

    def _attribute(self, attribute: Attribute) -> Schema:
        schema = self.schema(attribute.shape)
        if attribute.description:
            schema = {"description": attribute.description, **schema}
        shown = plain_default(attribute)
        return schema if shown is None else {**schema, "default": shown}

    def _reference(self, name: str, make: Any) -> Schema:
        if name not in self.definitions:
            self.definitions[name] = {}  # declared first: a family may contain itself
            self.definitions[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def _list(self, shape: ListShape) -> Schema:
        item = self.schema(shape.item)
        least = shape.limits.min_items
        many: Schema = {"type": "array", "items": item}
        if least is not None:
            many["minItems"] = least
        return {"if": {"type": "array"}, "then": many, "else": item} if shape.single else many

    def _map(self, shape: MapShape) -> Schema:
        names = _text_limits(shape.key.limits)
        return {
            "type": "object",
            **({"propertyNames": names} if names else {}),
            "additionalProperties": self.schema(shape.value),
        }

    def _object(self, shape: ObjectShape) -> Schema:
        reference = self._reference(shape.made.__name__, lambda: self.object_schema(shape.made))
        if shape.shorthand is None:
            return reference
        own = {each.name: self.schema(each.shape) for each in attributes(shape.made)}
        whole = _text_or(own[shape.shorthand], reference)
        if shape.number is None:
            return whole
        return {"if": {"type": "number"}, "then": own[shape.number], "else": whole}

    def _kind(self, shape: KindShape) -> Schema:
        choices = []
        for token, made in shape.table.items():
            name = f"{shape.family}.{token}"
            reference = self._reference(name, lambda token=token, made=made: self._one(token, made))
            choices.append(
                {"if": {"properties": {"kind": {"const": token}}, "required": ["kind"]},
                 "then": reference}
            )  # fmt: skip
        whole = {
            "type": "object",
            "properties": {"kind": {"enum": list(shape.table)}},
            "required": ["kind"],
            "allOf": choices,
        }
        return _text_or(_bare_words(shape), whole)

    def _one(self, token: str, made: type) -> Schema:
        own = {each.word: self._attribute(each) for each in attributes(made)}
        return self._properties(made, {"kind": {"const": token}, **own}, "kind")

    def _words(self, shape: WordsShape) -> Schema:
        steps = {token: self._step(made) for token, made in shape.table.items()}
        whole: Schema = {"type": "object", "properties": steps, "additionalProperties": False}
        if not shape.as_list:
            return {**whole, "minProperties": 1}
        one = {**whole, "minProperties": 1, "maxProperties": 1}
        alone = [token for token, made in shape.table.items() if bare(made)]
        words = {"title": shape.family, "enum": alone}
        return {"type": "array", "items": _text_or(words, one)}

    def _step(self, made: type) -> Schema:
        if not attributes(made):
            return {"const": True, **_described(made)}
        single = only(made)
        if single is None:
            return self.object_schema(made)
        return {**_described(made), **self.schema(single.shape)}


def _text_or(text: Schema, other: Schema) -> Schema:
    return {"if": {"type": "string"}, "then": text, "else": other}


def _bare_words(shape: KindShape) -> Schema:
    """Return the schema of a kind written as a text. The title lets a message find the family."""
    words: list[Schema] = [{"enum": [t for t, made in shape.table.items() if bare(made)]}]
    for token, made in shape.table.items():
        if pattern := arguments_pattern(token, made):
            words.append({"pattern": pattern})
    return {"title": shape.family, "anyOf": words}


def arguments_pattern(token: str, made: type) -> str | None:
    """Return the pattern of a kind with its whole numbers in brackets; None if it takes none."""
    most = len(positional(made))
    if not most:
        return None
    return rf"^{token}\( *[0-9]{{1,9}} *(, *[0-9]{{1,9}} *){{0,{most - 1}}}\)$"


def _text_limits(limits: Limits) -> Schema:
    schema: Schema = {}
    if limits.pattern is not None:
        schema["pattern"] = limits.pattern
    if limits.min_length is not None:
        schema["minLength"] = limits.min_length
    return schema


def _bounds(limits: Limits) -> Schema:
    schema: Schema = {}
    if limits.minimum is not None:
        schema["minimum"] = limits.minimum
    if limits.maximum is not None:
        schema["maximum"] = limits.maximum
    return schema


def _described(made: type) -> Schema:
    """Return the docstring as a description; dataclass invents one where there is none."""
    told = inspect.getdoc(made)
    return {"description": told} if told and not told.startswith(f"{made.__name__}(") else {}


def plain_default(attribute: Attribute) -> object:
    """Return a default as YAML would write it; None where there is none to show."""
    value, shape = attribute.default, attribute.shape
    match shape:
        case WordsShape() if shape.as_list and isinstance(value, tuple):
            return [_token(shape.table, each) for each in value]
        case KindShape() if value is not None and bare(type(value)) and value == type(value)():
            return _token(shape.table, value)
        case TextShape() | NumberShape() | FlagShape() | ChoiceShape() | EitherShape():
            return value if isinstance(value, str | int | float) else None
        case ListShape() if isinstance(value, tuple):
            plain = all(isinstance(each, str | int | float) for each in value)
            return list(value) if plain and value else None
    return None


def _token(table: MappingOf[str, type], value: object) -> str:
    return next(token for token, made in table.items() if made is type(value))
