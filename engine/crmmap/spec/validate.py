"""The document against the schema, in our own words.

jsonschema's messages quote the value, which may be a pasted secret; ours are
made from the rule and the path. A word is quoted only where it is one that the
author chose from a list, and never where a secret could stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from crmmap.kinds.limits import PERCENT
from crmmap.spec.faults import WORD, Fault, guess, quoted
from crmmap.spec.fits import holds
from crmmap.spec.model import Mapping
from crmmap.spec.partitions import NAME
from crmmap.spec.schema import mapping_schema
from crmmap.values import Path

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

PATTERNS = {
    NAME: "must be a name: a letter or '_', then letters, digits or '_', 63 at most",
    "^.$": "must be one character",
    PERCENT: "is no share. Write a number and a percent sign: 5%, 0.5%",
}

KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false (yes, no, on and off are text)",
    "array": "a list",
    "object": "an object",
}


@cache
def _validator() -> Draft202012Validator:
    return validator_of(mapping_schema())


def validator_of(schema: dict[str, Any]) -> Draft202012Validator:
    """Return a validator that fetches nothing, whatever its schema refers to."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    return Draft202012Validator(schema, registry=Registry())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken:
    """One rule that a value broke. `steps` are the schema's way there, references left out."""

    path: Path
    rule: str
    limit: Any
    value: Any
    schema: dict[str, Any]
    steps: tuple[str | int, ...]


def schema_faults(document: object) -> list[Fault]:
    """Return everything that the schema says against a document of plain values, each once."""
    if holds(document, Mapping):
        return []
    found = {}
    for error in _validator().iter_errors(document):
        for fault in _faults(_broken(error)):
            found[fault.path, fault.rule, fault.message] = fault
    return list(found.values())


def _broken(error: ValidationError) -> _Broken:
    return _Broken(
        path=tuple(error.absolute_path),
        rule=str(error.validator),
        limit=error.validator_value,
        value=error.instance,
        schema=cast("dict[str, Any]", error.schema),
        steps=tuple(step for step in error.absolute_schema_path if step != "$ref"),
    )


def _faults(broken: _Broken) -> Iterator[Fault]:
    if broken.rule == "additionalProperties":
        yield from _unknown(broken)
    elif broken.rule == "required":
        yield from _missing(broken)
    elif "propertyNames" in broken.steps:
        path = (*broken.path, str(broken.value))
        message = PATTERNS.get(broken.limit, "is not a name that can stand here")
        yield Fault(path=path, rule="name", message=message, on_key=True)
    else:
        yield Fault(path=broken.path, rule=broken.rule, message=_message(broken))


def _unknown(broken: _Broken) -> Iterator[Fault]:
    allowed = list(broken.schema["properties"])
    for key in broken.value:
        if key not in allowed:
            # A long or odd key may be a value that slipped to the left of its ':'.
            shown = f"'{key}' is" if WORD.match(key) else "this is"
            near = guess(key, allowed)
            # A word that is nearly right needs no list of the others, which may be long.
            text = (
                f"{shown} not a word that can stand here{near or f'. Allowed: {quoted(allowed)}'}"
            )
            inner = (*broken.path, key)
            yield Fault(path=inner, rule="unknown", message=text, on_key=True)


def _missing(broken: _Broken) -> Iterator[Fault]:
    for needed in broken.limit:
        if needed not in broken.value:
            told = broken.schema["properties"][needed].get("description", "")
            words = broken.schema["properties"][needed].get("enum", ())
            about = f" Its meaning: {told}" if told else f" Allowed: {quoted(words)}"
            yield Fault(path=(*broken.path, needed), rule="required", message=f"is missing.{about}")


def _message(broken: _Broken) -> str:  # noqa: PLR0911  (one per rule)
    limit = broken.limit
    match broken.rule:
        case "type":
            return _type(broken)
        case "enum":
            return _choice(broken)
        case "anyOf":
            return _kind(broken)
        case "pattern":
            return PATTERNS.get(limit, f"must match {limit}")
        case "minimum":
            return f"is too small. It must be at least {limit:g}"
        case "maximum":
            return f"is too large. It must be at most {limit:g}"
        case "minLength":
            return f"is too short. It needs at least {limit} character(s)"
        case "minItems" | "minProperties":
            return f"is too short. It needs at least {limit} item(s)"
        case "maxProperties":
            return "holds several steps. Give each its own item of the list"
        case "const":
            return "takes no value. Write `true`"
    return "is not what can stand here"


def _type(broken: _Broken) -> str:
    wanted = KINDS[broken.limit]
    if broken.steps[-2:-1] == ("else",):
        wanted += " or a list" if broken.limit == "string" else " or text"
    got = _got(broken.value)
    return f"is {got}. Wanted: {wanted}{_advice(broken)}"


def _advice(broken: _Broken) -> str:
    scalar = isinstance(broken.value, bool | int | float)
    if broken.limit == "string" and scalar:
        return ", so put quotes around it"
    if broken.limit == "array" and not isinstance(broken.value, dict):
        return ": put [ ] around it"
    if broken.limit in ("integer", "number") and isinstance(broken.value, str):
        return " in digits only, without quotes"
    return ""


def _got(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


def _shown(value: object, path: Path, near: str) -> str:
    """Return a short offending word in quotes; `this` where it might be a secret.

    What resembles an allowed word is none.
    """
    secret = not near and ("auth" in path or "default" in path or path[:1] == ("settings",))
    if isinstance(value, str) and not secret and WORD.match(value):
        return f"'{value}'"
    return "this"


def _version(broken: _Broken) -> str:
    known = quoted(str(each) for each in broken.limit)
    if isinstance(broken.value, int | float) and not isinstance(broken.value, bool):
        return f"version {broken.value:g} of the language is not known. Known: {known}"
    return f"is {_got(broken.value)}. Write the version of the language: `crmmap: {known}`"


def _choice(broken: _Broken) -> str:
    if broken.path == ("crmmap",):
        return _version(broken)
    allowed = [str(each) for each in broken.limit if each is not None]
    family = broken.schema.get("title")
    if family is not None:
        steps = _definition(family)["items"]["else"]["properties"]
        if broken.value in steps:
            return f"'{broken.value}' needs a value. Write `{{{broken.value}: …}}`"
        allowed = list(steps)
    if not isinstance(broken.value, str):
        return f"is {_got(broken.value)} that can't stand here. Allowed: {quoted(allowed)}"
    near = guess(broken.value, allowed)
    shown = _shown(broken.value, broken.path, near)
    return f"{shown} is not a word that can stand here{near}. Allowed: {quoted(allowed)}"


def _kind(broken: _Broken) -> str:
    """Explain a kind that was written as a text: `bearer` where it has words of its own."""
    family = broken.schema["title"]
    words = _definition(family)["else"]["properties"]["kind"]["enum"]
    token, bracket, _ = broken.value.partition("(")
    if token in words:
        if bracket:
            return f"'{token}(…)' takes whole numbers. Or write `{{kind: {token}, …}}`"
        needed = _definition(f"{family}.{token}")["required"][1:]
        inside = ", ".join(f"{word}: …" for word in needed)
        return f"'{token}' can't stand alone. Write `{{kind: {token}, {inside}}}`"
    near = guess(token, words)
    shown = _shown(token, broken.path, near)
    return f"{shown} is not a kind of {family}{near}. Allowed: {quoted(words)}"


def _definition(name: str) -> dict[str, Any]:
    schema = cast("dict[str, dict[str, Any]]", _validator().schema)
    return cast("dict[str, Any]", schema["$defs"][name])
