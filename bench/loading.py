"""Rows into a table of each store, beside the database's own bulk path: measured, and told."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import Usage, measured, middle
from bench.scenarios import How
from bench.stores import Database, mariadb_store, postgres_store, sqlite_store

ROWS = 1_000_000
WHO = ("product", "limit")
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


def loads(how: How) -> list[Loaded]:
    """Load all turns into each store, by crmmap and by its limit, three times in turn at most."""
    found, rows, folder, how = [], how.size(ROWS), how.folder, how.at_most(3)
    servers = (postgres_store(), mariadb_store()) if how.servers else ()
    for store in filter(None, (sqlite_store(folder), *servers)):
        usages: dict[tuple[str, str], list[Usage]] = {}
        try:
            for number in range(how.rounds):
                how.say(f"{rows:,} rows into {store.name}: round {number + 1} of {how.rounds}")
                for who in ("crmmap", "limit") if number % 2 else ("limit", "crmmap"):
                    store.clear()
                    for turn in TURNS:
                        usage = _loaded(who, store, turn, rows, folder)
                        usages.setdefault((who, turn), []).append(usage)
        finally:
            store.drop()
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
    found = json.loads(report.read_text(encoding="utf-8"))
    tenth = len(range(0, rows, 10))
    wanted = {
        "first": {"inserted": rows},
        "again": {"unchanged": rows},
        "tenth": {"updated": tenth, "unchanged": rows - tenth},
    }
    counts = {name: count for name, count in (found["counts"] or {}).items() if count}
    if who == "crmmap" and counts != wanted[turn]:
        sys.exit(f"{store.name}, {turn}: the rows came to {counts}, not {wanted[turn]}")
    if store.ask("SELECT count(*) FROM people") != rows:
        sys.exit(f"{store.name}: {who} did not load every row")
    return Usage(wall=found["wall"], cpu=found["cpu"], served=found["served"], peak=whole.peak)


# --- as a page ----------------------------------------------------------------------------------


def loaded_of(found: Sequence[Mapping[str, Any]]) -> list[Loaded]:
    """Return what `results.json` says of the section as what it was."""
    return [
        Loaded(**{**each, **{who: tuple(Usage(**use) for use in each[who]) for who in WHO}})
        for each in found
    ]


def told(found: Sequence[Loaded]) -> str:
    """Return the section's tables."""
    lines = "\n".join(line for each in found for line in _lines(each))
    return f"""
{found[0].rows:,} rows of 25 columns (12 texts, 3 integers, 2 decimals, 2 numbers, 2 booleans,
2 days, 2 times) and crmmap's own 3, in batches of 5,000, each committed with its accounts
([loads.py](loads.py)); medians of {len(found[0].product)}.

| store | run | who | rows/s | wall s | CPU s | server CPU s | peak MiB | × limit: wall | CPU |
|---|---|---|--:|--:|--:|--:|--:|--:|--:|
{lines}

Timed is the loading alone: rows are made, tables created and the limits' files written outside
of it. *The limit* is the database's own bulk path: all rows in one transaction, from a file or a
list that was there before; it compares nothing, keeps no accounts, and writes every row anew
when it loads again. crmmap asks which rows are there and differ, and writes those."""


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
    return (
        f"{rows / usage.wall:,.0f} | {usage.wall:.1f} | {usage.cpu:.1f} | {usage.served:.1f} "
        f"| {usage.peak:.0f}"
    )
