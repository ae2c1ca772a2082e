"""Rows into a table as its stream has them written: each kind of write, and how it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl
import sqlalchemy as sa

from crmmap.kinds.writes import Append, Delete, History, Replace, Snapshot, Sweep, Upsert, Write
from crmmap.load.accounts import OUTCOME_SCHEMA, REFUSED_SCHEMA, Mark, Written
from crmmap.load.append import append
from crmmap.load.aside import READ_BY
from crmmap.load.deleting import delete, sweep
from crmmap.load.duplicates import Contest, first_come
from crmmap.load.history import write_history
from crmmap.load.replacing import gather, swap
from crmmap.load.statements import Session
from crmmap.load.tables import RUN_ID, table_of
from crmmap.load.upsert import upsert
from crmmap.load.vanishing import side_tables, vanish
from crmmap.plan import Target
from crmmap.values import NOTHING, Counts

Writer = Callable[[Session, Target, pl.DataFrame, Mark], Written]
"""Writes rows of a batch, that stand in no order, within its transaction. The rows have the
target's columns, typed, with `#page`, `#index`, `#at` and perhaps `#key`."""


def _by_key(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Upsert rows, where rules other than the key may find the same ones, too."""
    if not target.same_by:
        return upsert(session, target, rows, mark)
    if target.losing is None:
        return first_come(session, target, rows, mark)
    return Contest(session=session, target=target, losing=target.losing).write(rows, mark)


WRITERS: Mapping[type[Write], Writer] = {
    Upsert: _by_key,
    Append: append,
    Replace: gather,
    History: write_history,
    Snapshot: _by_key,
    Delete: delete,
    Sweep: sweep,
}


Finisher = Callable[[Session, Target, Mark], Counts]
"""Does what is to be done to the table once a read has ended, in its last batch's transaction, and
returns what that came to. `mark.read` is the read: one with a gap has not met all that the source
has."""

FINISHERS: Mapping[type[Write], Finisher] = {
    Snapshot: vanish,
    Sweep: vanish,
    History: vanish,
    Replace: swap,
}


def finish(session: Session, target: Target, mark: Mark) -> Counts:
    """End a read as `target.write` has it; see `Transaction.finish`."""
    finisher = FINISHERS.get(type(target.write))
    return NOTHING if finisher is None else finisher(session, target, mark)


def tables_of(targets: Sequence[Target]) -> list[sa.Table]:
    """Return the tables of targets, each once, and those that ways of writing need beside them.

    Of targets that share a table, one has all its columns: the others stand for it, or delete
    from it.
    """
    own = (each for target in targets for each in (target, *target.beside))
    widest: dict[str, Target] = {}
    for each in own:
        known = widest.setdefault(each.table, each)
        if len(each.columns) > len(known.columns):
            widest[each.table] = each
    tables = [*map(table_of, widest.values())]
    gathered = {each.next.table for each in targets if each.next is not None}
    for table in tables:
        table.info |= {READ_BY: RUN_ID} if table.name in gathered else {}
    beside = (table for each in targets if each.vanishing for table in side_tables(each))
    return [*tables, *{table.name: table for table in beside}.values()]


def write_rows(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write a batch's rows as `target.write` says; see `Transaction.write`."""
    if rows.is_empty():
        return Written(
            outcomes=pl.DataFrame(schema=OUTCOME_SCHEMA),
            refused=pl.DataFrame(schema=REFUSED_SCHEMA),
        )
    return WRITERS[type(target.write)](session, target, rows, mark)
