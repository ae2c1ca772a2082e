"""What a mapping says, as one text: the same in every process, and for every later engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from hashlib import scrypt, sha256
from typing import Any

from crmmap.plan.rendering import Settings, shown
from crmmap.spec.expectations import Expect
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Setting, Stream
from crmmap.values import Secret

SETTING = re.compile(r"(?:(?<=\bsettings\.)|(?<=\bsettings\[['\"])|(?<=:setting_))\w+")
"""Where the name of a setting stands in what a mapping says."""
STREAM = re.compile(r"(?:(?<=\bstream=')|(?<=\binstead_of=')|(?<=\bpages_of='))\w+")
"""Where the name of a stream does."""


def fingerprint(
    mapping: MappingSpec, settings: Settings, stream: Stream, *, account: str, asked: object
) -> str:
    """Return a digest of what a position in the stream depends on; `asked` is what its fields read.

    `account` is what `account_of` says of the settings.
    """
    source, values = mapping.source_of(stream), _values(mapping, settings)
    # What is demanded of the records changes none of them.
    known = replace(stream, was=(), archive=None, max_rejects=None, expect=Expect())
    defaults = replace(mapping.defaults, max_rejects=None)
    return _digest(mapping, (source, known, defaults, values, account, asked), length=32)


def cursor_digest(mapping: MappingSpec, settings: Settings, stream: Stream) -> str:
    """Return a digest of what a cursor depends on.

    Unlike a position it outlives a change of token, as tokens are renewed, and of fields: rows
    that were read before get a new column's values by `--full`.
    """
    asked = (stream.table.name, stream.incremental, stream.request, stream.changes)
    read = (asked, stream.for_each, stream.file, stream.query, _values(mapping, settings))
    return _digest(mapping, read, length=16)


def account_of(settings: Settings) -> str:
    """Return what tells one account's secrets from another's, and nothing else about them.

    A position is worth nothing with another account's key. Made slowly and cut to
    32 bits, so that no secret can be found by trying, even from the stored fingerprint.
    """
    hidden = [each.reveal() for each in settings.values() if isinstance(each, Secret)]
    said = "\0".join(hidden).encode()
    return scrypt(said, salt=b"crmmap account", n=2**12, r=8, p=1, dklen=4).hex() if said else ""


def _digest(mapping: MappingSpec, value: object, *, length: int) -> str:
    """Return so many hexadecimal digits that tell values from each other by what they say."""
    text = _under_first_names(mapping, said(value))
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:length]


def _values(mapping: MappingSpec, settings: Settings) -> list[tuple[str, str]]:
    """Return the settings that are not secret, by the names that they had first."""
    names = _first_names(mapping.settings)
    return sorted((names.get(name, name), value) for name, value in shown(settings).items())


def _under_first_names(mapping: MappingSpec, text: str) -> str:
    """Return what a mapping says with the names that its settings and streams had first."""
    settings, streams = _first_names(mapping.settings), _first_names(mapping.streams)
    if settings:
        text = SETTING.sub(lambda name: settings.get(name[0], name[0]), text)
    if streams:
        text = STREAM.sub(lambda name: streams.get(name[0], name[0]), text)
    return text


def _first_names(things: Mapping[str, Setting] | Mapping[str, Stream]) -> dict[str, str]:
    return {name: each.was[-1] for name, each in things.items() if each.was}


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
