"""Foreign keys that the database holds, too: made, added, refused, and loads that satisfy them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Inspector
from sqlalchemy.schema import CreateTable

from crmmap.errors import StoreUnfit
from crmmap.kinds.types import Integer, Text
from crmmap.kinds.writes import Delete
from crmmap.load.constraints import of_new_table
from crmmap.load.tables import table_of
from crmmap.plan import ForeignKey, Target
from crmmap.values import Counts
from stores import Loader, columns, load, store_url

__all__ = ["load", "store_url"]

OFFICES = Target(table="offices", key=("id",), columns=columns(id=Text()))
LOOSE = Target(
    table="people", key=("id",), columns=columns(id=Text(), boss=Text(), office=Text(), n=Integer())
)
PEOPLE = replace(
    LOOSE,
    foreign_keys=(
        ForeignKey(column="boss", table="people", key="id"),
        ForeignKey(column="office", table="offices", key="id"),
    ),
    indexed=(("boss",), ("office",)),
)


def run(it: Loader, shown: str) -> None:
    with it.store.engine.begin() as connection:
        for statement in shown.split(";\n"):
            connection.exec_driver_sql(statement) if statement else None


def test_tables_may_refer_to_one_that_is_made_after_them(load: Callable[..., Loader]) -> None:
    it = load()
    shown = it.store.ddl([PEOPLE, OFFICES])
    assert shown.count("REFERENCES") == 2
    it.store.prepare([PEOPLE, OFFICES])
    assert it.store.ddl([PEOPLE, OFFICES]) == ""
    assert it.store.prepare([PEOPLE]) == ()


def test_what_one_database_adds_later_another_still_has_at_once() -> None:
    table = table_of(PEOPLE)
    server = SimpleNamespace(dialect=postgresql.dialect())
    assert len(of_new_table(table, cast(Inspector, server))) == 2
    assert str(CreateTable(table).compile(dialect=sqlite.dialect())).count("REFERENCES") == 2
    assert str(CreateTable(table).compile(dialect=postgresql.dialect())).count("REFERENCES") == 0


def test_the_database_itself_refuses_what_leads_nowhere(load: Callable[..., Loader]) -> None:
    it = load(OFFICES, PEOPLE)
    written = it.upsert(PEOPLE, [("a", None, "nowhere", 1), ("b", None, None, 2)])
    assert written.counts == Counts(inserted=1)
    (reason,) = json.loads(written.refused["reasons"][0])
    assert reason["rule"] == "store.foreign_key"
    assert "nowhere" not in reason["message"]


def test_a_new_column_comes_with_its_foreign_key(load: Callable[..., Loader]) -> None:
    narrow = replace(LOOSE, columns=(LOOSE.columns[0], LOOSE.columns[3]))
    it = load(OFFICES, narrow)
    it.upsert(narrow, [("a", 1)])
    remarks = it.store.prepare([OFFICES, PEOPLE])
    assert remarks[0] == "added the columns boss, office to the existing table 'people'"
    assert it.store.ddl([OFFICES, PEOPLE]) == ""
    assert len(it.upsert(PEOPLE, [("b", None, "nowhere", 1)]).refused) == 1


def test_a_column_that_is_there_is_given_a_foreign_key_where_the_database_can(
    load: Callable[..., Loader],
) -> None:
    it = load(OFFICES, LOOSE)
    it.upsert(LOOSE, [("a", None, None, 1), ("b", "a", None, 2)])
    if it.kind == "mysql":  # a text as long as it may be is no foreign key there
        with pytest.raises(StoreUnfit, match="'boss': has the type LONGTEXT"):
            it.store.prepare([OFFICES, PEOPLE])
        run(it, it.store.ddl([OFFICES, PEOPLE]))
    if it.store.engine.dialect.supports_alter:
        assert it.store.prepare([OFFICES, PEOPLE]) == (
            "added the indexes on columns boss, office to the existing table 'people'",
            "added the foreign keys of columns boss, office to the existing table 'people'",
        )
    else:
        with pytest.raises(StoreUnfit, match="'boss': is no foreign key that leads to 'people'"):
            it.store.prepare([OFFICES, PEOPLE])
        run(it, it.store.ddl([OFFICES, PEOPLE]))
        assert it.store.prepare([OFFICES, PEOPLE]) == ()
    assert it.sql("SELECT id, boss FROM people ORDER BY id") == [("a", None), ("b", "a")]
    assert len(it.upsert(PEOPLE, [("c", "nobody", None, 3)]).refused) == 1


def test_rows_that_lead_nowhere_stand_in_the_way_of_a_foreign_key(
    load: Callable[..., Loader],
) -> None:
    it = load(OFFICES, LOOSE)
    it.upsert(LOOSE, [("a", None, "gone", 1), ("b", "a", None, 2), ("c", "z", "gone", 3)])
    if not it.store.engine.dialect.supports_alter:
        with pytest.raises(StoreUnfit, match="The database gives one to new tables only"):
            it.store.prepare([OFFICES, PEOPLE])
        return
    with pytest.raises(StoreUnfit, match=r"2 rows refer to a row that is not there") as caught:
        it.store.prepare([OFFICES, PEOPLE])
    assert "1 row refers" in str(caught.value)
    assert "gone" not in str(caught.value)
    run(it, it.store.ddl([OFFICES, PEOPLE]))
    it.store.prepare([OFFICES, PEOPLE])
    found = it.sql("SELECT id, boss, office FROM people ORDER BY id")
    assert found == [("a", None, None), ("b", "a", None), ("c", None, None)]
    it.upsert(OFFICES, [("gone",)])
    # The row that was emptied is not taken for unchanged when its record comes again.
    assert it.upsert(PEOPLE, [("a", None, "gone", 1)]).counts == Counts(updated=1)


def test_a_foreign_key_that_leads_elsewhere_is_told(load: Callable[..., Loader]) -> None:
    it = load(OFFICES, PEOPLE)
    it.sql("ALTER TABLE offices RENAME TO offices_old")
    with pytest.raises(StoreUnfit, match=r"'office'.*it leads to 'offices_old'"):
        it.store.prepare([OFFICES, PEOPLE])


def test_a_refused_row_takes_those_with_it_that_refer_to_it(load: Callable[..., Loader]) -> None:
    it = load(OFFICES, PEOPLE)
    rows = [
        ("kid", "mum", None, 1), ("mum", "gran", None, 2), ("gran", None, "nowhere", 3),
        ("x", "y", None, 4), ("y", "z", None, 5), ("z", "x", "nowhere", 6),
        ("p", "q", None, 7), ("q", "p", None, 8),
    ]  # fmt: skip
    written = it.upsert(PEOPLE, rows)
    assert sorted(written.refused["#index"]) == [0, 1, 2, 3, 4, 5]
    assert it.sql("SELECT id, boss FROM people ORDER BY id") == [("p", "q"), ("q", "p")]


PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=13)


def test_rows_that_refer_to_each_other_come_in_any_order(load: Callable[..., Loader]) -> None:
    """Trees, chains and circles, as a batch has them; some of what they refer to is there."""
    it = load(OFFICES, PEOPLE)

    @settings(max_examples=25, deadline=None)
    @given(batches=st.lists(PAIRS, min_size=1, max_size=3))
    def hold(batches: list[list[tuple[int, int]]]) -> None:
        it.sql("UPDATE people SET boss = NULL")  # MariaDB asks for it row by row
        it.sql("DELETE FROM people")
        held: dict[str, str | None] = {}
        for batch in batches:
            rows = {str(key): str(boss) for key, boss in batch}
            wanted = {key: boss if {boss} & {*held, *rows} else None for key, boss in rows.items()}
            it.upsert(PEOPLE, [(key, boss, None, 1) for key, boss in wanted.items()])
            held |= wanted
            assert dict(it.sql("SELECT id, boss FROM people")) == held

    hold()


def test_circles_come_in_any_order_on_every_store(load: Callable[..., Loader]) -> None:
    it = load(OFFICES, PEOPLE)
    count = 400
    rows = [(str(n), str((n * 7 + 1) % count), None, n) for n in range(count)]
    assert it.upsert(PEOPLE, rows).counts == Counts(inserted=count)
    assert it.sql("SELECT id, boss, office, n FROM people ORDER BY n") == rows
    assert it.upsert(PEOPLE, rows).counts == Counts(duplicate=count)


def test_a_row_that_others_refer_to_is_not_removed(load: Callable[..., Loader]) -> None:
    it = load(OFFICES, PEOPLE)
    it.upsert(OFFICES, [("o",), ("p",)])
    it.upsert(PEOPLE, [("a", None, "o", 1)])
    removed = it.upsert(replace(OFFICES, write=Delete()), [("o",), ("p",)])
    assert (removed.deleted, len(removed.refused)) == (1, 1)
    (reason,) = json.loads(removed.refused["reasons"][0])
    assert (reason["rule"], "refer to this one" in reason["message"]) == ("store.foreign_key", True)
    assert it.sql("SELECT id FROM offices") == [("o",)]
