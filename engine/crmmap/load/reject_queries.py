"""Which rejects there are: found, counted, dropped and purged, by what people ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Literal, Protocol, TypeVar

import polars as pl
import sqlalchemy as sa

from crmmap.load.rejects import OPEN, TABLE, chunks
from crmmap.load.statements import Session
from crmmap.values import Reason

State = Literal["open", "resolved", "all"]
FETCHED = 1000
"""Rows that are fetched from the store at once."""
STRETCH = 10_000
"""Rejects that are held in memory at once, where something is done to each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """The rejects that are meant: those that meet all that is given.

    `ids` may be beginnings of ids. A reject has several reasons: one of them must have one of
    the `fields` and one of the `rules`. `before` is when it was refused.
    """

    mappings: Sequence[str]
    streams: Sequence[str] = ()
    runs: Sequence[str] = ()
    fields: Sequence[str] = ()
    rules: Sequence[str] = ()
    ids: Sequence[str] = ()
    state: State = "open"
    before: datetime | None = None

    def meets(self, reasons: Sequence[Reason]) -> bool:
        """Say whether one of the reasons has a field and a rule that are asked for."""
        return not (self.fields or self.rules) or any(
            (not self.fields or each.field in self.fields)
            and (not self.rules or each.rule in self.rules)
            for each in reasons
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A refused record, as the ledger has it. `outcome` is None while it is open.

    `raw` is its text as the source sent it, None where that was not asked for.
    """

    id: str
    mapping: str
    stream: str
    run_id: str
    batch_seq: int
    page: int | None
    at: int | None
    key: str | None
    reasons: tuple[Reason, ...]
    created_at: datetime
    outcome: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    retried_by: str | None
    raw: str | None = None


COLUMNS = [column for column in TABLE.c if column.name not in ("raw", "subject")]
PLACE = (
    TABLE.c.created_at, TABLE.c.run_id, TABLE.c.batch_seq, sa.func.coalesce(TABLE.c.page, 0),
    sa.func.coalesce(TABLE.c.at, 0), sa.func.coalesce(TABLE.c.id, ""),
)  # fmt: skip
"""By what rejects stand in their order; no two have the same, but for those without an id."""


def find_rejects(
    session: Session, which: Which, *, raw: bool = False, oldest_first: bool = False
) -> Iterator[Reject]:
    """Yield the rejects that are meant, the newest first; with `raw`, their records too."""
    columns = [*COLUMNS, TABLE.c.raw] if raw else COLUMNS
    query = (
        sa.select(*columns)
        .where(*_conditions(session, which))
        .order_by(*(each if oldest_first else each.desc() for each in PLACE))
        .execution_options(yield_per=FETCHED)
    )
    with session.connection.execute(query) as rows:
        for row in rows:
            if which.meets(_reasons(row.reasons)):
                yield _reject(session, row, raw=raw)


Result = TypeVar("Result")


class Asking(Protocol):
    """Gives an action a session, and returns what it gives; as `Store.ask` does."""

    def __call__(self, action: Callable[[Session], Result], /) -> Result: ...


def in_stretches(ask: Asking, which: Which, *, count: int = STRETCH) -> Iterator[list[Reject]]:
    """Yield the rejects that are meant and have an id, the oldest first, `count` at a time.

    Which they are is asked for once, and in memory are their ids alone. Each stretch is asked for
    once the one before it has been worked off, and has of its rejects those that are meant still.
    """
    # No index has their order: going on after the last one would sort all the others each time.
    for ids in ask(partial(_ids, which=which)).to_frame().iter_slices(count):
        some = ask(partial(_named, which=which, ids=ids.to_series().to_list()))
        yield [each for each in some if which.meets(each.reasons)]


def _ids(session: Session, which: Which) -> pl.Series:
    """Return the ids of the rejects that are meant, whatever their reasons, the oldest first."""
    met = [*_conditions(session, which), TABLE.c.id.is_not(None)]
    query = sa.select(TABLE.c.id).where(*met).order_by(*PLACE)
    told = session.connection.execute(query.execution_options(yield_per=FETCHED))
    parts = [pl.Series(part, dtype=pl.String) for part in told.scalars().partitions()]
    return pl.concat([pl.Series([], dtype=pl.String), *parts])


def _named(session: Session, which: Which, ids: Sequence[str]) -> list[Reject]:
    """Return of the rejects with these ids those that are meant, whatever their reasons."""
    found: list[Reject] = []
    for chosen in chunks(ids):
        met = [*_conditions(session, which), TABLE.c.id.in_(chosen)]
        query = sa.select(*COLUMNS).where(*met).order_by(*PLACE)
        found += (_reject(session, row, raw=False) for row in session.connection.execute(query))
    return found


def count_rejects(session: Session, which: Which) -> int:
    """Return how many rejects are meant."""
    met = _conditions(session, which)
    if which.fields or which.rules:
        told = sa.select(TABLE.c.reasons).where(*met).execution_options(yield_per=FETCHED)
        with session.connection.execute(told) as texts:
            return sum(which.meets(_reasons(text)) for text in texts.scalars())
    query = sa.select(sa.func.count()).select_from(TABLE).where(*met)
    return int(session.connection.execute(query).scalar_one())


def _conditions(session: Session, which: Which) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [TABLE.c.mapping.in_(which.mappings)]
    if which.streams:
        found.append(TABLE.c.stream.in_(which.streams))
    if which.runs:
        found.append(TABLE.c.run_id.in_(which.runs))
    if which.ids:
        begins = (TABLE.c.id.startswith(each, autoescape=True) for each in which.ids)
        found.append(sa.or_(*begins))
    if which.state != "all":
        found.append(OPEN if which.state == "open" else ~OPEN)
    if which.before is not None:
        moment = sa.literal(session.dialect.bind_time(which.before), TABLE.c.created_at.type)
        found.append(TABLE.c.created_at < moment)
    return found


@lru_cache(maxsize=1000)
def _reasons(text: str) -> tuple[Reason, ...]:
    """Return reasons as they were written: of many rejects, most have the same."""
    return tuple(Reason(**each) for each in json.loads(text))


def _reject(session: Session, row: sa.Row[Any], *, raw: bool) -> Reject:
    read = session.dialect.read_time
    return Reject(
        id=row.id or "",  # of one that an older crmmap wrote
        mapping=row.mapping, stream=row.stream, run_id=row.run_id, batch_seq=row.batch_seq,
        page=row.page, at=row.at, key=row.key,
        reasons=_reasons(row.reasons),
        created_at=read(row.created_at), outcome=row.outcome,
        resolved_at=None if row.resolved_at is None else read(row.resolved_at),
        resolved_by=row.resolved_by, retried_by=row.retried_by, raw=row.raw if raw else None,
    )  # fmt: skip


def drop_rejects(session: Session, which: Which, owner: str) -> int:
    """Resolve the open rejects that are meant as dropped, by `owner`; return how many they are."""
    values = {"outcome": "dropped", "resolved_at": session.moment, "resolved_by": owner}
    done = 0
    for some in in_stretches(lambda action: action(session), which):
        ids = [each.id for each in some if each.outcome is None]
        for chunk in chunks(ids):
            session.connection.execute(
                sa.update(TABLE).where(TABLE.c.id.in_(chunk), OPEN).values(**values)
            )
        done += len(ids)
    return done


def purge_rejects(session: Session, which: Which) -> int:
    """Remove the rejects that are meant from the ledger, for good; return how many they were."""
    done = 0
    for some in in_stretches(lambda action: action(session), which):
        for chunk in chunks([each.id for each in some]):
            session.connection.execute(sa.delete(TABLE).where(TABLE.c.id.in_(chunk)))
        done += len(some)
    return done


def raws_of(session: Session, ids: Sequence[str]) -> dict[str, str]:
    """Return the records of open rejects, by the ids."""
    found: dict[str, str] = {}
    for chunk in chunks(ids):
        query = sa.select(TABLE.c.id, TABLE.c.raw).where(TABLE.c.id.in_(chunk), OPEN)
        found |= {each: raw or "" for each, raw in session.connection.execute(query)}
    return found
