"""What a decoded JSON document may hold that plain Python values can't say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from crmmap.values import Records, Refusal


class Ambiguous(dict[str, object]):
    """An object that had a key twice: readers disagree on which one counts.

    Looking up a key gives the last one. `items` gives every pair as it was sent,
    so that a reject's raw record shows what was wrong with it.
    """

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, object]]) -> None:
        self._pairs = tuple(pairs)
        super().__init__(self._pairs)

    def items(self) -> tuple[tuple[str, object], ...]:  # type: ignore[override]
        return self._pairs


class NotANumber:
    """A number that no column can hold: NaN, an infinity, or one of absurd size.

    `text` is how the source wrote it, with all its digits. It is no dataclass, lest msgspec
    write it as an object.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NotANumber) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"NotANumber({self.text!r})"


@dataclass(frozen=True, slots=True)
class Unsuited:
    """One of several records, from which the expression could not make what it makes of others."""

    record: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The records of an answer, with their places, and what can't be read as one.

    `mended` counts what had to be mended before the answer could be read at all.
    """

    records: Records = ()
    lines: Sequence[int] | pl.Series = ()
    refused: tuple[Refusal, ...] = ()
    mended: int = 0

    @property
    def count(self) -> int:
        return len(self.records) + len(self.refused)


@dataclass(frozen=True, slots=True)
class Document:
    """A decoded answer. Without `has_ambiguous`, no search for an `Ambiguous` is needed."""

    value: object
    has_ambiguous: bool = False
    found: Found | None = None
    """Its records, where they are found as the answer is decoded."""


def ambiguous(document: object) -> bool:
    """Say whether an `Ambiguous` stands anywhere in the value, without recursion."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Ambiguous):
            return True
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False
