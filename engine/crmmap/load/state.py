"""How far streams have been read, as people look at it and change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from crmmap.load import ledger
from crmmap.load.statements import Session

TABLE = ledger.CURSORS
OTHER_READ = (
    "read_name", "read_began", "read_gap", "read_fetched", "read_rejected", "read_rows"
)  # fmt: skip
"""What is not known of a read that somebody else put into the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """What the ledger knows of a stream's reading.

    `cursor` and `position` are texts as the loop keeps them: see `loop/cursors.py` and the readers.
    `ended` says whether the last run read it to its end. `moved_by` is the run, or the process as
    `host:pid`, that last changed it.
    """

    stream: str
    cursor: str | None = None
    position: str | None = None
    fingerprint: str | None = None
    ended: bool = True
    run_id: str | None = None
    moved_at: datetime | None = None
    moved_by: str | None = None


def states_of(session: Session, mapping: str) -> dict[str, StreamState]:
    """Return what is known of a mapping's streams, by their names."""
    query = sa.select(TABLE).where(TABLE.c.mapping == mapping).order_by(TABLE.c.stream)
    return {row.stream: _state(session, row) for row in session.connection.execute(query).all()}


def _state(session: Session, row: sa.Row[Any]) -> StreamState:
    moved = None if row.moved_at is None else session.dialect.read_time(row.moved_at)
    return StreamState(
        stream=row.stream, cursor=row.cursor, position=row.position, fingerprint=row.fingerprint,
        ended=bool(row.ended), run_id=row.run_id, moved_at=moved, moved_by=row.moved_by,
    )  # fmt: skip


def put_state(session: Session, mapping: str, state: StreamState, owner: str) -> None:
    """Have the ledger know this of a stream; `owner` is who says so.

    A run that is under way is shut out. The next one begins where this says.
    """
    key = {"mapping": mapping, "stream": state.stream}
    values = {
        "cursor": state.cursor,
        "position": state.position,
        "fingerprint": state.fingerprint,
        "ended": state.ended,
        "moved_at": session.moment,
        "moved_by": owner,
        **dict.fromkeys(OTHER_READ),
    }
    changed = session.connection.execute(
        sa.update(TABLE).filter_by(**key).values(epoch=TABLE.c.epoch + 1, **values)
    )
    if not changed.rowcount:
        session.connection.execute(sa.insert(TABLE).values(**key, **values, epoch=1, batch_seq=0))
