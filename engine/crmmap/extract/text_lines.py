"""Lines of text, taken from a file one by one, none of them longer than memory should hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from crmmap.extract.text_files import Bytes

LONGEST = 16 * 1024 * 1024
"""Bytes that a line may have."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line with its end. `number` counts from 1; `end` is the offset after it.

    Of one that is too long, `text` is the beginning, and `whole` is false.
    """

    number: int
    text: bytes
    end: int
    whole: bool = True


def lines_of(file: Bytes, *, first: int, start: int) -> Iterator[Line]:
    """Yield the lines of a file that stands at the offset `start`, where line `first` begins."""
    number, end = first, start
    while text := file.readline(LONGEST + 1):
        end += len(text)
        whole = len(text) <= LONGEST
        while not whole and not text.endswith(b"\n") and (more := file.readline(LONGEST)):
            end += len(more)
            if more.endswith(b"\n"):
                break
        shown = text if whole else text[:1024]
        yield Line(
            number=number, text=shown.removeprefix(BOM) if number == 1 else shown, end=end,
            whole=whole,
        )  # fmt: skip
        number += 1
