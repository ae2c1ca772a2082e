"""Rows into a table as its stream has them written: each kind of write, and how it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from crmmap.kinds.writes import Upsert, Write
from crmmap.load.accounts import OUTCOME_SCHEMA, REFUSED_SCHEMA, Mark, Written
from crmmap.load.statements import Session
from crmmap.load.upsert import upsert
from crmmap.plan import Target

Writer = Callable[[Session, Target, pl.DataFrame, Mark], Written]
"""Writes rows of a batch, that stand in no order, within its transaction. The rows have the
target's columns, typed, with `#page`, `#index`, `#at` and perhaps `#key`."""

WRITERS: Mapping[type[Write], Writer] = {Upsert: upsert}


def write_rows(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write a batch's rows as `target.write` says; see `Transaction.write`."""
    if rows.is_empty():
        return Written(
            outcomes=pl.DataFrame(schema=OUTCOME_SCHEMA),
            refused=pl.DataFrame(schema=REFUSED_SCHEMA),
        )
    return WRITERS[type(target.write)](session, target, rows, mark)
