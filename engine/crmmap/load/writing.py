"""Rows into a table as its stream has them written: each kind of write, and how it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from crmmap.kinds.writes import Append, History, Upsert, Write
from crmmap.load.accounts import OUTCOME_SCHEMA, REFUSED_SCHEMA, Mark, Read, Written
from crmmap.load.append import append
from crmmap.load.duplicates import Contest, first_come
from crmmap.load.history import write_history
from crmmap.load.statements import Session
from crmmap.load.upsert import upsert
from crmmap.plan import Target

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


WRITERS: Mapping[type[Write], Writer] = {Upsert: _by_key, Append: append, History: write_history}


Finisher = Callable[[Session, Target, Read], int]
"""Does what is to be done to the table once a read has ended, in its last batch's transaction, and
returns how many rows were deleted. A read with a gap has not met all that the source has."""

FINISHERS: Mapping[type[Write], Finisher] = {}


def finish(session: Session, target: Target, read: Read) -> int:
    """End a read as `target.write` has it; see `Transaction.finish`."""
    finisher = FINISHERS.get(type(target.write))
    return 0 if finisher is None else finisher(session, target, read)


def write_rows(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write a batch's rows as `target.write` says; see `Transaction.write`."""
    if rows.is_empty():
        return Written(
            outcomes=pl.DataFrame(schema=OUTCOME_SCHEMA),
            refused=pl.DataFrame(schema=REFUSED_SCHEMA),
        )
    return WRITERS[type(target.write)](session, target, rows, mark)
