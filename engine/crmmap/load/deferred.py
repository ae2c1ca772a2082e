"""Records that wait for a parent: held back, given up for newer ones, and tried again.

Of a record's versions at most one waits, the newest: by the version column, or else the one that
was read last. So what waits can't overwrite what is newer. Only where one run reads two versions
that are equal do both wait, for their contents decide; and where every version is a row of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from math import inf
from typing import Any

import polars as pl
import sqlalchemy as sa

from crmmap.kinds.writes import KEEPING, Append
from crmmap.load import ledger
from crmmap.load.accounts import REFUSED_SCHEMA, Mark
from crmmap.load.halving import Halving, refused_rows
from crmmap.load.statements import Row, Session, insert_statement, write
from crmmap.plan import Target
from crmmap.values import FIELD, INDEX, KEY, PAGE, RAW

PARAMETERS = 5000
"""Keys that are asked for at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Of a batch, by `#key`: the rows that the store did not refuse, and the records to wait.

    Both have `#page`, `#index` and the version column, if there is one, and `waiting` the texts
    `#field` and `#raw`. `streams` are all that fill the table. `older_than` are the runs that read
    later than these records were read.
    """

    target: Target
    streams: Sequence[str]
    kept: pl.DataFrame
    waiting: pl.DataFrame
    older_than: frozenset[str] = frozenset()


def _none_refused() -> pl.DataFrame:
    return pl.DataFrame(schema=REFUSED_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a batch's `Arrivals.waiting` came to.

    `outdone` says of each whether it need not wait, as a better one of its key is there.
    `released` counts those that this run had held back before, and that wait no longer.
    `refused` (`REFUSED_SCHEMA`) can't wait: the database does not take them.
    """

    outdone: pl.Series
    released: int = 0
    refused: pl.DataFrame = field(default_factory=_none_refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How many records of a stream wait for the parent that `field` names, and since when."""

    stream: str
    field: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """A version of a record: written (`digest` is empty), or waiting. `place` grows with reading.

    `since` is when its key began to wait, of one that is in the store already.
    """

    place: float
    version: Any
    run: str
    stream: str = ""
    digest: str = ""
    since: datetime | None = None
    field: str = ""
    raw: str = ""
    shown: str | None = None
    at: int = 0


def hold(session: Session, mark: Mark, arrivals: Arrivals) -> Held:
    """Keep those of a batch's records that are to wait, and let go what they or its rows outdo."""
    versions = _stored(session, mark, arrivals)
    outdone = [False] * len(arrivals.waiting)
    if not versions and not outdone:
        return Held(outdone=pl.Series(outdone, dtype=pl.Boolean))
    for key, each in _arrived(mark, arrivals, arrivals.waiting):
        versions.setdefault(key, []).append(each)
    for key, each in _arrived(mark, arrivals, arrivals.kept):
        if key in versions:
            versions[key].append(each)
    kept: list[tuple[int, Row]] = []
    gone: list[tuple[str, ...]] = []
    released = 0
    for key, every in versions.items():
        since = min((each.since for each in every if each.since is not None), default=session.now)
        for each in every:
            lost = any(_outdoes(arrivals.target, other, each) for other in every)
            place = (mark.mapping, each.stream, key, each.digest)
            if each.since is not None and lost:
                gone.append(place)
                released += each.run == mark.run_id
            elif each.since is None and each.digest:
                outdone[each.at] = lost
                told = (mark.run_id, session.dialect.bind_time(since), each.shown)
                kept += [] if lost else [(each.at, (*place, each.field, each.raw, *told))]
    _delete(session, gone)
    return Held(
        outdone=pl.Series(outdone, dtype=pl.Boolean), released=released,
        refused=_keep(session, arrivals, kept),
    )  # fmt: skip


def _keep(session: Session, arrivals: Arrivals, kept: Sequence[tuple[int, Row]]) -> pl.DataFrame:
    """Write those that wait, each after its place among `arrivals.waiting`; return the refused.

    A key or a record may be longer than the database takes.
    """
    if not kept:
        return _none_refused()
    statement = insert_statement(session, ledger.DEFERRED.name, columns=COLUMNS)
    numbers = pl.Series("number", range(len(kept))).to_frame()

    def write_some(some: pl.DataFrame) -> int:
        return write(session, statement, [kept[number][1] for number in some["number"]])

    halving = Halving(session=session, target=arrivals.target, write=write_some)
    # The columns are the ledger's, and mean nothing to who reads of a reject.
    refused = [
        (kept[number][0], replace(refusal, column=None)) for number, refusal in halving.run(numbers)
    ]
    return refused_rows(arrivals.waiting, refused)


COLUMNS = ("mapping", "stream", "key", "digest", "field", "raw", "run_id", "since", "version")


def _outdoes(target: Target, other: _Version, one: _Version) -> bool:
    """Say whether another version of a record is kept rather than one that waits."""
    if isinstance(target.write, KEEPING) and (target.version or isinstance(target.write, Append)):
        return other.digest == one.digest and other.place > one.place  # all of them are kept
    if other.version != one.version:
        return one.version is None or (other.version is not None and other.version > one.version)
    if target.first:
        return not other.digest or other.place < one.place
    # Within a run, which of two equal versions wins must not depend on their order.
    apart = target.version is None or other.run != one.run or other.digest == one.digest
    return apart and other.place > one.place


def _stored(session: Session, mark: Mark, arrivals: Arrivals) -> dict[str, list[_Version]]:
    """Return what waits already of the batch's keys."""
    table = ledger.DEFERRED.c
    ours = sa.and_(table.mapping == mark.mapping, table.stream.in_(arrivals.streams))
    if not _any(session, mark.mapping, arrivals.streams):
        return {}
    keys = pl.concat([arrivals.kept[KEY], arrivals.waiting[KEY]]).unique().drop_nulls()
    columns = (table.key, table.stream, table.digest, table.run_id, table.since, table.version)
    found = [
        row
        for some in keys.to_frame().iter_slices(PARAMETERS)
        for row in session.connection.execute(
            sa.select(*columns).where(ours, table.key.in_(some.to_series().to_list()))
        )
    ]
    shown = pl.Series([row.version for row in found], dtype=pl.String)
    versions: dict[str, list[_Version]] = {}
    for row, version in zip(found, _read(arrivals.target, shown), strict=True):
        each = _Version(
            # What a later run read is newer than what is loaded again.
            place=inf if row.run_id in arrivals.older_than else -1, version=version,
            run=row.run_id, stream=row.stream, digest=row.digest,
            since=session.dialect.read_time(row.since),
        )  # fmt: skip
        versions.setdefault(row.key, []).append(each)
    return versions


def _any(session: Session, mapping: str, streams: Sequence[str]) -> bool:
    """Say whether anything waits. Mostly nothing does: so as a text, which is quick to make."""
    statement = (
        f"SELECT 1 FROM {session.quote(ledger.DEFERRED.name)} "  # noqa: S608  (names are quoted, values are parameters)
        f"WHERE mapping = {session.marks(1)} AND stream IN ({session.marks(len(streams))}) LIMIT 1"
    )
    found = session.connection.exec_driver_sql(statement, (mapping, *streams))
    return found.first() is not None


def _arrived(mark: Mark, arrivals: Arrivals, frame: pl.DataFrame) -> Iterator[tuple[str, _Version]]:
    name = arrivals.target.version
    texts = [pl.lit(None, dtype=pl.String).alias(each) for each in (FIELD, RAW)]
    if FIELD not in frame.columns:
        frame = frame.with_columns(texts)
    version = pl.lit(None) if name is None else pl.col(name)
    shown = pl.lit(None) if name is None else arrivals.target.column(name).type.show(pl.col(name))
    told = frame.select(
        KEY, PAGE, INDEX, FIELD, RAW, version.alias("version"), shown.alias("shown")
    )
    for at, (key, page, index, missing, raw, value, text) in enumerate(told.iter_rows()):
        yield key, _Version(
            place=page + index / 2**32, version=value, run=mark.run_id, stream=mark.stream,
            digest="" if raw is None else sha256(raw.encode()).hexdigest(), field=missing or "",
            raw=raw or "", shown=text, at=at,
        )  # fmt: skip


def _read(target: Target, shown: pl.Series) -> list[Any]:
    if target.version is None:
        return [None] * len(shown)
    read = target.column(target.version).type.read(pl.col("version"))
    return shown.alias("version").to_frame().select(read.alias("version")).to_series().to_list()


# --- those that wait ------------------------------------------------------------------------------


def after(
    session: Session,
    mapping: str,
    stream: str,
    place: tuple[str, str] | None,
    count: int,
    *,
    unless_since: datetime | None = None,
) -> pl.DataFrame:
    """Return the records of a stream that wait, in the order of their places (`key`, `digest`).

    At most `count`, those after `place`; beside it the texts `field`, `raw` and `run_id`, the run
    that read it, and `since`. None whose run began the stream later than `unless_since`.
    """
    table = ledger.DEFERRED.c
    query = sa.select(*_kept()).where(table.mapping == mapping, table.stream == stream)
    if place is not None:
        key, digest = place
        beyond = sa.and_(table.key == key, table.digest > digest)
        query = query.where(table.key >= key, sa.or_(table.key > key, beyond))
    if unless_since is not None:
        runs = ledger.STREAM_RUNS.c
        later = sa.exists().where(
            runs.run_id == table.run_id, runs.stream == stream,
            runs.started_at > session.dialect.bind_time(unless_since),
        )  # fmt: skip
        query = query.where(~later)
    return _frame(session, query.order_by(table.key, table.digest).limit(count))


def at(session: Session, mark: Mark, places: pl.DataFrame) -> pl.DataFrame:
    """Return the records at these places (`key`, `digest`) that wait; see `after`."""
    table = ledger.DEFERRED.c
    query = sa.select(*_kept()).where(table.mapping == mark.mapping, table.stream == mark.stream)
    keys = places.select("key").unique()
    found = [
        _frame(session, query.where(table.key.in_(some["key"].to_list())))
        for some in keys.iter_slices(PARAMETERS)
    ]
    return places.join(pl.concat(found), on=["key", "digest"], maintain_order="left")


def overdue(session: Session, mark: Mark, field: str, begun: datetime, count: int) -> pl.DataFrame:
    """Return at most `count` records that wait for a field's parent, and did so `begun`.

    See `after`.
    """
    table = ledger.DEFERRED.c
    ours = (table.mapping == mark.mapping, table.stream == mark.stream, table.field == field)
    long = table.since <= session.dialect.bind_time(begun)
    query = sa.select(*_kept()).where(*ours, long).order_by(table.key, table.digest)
    return _frame(session, query.limit(count))


def _kept() -> tuple[sa.Column[Any], ...]:
    table = ledger.DEFERRED.c
    return table.key, table.digest, table.field, table.raw, table.run_id, table.since


def _frame(session: Session, query: sa.Select[Any]) -> pl.DataFrame:
    found = session.connection.execute(query)
    rows = [(*row[:-1], session.dialect.read_time(row[-1])) for row in found]
    names = [column.name for column in _kept()]
    kinds = [*[pl.String()] * (len(names) - 1), pl.Datetime("us", "UTC")]
    return pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")


def settle(session: Session, mark: Mark, places: pl.DataFrame, stream: str | None = None) -> None:
    """Let the records at these places (`key`, `digest`) no longer wait; they are of `stream`."""
    owner = (mark.mapping, stream or mark.stream)
    _delete(session, [(*owner, *place) for place in places.select("key", "digest").iter_rows()])


def wait_on(session: Session, mark: Mark, places: pl.DataFrame) -> None:
    """Note the field (`#field`) whose parent the records at these places wait for now."""
    quote, sign = session.quote, session.dialect.placeholder
    statement = (
        f"UPDATE {quote(ledger.DEFERRED.name)} SET {quote('field')} = {sign} WHERE {_at(session)}"  # noqa: S608  (names are quoted, values are parameters)
    )
    rows = places.select(FIELD, "key", "digest").iter_rows()
    write(session, statement, [(field, mark.mapping, mark.stream, *at) for field, *at in rows])


def summary(session: Session, mapping: str) -> list[Waiting]:
    """Return what of a mapping waits: by stream, and by the field whose parent is missing."""
    table = ledger.DEFERRED.c
    query = (
        sa.select(table.stream, table.field, sa.func.count(), sa.func.min(table.since))
        .where(table.mapping == mapping)
        .group_by(table.stream, table.field)
        .order_by(table.stream, table.field)
    )
    return [
        Waiting(
            stream=stream, field=field, count=count, since=session.dialect.read_time(since)
        )
        for stream, field, count, since in session.connection.execute(query)
    ]  # fmt: skip


def _delete(session: Session, places: Collection[tuple[str, ...]]) -> None:
    statement = f"DELETE FROM {session.quote(ledger.DEFERRED.name)} WHERE {_at(session)}"  # noqa: S608  (names are quoted, values are parameters)
    write(session, statement, [*places])


def _at(session: Session) -> str:
    names = ("mapping", "stream", "key", "digest")
    return " AND ".join(f"{session.quote(name)} = {session.dialect.placeholder}" for name in names)
