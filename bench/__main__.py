"""`python -m bench`: measure crmmap beside its limits and write RESULTS.md. Some twenty minutes.

`python -m bench upsert` measures only how fast rows get into tables, and writes only that section.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench.loading import loads, replaced, section
from bench.measure import ROOT, Usage
from bench.results import Findings, databases, page
from bench.scenarios import (
    Result,
    compare,
    contacts,
    run_once,
    serving,
    staged,
    tasks,
    write_file,
)
from bench.stores import drop_schema, mariadb_store, postgres_store, sqlite_store


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "upsert"), default="all")
    parser.add_argument("--contacts", type=int, default=50_000, metavar="N", help="over HTTP")
    parser.add_argument("--tasks", type=int, default=200_000, metavar="N", help="in the CSV file")
    parser.add_argument(
        "--memory-rows", type=int, default=2_000_000, metavar="N",
        help="of the big CSV file whose one run shows the peak memory; 0: leave it out",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="runs per median")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, metavar="N",
        help="loaded into a table of each store; 0: leave it out",
    )  # fmt: skip
    parser.add_argument("--row-rounds", type=int, default=1, metavar="N", help="runs of that")
    parser.add_argument("--no-postgres", action="store_true", help="SQLite only")
    parser.add_argument("--folder", type=Path, help="for files and databases; a temporary one")
    parser.add_argument("--output", type=Path, default=ROOT / "bench" / "RESULTS.md")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    chosen = options(arguments)
    with ExitStack() as stack:
        folder = chosen.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        whole = chosen.what == "all"
        found = measure(chosen, folder.resolve(), command(chosen)) if whole else None
        rows = section_of_rows(chosen, folder.resolve())
    if found is None:
        text = replaced(chosen.output.read_text(encoding="utf-8"), rows)
    else:
        text = page(found, datetime.now(UTC))
        text = replaced(text, rows) if rows else text
    chosen.output.write_text(text, encoding="utf-8")
    print(text)
    return 0


def command(chosen: argparse.Namespace) -> str:
    """Return the command without what names places on this machine, which changes no figure."""
    words = ["python -m bench"]
    for name in ("contacts", "tasks", "memory_rows", "rounds", "rows", "row_rounds", "no_postgres"):
        value = getattr(chosen, name)
        if value != getattr(options([]), name):
            option = "--" + name.replace("_", "-")
            words.append(option if value is True else f"{option} {value}")
    return " ".join(words)


def measure(chosen: argparse.Namespace, folder: Path, called: str) -> Findings:
    sqlite = sqlite_store(folder)
    postgres = None if chosen.no_postgres else postgres_store()
    if postgres is None:
        say("no PostgreSQL: SQLite only")
    results: list[Result] = []
    load = os.getloadavg()[0]
    with serving(1) as base_url:
        start_up = run_once(contacts(base_url, 1), sqlite)
    with serving(chosen.contacts) as base_url:
        scenario = contacts(base_url, chosen.contacts)
        for store in filter(None, (sqlite, postgres)):
            try:
                results += compare(scenario, store, chosen.rounds, say)
            finally:
                drop_schema(store)
        profiles = [staged(scenario, sqlite, folder)]
    file = folder / "tasks.csv"
    write_file(file, chosen.tasks)
    results += compare(tasks(file, chosen.tasks), sqlite, chosen.rounds, say)
    profiles.append(staged(tasks(file, chosen.tasks), sqlite, folder))
    file.unlink()
    memory, size = big_file(chosen, folder)
    return Findings(
        results=results, start_up=start_up, memory=memory, memory_rows=chosen.memory_rows,
        memory_bytes=size, profiles=profiles, rounds=chosen.rounds, command=called, load=load,
    )  # fmt: skip


def section_of_rows(chosen: argparse.Namespace, folder: Path) -> str:
    """Measure how fast rows get into tables; return the page's section about it."""
    if not chosen.rows:
        return ""
    servers = () if chosen.no_postgres else (postgres_store(), mariadb_store())
    load, now = os.getloadavg()[0], datetime.now(UTC)
    stores = [sqlite_store(folder), *filter(None, servers)]
    found = loads(stores, chosen.rows, chosen.row_rounds, folder, say)
    rounds = "" if chosen.row_rounds == 1 else f" --row-rounds {chosen.row_rounds}"
    return section(
        found, command=f"python -m bench upsert --rows {chosen.rows}{rounds}",
        rounds=chosen.row_rounds, load=load, now=now, machine=databases(stores),
    )  # fmt: skip


def big_file(chosen: argparse.Namespace, folder: Path) -> tuple[Usage | None, int]:
    """Return the usage of one run over the big file, and the file's bytes."""
    if not chosen.memory_rows:
        return None, 0
    say(f"a file of {chosen.memory_rows:,} rows")
    file, store = folder / "many.csv", sqlite_store(folder)
    write_file(file, chosen.memory_rows)
    usage = run_once(tasks(file, chosen.memory_rows), store)
    store.clear()
    size = os.path.getsize(file)
    file.unlink()
    return usage, size


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
