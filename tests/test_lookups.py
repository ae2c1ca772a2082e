"""Lookups by example: what is compared with what, what means nobody, and what it costs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from crmmap.kinds.types import Text
from crmmap.load import Transaction
from crmmap.plan import Target
from invented import sqlite
from stores import Loader, columns, load, store_url
from test_loop import load as run
from test_loop import plan, rows, stream

__all__ = ["load", "store_url"]

MAIL = ("mail: {from: mail, type: email, clean: [lower]}", "mail")
PHONE = ("phone: {from: phone, type: {kind: phone, region: US}}", "phone")
GUID = ("guid: {from: guid, type: uuid}", "guid")


@pytest.mark.parametrize(
    ("field", "parent", "named"),
    [
        (MAIL, "ann@b.example", " Ann@B.Example "),
        (MAIL, "Ann@B.Example", "ANN@b.example"),
        (PHONE, "+1 202 555 0143", "(202) 555-0143"),
        (GUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"),
    ],
)
@pytest.mark.parametrize("batch", [1, 9])
def test_a_text_is_compared_as_the_parents_field_would_hold_it(
    tmp_path: Path, field: tuple[str, str], parent: str, named: str, batch: int
) -> None:
    declared, by = field
    text = stream("owners", declared) + stream(
        "people", f"owner: {{from: owner, lookup: {{stream: owners, by: {by}}}}}"
    )
    people = [{"id": "1", "owner": named}, {"id": "2", "owner": "nobody"}, {"id": "3"}]
    report = run(
        plan(text, batch), sqlite(tmp_path), owners=[{"id": "o", by: parent}], people=people
    )
    assert rows(sqlite(tmp_path), "people", "id", "owner") == [("1", "o"), ("2", None), ("3", None)]
    assert report.streams[1].keys["owner"] == {"resolved": 1, "missing": 1}


def test_no_stub_is_made_of_a_text_that_its_key_could_not_be(tmp_path: Path) -> None:
    text = stream("owners").replace("id: id", "id: {from: id, type: uuid}") + stream(
        "people", "owner: {from: owner, lookup: {stream: owners, missing: stub}}"
    )
    guid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    people = [{"id": "1", "owner": guid.upper()}, {"id": "2", "owner": "nobody"}]
    report = run(plan(text, 9), sqlite(tmp_path), owners=[], people=people)
    assert rows(sqlite(tmp_path), "people", "id", "owner") == [("1", guid)]
    assert rows(sqlite(tmp_path), "owners", "id") == [(guid,)]
    assert report.streams[1].reasons == {"owner: lookup": 1}


@pytest.mark.parametrize(
    ("type_", "none", "values"),
    [
        ("integer", '["0", "-1"]', [0, "0", "0.0", -1, "-1", "", None, "00"]),
        (
            "uuid",
            "00000000-0000-0000-0000-000000000000",
            ["{00000000-0000-0000-0000-000000000000}"],
        ),
        ("text", "N/A", ["N/A", "", None]),
        ("text", "[]", ["", None]),
    ],
)
def test_a_placeholder_means_nobody_however_it_is_written(
    tmp_path: Path, type_: str, none: str, values: list[object]
) -> None:
    text = stream("owners").replace("id: id", f"id: {{from: id, type: {type_}}}") + stream(
        "people",
        f"owner: {{from: owner, type: {type_}, lookup: {{stream: owners, missing: stub, "
        f"none: {none}}}}}",
    )
    people = [{"id": str(n), "owner": value} for n, value in enumerate(values)]
    report = run(plan(text, 9), sqlite(tmp_path), owners=[], people=people)
    assert report.counts.rejected == 0
    assert rows(sqlite(tmp_path), "people", "owner") == [(None,)] * len(values)
    assert rows(sqlite(tmp_path), "owners", "id") == []


def test_what_can_not_be_read_is_no_placeholder(tmp_path: Path) -> None:
    text = stream("owners").replace("id: id", "id: {from: id, type: integer}") + stream(
        "people", 'owner: {from: owner, type: integer, lookup: {stream: owners, none: "0"}}'
    )
    people = [{"id": "1", "owner": "many"}, {"id": "2", "owner": "0.0"}]
    report = run(plan(text, 9), sqlite(tmp_path), owners=[], people=people)
    assert report.streams[1].reasons == {"owner: type": 1}


# --- what it costs --------------------------------------------------------------------------------

PARENTS = Target(
    table="parents", key=("id",), columns=columns(id=Text(), mail=Text()), indexed=(("mail",),)
)


def filled(it: Loader, count: int) -> None:
    """Put parents there that no run has loaded: their number is all that matters."""
    table = sa.table("parents", sa.column("id"), sa.column("mail"))
    with it.store.engine.begin() as connection:
        some = [{"id": f"p{n}", "mail": f"m{n}"} for n in range(count)]
        connection.execute(sa.insert(table), some)


def test_parents_that_nobody_names_cost_no_memory(load: Callable[..., Loader]) -> None:
    it = load(PARENTS)
    asked = {"id": [f"p{n}" for n in range(100)], "mail": [f"m{n}" for n in range(100)]}

    def peak() -> int:
        def look(transaction: Transaction) -> int:
            tracemalloc.start()
            for by, values in asked.items():
                assert len(transaction.known(PARENTS, by, pl.Series(values))) == 100
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return found

        return int(it.work(look))

    filled(it, 100)
    few = peak()
    it.sql("DELETE FROM parents")
    filled(it, 20_000)
    assert peak() < few + 200_000  # a list of all would have more than a million bytes


def test_every_column_that_is_searched_has_an_index(load: Callable[..., Loader]) -> None:
    it = load(PARENTS)
    with it.store.engine.connect() as connection:
        inspector = sa.inspect(connection)
        indexed = [each["column_names"] for each in inspector.get_indexes("parents")]
        assert ["mail"] in indexed
        assert inspector.get_pk_constraint("parents")["constrained_columns"] == ["id"]
