"""Plain values become the frozen dataclasses of the model.

Construction never stops: what the schema has refused, or what can't be
converted, leaves its default or an empty stand-in, so that the rest can still
be checked and every fault is reported at once. A mapping with faults is never
handed out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from crmmap.kinds.responses import ResponseRule
from crmmap.spec import model
from crmmap.spec.faults import Fault
from crmmap.spec.languages import JMESPATH, Language, language_written
from crmmap.spec.shapes import (
    NULL,
    Attribute,
    ChoiceShape,
    EitherShape,
    FlagShape,
    Form,
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
    only,
    positional,
)
from crmmap.template import Template
from crmmap.values import Path, Secret

FUNCTIONS: Mapping[type, tuple[str, ...]] = {model.RequestSpec: ("selected", "graphql")}
"""What templates may call inside of an object."""

LONGEST_TEMPLATE = 8192
LARGEST_CONSTANT = 10_000_000
MOST_TEMPLATES = 1000
"""Compiling a template takes about a millisecond; a stranger's file must not take minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A text that may name settings, and what kind of text it is."""

    path: Path
    form: Form
    template: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The mapping as far as it could be made, every templated text in it, and the faults."""

    mapping: model.Mapping
    uses: tuple[Use, ...]
    faults: tuple[Fault, ...]


def build_mapping(document: object, spoilt: Collection[Path]) -> Built:
    """Build the mapping from plain values. `spoilt` are the paths that the schema refused."""
    builder = _Builder(spoilt=spoilt, whole=document)
    made = builder.make(ObjectShape(made=model.Mapping), document, ())
    mapping = _settled(cast("model.Mapping", made))
    return Built(mapping=mapping, uses=tuple(builder.uses), faults=tuple(builder.faults))


def _settled(mapping: model.Mapping) -> model.Mapping:
    """Return the mapping with what `defaults` say of lookups written into each of them."""
    usual = mapping.defaults.lookup if mapping.defaults is not None else model.Lookups()
    streams = {
        name: replace(
            stream, fields={name: _looked_up(each, usual) for name, each in stream.fields.items()}
        )
        for name, stream in mapping.streams.items()
    }
    return replace(mapping, streams=streams)


def _looked_up(field: model.Field, usual: model.Lookups) -> model.Field:
    if field is None or field.lookup is None:  # None: it could not be made, and is reported
        return field
    missing = field.lookup.missing or usual.missing
    none = usual.none if field.lookup.none is None else field.lookup.none
    constraint = field.lookup.constraint
    if constraint is None and usual.constraint:
        constraint = True
    wait_for = field.lookup.wait_for or (usual.wait_for if missing == "wait" else None)
    lookup = replace(
        field.lookup, missing=missing, none=none, wait_for=wait_for, constraint=constraint
    )
    return replace(field, lookup=lookup)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Builder:
    spoilt: Collection[Path]
    whole: object = None
    """The mapping as it is written: a stream's expressions are in the language of its source."""
    functions: tuple[str, ...] = ()
    language: Language = JMESPATH
    uses: list[Use] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def make(self, shape: Shape, value: object, path: Path) -> object:  # noqa: PLR0911, PLR0912
        """Return what `value` means; values come here only after the schema has accepted them."""
        if path in self.spoilt:
            return self.stand_in(shape, path)
        match shape, value:
            case TextShape(), str():
                return self._text(shape, value, path)
            case NumberShape(), int() | float():
                return int(value) if shape.whole else value
            case ChoiceShape(), None:
                return NULL
            case ChoiceShape(), _:
                return shape.member(value) if shape.member else value
            case (FlagShape(), _) | (EitherShape(), str()):
                return value
            case FreeShape(), _:
                self._leaves(value, path)
                return value
            case EitherShape(), _:
                return self.make(shape.other, value, path)
            case ListShape(), _:
                return self._list(shape, value, path)
            case MapShape(), dict():
                make = self.make
                return {key: make(shape.value, it, (*path, key)) for key, it in value.items()}
            case ObjectShape(), str() if shape.shorthand:
                return self._short(shape, shape.shorthand, value, path)
            case ObjectShape(), int() | float() if shape.number:
                return self._short(shape, shape.number, value, path)
            case ObjectShape(), dict():
                return self._object(shape.made, value, path)
            case KindShape(), str() | dict():
                return self._kind(shape, value, path)
            case WordsShape(), list() | dict():
                return self._words(shape, value, path)
        return self.stand_in(shape, path)

    def stand_in(self, shape: Shape, path: Path) -> object:
        """Return something empty of this shape, for the later checks to walk over."""
        match shape:
            case TextShape(form="text" | "setting"):
                return ""
            case ListShape() | WordsShape():
                return ()
            case MapShape():
                return {}
            case ObjectShape():
                return self._object(shape.made, {}, path)
        return None

    def _object(self, made: type, value: Mapping[str, object], path: Path) -> object:
        inner = replace(self, functions=FUNCTIONS.get(made, self.functions))
        if made is model.Stream:
            inner = replace(inner, language=language_written(value, self.whole))
        elif made is ResponseRule and path[0] != "streams":  # of a source: it has its own format
            named = {"source": path[1]} if path[0] == "sources" else {}
            inner = replace(inner, language=language_written(named, self.whole))
        elif made is model.FieldsFrom:  # whose endpoint answers in JSON, whatever the stream's does
            inner = replace(inner, language=JMESPATH)
        known = len(self.faults)
        parts = {each.name: inner._part(each, value, path) for each in attributes(made)}
        spoilt = any((*path, each.word) in self.spoilt for each in attributes(made))
        return self._construct(made, parts, path, whole=not spoilt and len(self.faults) == known)

    def _construct(
        self, made: type, parts: Mapping[str, object], path: Path, *, whole: bool
    ) -> object:
        """Call the class, which may refuse what no schema can. Stand-ins prove nothing."""
        refusals = (ValueError,) if whole else (ValueError, TypeError, AttributeError)
        try:
            return made(**parts)
        except refusals as error:
            if whole:
                self._note(path, "value", str(error))
            return None

    def _part(self, attribute: Attribute, value: Mapping[str, object], path: Path) -> object:
        place = (*path, attribute.word)
        if attribute.word in value and place not in self.spoilt:
            made = self.make(attribute.shape, value[attribute.word], place)
            # No shape but JSON means anything by None: this one could not be made.
            return attribute.default if made is None else made
        return self.stand_in(attribute.shape, place) if attribute.required else attribute.default

    def _short(self, shape: ObjectShape, short: str, value: object, path: Path) -> object:
        name = next(each.word for each in attributes(shape.made) if each.name == short)
        return self._object(shape.made, {name: value}, path)

    def _list(self, shape: ListShape, value: object, path: Path) -> tuple[object, ...]:
        if not isinstance(value, list):
            return (self.make(shape.item, value, path),)
        return tuple(self.make(shape.item, each, (*path, at)) for at, each in enumerate(value))

    def _kind(self, shape: KindShape, value: str | dict[str, object], path: Path) -> object:
        if isinstance(value, dict):
            made = shape.table.get(str(value.get("kind")))
            return self._object(made, value, path) if made else None
        token = value.partition("(")[0]
        made = shape.table[token]
        numbers = [int(digits) for digits in re.findall("[0-9]+", value[len(token) :])]
        given = list(zip(positional(made), numbers, strict=False))
        for attribute, number in given:
            self._bounded(attribute, number, path)
        return self._object(made, {attribute.word: number for attribute, number in given}, path)

    def _bounded(self, attribute: Attribute, number: int, path: Path) -> None:
        limits = cast("NumberShape", attribute.shape).limits
        least, most = limits.minimum, limits.maximum
        if least is not None and number < least:
            message = f"{attribute.word} is too small. It must be at least {least:g}"
            self._note(path, "minimum", message)
        if most is not None and number > most:
            message = f"{attribute.word} is too large. It must be at most {most:g}"
            self._note(path, "maximum", message)

    def _words(
        self, shape: WordsShape, value: list[object] | dict[str, object], path: Path
    ) -> tuple[object, ...]:
        if isinstance(value, dict):
            steps = [(path, token, each) for token, each in value.items()]
        else:
            steps = list(self._steps(value, path))
        made = (self._step(shape.table.get(token), each, (*at, token)) for at, token, each in steps)
        return tuple(step for step in made if step is not None)

    def _steps(self, value: list[object], path: Path) -> Iterator[tuple[Path, str, object]]:
        """Yield place, word and value of a list's steps; a bare word has an empty value."""
        for at, each in enumerate(value):
            place = (*path, at)
            if place in self.spoilt:
                continue
            if isinstance(each, str):
                yield place, each, {}
            elif isinstance(each, dict) and each:
                token, inner = next(iter(each.items()))
                yield place, token, inner

    def _step(self, made: type | None, value: object, path: Path) -> object:
        if made is None or path in self.spoilt:
            return None
        single = only(made)
        if single is None:
            return self._object(made, value if isinstance(value, dict) else {}, path)
        if value == {} and not single.required:
            return made()
        known = len(self.faults)
        parts = {single.name: self.make(single.shape, value, path)}
        return self._construct(made, parts, path, whole=len(self.faults) == known)

    def _text(self, shape: TextShape, text: str, path: Path) -> object:
        # `$` of Python's patterns, which the schema check uses, lets a last line end pass.
        if shape.limits.pattern and not re.fullmatch(shape.limits.pattern, text):
            self._note(path, "pattern", "must not end in a line break")
        match shape.form:
            case "text":
                return text
            case "setting":
                self._template(text, path, shape.form)
                return text
            case "secret" | "sealed":
                self._template(text, path, shape.form)
                return Secret(text)
            case "template":
                return self._template(text, path, shape.form)
            case "expression":
                return self._expression(text, path)

    def _template(self, text: str, path: Path, form: Form) -> Template:
        nothing = Template.parse("")
        if "{" in text and (message := self._too_much(text)):
            self._note(path, "template.size", message)
            return nothing
        try:
            template = Template.parse(text, functions=self.functions)
        except RecursionError:
            self._note(path, "template", "is nested too deeply for a template")
            return nothing
        except ValueError as error:
            self._note(path, "template", str(error))
            return nothing
        self.uses.append(Use(path=path, form=form, template=template))
        return template

    def _too_much(self, text: str) -> str | None:
        if len(text) > LONGEST_TEMPLATE:
            return f"is too long for a template. At most {LONGEST_TEMPLATE} characters are allowed"
        # Both filters multiply, and jinja2 computes constants while it compiles: ten of them
        # in a row would fill the memory of any machine.
        steps = len(re.findall("replace|join", text))
        if steps and (len(text) / steps) ** steps > LARGEST_CONSTANT:
            return "uses `replace` and `join` too often for its length. Write a simpler template"
        if len(self.uses) > MOST_TEMPLATES:
            return f"is one template too many. At most {MOST_TEMPLATES} are allowed"
        return None

    def _leaves(self, value: object, path: Path) -> None:
        if isinstance(value, str):
            self._template(value, path, "template")
        elif isinstance(value, list):
            for at, each in enumerate(value):
                self._leaves(each, (*path, at))
        elif isinstance(value, dict):
            for key, each in value.items():
                self._leaves(each, (*path, key))

    def _expression(self, text: str, path: Path) -> object:
        try:
            return self.language.answer(text)
        except ValueError as error:
            self._note(path, "expression", str(error))
            return None

    def _note(self, path: Path, rule: str, message: str) -> None:
        self.faults.append(Fault(path=path, rule=rule, message=message))
