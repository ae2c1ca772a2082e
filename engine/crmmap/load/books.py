"""How the ledger is kept: locks, runs, streams, batches and cursors, in single transactions."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from crmmap.errors import StoreLocked, StoreUnfit
from crmmap.load import ledger, rejects
from crmmap.load.accounts import UNKNOWN, Mark, Read, Tally
from crmmap.load.statements import Session, insert_statement
from crmmap.values import Counts

Result = TypeVar("Result")

LEASE = timedelta(seconds=60)
"""How long a lock lasts without being renewed, by the database's clock."""


def check_version(session: Session) -> None:
    """Note the version of the ledger's tables. Raises StoreUnfit where it is newer than ours."""
    table = ledger.SCHEMA_VERSION
    found = session.connection.execute(sa.select(sa.func.max(table.c.version))).scalar()
    if found is None:
        session.connection.execute(
            sa.insert(table).values(version=ledger.VERSION, applied_at=session.moment)
        )
    elif found > ledger.VERSION:
        message = (
            f"the store's crmmap_ tables have version {found}, but this crmmap knows "
            f"{ledger.VERSION}: upgrade crmmap"
        )
        raise StoreUnfit(message)


# --- the lock -----------------------------------------------------------------------------------


def take_lock(session: Session, *, mapping: str, run_id: str, owner: str) -> None:
    """Take a mapping's lock for a run. Raises StoreLocked where a live run holds it."""
    table = ledger.LOCKS
    held = session.connection.execute(
        sa.select(table).where(table.c.mapping == mapping).with_for_update()
    ).one_or_none()
    if held is None:
        session.connection.execute(sa.insert(table).values(mapping=mapping))
    elif held.run_id not in (None, run_id) and _alive(session, held, owner):
        since = session.dialect.read_time(held.taken_at)
        message = (
            f"mapping '{mapping}' is being run by {held.owner} since {since:%Y-%m-%d %H:%M:%S} UTC "
            f"(run {held.run_id}). Wait for it to end; if it is gone, its lock ends by itself "
            f"within {LEASE.seconds} seconds"
        )
        raise StoreLocked(message)
    values = {
        "run_id": run_id,
        "owner": owner,
        "taken_at": session.moment,
        "expires_at": session.dialect.bind_time(session.now + LEASE),
    }
    session.connection.execute(sa.update(table).where(table.c.mapping == mapping).values(**values))


def _alive(session: Session, held: sa.Row[Any], owner: str) -> bool:
    if session.dialect.read_time(held.expires_at) <= session.now:
        return False
    host, _, process = held.owner.rpartition(":")
    return host != owner.rpartition(":")[0] or _runs(process)


def _runs(process: str) -> bool:
    if not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process, but there
        return True
    return not _zombie(process)


def _zombie(process: str) -> bool:
    """Say whether a process is dead and only not buried: so it stays where nobody waits for it."""
    try:
        status = Path("/proc", process, "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # no such file system here, or the process has gone in the meantime
        return False
    return status.rpartition(")")[2].split()[:1] in (["Z"], ["X"])


def alone(
    session: Session, action: Callable[[Session], Result], *, mapping: str, owner: str
) -> Result:
    """Do `action` under the mapping's lock. Raises StoreLocked where a live run holds it."""
    take_lock(session, mapping=mapping, run_id=owner, owner=owner)
    done = action(session)
    table = ledger.LOCKS
    session.connection.execute(
        sa.update(table).where(table.c.mapping == mapping).values(run_id=None)
    )
    return done


def renew_lock(session: Session, run_id: str) -> None:
    """Make a run's lock last. Raises StoreLocked where the run no longer holds it."""
    table = ledger.LOCKS
    done = session.connection.execute(
        sa.update(table)
        .where(table.c.run_id == run_id)
        .values(expires_at=session.dialect.bind_time(session.now + LEASE))
    )
    if done.rowcount != 1:
        raise StoreLocked(LOST_LOCK)


def _check_lock(session: Session, mapping: str, run_id: str) -> None:
    table = ledger.LOCKS
    holder = session.connection.execute(
        sa.select(table.c.run_id).where(table.c.mapping == mapping).with_for_update()
    ).scalar()
    if holder != run_id:
        raise StoreLocked(LOST_LOCK)


LOST_LOCK = (
    "this run no longer holds its mapping's lock: it paused for too long, and another run took "
    "over. What it committed stays"
)


# --- runs and streams ---------------------------------------------------------------------------


def open_run(
    session: Session, *, mapping: str, run_id: str, fingerprint: str, owner: str, kind: str
) -> None:
    """Take the lock, note what earlier runs left open as interrupted, and note the run."""
    take_lock(session, mapping=mapping, run_id=run_id, owner=owner)
    closed = {"status": "interrupted", "ended_at": session.moment}
    for table in (ledger.RUNS, ledger.STREAM_RUNS):
        session.connection.execute(
            sa.update(table)
            .where(
                table.c.mapping == mapping, table.c.status == "running", table.c.run_id != run_id
            )
            .values(**closed)
        )
    columns = ("run_id", "mapping", "fingerprint", "owner", "kind", "status", "started_at")
    statement = insert_statement(session, ledger.RUNS.name, columns=columns, key=("run_id",))
    values = (run_id, mapping, fingerprint, owner, kind, "running", session.moment)
    session.connection.exec_driver_sql(statement, values)


def runs_of(session: Session, mapping: str) -> list[tuple[str, str]]:
    """Return a mapping's runs, oldest first: each with its kind."""
    table = ledger.RUNS.c
    query = (
        sa.select(table.run_id, sa.func.coalesce(table.kind, "run"))
        .where(table.mapping == mapping)
        .order_by(table.started_at, table.run_id)
    )
    return [(run_id, kind) for run_id, kind in session.connection.execute(query)]


def close_run(session: Session, run_id: str, status: str) -> None:
    """Note a run's end and that of its open streams, and release its lock."""
    closed = {"status": status, "ended_at": session.moment}
    for table in (ledger.RUNS, ledger.STREAM_RUNS):
        open_rows = (table.c.run_id == run_id, table.c.status == "running")
        session.connection.execute(sa.update(table).where(*open_rows).values(**closed))
    session.connection.execute(
        sa.update(ledger.LOCKS).where(ledger.LOCKS.c.run_id == run_id).values(run_id=None)
    )


def close_stream(session: Session, *, run_id: str, stream: str, status: str) -> None:
    """Note a stream's end, unless it has ended: what waited may be loaded after that."""
    table = ledger.STREAM_RUNS
    session.connection.execute(
        sa.update(table)
        .where(table.c.run_id == run_id, table.c.stream == stream, table.c.status == "running")
        .values(status=status, ended_at=session.moment)
    )


def open_stream(
    session: Session, *, mapping: str, run_id: str, stream: str, fingerprint: str, fresh: bool,
    was: tuple[str, ...] = (), apart: bool = False,
) -> Mark:  # fmt: skip
    """Begin a stream: shut out every earlier run of it, and tell where to go on reading.

    `apart`: nothing is read from the source, and where its reading goes on stays as it is.
    """
    _check_lock(session, mapping, run_id)
    found = _cursor(session, mapping, stream) or _renamed(session, mapping, stream, was)
    position = None
    if found is not None and found.fingerprint == fingerprint and not fresh and not apart:
        position = found.position
    mark = Mark(
        mapping=mapping, stream=stream, run_id=run_id, batch_seq=0, position=position,
        epoch=1 if found is None else found.epoch + 1, resumed=position is not None,
        cursor=None if found is None else found.cursor, now=session.now.isoformat(), apart=apart,
        read=_begun(session, _read_name(run_id, stream), found)
        if position is None or found is None else _read(session, found),
        refused=rejects.open_keys(session, mapping, stream),
    )  # fmt: skip
    _begin_cursor(session, mark, fingerprint)
    _note_stream(session, mark)
    return mark


def _cursor(session: Session, mapping: str, stream: str) -> sa.Row[Any] | None:
    table = ledger.CURSORS
    return session.connection.execute(
        sa.select(table)
        .where(table.c.mapping == mapping, table.c.stream == stream)
        .with_for_update()
    ).one_or_none()


def _renamed(
    session: Session, mapping: str, stream: str, was: tuple[str, ...]
) -> sa.Row[Any] | None:
    """Give a stream what is known of it under the latest name that it had before."""
    for name in was:
        if _cursor(session, mapping, name) is not None:
            for table in (ledger.CURSORS, ledger.DEFERRED, ledger.REJECTS, ledger.ARCHIVE):
                session.connection.execute(
                    sa.update(table).filter_by(mapping=mapping, stream=name).values(stream=stream)
                )
            return _cursor(session, mapping, stream)
    return None


def _begin_cursor(session: Session, mark: Mark, fingerprint: str) -> None:
    table = ledger.CURSORS
    fence = {"epoch": mark.epoch, "run_id": mark.run_id, "batch_seq": mark.batch_seq}
    reading = {
        "position": mark.position,
        "ended": False,
        "fingerprint": fingerprint,
        "read_name": mark.read.name,
        "read_began": session.dialect.bind_time(mark.read.began),
        **_written(mark.read),
    }
    key = {"mapping": mark.mapping, "stream": mark.stream}
    if mark.epoch == 1:
        session.connection.execute(sa.insert(table).values(**key, **fence, **reading))
    else:
        values = fence if mark.apart else {**fence, **reading}
        session.connection.execute(sa.update(table).filter_by(**key).values(**values))


def _begun(session: Session, name: str, found: sa.Row[Any] | None) -> Read:
    """Return a read that begins now."""
    last = None if found is None else found.whole_fetched
    return Read(name=name, began=session.now, last=last)


def _read_name(run_id: str, stream: str) -> str:
    """Return a short name that no other read has, whatever a stream is called later."""
    return sha256(f"{run_id}/{stream}".encode()).hexdigest()[:32]


def _read(session: Session, found: sa.Row[Any]) -> Read:
    """Return the read that a stream's position is of."""
    if found.read_name is None:
        return UNKNOWN
    began = session.dialect.read_time(found.read_began)
    return Read(
        name=found.read_name, began=began, gap=found.read_gap or "",
        fetched=found.read_fetched or 0, rejected=found.read_rejected or 0,
        rows=found.read_rows or 0, last=found.whole_fetched,
    )  # fmt: skip


def _written(read: Read) -> dict[str, object]:
    """Return what the ledger keeps of how a read goes."""
    return {
        "read_gap": read.gap,
        "read_fetched": read.fetched,
        "read_rejected": read.rejected,
        "read_rows": read.rows,
    }


def _note_stream(session: Session, mark: Mark) -> None:
    columns = ("run_id", "stream", "mapping", "status", "resumed", "started_at")
    statement = insert_statement(
        session, ledger.STREAM_RUNS.name, columns=columns, key=columns[:2], changed=columns[3:]
    )
    values = (mark.run_id, mark.stream, mark.mapping, "running", mark.resumed, session.moment)
    session.connection.exec_driver_sql(statement, values)


# --- batches ------------------------------------------------------------------------------------


def current_mark(session: Session, *, mapping: str, stream: str, run_id: str) -> Mark:
    """Return how far a run has committed a stream. Raises StoreError where it may no longer."""
    found = _cursor(session, mapping, stream)
    if found is None or found.run_id != run_id:
        raise StoreLocked(_fenced(stream))
    return Mark(
        mapping=mapping, stream=stream, run_id=run_id, epoch=found.epoch,
        batch_seq=found.batch_seq, position=found.position, resumed=False, cursor=found.cursor,
        now=session.now.isoformat(), read=_read(session, found),
    )  # fmt: skip


def _fenced(stream: str) -> str:
    return (
        f"stream '{stream}': fenced: another run has begun it, or committed this batch, in the "
        "meantime. Nothing of the batch was written. Wait for that run to end, then run this again"
    )


def committed(session: Session, mark: Mark) -> bool:
    """Say whether the batch after `mark` was committed before the connection was lost.

    Raises StoreError where neither is true: another run has taken the stream over.
    """
    found = _cursor(session, mark.mapping, mark.stream)
    if found is None or found.epoch != mark.epoch:
        raise StoreLocked(_fenced(mark.stream))
    if found.batch_seq == mark.batch_seq:
        return False
    if found.batch_seq == mark.batch_seq + 1:
        return True
    raise StoreLocked(_fenced(mark.stream))


def after(mark: Mark, tally: Tally) -> Mark:
    """Return the mark that stands once a batch is committed."""
    position = None if tally.ended else tally.position
    cursor = mark.cursor if tally.cursor is None else tally.cursor
    read = mark.read
    if not mark.apart:
        read = replace(read.with_counts(tally.counts), gap=read.gap or tally.gap)
    return replace(
        mark, batch_seq=mark.batch_seq + 1, position=position, cursor=cursor, read=read,
        refused=rejects.remembered(mark.refused, tally.rejects["key"]),
        inserting=(mark.inserting or mark.batch_seq == 0) and _only_new(tally.counts),
    )  # fmt: skip


def _only_new(counts: Counts) -> bool:
    others = counts.updated + counts.unchanged + counts.duplicate
    return counts.inserted > 0 and others == 0


def move_cursor(session: Session, mark: Mark, tally: Tally) -> None:
    """Move the stream's cursor past a batch: only from where `mark` left it, and under the lock.

    One statement is fence, order and proof of the commit at once.
    """
    table, locks = ledger.CURSORS, ledger.LOCKS
    moved = after(mark, tally)
    values: dict[str, object] = {"batch_seq": moved.batch_seq}
    if not mark.apart:
        values |= {
            "position": moved.position,
            "ended": tally.ended,
            "moved_at": session.moment,
            "moved_by": mark.run_id,
            **_written(moved.read),
        }
        if tally.whole is not None:
            values["whole_fetched"] = tally.whole
    if tally.cursor is not None and not mark.apart:
        values["cursor"] = tally.cursor
    done = session.connection.execute(
        sa.update(table)
        .where(
            table.c.mapping == mark.mapping,
            table.c.stream == mark.stream,
            table.c.epoch == mark.epoch,
            table.c.batch_seq == mark.batch_seq,
            sa.exists().where(locks.c.mapping == mark.mapping, locks.c.run_id == mark.run_id),
        )
        .values(**values)
    )
    if done.rowcount != 1:
        raise StoreLocked(_fenced(mark.stream))
    if tally.ended:
        close_stream(session, run_id=mark.run_id, stream=mark.stream, status="done")
