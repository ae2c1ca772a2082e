"""Rows into a table of each store, beside the database's own bulk path: measured, and told."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.measure import Usage, measured, middle
from bench.scenarios import Say
from bench.stores import Database, drop_schema

HEADING = "## Rows into a table"
TURNS = {"first": "first load", "again": "again, nothing changed", "tenth": "again, 10 % changed"}
LIMITS = {
    ("SQLite", "first"): "executemany",
    ("SQLite", "again"): "executemany … ON CONFLICT",
    ("PostgreSQL", "first"): "COPY",
    ("PostgreSQL", "again"): "COPY, INSERT … SELECT … ON CONFLICT",
    ("MariaDB", "first"): "LOAD DATA LOCAL",
    ("MariaDB", "again"): "LOAD DATA LOCAL, INSERT … SELECT … ON DUPLICATE KEY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """All usages of one turn on one store; only the loading itself is timed."""

    store: str
    turn: str
    rows: int
    product: tuple[Usage, ...]
    limit: tuple[Usage, ...]


def loads(
    stores: Sequence[Database], rows: int, rounds: int, folder: Path, say: Say
) -> list[Loaded]:
    """Load all turns into each store, by crmmap and by its limit, so many times in turn."""
    found = []
    for store in stores:
        usages: dict[tuple[str, str], list[Usage]] = {}
        try:
            for number in range(rounds):
                say(f"{rows:,} rows into {store.name}: round {number + 1} of {rounds}")
                for who in ("crmmap", "limit") if number % 2 else ("limit", "crmmap"):
                    store.clear()
                    for turn in TURNS:
                        usage = _loaded(who, store, turn, rows, folder)
                        usages.setdefault((who, turn), []).append(usage)
        finally:
            drop_schema(store)
        found += [
            Loaded(
                store=store.name, turn=turn, rows=rows, product=tuple(usages["crmmap", turn]),
                limit=tuple(usages["limit", turn]),
            )
            for turn in TURNS
        ]  # fmt: skip
    return found


def _loaded(who: str, store: Database, turn: str, rows: int, folder: Path) -> Usage:
    report = folder / "loads.json"
    whole = measured(("bench.loads", who, store.url, turn, str(rows), str(report)))
    told = json.loads(report.read_text(encoding="utf-8"))
    tenth = len(range(0, rows, 10))
    wanted = {
        "first": {"inserted": rows},
        "again": {"unchanged": rows},
        "tenth": {"updated": tenth, "unchanged": rows - tenth},
    }
    counts = {name: count for name, count in (told["counts"] or {}).items() if count}
    if who == "crmmap" and counts != wanted[turn]:
        sys.exit(f"{store.name}, {turn}: the rows came to {counts}, not {wanted[turn]}")
    if store.ask("SELECT count(*) FROM people") != rows:
        sys.exit(f"{store.name}: {who} did not load every row")
    return Usage(wall=told["wall"], cpu=told["cpu"], peak=whole.peak)


# --- as a page ----------------------------------------------------------------------------------


def section(
    found: Sequence[Loaded], *, command: str, rounds: int, load: float, now: datetime, machine: str
) -> str:
    """Return the part of the page that tells of it; empty where nothing was measured."""
    if not found:
        return ""
    lines = "\n".join(line for each in found for line in _lines(each))
    return f"""
{HEADING}

{found[0].rows:,} rows of 25 columns (12 texts, 3 integers, 2 decimals, 2 numbers, 2 booleans,
2 days, 2 times) and crmmap's own 3, in batches of 5,000, each committed with its accounts
([loads.py](loads.py)). Measured {now:%Y-%m-%d %H:%M} UTC by `{command}`, {_rounds(rounds)};
load average when it began: {load:.1f}.

| store | run | who | rows/s | wall s | CPU s | peak MiB | × limit: wall | CPU |
|---|---|---|--:|--:|--:|--:|--:|--:|
{lines}

Timed is the loading alone: rows are made, tables created and the limits' files written outside
of it. *The limit* is the database's own bulk path: all rows in one transaction, from a file or a
list that was there before; it compares nothing, keeps no accounts, and writes every row anew
when it loads again. crmmap asks which rows are there and differ, and writes those. CPU is the
client's alone; the server's is in the wall clock, as all share the cores.

{machine}"""


def _rounds(rounds: int) -> str:
    return "one run each" if rounds == 1 else f"the median of {rounds} runs that took turns"


def _lines(found: Loaded) -> list[str]:
    product, limit = middle(found.product), middle(found.limit)
    wall, cpu = (f"{a / b:.1f}" if b >= 0.05 else "" for a, b in
                 ((product.wall, limit.wall), (product.cpu, limit.cpu)))  # fmt: skip
    how = LIMITS[found.store, "first" if found.turn == "first" else "again"]
    where = f"| {found.store} | {TURNS[found.turn]} | **crmmap** |"
    return [
        f"{where} {_usage(product, found.rows)} | {wall} | {cpu} |",
        f"| | | {how} | {_usage(limit, found.rows)} | | |",
    ]


def _usage(usage: Usage, rows: int) -> str:
    return f"{rows / usage.wall:,.0f} | {usage.wall:.1f} | {usage.cpu:.1f} | {usage.peak:.0f}"


def replaced(page: str, new: str) -> str:
    """Return the page with its section exchanged, or with it before the machine's."""
    old = re.compile(rf"^{HEADING}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    text = f"{new.strip()}\n\n"
    if old.search(page):
        return old.sub(lambda _: text, page)
    return page.replace("## The machine\n", f"{text}## The machine\n", 1)
