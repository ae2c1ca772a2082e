"""Lines and tables, told once, shown twice: in colour on a terminal, as aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TextIO

from crmmap.report.wording import printable

Tone = Literal["plain", "title", "good", "bad", "warning", "quiet"]
STYLES = {
    "plain": "",
    "title": "bold",
    "good": "green",
    "bad": "bold red",
    "warning": "yellow",
    "quiet": "dim",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, or several; the empty one separates."""

    text: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's title, and the side to which its cells are pushed."""

    title: str
    right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table. `total` is a last row; `tones` colour the rows where a terminal can."""

    headings: tuple[Heading, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] | None = None
    tones: tuple[Tone, ...] = ()
    indent: int = 0


Part = Line | Grid


def rendered(parts: Iterable[Part], stream: TextIO) -> str:
    """Return the parts as text fit for `stream`: with colours if it is a terminal."""
    return _in_colour(parts, stream) if stream.isatty() else _plain(parts)


def _plain(parts: Iterable[Part]) -> str:
    return "".join(f"{text.rstrip()}\n" for part in parts for text, _ in _lines(part, rule="-"))


def _in_colour(parts: Iterable[Part], stream: TextIO) -> str:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        for part in parts:
            for text, tone in _lines(part, rule="─"):
                # Too wide for the terminal, it wraps there; squeezed, it would lose its figures.
                console.print(Text(text, style=STYLES[tone]), soft_wrap=True)
    return captured.get()


def _lines(part: Part, *, rule: str) -> Iterator[tuple[str, Tone]]:
    """Yield a part's lines, each with its tone."""
    if isinstance(part, Line):
        yield printable(part.text), part.tone
        return
    head, *rows = _aligned(part)
    yield head, "title"
    yield " " * part.indent + rule * (len(head) - part.indent), "quiet"
    tones = (*part.tones, *["plain"] * len(part.rows))[: len(part.rows)]
    yield from zip(rows, (*tones, "title"), strict=False)


def _aligned(grid: Grid) -> Iterator[str]:
    """Yield the headings, the rows and the total, their cells padded to the columns' widths."""
    rows = [tuple(each.title for each in grid.headings), *grid.rows]
    rows += [grid.total] if grid.total else []
    shown = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (
            cell.rjust(width) if heading.right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, grid.headings, strict=True)
        )
        yield " " * grid.indent + "  ".join(cells)
