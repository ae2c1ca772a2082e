"""What the archive holds: its pages in the order in which they were read, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from crmmap.load import ledger
from crmmap.load.archive import NO_PAGE, TABLE
from crmmap.load.statements import Session

RUNS = ledger.RUNS
READING = sa.func.coalesce(RUNS.c.kind, "run") == "run"
"""Of runs: those that read the source."""
PLACE = (TABLE.c.batch_seq, TABLE.c.page, TABLE.c.piece, TABLE.c.stream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A piece of the archive: which it is, its size, and once it is fetched, what it holds."""

    run_id: str
    key: tuple[Any, ...]
    size: int
    part: str = ""
    codec: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of what runs read of a stream the archive has."""

    pages: int = 0
    records: int = 0
    pages_read: int = 0
    records_read: int = 0

    @property
    def whole(self) -> bool:
        return self.records == self.records_read


def began(session: Session, mapping: str, run_id: str) -> datetime | None:
    """Return when a run of the mapping began; None where there is none of that name."""
    query = sa.select(RUNS.c.started_at).where(RUNS.c.mapping == mapping, RUNS.c.run_id == run_id)
    found = session.connection.execute(query).scalar()
    return None if found is None else session.dialect.read_time(found)


def _chosen(session: Session, mapping: str, since: datetime | None) -> list[Any]:
    """Return the conditions of the runs that read the mapping's source, since a moment."""
    conditions = [RUNS.c.mapping == mapping, READING]
    if since is not None:
        conditions.append(RUNS.c.started_at >= session.dialect.bind_time(since))
    return conditions


def runs_since(session: Session, mapping: str, since: datetime | None) -> list[str]:
    """Return the runs that read the mapping's source, and began then or later; oldest first."""
    query = sa.select(RUNS.c.run_id).where(*_chosen(session, mapping, since))
    found = session.connection.execute(query.order_by(RUNS.c.started_at, RUNS.c.run_id))
    return list(found.scalars())


def pieces(
    session: Session, *, run_id: str, streams: Sequence[str], after: Body | None, count: int
) -> list[Body]:
    """Return pieces of the pages that a run read of a stream, by any of its names, in order.

    At most `count`, those after another; without their bodies.
    """
    query = (
        sa.select(*PLACE, TABLE.c.bytes)
        .where(TABLE.c.run_id == run_id, TABLE.c.stream.in_(streams), TABLE.c.page != NO_PAGE)
        .order_by(*PLACE)
        .limit(count)
    )
    if after is not None:
        query = query.where(sa.tuple_(*PLACE) > sa.tuple_(*after.key))
    return [
        Body(run_id=run_id, key=tuple(key), size=size)
        for *key, size in session.connection.execute(query)
    ]


def fetched(session: Session, chosen: Sequence[Body]) -> list[Body]:
    """Return pieces with their bodies; one that was dropped meanwhile is left out."""
    return list(_fetched(session, chosen))


def _fetched(session: Session, chosen: Sequence[Body]) -> Iterator[Body]:
    for each in chosen:
        same = (name == value for name, value in zip(PLACE, each.key, strict=True))
        query = sa.select(TABLE.c.part, TABLE.c.codec, TABLE.c.body).where(
            TABLE.c.run_id == each.run_id, *same
        )
        row = session.connection.execute(query).one_or_none()
        if row is not None:
            yield Body(
                run_id=each.run_id, key=each.key, size=each.size, part=row[0] or "",
                codec=row[1], body=bytes(row[2]),
            )  # fmt: skip


def fields_body(session: Session, mapping: str, streams: Sequence[str]) -> bytes | None:
    """Return the latest list of the fields that the source has for a stream; None without one."""
    query = (
        sa.select(TABLE.c.body)
        .where(TABLE.c.mapping == mapping, TABLE.c.stream.in_(streams), TABLE.c.page == NO_PAGE)
        .order_by(TABLE.c.created_at.desc())
        .limit(1)
    )
    body = session.connection.execute(query).scalar()
    return None if body is None else bytes(body)


def coverage(
    session: Session, *, mapping: str, streams: Sequence[str], since: datetime | None
) -> Coverage:
    """Return how much of what runs read of a stream, by any of its names, the archive has."""
    runs, batches = _chosen(session, mapping, since), ledger.BATCHES.c
    read = (
        sa.select(sa.func.sum(batches.pages), sa.func.sum(batches.fetched))
        .join_from(RUNS, ledger.BATCHES, RUNS.c.run_id == batches.run_id)
        .where(*runs, batches.stream.in_(streams))
    )
    key = [TABLE.c[name] for name in ("run_id", "stream", "batch_seq", "page")]
    kept = (
        sa.select(*key, sa.func.sum(TABLE.c.records).label("records"))
        .join_from(RUNS, TABLE, RUNS.c.run_id == TABLE.c.run_id)
        .where(*runs, TABLE.c.stream.in_(streams), TABLE.c.page != NO_PAGE)
        .group_by(*key)
        .subquery()
    )
    has = sa.select(sa.func.count(), sa.func.sum(kept.c.records)).select_from(kept)
    figures = (
        *session.connection.execute(has).one(), *session.connection.execute(read).one()
    )  # fmt: skip
    pages, records, pages_read, records_read = (int(each or 0) for each in figures)
    return Coverage(pages=pages, records=records, pages_read=pages_read, records_read=records_read)
