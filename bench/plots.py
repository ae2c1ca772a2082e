"""The pictures of the page, drawn by hand as SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from typing import Any

from bench.growth import Grown, grown_of
from bench.measure import middle
from bench.scenarios import Comparison
from bench.tables import TURNS, comparison_of

COLOURS = {"crmmap": "#2563a8", "script": "#b9c2cc"}
OTHER = "#d08a3e"
WIDTH, LABEL, BAR, GAP, HEIGHT = 860, 330, 13, 14, 220
TEXT = 'font-family="sans-serif" font-size="12" fill="#222"'


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a group, and what stands beside it."""

    who: str
    length: float
    note: str


def pictures(found: Mapping[str, Any]) -> dict[str, str]:
    """Return SVGs by the names of their files, of what was measured."""
    drawn = {}
    names = ("http", "xml", "csv", "database", "peers")
    runs = [
        comparison_of(each)
        for name in names
        if name in found
        for each in found[name]["comparisons"]
    ]
    if runs:
        groups = [(_title(each), _bars(each)) for each in runs]
        drawn["cpu.svg"] = bars("CPU time per record, in µs (shorter is better)", groups)
    if "growth" in found:
        drawn["growth.svg"] = _growth(grown_of(found["growth"]))
    return drawn


def _title(found: Comparison) -> str:
    into = f" → {found.store}" if found.store else ""
    return f"{found.scenario}{into}, {TURNS[found.turn]}"


def _bars(found: Comparison) -> list[Bar]:
    script = middle(found.usages["script"]).cpu if "script" in found.usages else 0
    bars = []
    for who, usages in found.usages.items():
        cpu = middle(usages).cpu
        times = f" ({cpu / script:.1f} × script)" if script and who != "script" else ""
        each = cpu * 1e6 / found.records
        bars.append(Bar(who, each, f"{each:.1f}{times}"))
    return bars


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Return groups of bars, one below the other, with their lengths to one scale."""
    longest = max(bar.length for _, group in groups for bar in group) or 1
    scale = (WIDTH - LABEL - 150) / longest
    y, parts = 34, [f'<text x="10" y="20" {TEXT} font-weight="bold">{escape(title)}</text>']
    for name, group in groups:
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + len(group) * BAR / 2 + 4:.0f}" {TEXT} '
            f'text-anchor="end">{escape(name)}</text>'
        )
        for bar in group:
            length = max(bar.length * scale, 1)
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR - 1}" '
                f'fill="{COLOURS.get(bar.who, OTHER)}"/>'
                f'<text x="{LABEL + length + 5:.1f}" y="{y + BAR - 3}" {TEXT}>'
                f"{escape(f'{bar.who} {bar.note}')}</text>"
            )
            y += BAR
        y += GAP
    return _svg(y, parts)


def _growth(found: Sequence[Grown]) -> str:
    """Return two charts side by side: time grows as the source does, memory does not."""
    names = list(dict.fromkeys(each.scenario for each in found))
    lines = {name: [each for each in found if each.scenario == name] for name in names}
    time = chart(
        "Wall clock, in s (both scales logarithmic)", 60,
        {name: [(each.records, each.usage.wall) for each in line] for name, line in lines.items()},
    )  # fmt: skip
    memory = chart(
        "Peak memory, in MiB (from zero)", 490,
        {name: [(each.records, each.usage.peak) for each in line] for name, line in lines.items()},
        straight=True,
    )  # fmt: skip
    return _svg(HEIGHT + 90, [*time, *memory])


def chart(
    title: str, left: int, lines: Mapping[str, Sequence[tuple[float, float]]], *,
    straight: bool = False,
) -> list[str]:  # fmt: skip
    """Return points over numbers of records, one line each; `straight`: heights count from zero."""
    points = [point for line in lines.values() for point in line]
    wide = _scale([x for x, _ in points], left, left + 300)
    most = max(y for _, y in points)
    low, high = HEIGHT + 40, 50
    tall = _scale([y for _, y in points], low - 10, high)
    if straight:
        tall = lambda y: low - y / most * (low - high)  # noqa: E731
    parts = [
        f'<text x="{left}" y="20" {TEXT} font-weight="bold">{escape(title)}</text>',
        f'<path d="M{left} {high} V{low} H{left + 320}" fill="none" stroke="#888"/>',
        *(
            f'<text x="{wide(x):.0f}" y="{low + 16}" {TEXT} text-anchor="middle">{x:,}</text>'
            for x in sorted({x for x, _ in points})
        ),
    ]
    for (name, line), colour in zip(lines.items(), (COLOURS["crmmap"], OTHER), strict=False):
        at = " ".join(f"{wide(x):.1f},{tall(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{wide(x):.1f}" cy="{tall(y):.1f}" r="3" fill="{colour}"/>'
            f'<text x="{wide(x) + 6:.1f}" y="{tall(y) - 6:.1f}" {TEXT}>{y:,.0f}</text>'
            for x, y in line
        ]
        place = low + 34 + 15 * list(lines).index(name)
        parts.append(
            f'<circle cx="{left + 5}" cy="{place - 4}" r="4" fill="{colour}"/>'
            f'<text x="{left + 15}" y="{place}" {TEXT}>{escape(name)}</text>'
        )
    return parts


def _scale(values: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """Return where a value stands between `start` and `end`, by its logarithm."""
    least, most = log10(min(values)), log10(max(values))
    return lambda value: start + (log10(value) - least) / ((most - least) or 1) * (end - start)


def _svg(height: int, parts: Sequence[str]) -> str:
    lines = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{lines}\n</svg>\n"
    )
