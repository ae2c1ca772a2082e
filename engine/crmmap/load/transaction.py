"""What a batch may do to the store, all within the one transaction that commits it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

import polars as pl
from sqlalchemy.engine import NestedTransaction

from crmmap.failpoint import fail_at
from crmmap.load import deferred
from crmmap.load.accounts import Mark, Written
from crmmap.load.archive import Piece, keep_pages
from crmmap.load.deferred import Arrivals, Held
from crmmap.load.halving import Halving
from crmmap.load.measures import count_rows, latest
from crmmap.load.staging import ROW, matching
from crmmap.load.statements import Session, insert_statement, write
from crmmap.load.storage import to_driver
from crmmap.load.tables import RUN_ID, SYNCED_AT, holding, timed
from crmmap.load.vanishing import note_met, unmet
from crmmap.load.writing import finish, write_rows
from crmmap.plan import Target
from crmmap.values import Archived, Counts, Reason

WAITING = 500
"""Records that wait, as many as are looked at at a time."""

NOTHING_ASKED: Mapping[str, bool] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Given to a batch's work. It may be asked to do the work twice, so it keeps no state."""

    session: Session
    mark: Mark

    @property
    def now(self) -> datetime:
        """When the transaction began, by the database's clock."""
        return self.session.now

    def known(self, target: Target, by: str, values: pl.Series) -> pl.DataFrame:
        """Return `by` and the key of the target's rows whose `by` is among `values`.

        `values` have the dtype of the target's column `by`. The frame has one
        column where `by` is the key itself. The target's key is a single column.
        """
        return known_parents(self.session, target, by, values)

    def write(
        self, target: Target, rows: pl.DataFrame, *, older_than: frozenset[str] = frozenset()
    ) -> Written:
        """Write rows as the target's kind of write has it, and tell what each came to.

        `rows` have the target's columns, typed, with `#page`, `#index`, `#at` and
        perhaps `#key` and `#deleted`, and no two with the same key. Rows that the database
        refuses are given back with their reasons. Rows are older than what the runs `older_than`
        wrote.
        """
        mark = replace(self.mark, older_than=older_than)
        return write_rows(self.session, target, rows, mark)

    def meet(
        self, target: Target, keys: pl.DataFrame, asked: Mapping[str, bool] = NOTHING_ASKED
    ) -> str:
        """Remember what a batch has met, until the read ends: see `finish`.

        `keys` has the target's key columns, typed, of every record that came; `asked` are the
        rows of another stream for which it was asked, as in `Batch`. Return why records may be
        missing, as some could not be remembered; empty where none may.
        """
        return note_met(self.session, target, self.mark, keys, asked)

    def unmet_waiting(
        self, target: Target, keys_of: Callable[[pl.Series], pl.DataFrame], stream: str
    ) -> Iterator[pl.DataFrame]:
        """Yield the places (`key`, `digest`) of what waits and a complete read has not met.

        Beside each stands the `run_id` that read it. `stream` is the one that it is of: what was
        read of it since the read began is newer. `keys_of` gives the target's key columns, typed,
        for keys as texts. It is asked before `finish`, and nothing must be settled but what it has
        given.
        """
        read, place = self.mark.read, None
        while True:
            some = deferred.after(
                self.session, self.mark.mapping, stream, place, WAITING, unless_since=read.began
            )
            if some.is_empty():
                return
            place = some.select("key", "digest").row(-1)
            if target.vanishing:
                some = some[unmet(self.session, target, read, keys_of(some["key"]))]
            yield some

    def finish(self, target: Target, gap: str) -> Counts:
        """End the stream's read, whose last rows are written; return what that came to.

        Where records may be missing, by `gap` or by that of an earlier batch, no row is deleted
        or replaced.
        """
        read = replace(self.mark.read, gap=self.mark.read.gap or gap)
        fail_at("load.before_finish")
        done = finish(self.session, target, replace(self.mark, read=read))
        fail_at("load.after_finish")
        return done

    def count_rows(self, target: Target) -> int:
        """Return how many rows the table has now, but for deleted ones and former versions."""
        return count_rows(self.session, target, self.mark.read)

    def age_of_latest(self, target: Target, column: str) -> float | None:
        """Return how old the latest value of a date or datetime is, in seconds; None of none."""
        found = latest(self.session, target, self.mark.read, column)
        return None if found is None else (self.session.now - found).total_seconds()

    def savepoint(self) -> NestedTransaction:
        """Begin what can be undone alone, by its `rollback`, or stays, by its `commit`."""
        return self.session.connection.begin_nested()

    def stub(self, target: Target, keys: pl.Series) -> tuple[int, Mapping[object, Reason]]:
        """Insert bare parents, with nothing but a key, where there are none.

        Return how many, and the keys that the database refuses, each with the reason. When the
        real record arrives it counts as an update.
        """
        key = target.column(target.key[0])
        bare = keys.drop_nulls().unique(maintain_order=True).alias(key.name).to_frame()
        statement = insert_statement(
            self.session, target.table, columns=[key.name, RUN_ID, SYNCED_AT], key=target.key
        )
        audit = (self.mark.run_id, self.session.moment)
        made: list[int] = []

        def write_some(some: pl.DataFrame) -> int:
            cells = some.select(to_driver([key], self.session.connection.dialect)).rows()
            made.append(write(self.session, statement, [(*row, *audit) for row in cells]))
            return len(some)  # those that are there are not written

        refused = Halving(session=self.session, target=target, write=write_some).run(bare)
        values = bare[key.name]
        return sum(made), {values[at]: refusal.reason() for at, refusal in refused}

    def hold(self, arrivals: Arrivals) -> Held:
        """Keep those of a batch's records that are to wait, and let go what they or its rows outdo.

        What waits is never older than what of its key the batch brings.
        """
        held = deferred.hold(self.session, self.mark, arrivals)
        fail_at("load.after_hold")
        return held

    def waiting(self, places: pl.DataFrame) -> pl.DataFrame:
        """Return the records at these places (`key`, `digest`) that wait: see `Store.deferred`."""
        return deferred.at(self.session, self.mark, places)

    def overdue(self, field: str, begun: datetime, count: int) -> pl.DataFrame:
        """Return at most `count` records that wait for a field's parent, and did so at a time."""
        return deferred.overdue(self.session, self.mark, field, begun, count)

    def settle(self, places: pl.DataFrame, stream: str | None = None) -> None:
        """Let the records at these places (`key`, `digest`) no longer wait, of this stream."""
        deferred.settle(self.session, self.mark, places, stream)

    def wait_on(self, places: pl.DataFrame) -> None:
        """Note the field (`#field`) whose parent the records at these places wait for now."""
        deferred.wait_on(self.session, self.mark, places)

    def archive(self, pieces: Sequence[Piece], most: int) -> Archived:
        """Keep pages in the archive, of which the mapping may have `most` bytes."""
        kept = keep_pages(self.session, self.mark, pieces, most)
        fail_at("load.after_archive")
        return kept


def known_parents(session: Session, target: Target, by: str, values: pl.Series) -> pl.DataFrame:
    """See `Transaction.known`."""
    names = dict.fromkeys((by, target.key[0]))
    columns = [target.column(name) for name in names]
    asked = values.drop_nulls().unique().alias(by).to_frame()
    only = holding(target)
    found = matching(
        session, target.table, wanted=columns,
        on=[columns[0], *(timed(target).column(name) for name in only)],
        rows=asked.with_columns(pl.lit(value).alias(name) for name, value in only.items()),
    )  # fmt: skip
    return found.drop(ROW)
