"""The sections about whole runs: what each loads, how much of it, and into which stores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.leads import fill
from bench.measure import ROOT, environment
from bench.scenarios import (
    TWICE,
    Comparison,
    How,
    Profile,
    Scenario,
    compare,
    compare_reading,
    serving,
    staged,
)
from bench.stores import Database, mariadb_store, postgres_store, sqlite_store

PROFILED = 50_000
"""Records of the run whose stages are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """All that a section about whole runs measured."""

    comparisons: list[Comparison]
    profiles: list[Profile]


def contacts(base_url: str, count: int) -> Scenario:
    return Scenario(
        name="contacts as JSON over HTTP", records=count, table="meridian_contacts",
        mapping="contacts.yaml", setting=f"base_url={base_url}",
        script=("bench.scripts.contacts", base_url),
    )  # fmt: skip


def people(base_url: str, count: int) -> Scenario:
    return Scenario(
        name="people as Atom XML over HTTP", records=count, table="oldgate_people",
        mapping="people.yaml", setting=f"base_url={base_url}",
        script=("bench.scripts.people", base_url),
    )  # fmt: skip


def tasks(file: Path, count: int) -> Scenario:
    return Scenario(
        name="tasks of a CSV file", records=count, table="waypost_tasks",
        mapping="tasks.yaml", setting=f"tasks={file}", script=("bench.scripts.tasks", str(file)),
    )  # fmt: skip


def leads(source: str, count: int) -> Scenario:
    return Scenario(
        name="leads of a MariaDB table", records=count, table="slatework_leads",
        mapping="leads.yaml", setting=f"database={source}", script=("bench.scripts.leads", source),
    )  # fmt: skip


# --- the sections -------------------------------------------------------------------------------


def http(how: How) -> Runs:
    """200,000 contacts of 25 fields, 100 to a page."""
    count = how.size(200_000)
    with serving("contacts", count) as base_url:
        found = _compared(contacts(base_url, count), _stores(how), how)
    with serving("contacts", how.size(PROFILED)) as base_url:
        profile = staged(
            contacts(base_url, how.size(PROFILED)), sqlite_store(how.folder), how.folder
        )
    return Runs(comparisons=found, profiles=[profile])


def xml(how: How) -> Runs:
    """50,000 people of 42 fields, 5,000 to a feed."""
    count = how.size(50_000)
    with serving("people", count) as base_url:
        scenario = people(base_url, count)
        found = _compared(scenario, _stores(how), how, ["first"])
        found.append(compare_reading(scenario, how))
        profile = staged(scenario, sqlite_store(how.folder), how.folder)
    return Runs(comparisons=found, profiles=[profile])


def csv(how: How) -> Runs:
    """Tasks of 60 columns: 200,000 into SQLite, and 2,000,000 into PostgreSQL, fewer times."""
    found = []
    file, few, many = how.folder / "tasks.csv", how.size(200_000), how.size(2_000_000)
    sqlite, *servers = _stores(how)
    write_file(file, few)
    found += _compared(tasks(file, few), [sqlite], how)
    write_file(file, how.size(PROFILED))
    profile = staged(tasks(file, how.size(PROFILED)), sqlite, how.folder)
    if servers:
        write_file(file, many)
        found += _compared(tasks(file, many), servers, how.at_most(3), ["first"])
    file.unlink()
    return Runs(comparisons=found, profiles=[profile])


def database(how: How) -> Runs:
    """100,000 leads of 47 columns, out of MariaDB and into PostgreSQL."""
    source = mariadb_store("crmmap_bench_source") if how.servers else None
    into = [store for store in _stores(how) if store.name == "PostgreSQL"]
    if source is None or not into:
        how.say("no MariaDB or no PostgreSQL: left out")
        return Runs(comparisons=[], profiles=[])
    try:
        source.clear()
        fill(source.url, how.size(PROFILED))
        scenario = leads(source.url, how.size(PROFILED))
        profile = staged(scenario, sqlite_store(how.folder), how.folder)
        source.clear()
        fill(source.url, how.size(100_000))
        found = _compared(replace(scenario, records=how.size(100_000)), into, how)
    finally:
        source.drop()
    return Runs(comparisons=found, profiles=[profile])


def _compared(
    scenario: Scenario, stores: Sequence[Database], how: How, turns: Sequence[str] = TWICE
) -> list[Comparison]:
    return [found for store in stores for found in compare(scenario, store, how, turns)]


def _stores(how: How) -> list[Database]:
    postgres = postgres_store() if how.servers else None
    if how.servers and postgres is None:
        how.say("no PostgreSQL: SQLite only")
    return [store for store in (sqlite_store(how.folder), postgres) if store]


def write_file(file: Path, count: int) -> None:
    subprocess.run(
        [sys.executable, "-m", "bench.data", str(file), str(count)],
        cwd=ROOT, env=environment(), check=True,
    )  # fmt: skip
