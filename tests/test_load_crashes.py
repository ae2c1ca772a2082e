"""Kills, cut connections and locks: whatever happens, each batch is in the store once."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from typing import Literal

import polars as pl
import pytest
from sqlalchemy import make_url

from crmmap.errors import StoreUnreachable
from crmmap.load import Store, Tally, Transaction
from crmmap.values import Counts
from stores import (  # noqa: F401  (fixtures)
    PEOPLE,
    STORES,
    Loader,
    empty_store,
    frame,
    load,
    store_url,
)


class Cutter:
    """A relay to a server that can lose the connection around a COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self.armed: Literal["before", "after"] | None = None
        self.cuts = 0
        self.asked, self.answered = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.server)
            except OSError:
                _shut(client)
                continue
            for pump in (self._up, self._down):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            if self.armed and b"COMMIT" in data:
                if self.armed == "after":
                    self.asked.set()
                    server.sendall(data)
                    # The server's answer stays here; once it is there, the commit is done.
                    self.answered.wait(5)
                self.armed = None
                self.cuts += 1
                break
            server.sendall(data)
        for each in (client, server):
            _shut(each)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(server):
            if self.asked.is_set():
                self.asked.clear()
                self.answered.set()
                return
            try:
                client.sendall(data)
            except OSError:
                break
        _shut(client)

    def close(self) -> None:
        self.listener.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@pytest.fixture
def cutter(store_url: str) -> Iterator[tuple[Cutter, str]]:
    parsed = make_url(store_url)
    port = 3306 if store_url.startswith("mysql") else 5432
    relay = Cutter(parsed.host or "127.0.0.1", parsed.port or port)
    through = parsed.set(host="127.0.0.1", port=relay.port)
    yield relay, through.render_as_string(hide_password=False)
    relay.close()


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
@pytest.mark.parametrize(("moment", "calls"), [("before", 2), ("after", 1)])
def test_a_commit_whose_answer_is_lost_is_looked_up(
    cutter: tuple[Cutter, str], moment: Literal["before", "after"], calls: int
) -> None:
    """The error is the same; only the ledger tells whether to write again."""
    relay, url = cutter
    it = Loader(url, PEOPLE)
    with closing(it.store):
        called = 0

        def work(transaction: Transaction) -> Tally:
            nonlocal called
            called += 1
            written = transaction.write(PEOPLE, frame(PEOPLE, [("a", "n", 1)]))
            if called == 1:
                relay.armed = moment
            return Tally(counts=replace(written.counts, fetched=1), position='"1"')

        mark, tally = it.store.commit(it.mark, work)
        assert relay.cuts == 1
        assert called == calls
        assert (mark.batch_seq, mark.position) == (1, '"1"')
        assert tally.counts.inserted == 1
        assert it.sql("SELECT inserted, unchanged FROM crmmap_batches") == [(1, 0)]
        assert it.store.mark(mapping="m", stream="s", run_id="run1") == mark


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_a_server_that_stays_away_is_reported(cutter: tuple[Cutter, str]) -> None:
    relay, url = cutter
    it = Loader(url, PEOPLE)

    def work(_: Transaction) -> Tally:
        raise AssertionError  # never reached: there is no connection

    it.store.engine.dispose()
    relay.server = ("127.0.0.1", 1)
    relay.close()
    with pytest.raises(StoreUnreachable, match="tried 5 times"):
        it.store.commit(it.mark, work)
    it.store.close()


def impatient(url: str) -> str:
    """Return a store's URL with next to no patience for the locks of others."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        changed = {"timeout": "0.01"}
    elif parsed.get_backend_name() == "mysql":
        changed = {"lock_timeout": "1"}
    else:
        changed = {"options": f"{parsed.query['options']} -c lock_timeout=20ms"}
    return parsed.update_query_dict(changed).render_as_string(hide_password=False)


def test_a_lock_that_passes_is_waited_for(load: Callable[..., Loader], store_url: str) -> None:
    """The whole batch is done again, from its beginning."""
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "old", 1)])
    blocking = it.store.engine.connect()
    blocker = blocking.begin()
    blocking.exec_driver_sql("UPDATE people SET count = 7")
    waited: list[float] = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        blocker.rollback()

    patient, it.store = (
        it.store,
        Store.open(impatient(store_url), application="crmmap:test", pause=release),
    )
    assert it.upsert(PEOPLE, [("a", "new", 1), ("b", "n", 2)]).counts.inserted == 1
    assert len(waited) == 1
    assert it.sql("SELECT count(*) FROM crmmap_batches") == [(2,)]
    blocking.close()
    it.store.close()
    it.store = patient


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_beginnings_wait_for_each_other(load: Callable[..., Loader], store_url: str) -> None:
    """Also where the other one commits meanwhile, as each statement of DDL does on MySQL."""
    it = load(PEOPLE)
    it.store.end_run("run1", status="done")
    other = it.store.engine.connect()
    it.store.dialect.serialize(other)
    if it.kind == "mysql":
        other.commit()
    waited: list[float] = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        other.close()

    second = Store.open(impatient(store_url), application="crmmap:test", pause=release)
    second.begin_run(mapping="m", run_id="run2", owner="elsewhere:1")
    second.close()
    assert waited, "it began while another held the lock"  # Tests beside this one may hold it, too.


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_beginnings_do_not_wait_for_those_in_another_schema(
    load: Callable[..., Loader], store_url: str
) -> None:
    it = load(PEOPLE)
    with (
        empty_store(it.kind) as elsewhere,
        closing(Store.open(impatient(elsewhere), application="crmmap:test", pause=_fail)) as other,
        it.store.engine.connect() as holding,
    ):
        it.store.dialect.serialize(holding)
        other.prepare([])
        other.begin_run(mapping="m", run_id="run2", owner="elsewhere:1")


def _fail(_: float) -> None:
    pytest.fail("it waits")


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_a_connection_that_the_server_ends_costs_nothing(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    called = 0

    def work(transaction: Transaction) -> Tally:
        nonlocal called
        called += 1
        written = transaction.write(PEOPLE, frame(PEOPLE, [("a", "n", 1)]))
        if called == 1:
            own = "connection_id()" if it.kind == "mysql" else "pg_backend_pid()"
            end = "KILL {}" if it.kind == "mysql" else "SELECT pg_terminate_backend({})"
            (number,) = transaction.session.connection.exec_driver_sql(f"SELECT {own}").one()
            it.sql(end.format(number))
        return Tally(counts=replace(written.counts, fetched=1))

    _, tally = it.store.commit(it.mark, work)
    assert called == 2
    assert tally.counts.inserted == 1
    assert it.sql("SELECT inserted, unchanged FROM crmmap_batches") == [(1, 0)]


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_batches_that_get_in_each_others_way_are_done_again(load: Callable[..., Loader]) -> None:
    """Each holds the row that the other wants next; the database ends one of them."""
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 0), ("b", "n", 0)])
    meeting = threading.Barrier(2)
    calls: list[str] = []

    def stream(name: str) -> None:
        def work(transaction: Transaction) -> Tally:
            calls.append(name)
            again = calls.count(name) > 1
            first, second = "ab" if name == "one" or again else "ba"
            transaction.write(PEOPLE, frame(PEOPLE, [(first, name, 1)]))
            if not again:
                meeting.wait(10)
            transaction.write(PEOPLE, frame(PEOPLE, [(second, name, 1)]))
            return Tally(counts=Counts())

        it.store.commit(it.stream(stream=name), work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(stream, ["one", "two"]))
    assert len(calls) >= 3
    assert len(it.sql("SELECT DISTINCT name FROM people")) == 1


def test_threads_share_a_store(load: Callable[..., Loader]) -> None:
    """Streams run side by side; on SQLite their batches queue."""
    it = load(PEOPLE)

    def stream(name: str) -> None:
        mark = it.stream(stream=name)
        for number in range(5):
            rows = frame(PEOPLE, [(f"{name}{number}{end}", "n", number) for end in range(20)])

            def work(transaction: Transaction, rows: pl.DataFrame = rows) -> Tally:
                written = transaction.write(PEOPLE, rows)
                return Tally(counts=replace(written.counts, fetched=20))

            mark, _ = it.store.commit(mark, work)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(stream, "abcd"))
    assert it.sql("SELECT count(*) FROM people") == [(400,)]
    assert it.sql("SELECT count(*) FROM crmmap_batches") == [(20,)]
