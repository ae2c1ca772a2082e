"""How a date or a time is written: a format's words, and what they mean to polars.

The words are those of Python's `strptime`. Each has a pattern of its own,
because polars alone is too kind: it takes a space before a number, year 24
for `%Y`, second 60, and forgets a zone's name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import polars as pl

ZONE = "(?:Z|[+-](?:0[0-9]|1[0-9]|2[0-3])(?::?[0-5][0-9])?)"

WORDS: dict[str, tuple[str, str]] = {
    "%Y": ("%Y", "[0-9]{4}"),
    "%y": ("%y", "[0-9]{2}"),
    "%m": ("%m", "[0-9]{1,2}"),
    "%b": ("%b", "[A-Za-z]{3}"),
    "%B": ("%B", "[A-Za-z]{3,9}"),
    "%d": ("%d", "[0-9]{1,2}"),
    "%j": ("%j", "[0-9]{1,3}"),
    "%a": ("%a", "[A-Za-z]{3}"),
    "%A": ("%A", "[A-Za-z]{3,9}"),
    "%%": ("%%", "%"),
}
"""A format's word → polars' word for it, and the text that it stands for."""

TIME_WORDS: dict[str, tuple[str, str]] = {
    "%H": ("%H", "[0-9]{1,2}"),
    "%I": ("%I", "[0-9]{1,2}"),
    "%M": ("%M", "[0-9]{1,2}"),
    "%S": ("%S", "[0-5]?[0-9]"),
    "%p": ("%p", "[AaPp][Mm]"),
    ".%f": ("%.f", r"\.[0-9]{1,9}"),
    "%z": ("%#z", ZONE),
}

PIECE = re.compile(r"\.%f|%.|[^%.]+|\.|%", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFormat:
    """A format understood: `polars` reads texts that match `pattern`. `zoned`: they name a zone.

    Where all of them are of one `length`, it is asked first, which costs next to nothing.
    """

    polars: str
    pattern: str
    zoned: bool
    length: int | None = None

    def matching(self, text: pl.Expr) -> pl.Expr:
        """Return the text where it is written in this format, else null."""
        if self.length is not None:
            text = pl.when(text.str.len_bytes() == self.length).then(text)
        return pl.when(text.str.contains(self.pattern)).then(text)


def time_format(text: str, *, with_time: bool) -> TimeFormat:
    """Understand a format. Raises ValueError that says what is unknown or lacking."""
    read, used = _understood(text, {**WORDS, **TIME_WORDS} if with_time else WORDS)
    return _whole(text, read, lacking=_lacking(used))


TWO_DIGITS = {
    "%Y": "[0-9]{4}",
    "%m": "[0-9]{2}",
    "%d": "[0-9]{2}",
    "%I": "(?:0[1-9]|1[0-2])",
    "%M": "[0-9]{2}",
    "%S": "[0-5][0-9]",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """A format of twelve hours, its numbers in all of their digits, and AM or PM at its end.

    polars takes five times as long for such hours as for those of 24. So `whole` tells what
    matches, and reads the text but for its `end`, of so many signs; `at` is where the hour stands.
    """

    whole: TimeFormat
    at: int
    end: int


def halves(text: str) -> Halves | None:
    """Return how texts of a format with AM or PM are mostly written; None where it has not those.

    What it matches the format matches, too, and means the same.
    """
    *pieces, last = PIECE.findall(text)
    words = [each for each in pieces if "%" in each]
    if last != "%p" or "%I" not in words or len({*words} & {*TWO_DIGITS}) < len(words):
        return None
    before, rest = text[: text.index("%I")], text[:-2].rstrip(" ")
    pattern = "".join(TWO_DIGITS.get(each) or re.escape(each) for each in pieces)
    return Halves(
        whole=TimeFormat(
            polars=rest.replace("%I", "%H"), pattern=f"^{pattern}[AaPp][Mm]$", zoned=False
        ),
        at=len(before.replace("%Y", "0000")),
        end=len(text) - len(rest),
    )


def clock_format(text: str) -> TimeFormat:
    """Understand a format of a time of day. Raises ValueError as `time_format` does."""
    words = {word: meaning for word, meaning in TIME_WORDS.items() if word != "%z"}
    read, used = _understood(text, words)
    return _whole(text, read, lacking="" if used else "the hour, %H or %I", needs=used)


def _whole(text: str, read: TimeFormat, *, lacking: str, needs: Collection[str] = ()) -> TimeFormat:
    if lacking := lacking or _needed(needs):
        message = f"the format '{text}' lacks {lacking}"
        raise ValueError(message)
    return read


def _understood(text: str, allowed: Mapping[str, tuple[str, str]]) -> tuple[TimeFormat, set[str]]:
    polars, pattern, used = "", "", set()
    for piece in PIECE.findall(text):
        if piece in allowed:
            polars += allowed[piece][0]
            pattern += allowed[piece][1]
            used.add(piece)
        elif piece.startswith("%") or piece == ".%f":
            message = f"'{piece}' in the format '{text}' is not allowed here. Allowed: "
            raise ValueError(message + " ".join(allowed))
        else:
            polars += piece
            pattern += re.escape(piece)
    return TimeFormat(polars=polars, pattern=f"^{pattern}$", zoned="%z" in used), used


NEEDS: tuple[tuple[str, frozenset[str], str], ...] = (
    ("%I", frozenset({"%p"}), "%p, am or pm"),
    ("%H", frozenset({"%M"}), "the minute, %M"),
    ("%I", frozenset({"%M"}), "the minute, %M"),
    ("%S", frozenset({"%H", "%I"}), "the hour, %H or %I"),
    ("%M", frozenset({"%H", "%I"}), "the hour, %H or %I"),
    (".%f", frozenset({"%S"}), "the second, %S"),
    ("%z", frozenset({"%H", "%I"}), "the hour, %H or %I"),
)


def _lacking(used: Collection[str]) -> str:
    if not {"%Y", "%y"} & set(used):
        return "the year, %Y or %y"
    if not ({"%m", "%b", "%B"} & set(used) and "%d" in used) and "%j" not in used:
        return "the month and day"
    return _needed(used)


def _needed(used: Collection[str]) -> str:
    for word, others, lacking in NEEDS:
        if word in used and not others & set(used):
            return lacking
    return ""
