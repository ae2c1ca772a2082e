"""What a mapping says, as one text: the same in every process, and for every later engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from hashlib import sha256
from typing import Any


def digest(value: object, *, length: int) -> str:
    """Return so many hexadecimal digits that tell values from each other by what they say."""
    return sha256(said(value).encode("utf-8", "backslashreplace")).hexdigest()[:length]


def said(value: Any) -> str:
    """Return what a declared value says.

    What is left at its default is not said, so that what is remembered of a mapping outlives
    words that the language gains later. A template or an expression is its text: Python's own
    `repr` of one has sets in it, whose order is another in every process.
    """
    text = getattr(value, "text", None)
    if isinstance(text, str) and is_dataclass(value):
        return f"{type(value).__name__}:{text!r}"
    if is_dataclass(value) and not isinstance(value, type):
        parts = [
            f"{each.name}={said(getattr(value, each.name))}"
            for each in fields(value)
            if getattr(value, each.name) != _default(each)
        ]
        return f"{type(value).__name__}({', '.join(parts)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{said(key)}: {said(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(said, value)) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(map(said, value))) + "}"
    return repr(value)


def _default(field: Field[Any]) -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
