"""What is measured of whole runs: crmmap and a script, over the same source into the same store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.measure import ROOT, Usage, environment, measured
from bench.stores import Database

Arguments = Sequence[str]
TWICE = ("first", "second")


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How thoroughly to measure. `scale` is a factor of all sizes, `rounds` are runs per median."""

    scale: float
    rounds: int
    folder: Path
    say: Callable[[str], None]
    servers: bool = True
    """Whether to measure on PostgreSQL and MariaDB, too."""
    most: bool = False
    """Whether growth is followed up to ten million records of a file, too."""

    def size(self, usual: int) -> int:
        return max(round(usual * self.scale), 50)

    def at_most(self, rounds: int) -> How:
        """Return how to measure what takes so long that fewer rounds must do."""
        return replace(self, rounds=min(self.rounds, rounds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A source of so many records, and who can load it: the last argument of each is the store."""

    name: str
    records: int
    table: str
    mapping: str
    setting: str
    script: tuple[str, str]

    def product(self, store: str) -> Arguments:
        """Return `crmmap run` as users type it; a dry run, where there is no store."""
        into = ("--store", store) if store else ("--dry-run",)
        mapping = f"bench/{self.mapping}"
        return ("crmmap", "run", mapping, "--set", self.setting, "--quiet", *into)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Usages of one kind of run, by who ran.

    `turn` is `first` (into an empty store), `second` (nothing has changed), or `read` (no store).
    """

    scenario: str
    store: str
    turn: str
    records: int
    usages: dict[str, list[Usage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """CPU seconds of one run, by stage and by function."""

    name: str
    records: int
    stages: dict[str, float]
    functions: dict[str, float]


@contextmanager
def serving(what: str, count: int) -> Iterator[str]:
    """Serve `contacts` or `people` from a process of its own; give its base URL."""
    command = [sys.executable, "-m", "bench.server", what, str(count)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()  # it ends with its standard input


def compare(
    scenario: Scenario, store: Database, how: How, turns: Sequence[str] = TWICE
) -> list[Comparison]:
    """Run crmmap and its script once per turn and round, and return the usages of each turn."""
    runners = {"crmmap": product_runs, "script": script_runs}
    found: dict[str, list[list[Usage]]] = {who: [] for who in runners}
    for number in range(how.rounds):
        how.say(f"{scenario.name} into {store.name}: round {number + 1} of {how.rounds}")
        # Who goes first changes, so that neither always finds the machine warmer.
        for who in sorted(found, reverse=number % 2 == 0):
            store.clear()
            found[who].append(runners[who](scenario, store, len(turns)))
    store.drop()
    return [
        Comparison(
            scenario=scenario.name, store=store.name, records=scenario.records, turn=turn,
            usages={who: [round_[index] for round_ in rounds] for who, rounds in found.items()},
        )
        for index, turn in enumerate(turns)
    ]  # fmt: skip


def compare_reading(scenario: Scenario, how: How) -> Comparison:
    """Have both take the cells out: the script writes them nowhere, and crmmap in a dry run.

    That is a whole run into a temporary SQLite store, so crmmap's figure has its writing in it.
    """
    found: dict[str, list[Usage]] = {"crmmap": [], "script": []}
    for number in range(how.rounds):
        how.say(f"{scenario.name}, only read: round {number + 1} of {how.rounds}")
        for who in sorted(found, reverse=number % 2 == 0):
            run = scenario.product("") if who == "crmmap" else (*scenario.script, "")
            found[who].append(measured(run))
    return Comparison(
        scenario=scenario.name, store="", records=scenario.records, turn="read", usages=found
    )


def product_runs(scenario: Scenario, store: Database, times: int) -> list[Usage]:
    """Run crmmap so many times into a store, which only the first run may change."""
    usages = []
    for _ in range(times):
        usages.append(measured(scenario.product(store.url)))
        check_product(scenario, store)
    if store.ask(f"SELECT count(DISTINCT _crmmap_run_id) FROM {scenario.table}") != 1:
        sys.exit(f"{scenario.name}: a later run rewrote rows that had not changed")
    return usages


def script_runs(scenario: Scenario, store: Database, times: int) -> list[Usage]:
    """Run the script so many times into a store."""
    usages = [measured((*scenario.script, store.url)) for _ in range(times)]
    if store.ask(f"SELECT count(*) FROM {scenario.table}") != scenario.records:
        sys.exit(f"{scenario.name}: the script did not load every record")
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
    store.drop()
    return usage


def staged(scenario: Scenario, store: Database, folder: Path) -> Profile:
    """Return where the CPU time of one run of crmmap into an empty SQLite store goes."""
    store.clear()
    report = folder / "stages.json"
    told = (str(report), f"bench/{scenario.mapping}", store.url, scenario.setting)
    measured(("bench.stages", *told))
    found = json.loads(report.read_text(encoding="utf-8"))
    store.clear()
    return Profile(name=scenario.name, records=scenario.records, **found)
