"""The accounts of a batch and of its pages, in the ledger: none that does not balance gets in."""

from __future__ import annotations

from dataclasses import asdict
from operator import attrgetter

import sqlalchemy as sa

from crmmap.load import ledger
from crmmap.load.accounts import Mark, Tally
from crmmap.load.statements import Row, Session, insert_statement, write_all
from crmmap.values import COUNTED

NO_PAGE = 0
"""The number of the page that what belongs to none is written under."""
FIGURES = attrgetter(*COUNTED)


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
    names = ("run_id", "stream", "batch_seq", "page", "part", *COUNTED, "committed_at")
    statement = insert_statement(session, ledger.PAGES.name, columns=names)
    rows = [(*owner, *page, session.moment) for page in _pages(tally)]
    write_all(session, statement, rows)


def _pages(tally: Tally) -> list[Row]:
    """Return number, partition and counts of each page, and of what belongs to none."""
    counts = FIGURES(tally.counts)
    if tally.by_page is None:
        return _unless_empty(1 if tally.counts.fetched else NO_PAGE, counts)
    rows = [(page.number, page.part or None, *FIGURES(page.counts)) for page in tally.by_page]
    columns = list(zip(*rows, strict=True))[2:] or [()] * len(counts)
    rest = (count - sum(column) for count, column in zip(counts, columns, strict=True))
    return [*rows, *_unless_empty(NO_PAGE, tuple(rest))]


def _unless_empty(page: int, counts: tuple[int, ...]) -> list[Row]:
    return [(page, None, *counts)] if any(counts) else []
