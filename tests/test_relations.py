"""Whole runs of a mapping whose foreign keys the database holds, too, on every store."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import sqlalchemy as sa

from crmmap.errors import ExitCode
from crmmap.load import Store
from crmmap.plan import Plan, compile_plan, placeholder_settings
from invented import mapping
from stores import store_url
from test_loop import HEAD, load, stream

__all__ = ["store_url"]

CONSTRAINED = "defaults: {lookup: {missing: wait, constraint: true}}\nstreams:\n"
STREAMS = (
    stream("owners", "home: {from: home, lookup: companies}")
    + stream("companies", "domain: domain", "owner: {from: owner, lookup: "
             "{stream: owners, missing: stub}}")
    + stream(
        "contacts", "n: {from: n, type: integer}",
        "owner: {from: owner, lookup: {stream: owners, missing: stub}}",
        "company: {from: domain, lookup: {stream: companies, by: domain}}",
        "manager: {from: manager, lookup: contacts}",
    )
)  # fmt: skip

OWNERS = [{"id": f"o{n}", "home": f"c{(n + 3) % 6}" if n % 2 else None} for n in range(4)]
COMPANIES = [{"id": f"c{n}", "domain": f"d{n}.example", "owner": f"o{n % 6}"} for n in range(6)]
CONTACTS = [
    {
        "id": f"p{n}", "n": n, "owner": f"o{n % 7}", "domain": f"d{n % 6}.example",
        # A chain, a circle, some who manage themselves, and some whom nobody does.
        "manager": [f"p{(n + 1) % 20}", f"p{n + 1 if n < 19 else 10}", f"p{n}", None][n % 4],
    }
    for n in range(20)
]  # fmt: skip


def constrained(batch: int) -> Plan:
    spec = mapping(HEAD.replace("streams:\n", CONSTRAINED) + STREAMS)
    found = compile_plan(spec, placeholder_settings(spec, {}))
    return replace(found, steps=tuple(replace(each, batch=batch) for each in found.steps))


def held(url: str) -> dict[str, dict[str, tuple[object, ...]]]:
    """Return the tables as the database has them, which must hold the foreign keys by itself."""
    store = Store.open(url, application="tests")
    try:
        with store.engine.connect() as connection:
            inspector = sa.inspect(connection)
            names = ("owners", "companies", "contacts")
            assert [len(inspector.get_foreign_keys(name)) for name in names] == [1, 1, 3]
            columns = ("home", "domain, owner", "n, owner, company, manager")
            return {
                name: {
                    row[0]: tuple(row)[1:]
                    for row in connection.exec_driver_sql(f"SELECT id, {wanted} FROM {name}")
                }
                for name, wanted in zip(names, columns, strict=True)
            }
    finally:
        store.close()


EXPECTED = {
    "owners": {each["id"]: (each["home"],) for each in OWNERS} | {
        f"o{n}": (None,) for n in (4, 5, 6)  # known by those who name them only
    },
    "companies": {each["id"]: (each["domain"], each["owner"]) for each in COMPANIES},
    "contacts": {
        each["id"]: (each["n"], each["owner"], f"c{int(str(each['domain'])[1])}", each["manager"])
        for each in CONTACTS
    },
}  # fmt: skip


@pytest.mark.parametrize(("batch", "size", "seed"), [(3, 2, 1), (100, 50, 3)])
def test_relations_hold_whatever_the_order(
    store_url: str, batch: int, size: int, seed: int
) -> None:
    """Half of the records come in a first run, the parents last; the rest in a second one."""
    order = random.Random(seed)
    kinds = {"owners": OWNERS, "companies": COMPANIES, "contacts": CONTACTS}
    mixed = {name: order.sample(records, len(records)) for name, records in kinds.items()}
    the_plan = constrained(batch)
    parts = (
        {"owners": [], "companies": mixed["companies"][:2], "contacts": mixed["contacts"][:12]},
        {"owners": mixed["owners"][:2], "companies": [], "contacts": mixed["contacts"][12:]},
        {"owners": mixed["owners"], "companies": mixed["companies"], "contacts": []},
    )
    for part in parts:
        report = load(the_plan, store_url, size=size, **part)
        assert (report.exit_code, report.counts.balanced) == (ExitCode.OK, True)
        assert report.counts.rejected == 0
    assert [each.waiting for each in report.streams] == [0, 0, 0]
    assert held(store_url) == EXPECTED
    again = load(the_plan, store_url, size=size, **mixed)
    assert again.counts.unchanged == 30
    assert held(store_url) == EXPECTED
