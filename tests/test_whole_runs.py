"""Whole runs, as a user starts them: an invented CRM over real HTTP into real databases."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from crmmap.values import OUTCOMES
from invented import MAPPING, table
from stores import store_url  # noqa: F401  (a fixture)

TABLES = ("shipyard_sailors", "shipyard_voyages")
PLACES = ["load.after_rows:3", "load.after_commit:3"]  # all of them: tests/test_kills.py


@pytest.fixture
def shipyard(tmp_path: Path) -> Path:
    path = tmp_path / "shipyard.yaml"
    path.write_text(MAPPING)
    return path


def crmmap(
    mapping: Path, store: str, *options: str, failpoint: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "crmmap", "run", str(mapping), "--mock", "--records", "230",
        "--dirty", "5", "--store", store, "--quiet", *options,
    ]  # fmt: skip
    engine = str(Path(__file__).parents[1] / "engine")
    environment = {**os.environ, "PYTHONPATH": engine, "CRMMAP_FAILPOINT": failpoint}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False
    )


def contents(store: str) -> dict[str, list[tuple[object, ...]]]:
    return {name: table(store, name, order="2, 1") for name in TABLES}


def accounts(store: str) -> list[tuple[int, ...]]:
    """Return every batch's sum: fetched, then where the records ended."""
    engine = sa.create_engine(store)
    with engine.connect() as connection:
        text = f"SELECT fetched, {', '.join(OUTCOMES)} FROM crmmap_batches"
        found = [tuple(row) for row in connection.execute(sa.text(text))]
    engine.dispose()
    return found


def test_a_new_source_is_yaml_alone(shipyard: Path, store_url: str) -> None:
    done = crmmap(shipyard, store_url, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    streams = {stream["stream"]: stream for stream in report["streams"]}
    for stream in streams.values():
        counts = stream["counts"]
        assert counts["fetched"] == 230
        assert counts["inserted"] > 200
        assert counts["rejected"] > 0
    rows = {name: len(found) for name, found in contents(store_url).items()}
    stubs = streams["voyages"]["counts"]["stubbed"]
    assert rows["shipyard_voyages"] == streams["voyages"]["counts"]["inserted"]
    assert rows["shipyard_sailors"] == streams["sailors"]["counts"]["inserted"] + stubs


def test_a_second_run_changes_nothing(shipyard: Path, store_url: str) -> None:
    assert crmmap(shipyard, store_url).returncode == 0
    before = contents(store_url)
    again = crmmap(shipyard, store_url, "--json")
    for stream in json.loads(again.stdout)["streams"]:
        counts = stream["counts"]
        assert (counts["fetched"], counts["inserted"], counts["updated"]) == (230, 0, 0), stream
        assert counts["unchanged"] > 200
    assert contents(store_url) == before


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    (folder / "shipyard.yaml").write_text(MAPPING)
    store = f"sqlite:///{folder / 'store.db'}"
    assert crmmap(folder / "shipyard.yaml", store).returncode == 0
    return contents(store)


@pytest.mark.parametrize("place", PLACES)
def test_a_killed_run_is_finished_by_the_next(
    shipyard: Path, tmp_path: Path, place: str, uninterrupted: dict[str, list[tuple[object, ...]]]
) -> None:
    store = f"sqlite:///{tmp_path / 'store.db'}"
    killed = crmmap(shipyard, store, failpoint=place)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = crmmap(shipyard, store)
    assert done.returncode == 0, done.stderr
    assert contents(store) == uninterrupted
    sums = accounts(store)
    assert sums
    assert all(fetched == sum(ends) for fetched, *ends in sums)


def test_a_killed_run_is_finished_on_a_server_too(shipyard: Path, store_url: str) -> None:
    killed = crmmap(shipyard, store_url, failpoint="load.before_commit:3")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = crmmap(shipyard, store_url)
    assert done.returncode == 0, done.stderr
    before = contents(store_url)
    assert crmmap(shipyard, store_url, "--full").returncode == 0
    assert contents(store_url) == before
