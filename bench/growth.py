"""How time and memory grow with the source: the same run over ever more records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measure import Usage
from bench.runs import contacts, tasks, write_file
from bench.scenarios import How, Scenario, run_once, serving
from bench.stores import sqlite_store

SIZES = (10_000, 100_000, 1_000_000)
MOST = 10_000_000
"""Contacts that are read in the end; of a file, which is as large, only where it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """One first run into SQLite, over so many records."""

    scenario: str
    records: int
    usage: Usage


def growth(how: How) -> list[Grown]:
    """Run over each size once, of an HTTP source and of a file."""
    sizes, most = [how.size(each) for each in SIZES], how.size(MOST)
    found = []
    for count in (*sizes, most):
        with serving("contacts", count) as base_url:
            found.append(_grown(contacts(base_url, count), how))
    file = how.folder / "tasks.csv"
    for count in (*sizes, most) if how.most else sizes:
        write_file(file, count)
        found.append(_grown(tasks(file, count), how))
    file.unlink()
    return found


def _grown(scenario: Scenario, how: How) -> Grown:
    how.say(f"{scenario.records:,} {scenario.name}")
    usage = run_once(scenario, sqlite_store(how.folder))
    return Grown(scenario=scenario.name, records=scenario.records, usage=usage)


def grown_of(found: Sequence[Mapping[str, Any]]) -> list[Grown]:
    """Return what `results.json` says of the section as what it was."""
    return [Grown(**{**each, "usage": Usage(**each["usage"])}) for each in found]


def told(found: Sequence[Grown]) -> str:
    """Return the section's table."""
    lines = "\n".join(
        f"| {each.scenario} | {each.records:,} | {each.usage.wall:,.1f} | {each.usage.cpu:,.1f} "
        f"| {each.usage.cpu * 1e6 / each.records:.1f} | {each.usage.peak:.0f} |"
        for each in found
    )
    return (
        "| first run into SQLite | records | wall s | CPU s | µs of CPU a record | peak MiB |\n"
        f"|---|--:|--:|--:|--:|--:|\n{lines}"
    )
