"""The section that compares crmmap with others of its kind, each as it comes and well tuned.

They are installed from the package index into `bench/.peers`, each into an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from bench.measure import ROOT, Usage, measured
from bench.runs import Runs, contacts
from bench.scenarios import (
    TWICE,
    Comparison,
    How,
    Scenario,
    product_runs,
    script_runs,
    serving,
)
from bench.stores import SCHEMA, Database, postgres_store, sqlite_store

FOLDER = ROOT / "bench" / ".peers"
DLT_VERSION = "1.31.0"
NEEDED = {
    "dlt": (f"dlt[postgres,sqlalchemy]=={DLT_VERSION}", "orjson", "pyarrow"),
    "tap": ("tap-rest-api-msdk==1.4.2",),
    "target": ("meltanolabs-target-postgres==0.8.1",),
}
STAGING = f"DROP SCHEMA IF EXISTS {SCHEMA}_staging CASCADE"
"""What dlt leaves beside its schema."""
Runner = Callable[[], Sequence[Usage]]


def peers(how: How) -> Runs:
    """50,000 contacts into SQLite and PostgreSQL, by crmmap, its peers and the script, in turn."""
    there = {name for name in NEEDED if installed(name, how)}
    postgres = postgres_store() if how.servers else None
    count, found = how.size(50_000), []
    with serving("contacts", count) as base_url:
        scenario = contacts(base_url, count)
        for store in filter(None, (sqlite_store(how.folder), postgres)):
            runners: dict[str, Runner] = {
                "crmmap": partial(product_runs, scenario, store, len(TWICE)),
                "script": partial(script_runs, scenario, store, len(TWICE)),
            }
            for way in ("tuned", "defaults") if "dlt" in there else ():
                runners[f"dlt, {way}"] = partial(_dlt, way, scenario, base_url, store, how)
            if store is postgres and {"tap", "target"} <= there:
                runners["Singer"] = partial(_singer, scenario, base_url, store, how)
            found += _in_turn(scenario, store, runners, how)
    return Runs(comparisons=found, profiles=[])


def _in_turn(
    scenario: Scenario, store: Database, runners: Mapping[str, Runner], how: How
) -> list[Comparison]:
    found: dict[str, list[Sequence[Usage]]] = {who: [] for who in runners}
    for number in range(how.rounds):
        for who in list(runners)[:: -1 if number % 2 else 1]:
            how.say(f"{who} into {store.name}: round {number + 1} of {how.rounds}")
            store.clear()
            found[who].append(runners[who]())
            store.drop()
    return [
        Comparison(
            scenario=scenario.name, store=store.name, records=scenario.records, turn=turn,
            usages={who: [pair[index] for pair in found[who]] for who in runners},
        )
        for index, turn in enumerate(TWICE)
    ]  # fmt: skip


def program(peer: str, name: str) -> str:
    return str(FOLDER / peer / "bin" / name)


def installed(peer: str, how: How) -> bool:
    """Install a peer, if it is not there; return whether it is."""
    needed, done = NEEDED[peer], FOLDER / peer / "installed.txt"
    if done.exists() and done.read_text(encoding="utf-8") == "\n".join(needed):
        return True
    how.say(f"installing {', '.join(needed)} into {done.parent.relative_to(ROOT)}")
    for command in (
        (sys.executable, "-m", "venv", "--clear", str(done.parent)),
        (program(peer, "python"), "-m", "pip", "install", "--quiet", *needed),
    ):
        if subprocess.run(command, check=False).returncode:
            how.say(f"{peer} can't be installed: left out")
            return False
    done.write_text("\n".join(needed), encoding="utf-8")
    return True


def _dlt(
    way: str, scenario: Scenario, base_url: str, store: Database, how: How
) -> tuple[Usage, Usage]:
    state = how.folder / f"dlt-{way}-{len(list(how.folder.glob('dlt-*')))}"
    schema = "main" if store.name == "SQLite" else SCHEMA
    run = ("bench.dlt_contacts", way, base_url, _server(store), schema, str(state))
    python = program("dlt", "python")
    usages = measured(run, python), measured(run, python)
    _check(f"dlt, {way}", scenario, store)
    if store.name == "PostgreSQL":
        store.ask(STAGING)
    return usages


def _singer(scenario: Scenario, base_url: str, store: Database, how: How) -> tuple[Usage, Usage]:
    tap, target = program("tap", "tap-rest-api-msdk"), program("target", "target-postgres")
    places = (base_url, _server(store), SCHEMA, str(how.folder))
    run = ("bench.singer_contacts", tap, target, *places)
    usages = measured(run), measured(run)
    _check("Singer", scenario, store)
    return usages


def _server(store: Database) -> str:
    """Return the store's address without its schema."""
    return store.url.partition("options=")[0].rstrip("?&")


def _check(who: str, scenario: Scenario, store: Database) -> None:
    if store.ask(f"SELECT count(*) FROM {scenario.table}") != scenario.records:
        sys.exit(f"{who}: it did not load every record")
