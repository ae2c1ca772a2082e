"""The archive: pages as they were read, bounded in size and age, oldest dropped first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from crmmap.load import ledger
from crmmap.load.accounts import Mark
from crmmap.load.statements import Row, Session, delete_in, insert_statement, write_all
from crmmap.values import Archived

TABLE = ledger.ARCHIVE
PAGE_KEY = ("run_id", "stream", "batch_seq", "page")
NO_PAGE = 0
"""The number of the page under which the fields are kept that the source listed in a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A page, or a piece of a long one, as the archive has it: `body` is written in a `codec`."""

    page: int
    piece: int
    part: str
    why: str
    records: int
    codec: str
    body: bytes


def keep_pages(session: Session, mark: Mark, pieces: Sequence[Piece], most: int) -> Archived:
    """Put pages of the batch after `mark` into the archive, which may have `most` bytes."""
    if not pieces:
        return Archived()
    columns = (*PAGE_KEY, "piece", "mapping", "part", "why", "records", "bytes", "codec",
               "created_at", "body")  # fmt: skip
    owner = (mark.run_id, mark.stream, mark.batch_seq + 1)
    rows = [
        (*owner, each.page, each.piece, mark.mapping, each.part or None, each.why, each.records,
         len(each.body), each.codec, session.moment, each.body)
        for each in pieces
    ]  # fmt: skip
    write_all(session, insert_statement(session, TABLE.name, columns=columns), rows)
    return Archived(
        pages=len({each.page for each in pieces} - {NO_PAGE}),
        bytes=sum(len(each.body) for each in pieces),
        dropped=_bound(session, mark.mapping, most),
    )


def _bound(session: Session, mapping: str, most: int) -> int:
    """Drop a mapping's oldest pages until it has `most` bytes; return how many pages."""
    mine = (TABLE.c.mapping == mapping, TABLE.c.page != NO_PAGE)
    total = session.connection.execute(sa.select(sa.func.sum(TABLE.c.bytes)).where(*mine)).scalar()
    over = int(total or 0) - most
    if over <= 0:
        return 0
    oldest = (
        sa.select(*(TABLE.c[name] for name in (*PAGE_KEY, "bytes")))
        .where(*mine)
        .order_by(TABLE.c.created_at, *(TABLE.c[name] for name in PAGE_KEY))
    )
    return _drop(session, _first(map(tuple, session.connection.execute(oldest)), over))


def _first(rows: Iterable[Row], over: int) -> Iterator[Row]:
    """Yield the keys of rows, which end with a size, until they have more than `over` bytes."""
    for row in rows:
        if over <= 0:
            return
        yield row[:-1]
        over -= row[-1]


def _drop(session: Session, keys: Iterable[Row]) -> int:
    pages = list(dict.fromkeys(keys))
    delete_in(session, TABLE.name, among=PAGE_KEY, rows=pages)
    return len(pages)


def expire(session: Session, mapping: str, days: int) -> int:
    """Drop a mapping's pages that are older than so many days; return how many."""
    before = session.dialect.bind_time(session.now - timedelta(days=days))
    old = sa.select(*(TABLE.c[name] for name in PAGE_KEY)).where(
        TABLE.c.mapping == mapping, TABLE.c.created_at < before
    )
    return _drop(session, map(tuple, session.connection.execute(old)))
