"""The pictures of the page, drawn by hand as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from bench.measure import middle
from bench.scenarios import Comparison
from bench.tables import TURNS, comparison_of

COLOURS = {"crmmap": "#2563a8", "script": "#b9c2cc"}
OTHER = "#d08a3e"
WIDTH, LABEL, BAR, GAP = 860, 330, 13, 14
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


def _svg(height: int, parts: Sequence[str]) -> str:
    lines = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f"{lines}\n</svg>\n"
    )
