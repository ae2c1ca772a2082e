"""How rejects are kept: each is open until its record is loaded, and a record has one open at most.

A record that is refused again, in this run or a later one, leaves its newer reject open and the
older one resolved as `superseded`; one that is loaded resolves it as `loaded`. Records are told
apart by their keys, those without by their raw text, and so are all where the table keeps every
version of a record. Where versions are told by a field, the order of reading within a run says
nothing: then only rejects of earlier runs are resolved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

import polars as pl
import sqlalchemy as sa

from crmmap.kinds.types import Datetime, Integer, Text
from crmmap.load import ledger
from crmmap.load.accounts import OUTCOME, Mark, Tally
from crmmap.load.staging import pour
from crmmap.load.statements import PARAMETERS, Session, check_written, write
from crmmap.plan import Column

HELD = ("inserted", "updated", "unchanged")
"""Outcomes of records that the table holds as they were read."""
REMEMBERED = 20_000
"""So many keys of open rejects are kept in mind; beyond, the store is asked for each batch."""

Place = tuple[int, int]
"""A record's page and its place in that, which grow with reading; 0 where it has none."""

RESOLVED = {
    "outcome": pl.String(), "resolved_at": pl.Datetime("us", "UTC"), "resolved_by": pl.String(),
}  # fmt: skip
TABLE = ledger.REJECTS
OPEN = TABLE.c.resolved_at.is_(None)


def open_keys(session: Session, mapping: str, stream: str) -> frozenset[str] | None:
    """Return the keys of a stream's open rejects; None where they are too many to keep in mind."""
    query = (
        sa.select(TABLE.c.key)
        .where(TABLE.c.mapping == mapping, TABLE.c.stream == stream, OPEN, TABLE.c.key.is_not(None))
        .distinct()
        .limit(REMEMBERED + 1)
    )
    return _bounded(session.connection.execute(query).scalars())


def remembered(known: frozenset[str] | None, refused: pl.Series) -> frozenset[str] | None:
    """Return the keys of open rejects once a batch's refusals are added."""
    if known is None or refused.is_empty():
        return known
    return _bounded((*known, *refused.drop_nulls()))


def _bounded(keys: Iterable[str]) -> frozenset[str] | None:
    found = frozenset(keys)
    return found if len(found) <= REMEMBERED else None


def subject_of(key: str | None, raw: str) -> str:
    """Return what refusals of one record share."""
    text = f"raw\0{raw}" if key is None else f"key\0{key}"
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def keep(session: Session, mark: Mark, tally: Tally) -> None:
    """Write the batch's rejects and notes, and resolve the rejects that it supersedes."""
    if tally.retried is not None:
        _settle(session, mark, tally.retried)
        tally = replace(tally, rejects=tally.rejects.clear(), taken=tally.taken.clear())
    if len(tally.rejects) or len(tally.taken):
        _keep_rejects(session, mark, tally)
    _write_frame(session, ledger.NOTES, mark, tally.notes)


def _keep_rejects(session: Session, mark: Mark, tally: Tally) -> None:
    fresh = _identified(mark, tally)
    outdone = _outdone(session, mark, fresh)
    _resolve_earlier(session, mark, tally, outdone, fresh)
    outcomes = [
        "superseded" if subject in outdone else outcome
        for subject, outcome in zip(fresh["subject"], _outcomes(tally, fresh), strict=True)
    ]
    resolved = {
        "outcome": outcomes,
        "resolved_at": [outcome and session.now for outcome in outcomes],
        "resolved_by": [outcome and mark.run_id for outcome in outcomes],
    }
    _write_frame(session, TABLE, mark, fresh.hstack(pl.DataFrame(resolved, schema=RESOLVED)))


def _identified(mark: Mark, tally: Tally) -> pl.DataFrame:
    """Return the batch's rejects with their ids and subjects."""
    batch = f"{mark.run_id}\0{mark.stream}\0{mark.batch_seq + 1}"
    ids = [sha256(f"{batch}\0{n}".encode()).hexdigest()[:16] for n in range(len(tally.rejects))]
    pairs = tally.rejects.select("key", "raw").iter_rows()
    subjects = [subject_of(None if tally.keeping else key, raw) for key, raw in pairs]
    return tally.rejects.hstack(
        [pl.Series("id", ids, dtype=pl.String), pl.Series("subject", subjects, dtype=pl.String)]
    )


def _outdone(session: Session, mark: Mark, fresh: pl.DataFrame) -> Collection[str]:
    """Return the subjects of records that had waited, and were refused anew in the meantime.

    They are of no page; the reject that is open is of the newer record. One of this run and of no
    page is of an equal version, which had waited beside it.
    """
    if not fresh["page"].null_count():
        return ()
    anew = sa.or_(TABLE.c.page.is_not(None), TABLE.c.run_id != mark.run_id)
    asked = fresh.filter(pl.col("page").is_null())["subject"].to_list()
    found: list[str] = []
    for chosen in chunks(asked):
        query = sa.select(TABLE.c.subject).where(
            TABLE.c.mapping == mark.mapping, TABLE.c.stream == mark.stream, OPEN,
            TABLE.c.subject.in_(chosen), anew,
        )  # fmt: skip
        found += session.connection.execute(query).scalars()
    return {*found}


def _resolve_earlier(
    session: Session, mark: Mark, tally: Tally, outdone: Collection[str], fresh: pl.DataFrame
) -> None:
    """Resolve the rejects of earlier batches whose records are loaded, or refused again."""
    own = not tally.versioned
    _resolve(session, mark, _subjects(mark, tally, HELD), "loaded", own=own)
    again = {*_refused_again(mark, tally, fresh)}.difference(outdone)
    newer = again.union(_subjects(mark, tally, ("deferred",)))
    _resolve(session, mark, sorted(newer), "superseded", own=own)


def _refused_again(mark: Mark, tally: Tally, fresh: pl.DataFrame) -> Iterator[str]:
    """Yield the subjects of refused records that may have an open reject already."""
    known = None if tally.keeping else mark.refused
    for key, subject in fresh.select("key", "subject").iter_rows():
        # A key with NUL is kept in another spelling.
        if known is None or key is None or key in known or "\0" in key:
            yield subject


def _subjects(mark: Mark, tally: Tally, outcomes: Collection[str]) -> list[str]:
    """Return the subjects of records with such outcomes that may have an open reject."""
    keys = {key for _, key in _taken(tally, outcomes)}
    return [subject_of(key, "") for key in keys if mark.refused is None or key in mark.refused]


def _taken(tally: Tally, outcomes: Collection[str]) -> Iterator[tuple[Place, str]]:
    """Yield the places and keys of records that resolve rejects, and have such outcomes."""
    taken = tally.taken.select("page", "at", "key", OUTCOME)
    for page, at, key, outcome in () if tally.keeping else taken.iter_rows():
        if key is not None and outcome in outcomes:
            yield (page or 0, at or 0), key


def _resolve(
    session: Session, mark: Mark, subjects: Sequence[str], outcome: str, *, own: bool
) -> None:
    """Resolve the stream's open rejects of these records; with `own`, those of this run too."""
    theirs = [] if own else [TABLE.c.run_id != mark.run_id]
    # A statement is garbage in a circle: one that held the subjects would keep them for long.
    statement = (
        sa.update(TABLE)
        .where(
            TABLE.c.mapping == mark.mapping, TABLE.c.stream == mark.stream, OPEN,
            TABLE.c.subject.in_(sa.bindparam("subjects", expanding=True)),
            *theirs,
        )
        .values(outcome=outcome, resolved_at=session.moment, resolved_by=mark.run_id)
    )  # fmt: skip
    for chosen in chunks(subjects):
        session.connection.execute(statement, {"subjects": chosen})


def _outcomes(tally: Tally, fresh: pl.DataFrame) -> list[str | None]:
    """Return what became of each refused record further on in the batch: None where nothing did."""
    if tally.versioned:
        return [None] * len(fresh)
    loaded: dict[str | None, Place] = {}
    for place, key in _taken(tally, HELD):
        loaded[key] = max(place, loaded.get(key, place))
    refused = [
        ((page or 0, at or 0), key, subject)
        for page, at, key, subject in fresh.select("page", "at", "key", "subject").iter_rows()
    ]
    last: dict[str, Place] = {}
    for place, _, subject in refused:
        last[subject] = max(place, last.get(subject, place))
    return [
        "loaded" if loaded.get(key, place) > place
        else "superseded" if last[subject] > place
        else None
        for place, key, subject in refused
    ]  # fmt: skip


def _write_frame(session: Session, table: sa.Table, mark: Mark, frame: pl.DataFrame) -> None:
    """Write what the ledger tells of the batch after `mark`."""
    if frame.is_empty():
        return
    owner = {
        "run_id": mark.run_id, "mapping": mark.mapping, "stream": mark.stream,
        "batch_seq": mark.batch_seq + 1, "created_at": session.now,
    }  # fmt: skip
    columns = [_typed(table.c[name]) for name in (*frame.columns, *owner)]
    cells = [
        (pl.lit(owner[each.name]) if each.name in owner else _plain(frame, each.name))
        .cast(each.type.dtype).alias(each.name)
        for each in columns
    ]  # fmt: skip
    rows = frame.select(cells)
    check_written(pour(session, table.name, columns, rows), len(rows))


def _plain(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column without NUL, which a refused value may hold, and PostgreSQL's text can't."""
    cell = pl.col(name)
    is_text = frame.schema[name] == pl.String
    return cell.str.replace_all("\0", "\\u0000", literal=True) if is_text else cell


@cache
def _typed(column: sa.Column[Any]) -> Column:
    """Return a column of the ledger as one of a target table."""
    whole, moment = (isinstance(column.type, kind) for kind in (sa.Integer, sa.DateTime))
    return Column(
        name=column.name, type=Integer() if whole else Datetime() if moment else Text()
    )  # fmt: skip


# --- tried again ----------------------------------------------------------------------------------


def _settle(session: Session, mark: Mark, retried: pl.DataFrame) -> None:
    """Resolve the rejects whose records were let in; give the others the reasons of now."""
    done = ~pl.col(OUTCOME).is_in(["refused", "newer"])
    for (outcome,), frame in retried.filter(done).group_by(OUTCOME):
        for ids in chunks(frame["id"].to_list()):
            session.connection.execute(
                sa.update(TABLE)
                .where(TABLE.c.id.in_(ids), OPEN)
                .values(outcome=outcome, resolved_at=session.moment, resolved_by=mark.run_id)
            )
    again = retried.filter(pl.col(OUTCOME) == "refused").select("reasons", "key", "id")
    quote, sign = session.quote, session.dialect.placeholder
    key = quote("key")
    # A key that can't be read any more still tells whose reject it is.
    statement = (
        f"UPDATE {quote(TABLE.name)} SET reasons = {sign}, {key} = COALESCE({sign}, {key}), "  # noqa: S608  (the names are ours, values are parameters)
        f"retried_by = {sign} WHERE id = {sign} AND resolved_at IS NULL"
    )
    rows = [(reasons, key, mark.run_id, each) for reasons, key, each in again.iter_rows()]
    write(session, statement, rows)


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield stretches of so many ids as one statement may name."""
    for start in range(0, len(ids), PARAMETERS):
        yield ids[start : start + PARAMETERS]
