"""The measurements as a page of Markdown, made anew of all that `results.json` remembers."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.stores import mariadb_store, postgres_store

LIBRARIES = (
    "polars", "SQLAlchemy", "requests", "lxml", "pyarrow", "msgspec", "psycopg", "PyMySQL",
    "orjson", "phonenumbers",
)  # fmt: skip
HEAD = """# How fast it is

Every figure below is of whole processes, from their start to their end, on the machine named with
it, and the median of as many runs as stand beside it, in which those compared took turns.
`make bench` measures all of it again and writes this page; `python -m bench SECTION` only one
section. What was measured stands in [results.json](results.json).

*The script* is the least that the same job can cost in Python: what one would write by hand in an
hour ([scripts](scripts)). It takes the values out and upserts them as they came. It checks no
value, keeps no reject, knows no position to resume from and can't tell whether anything changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A section's last measurement: how it was made, and on what."""

    when: str
    command: str
    machine: str
    load: float
    """The machine's load average before anything was measured."""
    found: Any


def remembered(file: Path) -> dict[str, Remembered]:
    """Return the last measurements by section."""
    if not file.exists():
        return {}
    read = json.loads(file.read_text(encoding="utf-8"))
    return {name: Remembered(**each) for name, each in read.items()}


def told(measured: Remembered) -> str:
    """Return when, how and where a section was measured."""
    return (
        f"*{measured.when}, `{measured.command}`; load average when it began "
        f"{measured.load:.1f}. {measured.machine}.*"
    )


def machine() -> str:
    """Return what the figures are of: processor, memory, and versions."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}, {libraries}, "
        f"{', '.join(_databases())}"
    )


def _databases() -> list[str]:
    found = [f"SQLite {sqlite3.sqlite_version}"]
    for store in filter(None, (postgres_store(), mariadb_store())):
        store.clear()
        answer = str(store.ask("SELECT version()"))
        found.append(f"{store.name} {answer.removeprefix(store.name).strip().split(' ')[0]}")
        store.drop()
    return found


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


def page(parts: Mapping[str, str]) -> str:
    """Return the page of its parts, in their order."""
    return "\n\n".join(part.strip() for part in (HEAD, *parts.values(), CAVEATS) if part) + "\n"


def now(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


CAVEATS = """
## Read with care

- CPU is user and system time of the one process; *server* is what PostgreSQL and MariaDB used
  meanwhile, on the same cores. Memory is the process's own, at its peak. What the benchmark's HTTP
  server uses is in the wall clock alone.
- Whoever goes first changes from round to round. Where other programs run at the same time, wall
  clock and CPU seconds both grow: compare what stands side by side, not figures of two days.
- The HTTP server sends its pages uncompressed, over loopback and kept-alive connections, and makes
  them of 10,000 records that come again with ids of their own. A CRM that takes 200 ms to answer
  gives 500 records/s at most; then it is what one waits for, and crmmap's own work overlaps with
  the waiting, for pages are fetched ahead.
- The scripts store texts as they came. crmmap types every cell, looks every phone number up in its
  region's numbering plan, compares every row with the stored one, and keeps rejects, notes, counts
  and the position in the same transaction.
- About one record in a hundred has a fault. A quarter of those become rejects, the rest notes; the
  pages that rejects came from are kept in the archive, which is counted, too.
- Both use the same durability: SQLite with write-ahead log and full synchronisation."""
