"""Bytes become plain values and a map of where each stands: YAML 1.2's core, and nothing more.

`NO`, `01234`, `12:30:45` and dates stay text; a word that stands twice is a fault.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from crmmap.spec.faults import Fault, Place, SourceMap
from crmmap.spec.nodes import FORBIDDEN, Node, read_nodes
from crmmap.values import Path

LONGEST_KEY = 200
NULLS = frozenset(["", "~", "null", "Null", "NULL"])
FLAGS = {
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True)
class Document:
    """A mapping's text, read: plain values, where each stands, and what was wrong on the way."""

    value: object
    places: SourceMap
    faults: tuple[Fault, ...]


def read_document(text: bytes) -> Document:
    """Read one YAML document. Raises Unreadable where its values can't even be guessed at."""
    reader = _Values()
    value = reader.value(read_nodes(text), ())
    places = SourceMap(reader.places, reader.keys)
    return Document(value=value, places=places, faults=tuple(reader.faults))


@dataclass(slots=True)
class _Values:
    """Turns nodes into plain values, noting where each stands and every fault that can wait."""

    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def value(self, node: Node, path: Path) -> object:
        self.places[path] = node.place
        if node.tagged:
            self._note(path, "yaml.tag", "tags ('!', '!!') are not part of the mapping language")
        if node.items is not None:
            return [self.value(item, (*path, index)) for index, item in enumerate(node.items)]
        if node.pairs is not None:
            return self._object(node.pairs, path)
        return self._scalar(node, path)

    def _object(self, pairs: tuple[tuple[Node, Node], ...], path: Path) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if message := _bad_key(key):
                self._note(
                    path, "yaml.key", message, place=key.place, spoils=key.text in (None, "<<")
                )
                continue
            inner = (*path, key.text or "")
            if inner in self.keys:
                lines = f"in line {self.keys[inner].line} and in line {key.place.line}"
                message = f"stands twice: {lines}. Keep one of them"
                self._note(inner, "yaml.duplicate", message, place=key.place, spoils=False)
                continue
            self.keys[inner] = key.place
            found[key.text or ""] = self.value(value, inner)
        return found

    def _scalar(self, node: Node, path: Path) -> object:
        text = node.text or ""
        value = _resolved(text) if node.plain else text
        if isinstance(value, str) and (found := FORBIDDEN.search(value)):
            message = f"holds the control character U+{ord(found[0]):04X}. Remove it"
            self._note(path, "yaml.character", message)
            return ""
        if isinstance(value, str) and node.plain and _endless(text):
            message = f"is a number of more than {LONGEST_NUMBER} digits. Put quotes around it"
            self._note(path, "yaml.number", message)
        return value

    def _note(
        self,
        path: Path,
        rule: str,
        message: str,
        *,
        place: Place | None = None,
        spoils: bool = True,
    ) -> None:
        fault = Fault(path=path, rule=rule, message=message, place=place, spoils=spoils)
        self.faults.append(fault)


def _bad_key(key: Node) -> str | None:
    """Return what is wrong with a key, if anything is."""
    if key.text is None:
        return "a word is wanted before ':'. A template must stand in quotes: \"{{ … }}\""
    if key.plain and key.text == "<<":
        return "merge keys ('<<') are not part of the mapping language. Write the words out"
    if key.tagged:
        return "tags ('!', '!!') are not part of the mapping language"
    if key.plain and not isinstance(_resolved(key.text), str):
        return "a word before ':' must be text. Put quotes around it"
    if len(key.text) > LONGEST_KEY or FORBIDDEN.search(key.text) or "\n" in key.text:
        return f"a word before ':' must be one line of at most {LONGEST_KEY} characters"
    return None


def _endless(text: str) -> bool:
    return len(text) > LONGEST_NUMBER and INTEGER.match(text) is not None


def _resolved(text: str) -> object:
    """Return what a plain scalar means in YAML's core schema; text where it means nothing else."""
    if text in NULLS:
        return None
    if text in FLAGS:
        return FLAGS[text]
    if len(text) <= LONGEST_NUMBER and INTEGER.match(text):
        return int(text)
    if len(text) <= 2 * LONGEST_NUMBER and DECIMAL.match(text) and not INTEGER.match(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
