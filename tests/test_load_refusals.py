"""What the database refuses costs itself only, and is told by names, never by values."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from crmmap.errors import StoreError
from crmmap.load import Tally, Transaction
from crmmap.values import INDEX, Counts
from stores import PEOPLE, STORES, Loader, Stop, load, store_url  # noqa: F401  (fixtures)


def with_check(it: Loader) -> None:
    """Have the live table refuse what the mapping allows."""
    it.sql("DROP TABLE people")
    it.sql(
        "CREATE TABLE people (id {id} NOT NULL PRIMARY KEY, name {short}, count {whole}, "
        "_crmmap_run_id {run}, _crmmap_synced_at {moment}, _crmmap_row_hash {whole}, "
        "CONSTRAINT small CHECK (count < 1000), CONSTRAINT one_name UNIQUE (name)) {strict}"
    )


def statements(it: Loader) -> list[str]:
    seen: list[str] = []

    def note(_c: Any, _cu: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(it.store.engine, "before_cursor_execute", note)
    return seen


def test_bad_rows_are_found_by_halving(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    with_check(it)
    seen = statements(it)
    bad = {100, 101, 350}
    rows = [(str(n), str(n), 5000 + n if n in bad else n % 50) for n in range(500)]
    written = it.upsert(PEOPLE, rows)
    assert written.counts == Counts(inserted=497)
    assert set(written.refused[INDEX]) == bad
    reason = json.loads(written.refused["reasons"][0])[0]
    assert reason["rule"] == "store.check"
    assert "'small'" in reason["message"]
    inserts = [text for text in seen if re.match(r"INSERT INTO .people\W", text)]
    assert len(inserts) <= 40
    assert it.sql("SELECT count(*) FROM people") == [(497,)]
    assert it.sql("SELECT rejected FROM crmmap_batches") == [(3,)]


def test_a_refused_row_is_told_by_names_only(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    with_check(it)
    written = it.upsert(PEOPLE, [("a", "hunter2", 1), ("b", "hunter2", 2), ("c", "other", 3)])
    assert written.counts == Counts(inserted=2)
    text = written.refused["reasons"][0]
    assert json.loads(text)[0]["rule"] == "store.unique"
    assert "hunter2" not in text


def test_a_text_too_long_for_the_store_costs_only_itself(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    if it.store.engine.dialect.name == "sqlite":
        it.sql("CREATE TRIGGER long BEFORE INSERT ON people WHEN length(new.name) > 20 "
               "BEGIN SELECT raise(ABORT, 'secret words'); END")  # fmt: skip
    written = it.upsert(PEOPLE, [("a", "x" * 21, 1), ("b", "fits", 2)])
    assert written.counts == Counts(inserted=1)
    rule = json.loads(written.refused["reasons"][0])[0]["rule"]
    assert rule in ("store.length", "store.trigger")
    assert "secret" not in written.refused["reasons"][0]


def test_no_value_is_in_any_message(load: Callable[..., Loader]) -> None:
    """Not even where the database itself tells it: PostgreSQL's DETAIL quotes the row."""
    it = load(PEOPLE)
    with_check(it)

    def insert(transaction: Transaction) -> Tally:
        for _ in range(2):
            transaction.session.connection.exec_driver_sql(
                "INSERT INTO people (id, name) VALUES ('hunter2', 'hunter2')"
            )
        raise Stop

    with pytest.raises(StoreError) as caught:
        it.store.commit(it.mark, insert)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


# MySQL has nothing that would do so: its triggers are told apart from the row.
@pytest.mark.parametrize("store_url", STORES[:2], indirect=True)
def test_a_row_that_the_database_drops_in_silence_fails_the_batch(
    load: Callable[..., Loader],
) -> None:
    it = load(PEOPLE)
    if it.store.engine.dialect.name == "sqlite":
        it.sql("CREATE TRIGGER quiet BEFORE INSERT ON people WHEN new.id = 'b' "
               "BEGIN SELECT raise(IGNORE); END")  # fmt: skip
    else:
        it.sql("CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS "
               "'BEGIN IF new.id = ''b'' THEN RETURN NULL; END IF; RETURN new; END'")  # fmt: skip
        it.sql("CREATE TRIGGER quiet BEFORE INSERT ON people FOR EACH ROW "
               "EXECUTE FUNCTION quiet()")  # fmt: skip
    with pytest.raises(StoreError):
        it.upsert(PEOPLE, [("a", "n", 1), ("b", "n", 2)])
    assert it.sql("SELECT * FROM people") == []


def test_a_table_that_changed_during_the_run_stops_the_stream(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    with_check(it)
    if it.store.engine.dialect.name == "sqlite":
        it.sql("DROP TABLE people")
        it.sql("CREATE TABLE people (id TEXT NOT NULL PRIMARY KEY, name TEXT, count INTEGER "
               "NOT NULL, _crmmap_run_id TEXT, _crmmap_synced_at TEXT, _crmmap_row_hash INTEGER)"
               " STRICT")  # fmt: skip
    elif it.kind == "mysql":
        it.sql("ALTER TABLE people MODIFY count BIGINT NOT NULL")
    else:
        it.sql("ALTER TABLE people ALTER COLUMN count SET NOT NULL")
    seen = statements(it)
    with pytest.raises(StoreError, match="'people', column 'count': takes no null"):
        it.upsert(PEOPLE, [(str(n), str(n), None) for n in range(300)])
    assert len([text for text in seen if text.startswith("INSERT")]) < 100


def test_a_table_that_is_gone_says_so(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    it.sql("DROP TABLE people")
    with pytest.raises(StoreError, match="dropped meanwhile"):
        it.upsert(PEOPLE, [("a", "n", 1)])


def test_a_batch_of_bad_rows_is_rejected_while_the_table_is_as_wanted(
    load: Callable[..., Loader],
) -> None:
    it = load(PEOPLE)
    with_check(it)
    written = it.upsert(PEOPLE, [(str(n), str(n), 5000) for n in range(60)])
    assert len(written.refused) == 60
    assert it.upsert(PEOPLE, [("a", "n", 1)]).counts.inserted == 1
