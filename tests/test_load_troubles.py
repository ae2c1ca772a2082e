"""Databases that are in trouble: deadlocks, locks that do not end, read-only files, full disks.

What passes is tried again as a whole batch. What does not ends the run with what is wrong and what
to do; then nothing of the batch is there, and the same batch can be loaded later.
"""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from crmmap.errors import ExitCode, StoreError
from crmmap.load import Store, Tally, Transaction
from stores import PEOPLE, STORES, Loader, frame, load, store_url  # noqa: F401  (fixtures)

MANY = [(f"m{number}", "n", number) for number in range(1000)]


@pytest.mark.parametrize("store_url", STORES[1:], indirect=True)
def test_a_batch_that_loses_a_deadlock_is_done_again(load: Callable[..., Loader]) -> None:
    """Ours waits for the other's row, the other for ours: the database ends ours, the smaller."""
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "old", 1), ("b", "old", 1), *MANY])
    other = it.store.engine.connect()
    theirs = other.begin()
    # The one that has done more is not chosen on MySQL, the one that is more patient on PostgreSQL.
    other.exec_driver_sql("UPDATE people SET count = count + 1 WHERE id <> 'a'")
    waits = threading.Thread(
        target=other.exec_driver_sql, args=("UPDATE people SET count = 7 WHERE id = 'a'",)
    )
    called = 0

    def work(transaction: Transaction) -> Tally:
        nonlocal called
        called += 1
        connection = transaction.session.connection
        if called == 2:
            waits.join(30)
            theirs.commit()
            other.close()
        elif it.kind == "postgresql":
            connection.exec_driver_sql("SET LOCAL deadlock_timeout = '100ms'")
        first = transaction.write(PEOPLE, frame(PEOPLE, [("a", "new", 2)]))
        if called == 1:
            waits.start()
        second = transaction.write(PEOPLE, frame(PEOPLE, [("b", "new", 2)]))
        assert second.counts.updated == 1
        return Tally(counts=replace(first.counts, fetched=2, updated=2))

    _, tally = it.store.commit(it.mark, work)
    assert called == 2
    assert tally.counts.updated == 2
    assert it.sql("SELECT id, name, count FROM people WHERE id IN ('a', 'b') ORDER BY id") == [
        ("a", "new", 2), ("b", "new", 2),
    ]  # fmt: skip
    assert it.sql("SELECT count(*) FROM people WHERE count = 50") == [(1,)]
    assert it.sql("SELECT sum(updated) FROM crmmap_batches") == [(2,)]


def fails(it: Loader, kind: str, trouble: Callable[[Any], object], message: str) -> None:
    """A batch fails with this message while there is trouble; nothing of it is there."""
    event.listen(it.store.engine, kind, trouble)
    with pytest.raises(StoreError, match=message) as caught:
        it.upsert(PEOPLE, MANY, position='"2"')
    event.remove(it.store.engine, kind, trouble)
    it.store.engine.dispose()
    assert caught.value.exit_code == ExitCode.STREAM_FAILED
    assert it.store.name in str(caught.value)
    assert it.sql("SELECT id FROM people") == [("a",)]
    assert it.sql("SELECT position FROM crmmap_cursors") == [('"1"',)]


def goes_on(it: Loader) -> None:
    """The same batch is loaded, once."""
    assert it.upsert(PEOPLE, MANY, position='"2"').counts.inserted == len(MANY)
    assert it.sql("SELECT position FROM crmmap_cursors") == [('"2"',)]
    assert it.sql("SELECT sum(inserted), count(*) FROM crmmap_batches") == [(1 + len(MANY), 2)]


@pytest.fixture
def loaded(load: Callable[..., Loader]) -> Loader:
    it = load(PEOPLE)
    it.upsert(PEOPLE, [("a", "n", 1)], position='"1"')
    return it


@pytest.mark.parametrize("store_url", STORES[:1], indirect=True)
def test_a_file_that_stays_locked_is_named(loaded: Loader, store_url: str) -> None:
    blocking = loaded.store.engine.connect()
    blocker = blocking.begin()
    patient = loaded.store
    loaded.store = Store.open(f"{store_url}?timeout=0.01", application="t", pause=lambda _: None)
    with pytest.raises(StoreError, match=r"another process has been writing .* \(tried 5 times\)"):
        loaded.upsert(PEOPLE, MANY, position='"2"')
    blocker.rollback()
    blocking.close()
    loaded.store.close()
    loaded.store = patient
    goes_on(loaded)


@pytest.mark.parametrize("store_url", STORES[:1], indirect=True)
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("query_only=ON", "the file or its folder is read-only"),
        ("max_page_count=1", "the disk is full; make room and run again"),
    ],
)
def test_what_a_file_can_not_take_can_be_loaded_later(
    loaded: Loader, trouble: str, message: str
) -> None:
    """SQLite says the same of a disk that is full as of a file that may not grow."""

    def restrict(driver: Any, *_: object) -> None:
        driver.execute(f"PRAGMA {trouble}")

    fails(loaded, "checkout", restrict, message)
    goes_on(loaded)


@pytest.mark.parametrize("store_url", STORES[1:2], indirect=True)
def test_a_server_that_only_lets_read_is_told_of(loaded: Loader) -> None:
    """As after a fail-over to a standby."""

    def restrict(connection: Any) -> None:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    fails(loaded, "begin", restrict, "the server is read-only; name its primary")
    goes_on(loaded)
