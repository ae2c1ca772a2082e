"""What a batch may do to the store, all within the one transaction that commits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from types import MappingProxyType

import polars as pl

from crmmap.kinds.types import Text
from crmmap.load import ledger
from crmmap.load.accounts import Mark, Written
from crmmap.load.archive import Piece, keep_pages
from crmmap.load.measures import count_rows, latest
from crmmap.load.staging import ROW, matching
from crmmap.load.statements import Session, insert_statement, write, write_all
from crmmap.load.storage import to_driver
from crmmap.load.tables import RUN_ID, SYNCED_AT, holding, timed
from crmmap.load.vanishing import note_met
from crmmap.load.writing import finish, write_rows
from crmmap.plan import Column, Target
from crmmap.values import Archived, Counts

NOTHING_ASKED: Mapping[str, bool] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Given to a batch's work. It may be asked to do the work twice, so it keeps no state."""

    session: Session
    mark: Mark

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
    ) -> None:
        """Remember what a batch has met, until the read ends: see `finish`.

        `keys` has the target's key columns, typed, of every record that came; `asked` are the
        rows of another stream for which it was asked, as in `Batch`.
        """
        note_met(self.session, target, self.mark, keys, asked)

    def finish(self, target: Target, gap: str) -> Counts:
        """End the stream's read, whose last rows are written; return what that came to.

        Where records may be missing, by `gap` or by that of an earlier batch, no row is deleted
        or replaced.
        """
        read = replace(self.mark.read, gap=self.mark.read.gap or gap)
        return finish(self.session, target, replace(self.mark, read=read))

    def count_rows(self, target: Target) -> int:
        """Return how many rows the table has now, but for deleted ones and former versions."""
        return count_rows(self.session, target, self.mark.read)

    def age_of_latest(self, target: Target, column: str) -> float | None:
        """Return how old the latest value of a date or datetime is, in seconds; None of none."""
        found = latest(self.session, target, self.mark.read, column)
        return None if found is None else (self.session.now - found).total_seconds()

    def stub(self, target: Target, keys: pl.Series) -> int:
        """Insert bare parents, with nothing but a key, where there are none; return how many.

        When the real record arrives it counts as an update.
        """
        key = target.column(target.key[0])
        bare = keys.drop_nulls().unique(maintain_order=True).alias(key.name).to_frame()
        compiler = self.session.connection.dialect
        statement = insert_statement(
            self.session, target.table, columns=[key.name, RUN_ID, SYNCED_AT], key=target.key
        )
        audit = (self.mark.run_id, self.session.moment)
        cells = bare.select(to_driver([key], compiler)).rows()
        return write(self.session, statement, [(*row, *audit) for row in cells])

    def defer(self, stream: str, waiting: pl.DataFrame) -> pl.Series:
        """Keep records that wait for a parent; say of each whether this run kept it before.

        `waiting` has the text columns `key`, `field` and `raw`. Different
        versions of one record wait side by side, in the order of their arrival.
        """
        owner = (self.mark.mapping, stream)
        among = ("mapping", "stream", "key", "digest")
        digests = [sha256(raw.encode()).hexdigest() for raw in waiting["raw"]]
        ids = [(*owner, *each) for each in zip(waiting["key"], digests, strict=True)]
        rows: dict[tuple[str, ...], tuple[str, str]] = {}
        for each, row in zip(ids, waiting.select("field", "raw").iter_rows(), strict=True):
            rows.pop(each, None)  # one that comes again takes its last place
            rows[each] = row
        asked = pl.DataFrame([*rows], schema=dict.fromkeys(among, pl.String), orient="row")
        there = matching(
            self.session, ledger.DEFERRED.name, rows=asked,
            on=[Column(name=name, type=Text()) for name in among],
            wanted=[Column(name="run_id", type=Text())],
        )  # fmt: skip
        columns = (*among, "field", "raw", "run_id", "since", "place")
        statement = insert_statement(
            self.session, ledger.DEFERRED.name, columns=columns, key=among, changed=columns[4:]
        )
        audit = (self.mark.run_id, self.session.moment)
        cells = [(*key, *row, *audit, place) for place, (key, row) in enumerate(rows.items())]
        write_all(self.session, statement, cells)
        own = there.filter(pl.col("run_id") == self.mark.run_id)
        ours = {*asked[own[ROW]].rows()}
        first = {each: place for place, each in reversed([*enumerate(ids)])}
        again = [each in ours or first[each] < place for place, each in enumerate(ids)]
        return pl.Series("again", again, dtype=pl.Boolean)

    def archive(self, pieces: Sequence[Piece], most: int) -> Archived:
        """Keep pages in the archive, of which the mapping may have `most` bytes."""
        return keep_pages(self.session, self.mark, pieces, most)

    def settle(self, stream: str, keys: pl.Series) -> int:
        """Let records with these keys no longer wait; return how many of them this run kept."""
        table = self.session.quote(ledger.DEFERRED.name)
        mark = self.session.dialect.placeholder
        statement = (
            f"DELETE FROM {table} WHERE mapping = {mark} AND stream = {mark} "  # noqa: S608  (the names are ours, values are parameters)
            f"AND {self.session.quote('key')} = {mark}"
        )
        owner = (self.mark.mapping, stream)
        asked = keys.drop_nulls().unique(maintain_order=True)
        ours = [(*owner, key, self.mark.run_id) for key in asked]
        settled = write(self.session, f"{statement} AND run_id = {mark}", ours)
        write(self.session, statement, [(*owner, key) for key in asked])
        return settled


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


def waiting(session: Session, mapping: str, stream: str) -> pl.DataFrame:
    """Return a stream's waiting records in order of arrival: `key`, `field` and `raw`."""
    table = ledger.DEFERRED.c
    query = (
        ledger.DEFERRED.select()
        .with_only_columns(table.key, table.field, table.raw)
        .where(table.mapping == mapping, table.stream == stream)
        .order_by(table.since, table.place, table.key)
    )
    rows = [tuple(row) for row in session.connection.execute(query)]
    return pl.DataFrame(
        rows, schema={"key": pl.String, "field": pl.String, "raw": pl.String}, orient="row"
    )
