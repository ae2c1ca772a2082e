"""Every record of every page is accounted for: the database holds the accounts to it."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crmmap.errors import ExitCode, PolicyError
from crmmap.load import Tally, Transaction
from crmmap.plan import Step
from crmmap.values import COUNTED, OUTCOMES, Counts, Page, PageAccount, Start
from invented import sqlite
from stores import PEOPLE, Loader, frame, load, store_url  # noqa: F401  (fixtures)
from test_loop import Sources, plan, rows, stream
from test_loop import load as run_from

EQUATION = " + ".join(OUTCOMES)


def accounts(*pages: tuple[int, Counts]) -> tuple[PageAccount, ...]:
    return tuple(PageAccount(number=number, counts=counts) for number, counts in pages)


ONE = Counts(fetched=1, inserted=1)
COOKED = {
    "a batch": Tally(counts=Counts(fetched=2, inserted=1)),
    "a page": Tally(
        counts=Counts(fetched=2, inserted=1, rejected=1),
        by_page=accounts((1, Counts(fetched=2, inserted=1)), (2, Counts(rejected=1))),
    ),
    "a record of no page": Tally(
        counts=Counts(fetched=2, inserted=1, rejected=1), by_page=accounts((1, ONE))
    ),
    "a page too many": Tally(counts=ONE, by_page=accounts((1, ONE), (2, ONE))),
}


@pytest.mark.parametrize("cooked", COOKED)
def test_the_database_refuses_cooked_accounts(load: Callable[..., Loader], cooked: str) -> None:
    it = load(PEOPLE)

    def work(transaction: Transaction) -> Tally:
        transaction.write(PEOPLE, frame(PEOPLE, [("a", "n", 1)]))
        return COOKED[cooked]

    with pytest.raises(PolicyError, match="do not add up") as raised:
        it.store.commit(it.mark, work)
    assert raised.value.exit_code == ExitCode.DATA_POLICY
    for table in ("people", "crmmap_batches", "crmmap_pages"):
        assert it.sql(f"SELECT * FROM {table}") == []
    assert it.sql("SELECT batch_seq FROM crmmap_cursors") == [(0,)]


def test_what_belongs_to_no_page_stands_beside_the_pages(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    counts = replace(ONE, duplicate=2, deferred=-2, stubbed=3)

    def work(_: Transaction) -> Tally:
        return Tally(counts=counts, by_page=accounts((7, ONE), (8, Counts())), pages=2)

    it.store.commit(it.mark, work)
    query = "SELECT page, fetched, inserted, duplicate, deferred, stubbed FROM crmmap_pages"
    assert it.sql(f"{query} ORDER BY page") == [
        (0, 0, 0, 2, -2, 3), (7, 1, 1, 0, 0, 0), (8, 0, 0, 0, 0, 0),
    ]  # fmt: skip


STREAMS = (
    stream("owners") + "  notes:\n    request: {path: /notes}\n    table: {name: notes, key: id}\n"
    "    where: {kind: {one_of: [x]}}\n    fields:\n      id: {from: id, required: true}\n"
    "      size: {from: size, type: integer, on_error: null_and_note}\n"
    "      owner: {from: owner, lookup: {stream: owners, missing: wait}}\n"
    "      kind: kind\n"
)
NOTES = [
    # pages of three; the first waits twice, and its record waits no more once a newer one is there
    {"id": "1", "owner": "late"}, {"id": "1", "owner": "late"}, {"id": "2", "size": "many"},
    {"id": None}, {"id": "3", "kind": "hidden"}, {"id": "4"},
    {"id": "4"}, {"id": "4", "kind": "x"}, {"id": "1"},
    {"id": "5", "owner": "late"}, {"id": "6", "owner": "never"},
]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 100])
def test_the_accounts_of_pages_are_those_of_their_batch(store_url: str, batch: int) -> None:
    the_plan = plan(STREAMS, batch=batch)
    run_from(the_plan, store_url, size=3, owners=[], notes=NOTES)
    report = run_from(the_plan, store_url, size=3, owners=[{"id": "late"}], notes=[])
    assert report.exit_code == ExitCode.OK
    assert _sums(store_url, "crmmap_pages") == _sums(store_url, "crmmap_batches")
    assert rows(store_url, "crmmap_pages", f"fetched - ({EQUATION})") == (
        [(0,)] * len(rows(store_url, "crmmap_pages", "page"))
    )
    pages = rows(store_url, "crmmap_pages", "stream", "page", "fetched", "rejected", "filtered")
    assert [each[2:] for each in pages if each[0] == "notes" and each[1]][1:] == [
        (3, 0, 0), (3, 1, 1), (3, 0, 0), (2, 0, 0),
    ]  # fmt: skip
    nobodys = rows(store_url, "crmmap_pages", "fetched", "page")
    assert (0, 0) in nobodys  # what waited was settled by a later run, which read no page of it


def _sums(url: str, table: str) -> list[tuple[object, ...]]:
    """Return what the rows of each batch count together, but for batches of nothing."""
    sums = (f"SUM({name})" for name in COUNTED)
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        text = (
            f"SELECT run_id, stream, batch_seq, {', '.join(sums)} FROM {table} "
            "GROUP BY run_id, stream, batch_seq ORDER BY run_id, stream, batch_seq"
        )
        found = [tuple(row) for row in connection.execute(sa.text(text))]
    engine.dispose()
    return [each for each in found if any(each[3:])]


class Leaking(Sources):
    """Takes a record away again from a page that it gave."""

    def pages(self, step: Step, begin: Start) -> Iterator[Page]:
        for page in super().pages(step, begin):
            yield page
            page.records.pop()  # type: ignore[union-attr]


def test_a_record_that_was_read_and_is_nowhere_breaks_the_data_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_loop import load_from

    monkeypatch.setattr("crmmap.loop.stream.AT_ONCE", 0)  # each page is counted before it leaks
    given: Any = {"notes": [{"id": str(n)} for n in range(6)]}
    report = load_from(plan(stream("notes"), batch=100), sqlite(tmp_path), Leaking(given))
    assert report.exit_code == ExitCode.DATA_POLICY
    assert "6 records were read, but 3 are accounted for" in report.streams[0].message
    assert rows(sqlite(tmp_path), "notes", "id") == []
