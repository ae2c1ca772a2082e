"""Values written as YAML, as a person would: for case files, by hand to be read and changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from crmmap.spec.document import read_document
from crmmap.spec.nodes import Unreadable

WIDTH = 96
PLAIN = re.compile(r"[A-Za-z_/(][^\s:#,?\[\]{}\"'`]*(?: [^\s:#,?\[\]{}\"'`]+)*\Z")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def survives(value: object) -> bool:
    """Say whether a value, written and read again, is what it was."""
    try:
        document = read_document("\n".join(block({"value": value})).encode())
    except (Unreadable, UnicodeError, RecursionError):
        return False
    return not document.faults and _same(document.value, {"value": value})


def _same(one: object, other: object) -> bool:
    # True is 1, and 1.0 is 1, to Python; not to a source.
    return repr(one) == repr(other)


def block(value: Mapping[str, object], *, indent: int = 0) -> Iterator[str]:
    """Yield the lines of an object, its words in their order."""
    room = " " * indent
    for word, each in value.items():
        short = f"{room}{_key(word)}: {_flow(each)}"
        if (len(short) <= WIDTH and not _deep(each)) or each in ({}, []):
            yield short
        elif isinstance(each, Mapping):
            yield f"{room}{_key(word)}:"
            yield from block(each, indent=indent + 2)
        elif isinstance(each, list | tuple):
            yield f"{room}{_key(word)}:"
            yield from _items(each, indent + 2)
        else:
            yield short


def _deep(value: object) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)


def _items(items: Sequence[object], indent: int) -> Iterator[str]:
    for item in items:
        short = f"{' ' * indent}- {_flow(item)}"
        if isinstance(item, Mapping) and item and len(short) > WIDTH:
            first, *rest = block(item, indent=indent + 2)
            yield f"{' ' * indent}- {first.lstrip()}"
            yield from rest
        else:
            yield short


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)}: {_flow(each)}" for k, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _text(value) if isinstance(value, str) else _scalar(value)


def _scalar(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value)


def _key(word: str) -> str:
    return word if WORD.match(word) and _stays_text(word) else _quoted(word)


def _text(text: str) -> str:
    return text if PLAIN.match(text) and _stays_text(text) else _quoted(text)


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    # Line ends of Unicode's own, which YAML would take for its.
    return re.sub("[\x7f-\x9f\u2028\u2029\ufeff]", lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _stays_text(text: str) -> bool:
    return text.lower() not in ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
