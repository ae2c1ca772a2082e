"""The section that compares crmmap with others of its kind, each as it comes and well tuned.

They are installed from the package index into `bench/.peers`, with versions that are written down.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial

from bench.measure import ROOT, Usage, measured
from bench.runs import Runs, contacts
from bench.scenarios import Comparison, How, Scenario, check_product, serving
from bench.stores import SCHEMA, Database, postgres_store

FOLDER = ROOT / "bench" / ".peers"
PYTHON = str(FOLDER / "bin" / "python")
NEEDED = ("dlt[postgres]==1.31.0", "orjson", "pyarrow")
STAGING = f"DROP SCHEMA IF EXISTS {SCHEMA}_staging CASCADE"
"""What dlt leaves beside its schema."""
Twice = Callable[[], tuple[Usage, Usage]]


def peers(how: How) -> Runs:
    """50,000 contacts into PostgreSQL, by crmmap, dlt and the script, in turn."""
    store = postgres_store() if how.servers else None
    if store is None or not installed(how):
        how.say("no PostgreSQL, or no peer can be installed: left out")
        return Runs(comparisons=[], profiles=[])
    count = how.size(50_000)
    found: dict[str, list[tuple[Usage, Usage]]] = {}
    with serving("contacts", count) as base_url:
        scenario = contacts(base_url, count)
        runners: dict[str, Twice] = {
            "crmmap": partial(_crmmap, scenario, store),
            "script": partial(_script, scenario, store),
            "dlt, tuned": partial(_dlt, "tuned", scenario, base_url, store, how),
            "dlt, defaults": partial(_dlt, "defaults", scenario, base_url, store, how),
        }
        for number in range(how.rounds):
            for who in list(runners)[:: -1 if number % 2 else 1]:
                how.say(f"{who}: round {number + 1} of {how.rounds}")
                store.clear()
                found.setdefault(who, []).append(runners[who]())
                store.drop()
    comparisons = [
        Comparison(
            scenario=scenario.name, store=store.name, records=count, turn=turn,
            usages={who: [pair[index] for pair in found[who]] for who in runners},
        )
        for index, turn in enumerate(("first", "second"))
    ]  # fmt: skip
    return Runs(comparisons=comparisons, profiles=[])


def installed(how: How) -> bool:
    """Install the peers, if they are not there; return whether they are."""
    done = FOLDER / "installed.txt"
    if done.exists() and done.read_text(encoding="utf-8") == "\n".join(NEEDED):
        return True
    how.say(f"installing {', '.join(NEEDED)} into {FOLDER.relative_to(ROOT)}")
    for command in ([sys.executable, "-m", "venv", "--clear", str(FOLDER)],
                    [PYTHON, "-m", "pip", "install", "--quiet", *NEEDED]):  # fmt: skip
        if subprocess.run(command, check=False).returncode:
            return False
    done.write_text("\n".join(NEEDED), encoding="utf-8")
    return True


def _crmmap(scenario: Scenario, store: Database) -> tuple[Usage, Usage]:
    usages = measured(scenario.product(store.url)), measured(scenario.product(store.url))
    check_product(scenario, store)
    return usages


def _script(scenario: Scenario, store: Database) -> tuple[Usage, Usage]:
    run = (*scenario.script, store.url)
    return measured(run), measured(run)


def _dlt(
    way: str, scenario: Scenario, base_url: str, store: Database, how: How
) -> tuple[Usage, Usage]:
    server = store.url.rpartition("options=")[0].rstrip("?&")
    state = how.folder / f"dlt-{way}-{len(list(how.folder.glob('dlt-*')))}"
    run = ("bench.dlt_contacts", way, base_url, server, SCHEMA, str(state))
    usages = measured(run, PYTHON), measured(run, PYTHON)
    if store.ask(f"SELECT count(*) FROM {scenario.table}") != scenario.records:
        sys.exit(f"dlt, {way}: it did not load every record")
    store.ask(STAGING)
    return usages
