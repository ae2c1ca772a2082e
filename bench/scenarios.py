"""What is measured: crmmap and its limit, over the same source into the same store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import ROOT, Usage, environment, measured, middle
from bench.stores import Database

Arguments = Sequence[str]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A source of so many records, how crmmap is told to load it, and how its limit is."""

    name: str
    records: int
    table: str
    product: Callable[[str], Arguments]
    limit: Callable[[str], Arguments]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All usages of one kind of run: `first` into an empty store or `second`, nothing changed."""

    scenario: str
    store: str
    records: int
    turn: str
    product: tuple[Usage, ...]
    limit: tuple[Usage, ...]

    @property
    def ratios(self) -> tuple[float, float]:
        """Return how many times the limit's wall clock and CPU crmmap takes."""
        product, limit = middle(self.product), middle(self.limit)
        return product.wall / limit.wall, product.cpu / limit.cpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """CPU seconds of one run, by stage and by function."""

    name: str
    records: int
    stages: dict[str, float]
    functions: dict[str, float]


def crmmap(mapping: str, store: str, setting: str) -> Arguments:
    """Return `crmmap run` as users type it."""
    return ("crmmap", "run", f"bench/{mapping}", "--store", store, "--set", setting, "--quiet")


def contacts(base_url: str, count: int) -> Scenario:
    return Scenario(
        name="HTTP", records=count, table="meridian_contacts",
        product=lambda store: crmmap("contacts.yaml", store, f"base_url={base_url}"),
        limit=lambda store: ("bench.limit_http", base_url, store),
    )  # fmt: skip


def tasks(file: Path, count: int) -> Scenario:
    return Scenario(
        name="CSV", records=count, table="waypost_tasks",
        product=lambda store: crmmap("tasks.yaml", store, f"tasks={file}"),
        limit=lambda store: ("bench.limit_csv", str(file), store),
    )  # fmt: skip


@contextmanager
def serving(count: int) -> Iterator[str]:
    """Serve contacts from a process of its own; give its base URL."""
    command = [sys.executable, "-m", "bench.server", str(count)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()  # it ends with its standard input


def write_file(file: Path, count: int) -> None:
    subprocess.run(
        [sys.executable, "-m", "bench.data", str(file), str(count)],
        cwd=ROOT, env=environment(), check=True,
    )  # fmt: skip


def compare(scenario: Scenario, store: Database, rounds: int, say: Say) -> tuple[Result, Result]:
    """Run crmmap and its limit twice each per round, in turn, and return both turns' usages."""
    product: list[tuple[Usage, Usage]] = []
    limit: list[tuple[Usage, Usage]] = []
    for number in range(rounds):
        say(f"{scenario.name} into {store.name}: round {number + 1} of {rounds}")
        pairs = [(product, _product_twice), (limit, _limit_twice)]
        # Who goes first changes, so that neither always finds the machine warmer.
        for usages, twice in pairs if number % 2 else pairs[::-1]:
            usages.append(twice(scenario, store))
    first, second = (
        Result(
            scenario=scenario.name, store=store.name, records=scenario.records, turn=turn,
            product=tuple(pair[index] for pair in product),
            limit=tuple(pair[index] for pair in limit),
        )
        for index, turn in enumerate(("first", "second"))
    )  # fmt: skip
    return first, second


def _product_twice(scenario: Scenario, store: Database) -> tuple[Usage, Usage]:
    store.clear()
    first = measured(scenario.product(store.url))
    check_product(scenario, store)
    second = measured(scenario.product(store.url))
    check_product(scenario, store)
    if store.ask(f"SELECT count(DISTINCT _crmmap_run_id) FROM {scenario.table}") != 1:
        sys.exit(f"{scenario.name}: the second run rewrote rows that had not changed")
    return first, second


def _limit_twice(scenario: Scenario, store: Database) -> tuple[Usage, Usage]:
    store.clear()
    usages = measured(scenario.limit(store.url)), measured(scenario.limit(store.url))
    if store.ask(f"SELECT count(*) FROM {scenario.table}") != scenario.records:
        sys.exit(f"{scenario.name}: the limit did not load every record")
    return usages


def check_product(scenario: Scenario, store: Database) -> None:
    """End the bench where a record is neither a row nor a reject of the latest run."""
    rows = store.ask(f"SELECT count(*) FROM {scenario.table}")
    latest = "(SELECT max(run_id) FROM crmmap_rejects)"
    rejects = store.ask(f"SELECT count(*) FROM crmmap_rejects WHERE run_id = {latest}")
    if rows + rejects != scenario.records:
        sys.exit(f"{scenario.name}: {scenario.records} records gave {rows} rows, {rejects} rejects")


def run_once(scenario: Scenario, store: Database) -> Usage:
    """Return the usage of one run of crmmap into an empty store."""
    store.clear()
    usage = measured(scenario.product(store.url))
    check_product(scenario, store)
    return usage


def staged(scenario: Scenario, store: Database, folder: Path) -> Profile:
    """Return where the CPU time of one run of crmmap into an empty SQLite store goes."""
    store.clear()
    report = folder / "stages.json"
    _, _, mapping, _, url, _, setting, _ = scenario.product(store.url)
    measured(("bench.stages", str(report), mapping, url, setting))
    found = json.loads(report.read_text(encoding="utf-8"))
    store.clear()
    return Profile(name=scenario.name, records=scenario.records, **found)
