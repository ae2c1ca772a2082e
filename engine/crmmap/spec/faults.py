"""What is wrong with a mapping, before and after it is known where that stands in the file.

A check yields a `Fault`: a path into the document, a rule and a message. Only
`SourceMap.locate` knows of lines and columns, so no check has to carry them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from crmmap.values import Path, Problem

LONGEST_GUESS = 40
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}\Z")
"""What may be repeated in a message: hardly a secret, and surely one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, both from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault at a path.

    `on_key`: the word itself is meant, not the value that follows it. `spoils`:
    nothing more can be said of the value at this path, so later checks keep
    silent about it. `place` is known only to the reader of the text.
    """

    path: Path
    rule: str
    message: str
    on_key: bool = False
    spoils: bool = True
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class SourceMap:
    """Where each value of a document begins, and each key."""

    values: Mapping[Path, Place]
    keys: Mapping[Path, Place]

    def place(self, path: Path, *, on_key: bool = False) -> Place:
        """Return where `path` stands; what is not there stands where its nearest parent does."""
        if on_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place())

    def locate(self, faults: Iterable[Fault], file: str) -> tuple[Problem, ...]:
        """Return the faults as problems of `file`, in the order of the file."""
        problems = [self._problem(fault, file) for fault in faults]
        return tuple(sorted(problems, key=lambda each: (each.line, each.column, each.message)))

    def _problem(self, fault: Fault, file: str) -> Problem:
        place = fault.place or self.place(fault.path, on_key=fault.on_key)
        return Problem(
            file=file, line=place.line, column=place.column,
            path=fault.path, message=fault.message, rule=fault.rule,
        )  # fmt: skip


def quoted(words: Iterable[str]) -> str:
    """Return the words as a message lists them."""
    return ", ".join(words) or "none"


def shown(what: str, word: str) -> str:
    """Return `the field 'x'`; `a field` where the word is too odd to be one, or to be repeated."""
    return f"the {what} '{word}'" if WORD.match(word) else f"a {what}"


def guess(word: str, allowed: Iterable[str]) -> str:
    """Return ` (did you mean 'fields'?)`, or nothing where no allowed word is near."""
    if len(word) > LONGEST_GUESS:
        return ""
    near = get_close_matches(word, [each for each in allowed if each != word], n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def silenced(fault: Fault, spoilt: Collection[Path]) -> bool:
    """Say whether an earlier fault has already spoken of this place, or of what it stands in."""
    return any(fault.path[:length] in spoilt for length in range(len(fault.path) + 1))


def miscounted(fault: Fault, spoilt: Collection[Path]) -> bool:
    """Say whether the place is in a list of steps behind one that could not be read.

    Such a step is left out when the mapping is built, so that the later ones seem to stand
    one place earlier: what is wrong with them is said once it is mended.
    """
    return any(_behind(fault.path, each) for each in spoilt if each[-2:-1] in STEPS)


STEPS = (("shape",), ("clean",))


def _behind(path: Path, step: Path) -> bool:
    at, first = len(step) - 1, step[-1]
    here = path[at] if len(path) > at and path[:at] == step[:at] else None
    return isinstance(first, int) and isinstance(here, int) and here >= first
