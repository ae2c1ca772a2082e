"""How far streams have been read: looked at, and changed by hand."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from commands import write
from crmmap.errors import StoreLocked
from crmmap.load import Store
from crmmap.load.state import StreamState, put_state, states_of
from crmmap.loop.given_cursors import kept_cursors, with_cursor
from inside import Command, crmmap  # noqa: F401  (fixture)
from stores import OWNER, Loader, load, store_url  # noqa: F401  (fixtures)
from test_loop import plan, stream

# --- in the ledger --------------------------------------------------------------------------------


def test_a_state_is_put_and_the_next_run_goes_on_from_it(load: Callable[..., Loader]) -> None:
    it = load()
    it.work(lambda _: None, position='"p"', cursor="c")
    zombie = it.mark
    it.store.end_run(it.run_id, status="interrupted")
    state = StreamState(stream="s", cursor="mine", position='"q"', fingerprint="f")
    it.store.alone(lambda on: put_state(on, "m", state, OWNER), mapping="m", owner=OWNER)

    found = it.store.ask(lambda on: states_of(on, "m"))["s"]
    assert (found.cursor, found.position, found.moved_by) == ("mine", '"q"', OWNER)
    assert found.moved_at is not None
    it.mark = zombie
    with pytest.raises(StoreLocked):
        it.work(lambda _: None)
    it.begin("run2")
    assert (it.mark.cursor, it.mark.position) == ("mine", '"q"')
    it.work(lambda _: None, ended=True)
    assert it.store.ask(lambda on: states_of(on, "m"))["s"].moved_by == "run2"


def test_a_stream_that_was_never_read_can_be_given_a_state(load: Callable[..., Loader]) -> None:
    it = load()
    it.store.end_run(it.run_id, status="done")
    state = StreamState(stream="new", cursor="mine")
    it.store.alone(lambda on: put_state(on, "m", state, OWNER), mapping="m", owner=OWNER)
    it.begin("run2")
    assert it.stream(stream="new").cursor == "mine"


def test_nothing_is_changed_while_a_run_is_under_way(load: Callable[..., Loader]) -> None:
    it = load()
    with pytest.raises(StoreLocked, match="is being run by"):
        it.store.alone(lambda _: None, mapping="m", owner="elsewhere:1")
    it.store.end_run(it.run_id, status="done")
    it.store.alone(lambda _: None, mapping="m", owner="elsewhere:1")
    it.begin("run2")  # the lock was let go


# --- a cursor by hand -----------------------------------------------------------------------------

TYPED = "seen: {from: seen, type: %s}"
CURSOR = "    incremental: {kind: %s, field: seen, params: {since: '{{ cursor }}'}}\n"


@pytest.mark.parametrize(
    ("kind", "type_", "given", "kept"),
    [
        ("timestamp", "datetime", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00.000000Z"),
        ("timestamp", "datetime", "2026-01-01", "2026-01-01T00:00:00.000000Z"),
        ("timestamp", "date", "2026-01-01", "2026-01-01"),
        ("sequence", "integer", "0042", "42"),
        ("event_id", "text", "00-x", "00-x"),
    ],
)
def test_a_cursor_is_kept_as_a_read_would_keep_it(
    kind: str, type_: str, given: str, kept: str
) -> None:
    step = plan(stream("s", TYPED % type_, extra=CURSOR % kind)).steps[0]
    text = with_cursor(step, None, given, None)
    assert kept_cursors(text) == {"": kept}
    assert json.loads(text)["of"] == step.cursor_of


@pytest.mark.parametrize(
    ("kind", "type_", "given", "said"),
    [
        ("timestamp", "datetime", "yesterday", "is no moment"),
        ("sequence", "integer", "1.5", "is no whole number"),
    ],
)
def test_a_cursor_of_another_kind_is_refused(kind: str, type_: str, given: str, said: str) -> None:
    step = plan(stream("s", TYPED % type_, extra=CURSOR % kind)).steps[0]
    with pytest.raises(ValueError, match=said):
        with_cursor(step, None, given, None)


def test_a_partition_must_be_one_that_is_known() -> None:
    over = "    for_each: {over: {region: {list: [eu, us]}}}\n"
    step = plan(stream("s", TYPED % "integer", extra=CURSOR % "sequence" + over)).steps[0]
    kept = with_cursor(step, None, "1", "eu")
    kept = with_cursor(step, kept, "2", "eu")
    assert kept_cursors(kept) == {"eu": "2"}
    with pytest.raises(ValueError, match="--partition: eu"):
        with_cursor(step, kept, "2", "asia")
    with pytest.raises(ValueError, match="has a cursor for each partition"):
        with_cursor(step, kept, "2", None)
    single = plan(stream("s", TYPED % "integer", extra=CURSOR % "sequence")).steps[0]
    with pytest.raises(ValueError, match="no partitions"):
        with_cursor(single, None, "2", "eu")
    none = plan(stream("s")).steps[0]
    with pytest.raises(ValueError, match="keeps no cursor"):
        with_cursor(none, None, "2", None)


# --- the commands ---------------------------------------------------------------------------------

MAPPING = """
crmmap: 1
name: shop
settings: {database: {env: SHOP, secret: true}}
source: {kind: sql, url: "{{ settings.database }}"}
streams:
  orders:
    query: {table: orders}
    incremental: {kind: timestamp, field: changed}
    table: {name: shop_orders, key: id}
    fields: {id: id, changed: {from: changed, type: datetime}}
  clients:
    query: {table: clients}
    incremental: {kind: sequence, field: number}
    table: {name: shop_clients, key: id}
    fields: {id: id, number: {from: number, type: integer}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHOP", f"sqlite:///{tmp_path}/shop.db")
    write(tmp_path, shop_yaml=MAPPING)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
        shop.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, changed TEXT)")
        shop.execute("CREATE TABLE clients (id TEXT PRIMARY KEY, number INTEGER)")
        days = [(day, f"{day}T00:00:00Z") for day in ("2024-01-01", "2024-01-02")]
        shop.executemany("INSERT INTO orders VALUES (?, ?)", days)
        shop.executemany("INSERT INTO clients VALUES (?, ?)", [("a", 1), ("b", 7)])
    return tmp_path


def state(crmmap: Command) -> dict[str, Any]:
    found: dict[str, Any] = crmmap("state", "show", "shop.yaml", "--json").json
    return found


def fetched(crmmap: Command, *words: str) -> dict[str, int]:
    streams = crmmap("run", "shop.yaml", "-q", "--json", *words).json["streams"]
    return {each["stream"]: each["counts"]["fetched"] for each in streams}


def test_the_state_is_shown_set_and_reset(crmmap: Command, folder: Path) -> None:
    assert fetched(crmmap) == {"orders": 2, "clients": 2}
    told = crmmap("state", "show", "shop.yaml")
    assert told.code == 0
    assert "2024-01-02T00:00:00.000000Z" in told.out
    assert fetched(crmmap) == {"orders": 1, "clients": 0}

    dry = crmmap("state", "set", "shop.yaml", "2023-01-01", "-s", "orders", "--dry-run")
    assert dry.out == (
        "orders: 2024-01-02T00:00:00.000000Z → 2023-01-01T00:00:00.000000Z (dry run)\n"
    )
    assert "2023" not in crmmap("state", "show", "shop.yaml").out
    assert crmmap("state", "set", "shop.yaml", "2023-01-01", "-s", "orders").code == 0
    assert crmmap("state", "set", "shop.yaml", "0", "-s", "clients", "--json").json == {
        "mapping": "shop", "dry_run": False,
        "changes": [{"stream": "clients", "was": "7", "is": "0"}],
    }  # fmt: skip
    assert fetched(crmmap) == {"orders": 2, "clients": 2}

    reset = crmmap("state", "reset", "shop.yaml", "-s", "clients")
    assert reset.out == "clients: 7 → from the start\n"
    assert fetched(crmmap) == {"orders": 1, "clients": 2}


def test_a_full_run_of_one_stream_touches_nothing_else(crmmap: Command, folder: Path) -> None:
    fetched(crmmap)
    fetched(crmmap)

    def others() -> list[list[tuple[Any, ...]]]:
        with closing(sqlite3.connect(folder / "crmmap.db")) as store:
            queries = (
                "SELECT * FROM crmmap_cursors WHERE stream = 'clients'",
                "SELECT * FROM shop_clients",
                "SELECT * FROM crmmap_stream_runs WHERE stream = 'clients'",
            )
            return [store.execute(each).fetchall() for each in queries]

    before, clients = others(), state(crmmap)["streams"]["clients"]
    assert fetched(crmmap, "--full", "-s", "orders") == {"orders": 2}
    assert others() == before
    assert state(crmmap)["streams"]["clients"] == clients
    assert fetched(crmmap) == {"orders": 1, "clients": 0}


def test_what_was_exported_is_imported(crmmap: Command, folder: Path) -> None:
    fetched(crmmap)
    assert crmmap("state", "export", "shop.yaml", "-o", "state.json").code == 0
    exported = crmmap("state", "export", "shop.yaml").json
    assert exported == json.loads((folder / "state.json").read_text())

    fresh = ("--store", "sqlite:///other.db")
    fetched(crmmap, *fresh, "-s", "clients")
    crmmap("state", "reset", "shop.yaml", "--all", *fresh)
    told = crmmap("state", "import", "shop.yaml", "state.json", *fresh)
    assert told.code == 0
    assert told.out == (
        "orders: from the start → 2024-01-02T00:00:00.000000Z\nclients: from the start → 7\n"
    )
    assert fetched(crmmap, *fresh) == {"orders": 1, "clients": 0}
    again = crmmap("state", "import", "shop.yaml", "state.json", "-s", "clients", *fresh)
    assert again.out == "clients: 7, as before\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mapping": "other"}, "the state is of the mapping 'other', not of 'shop'"),
        ({"crmmap_state": 2}, "is not what `crmmap state export` writes"),
        ({"streams": {"gone": {"cursor": None}}}, "the mapping has no stream 'gone'"),
        ({"streams": {"orders": {"cursor": {"of": "x", "at": {}}}}}, "for another request"),
        ({"streams": {"orders": 7}}, "is not what `crmmap state export` writes"),
    ],
)
def test_a_state_that_does_not_fit_is_not_imported(
    crmmap: Command, folder: Path, change: dict[str, Any], said: str
) -> None:
    fetched(crmmap)
    before = state(crmmap)
    (folder / "state.json").write_text(json.dumps({**before, **change}))

    told = crmmap("state", "import", "shop.yaml", "state.json")
    assert told.code == 2
    assert said in told.err
    assert state(crmmap) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set", "shop.yaml", "2024-01-01"), "name it with --stream"),
        (("set", "shop.yaml", "soon", "-s", "orders"), "stream 'orders': 'soon' is no moment"),
        (("set", "shop.yaml", "1", "-s", "ordres"), "Did you mean 'orders'?"),
        (("reset", "shop.yaml"), "--stream NAME, or --all"),
        (("import", "shop.yaml", "none.json"), "can't be read"),
    ],
)
def test_a_change_that_can_not_be_made_is_told(
    crmmap: Command, folder: Path, words: tuple[str, ...], said: str
) -> None:
    fetched(crmmap)
    told = crmmap("state", *words)
    assert told.code == 2
    assert said in told.err


def test_the_state_stays_while_a_run_holds_the_lock(crmmap: Command, folder: Path) -> None:
    fetched(crmmap)
    with closing(Store.open("sqlite:///crmmap.db", application="tests")) as store:
        store.begin_run(mapping="shop", run_id="other", owner=f"elsewhere:{os.getpid()}")
        told = crmmap("state", "reset", "shop.yaml", "--all")
        assert crmmap("state", "show", "shop.yaml").code == 0

    assert told.code == 5
    assert "is being run by elsewhere" in told.err
