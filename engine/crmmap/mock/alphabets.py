r"""Texts that match a simple pattern, position by position.

Only what can be read off one character after the other is understood: literals,
classes, `\d`, `\w`, counts. Anything else has no alphabets, and its texts must
be found by trying.
"""

from __future__ import annotations

import re
from string import ascii_lowercase, ascii_uppercase, digits

import polars as pl

WORD = digits + ascii_lowercase + ascii_uppercase
CLASSES = {"d": digits, "w": WORD, "s": " "}
PIECE = re.compile(
    r"(?P<set>\[(?:\\.|[^\]\\^])(?:\\.|[^\]\\])*\])|\\(?P<escape>.)|(?P<plain>[^\\\[\](){}|*+?^$])"
)
COUNT = re.compile(r"\{(?P<least>\d{1,3})(?P<more>,(?P<most>\d{0,3}))?\}|(?P<sign>[*+?])")
SEVERAL = 6
"""How often something is repeated that may be repeated without end."""

Alphabets = tuple[str, ...]
"""For each position of a text, the characters that may stand there."""


def alphabets(pattern: str) -> Alphabets | None:
    """Return the alphabets of the texts that match, None if the pattern is not a simple one."""
    found: list[str] = []
    at, pattern = 0, pattern.removeprefix("^").removesuffix("$")
    while at < len(pattern):
        piece = PIECE.match(pattern, at)
        letters = _letters(piece) if piece else ""
        if piece is None or not letters:
            return None
        count = COUNT.match(pattern, piece.end())
        found += [letters] * (_times(count) if count else 1)
        at = count.end() if count else piece.end()
    return tuple(found)


def _letters(piece: re.Match[str]) -> str:
    if piece["plain"]:
        return "x" if piece["plain"] == "." else piece["plain"]
    if piece["escape"]:
        return _escaped(piece["escape"])
    found = ""
    for part in re.finditer(r"\\(.)|([^\\])-([^\\\]])|([^\\])", piece["set"][1:-1]):
        if part[1]:
            found += _escaped(part[1])
        elif part[2]:
            found += "".join(map(chr, range(ord(part[2]), min(ord(part[3]), 126) + 1)))
        else:
            found += part[4]
    return "".join(dict.fromkeys(found))


def _escaped(letter: str) -> str:
    return CLASSES.get(letter, "") if letter.isalnum() else letter


def _times(count: re.Match[str]) -> int:
    if count["sign"]:
        return 1 if count["sign"] == "?" else SEVERAL
    if count["more"] and not count["most"]:
        return max(int(count["least"]), SEVERAL)
    return int(count["most"] or count["least"])


def numbered(letters: Alphabets, index: pl.Expr) -> pl.Expr:
    """Return a matching text for each index (UInt64): as many distinct ones as there can be."""
    parts, weight = [], 1
    for allowed in reversed(letters):
        place = (index // pl.lit(weight, dtype=pl.UInt64)) % len(allowed)
        parts.append(place.replace_strict(dict(enumerate(allowed)), return_dtype=pl.String))
        # Beyond 64 bits no index tells positions apart.
        weight = min(weight * len(allowed), 2**63)
    return pl.concat_str(parts[::-1])
