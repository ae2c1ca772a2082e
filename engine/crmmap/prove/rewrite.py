"""A case file's expectations brought up to date: only the words that differ are written anew.

Comments and the way of writing stay wherever nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crmmap.prove.cases import Case
from crmmap.prove.replay import Outcome
from crmmap.prove.yaml_text import block
from crmmap.spec.document import read_document
from crmmap.spec.faults import SourceMap

EXPECTED = ("rows", "rejects", "notes", "duplicate", "filtered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a case gives, and which of its words say otherwise."""

    case: Case
    found: Outcome
    words: tuple[str, ...]


def rewritten(text: str, changes: Sequence[Change]) -> str:
    """Return a case file's text with the changed words of its cases as they were found."""
    places = read_document(text.encode()).places
    lines = text.splitlines()
    starts = [places.place(("cases", at)).line for at in range(_count(places))]
    for change in sorted(changes, key=lambda each: each.case.line, reverse=True):
        at = starts.index(change.case.line)
        end = starts[at + 1] - 1 if at + 1 < len(starts) else len(lines)
        lines = _in_case(lines, places, at, _last(lines, starts[at], end), change)
    return "\n".join(lines) + "\n"


def _count(places: SourceMap) -> int:
    return sum(1 for path in places.values if len(path) == 2)


def _last(lines: Sequence[str], start: int, end: int) -> int:
    """Return the last line of a case, without the blanks and comments before the next."""
    while end > start and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _in_case(lines: list[str], places: SourceMap, at: int, last: int, change: Change) -> list[str]:
    keys = {
        str(path[2]): place for path, place in places.keys.items()
        if len(path) == 3 and path[:2] == ("cases", at)
    }  # fmt: skip
    indent = min((place.column - 1 for place in keys.values()), default=4)
    ends = sorted([*(place.line for place in keys.values()), last + 1])
    cuts = {
        word: (keys[word].line, next(line for line in ends if line > keys[word].line) - 1)
        for word in change.words
        if word in keys
    }
    values = _values(change.found)
    added = [
        line
        for word in change.words
        if word not in keys and values[word] not in ([], 0)
        for line in block({word: values[word]}, indent=indent)
    ]
    lines = [*lines[:last], *added, *lines[last:]]
    for word, (first, end) in sorted(cuts.items(), key=lambda each: -each[1][0]):
        kept = word == "rows" or values[word] not in ([], 0)
        new = list(block({word: values[word]}, indent=indent)) if kept else []
        lines = [*lines[: first - 1], *new, *lines[end:]]
    return lines


def _values(found: Outcome) -> Mapping[str, object]:
    values = {word: getattr(found, word) for word in EXPECTED}
    return {
        word: [dict(each) for each in value] if isinstance(value, tuple) else value
        for word, value in values.items()
    }
