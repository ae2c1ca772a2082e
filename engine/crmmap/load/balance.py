"""The accounts of a batch and of its pages, in the ledger: none that does not balance gets in."""

from __future__ import annotations

from dataclasses import asdict

import polars as pl
import sqlalchemy as sa

from crmmap.load import ledger
from crmmap.load.accounts import Mark, Tally
from crmmap.load.statements import Row, Session, insert_statement, write_all

NO_PAGE = 0
"""The number of the page that what belongs to none is written under."""


def write_accounts(session: Session, mark: Mark, tally: Tally) -> None:
    """Write the batch's accounts and those of its pages, which together are the batch's.

    The database refuses each that does not add up.
    """
    owner = (mark.run_id, mark.stream, mark.batch_seq + 1)
    session.connection.execute(
        sa.insert(ledger.BATCHES).values(
            run_id=owner[0], stream=owner[1], batch_seq=owner[2], mapping=mark.mapping,
            pages=tally.pages, committed_at=session.moment, **asdict(tally.counts),
        )
    )  # fmt: skip
    names = ("run_id", "stream", "batch_seq", "page", "part", *ledger.COUNTED, "committed_at")
    statement = insert_statement(session, ledger.PAGES.name, columns=names)
    rows = [(*owner, *page, session.moment) for page in _pages(tally)]
    write_all(session, statement, rows)


def _pages(tally: Tally) -> list[Row]:
    """Return number, partition and counts of each page, and of what belongs to none."""
    if tally.by_page is None:
        number = 1 if tally.counts.fetched else NO_PAGE
        return _unless_empty(number, asdict(tally.counts))
    accounts = tally.by_page.select("page", pl.col("part").replace("", None), *ledger.COUNTED)
    paged = accounts.select(pl.col(ledger.COUNTED).sum()).row(0, named=True)
    rest = {name: count - paged[name] for name, count in asdict(tally.counts).items()}
    return [*accounts.rows(), *_unless_empty(NO_PAGE, rest)]


def _unless_empty(page: int, counts: dict[str, int]) -> list[Row]:
    return [(page, None, *counts.values())] if any(counts.values()) else []
