"""The measurements as a page of Markdown."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.measure import Usage, middle
from bench.scenarios import Profile, Result
from bench.stores import Database, drop_schema

LIBRARIES = (
    "polars", "SQLAlchemy", "requests", "urllib3", "psycopg", "PyMySQL", "orjson", "phonenumbers",
)  # fmt: skip
TOP = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that one call of the bench measured."""

    results: Sequence[Result]
    start_up: Usage
    memory: Usage | None
    memory_rows: int
    memory_bytes: int
    profiles: Sequence[Profile]
    rounds: int
    command: str
    load: float
    """The machine's load average before anything was measured."""


def page(found: Findings, now: datetime) -> str:
    parts = (
        _head(found, now),
        _table(found),
        _memory(found),
        _profiles(found),
        _machine(found),
        CAVEATS,
    )
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _head(found: Findings, now: datetime) -> str:
    return f"""
# How fast it is

Measured {now:%Y-%m-%d %H:%M} UTC by

    {found.command}

which wrote this page; run it again to have your own. Every figure is of a whole process, from its
start to its end, and the median of {found.rounds} runs that took turns with the limit's.

*The limit* is the least that the same job can cost in Python: a short script
([limit_http.py](limit_http.py), [limit_csv.py](limit_csv.py)) that takes the values out and
upserts them as text. It checks no value, keeps no reject, knows no position to resume from and
can't tell whether anything changed."""


def _table(found: Findings) -> str:
    head = (
        "| source → store | run | who | records/s | records per CPU s | wall s | CPU s (range) "
        "| peak MiB | × limit: wall | CPU |\n"
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    lines = [line for result in found.results for line in _lines(result)]
    start = found.start_up
    tail = (
        f"A run over a single record costs {start.wall:.1f} s of wall clock, {start.cpu:.1f} s of "
        f"CPU and {start.peak:.0f} MiB:\nthat much of every figure above is start-up. "
        "The second run reads the\nsame source again: crmmap finds "
        "that nothing changed and writes no row; the limit writes all\nof them again."
    )
    return "\n".join((head, *lines)) + "\n\n" + tail


def _lines(result: Result) -> list[str]:
    wall, cpu = result.ratios
    where = f"{result.scenario}, {result.records:,} → {result.store}"
    product, limit = (_usage(each, result.records) for each in (result.product, result.limit))
    return [
        f"| {where} | {result.turn} | **crmmap** | {product} | {wall:.1f} | {cpu:.1f} |",
        f"| | | limit | {limit} | | |",
    ]


def _usage(usages: Sequence[Usage], records: int) -> str:
    mid, cpus = middle(usages), [each.cpu for each in usages]
    return (
        f"{records / mid.wall:,.0f} | {records / mid.cpu:,.0f} | {mid.wall:.1f} "
        f"| {mid.cpu:.1f} ({min(cpus):.1f} to {max(cpus):.1f}) | {mid.peak:.0f}"
    )


def _memory(found: Findings) -> str:
    if found.memory is None:
        return ""
    used, rows = found.memory, found.memory_rows
    small = next(each for each in found.results if each.scenario == "CSV")
    return f"""
## Memory

A file of {rows:,} rows and 60 columns ({found.memory_bytes / 2**20:,.0f} MiB) into SQLite, one run:
**{used.peak:.0f} MiB** at its peak, beside {middle(small.product).peak:.0f} MiB for the
{small.records:,} rows above. It took {used.wall:.0f} s, {used.cpu:.0f} s of CPU:
{rows / used.wall:,.0f} records/s."""


def _profiles(found: Findings) -> str:
    head = """
## Where the time goes

One first run into SQLite, its stages one after the other ([stages.py](stages.py)). The functions
were sampled in a second run, and each counts with what it called in libraries; they are only as
exact as sampling is."""
    return "\n\n".join((head.strip(), *map(_profile, found.profiles)))


def _profile(profile: Profile) -> str:
    stages, functions = profile.stages, profile.functions
    rows = [("**by stage**", stages, len(stages)), ("**by function**", functions, TOP)]
    lines = [
        f"| {name} | {seconds / sum(table.values()):.0%} | {seconds * 1e6 / profile.records:.1f} |"
        for title, table, most in rows
        for name, seconds in [(title, 0.0), *list(table.items())[:most]]
    ]
    head = (
        f"| {profile.name}, {profile.records:,} records, {sum(stages.values()):.1f} s of CPU "
        "| share | µs per record |\n|---|--:|--:|"
    )
    return "\n".join((head, *(line.replace("** | 0% | 0.0 |", "** | | |") for line in lines)))


def _machine(found: Findings) -> str:
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return f"""
## The machine

- {os.cpu_count()} cores ({_processor()}), {_memory_size()} of memory, {platform.system()}
- {platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}
- {libraries}
- load average when it began: {found.load:.1f}"""


def databases(stores: Sequence[Database]) -> str:
    """Return the databases' versions, those of their drivers, and what they run on."""
    told = [f"SQLite {sqlite3.sqlite_version}"]
    for store in stores:
        if store.name != "SQLite":
            store.clear()
            answer = str(store.ask("SELECT version()"))
            told.append(f"{store.name} {answer.removeprefix(f'{store.name} ').split(' on ')[0]}")
            drop_schema(store)
    drivers = ", ".join(f"{name} {_version(name)}" for name in ("psycopg", "PyMySQL", "polars"))
    return (
        f"{', '.join(told)}; {drivers}; {os.cpu_count()} cores ({_processor()}), "
        f"{platform.system()}, CPython {platform.python_version()}."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not there"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_size() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


CAVEATS = """
## Read with care

- CPU and memory are those of the one process, user and system together. What PostgreSQL's server
  and the benchmark's own HTTP server use is not in them; it is in the wall clock, as all share the
  cores.
- The HTTP server sends pages of 100 contacts rendered beforehand, uncompressed, over loopback and
  kept-alive connections. A CRM that takes 200 ms to answer gives 500 records/s at most; then it
  is what one waits for, and crmmap's own work overlaps with the waiting: pages are fetched ahead.
- The limit stores text only. crmmap types every cell, looks every phone number up in its region's
  numbering plan (the phone numbers are distinct, as real ones are), compares every row with the
  stored one, and keeps rejects, notes, counts and the position in the same transaction.
- Where other programs run at the same time, wall clock and CPU seconds both grow: the range shows
  how much they did.
- About one record in a hundred has a fault. A quarter of those become rejects, the rest notes.
- Both use the same durability: SQLite with write-ahead log and full synchronisation."""
