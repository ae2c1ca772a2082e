"""What the loading of a batch takes and gives: marks, tallies and what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from crmmap.moments import EPOCH
from crmmap.values import NOTE_SCHEMA, REJECT_SCHEMA, Archived, Counts, PageAccount

REFUSED_SCHEMA: dict[str, pl.DataType] = {
    "#page": pl.UInt32(),
    "#index": pl.UInt32(),
    "#at": pl.UInt32(),
    "#key": pl.String(),
    "reasons": pl.String(),
}
"""`Written.refused`: `reasons` is a JSON list of `Reason.as_json`."""


OUTCOME = "#outcome"
OUTCOME_SCHEMA: dict[str, pl.DataType] = {
    "#page": pl.UInt32(),
    "#index": pl.UInt32(),
    OUTCOME: pl.String(),
}
"""`Written.outcomes`: a row's place, and the name of the count that it is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A stream's read, from its first page to its last, through whatever interrupts it.

    `name` is its own. `began` is when it began, by the database's clock; `gap` says in words
    why it can't have met all records that the source has. While there is none, a row of the
    table that it did not meet is gone from the source once it has ended. `fetched`, `rejected` and
    `rows` (those written, as they were, or waiting) are counted since it began; `last` is what the
    last read of everything fetched, None where nothing is known of one.
    """

    name: str
    began: datetime
    gap: str = ""
    fetched: int = 0
    rejected: int = 0
    rows: int = 0
    last: int | None = None

    def with_counts(self, counts: Counts) -> Read:
        """Return the read with what a batch of it came to."""
        rows = counts.inserted + counts.updated + counts.unchanged + counts.deferred
        return replace(
            self, fetched=self.fetched + counts.fetched, rejected=self.rejected + counts.rejected,
            rows=self.rows + rows,
        )  # fmt: skip


UNKNOWN = Read(name="", began=EPOCH, gap="nothing is known of how it began")
"""The read whose position is in a store that an earlier version wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a stream has been committed, and by whom: what the next commit must find.

    `batch_seq` is the number of the last batch committed (0: none yet).
    `position` is where reading goes on; None means from the start, or that
    the stream ended. `resumed` says that an interrupted run left the position.
    `cursor` is the stream's, as it was last kept; `now` is the moment when the stream
    was begun, by the database's clock, in ISO 8601. `read` is the read under way. `apart` says
    that what is committed was not read from the source: so the stream's position and cursor stay
    as they are. `older_than` are the runs that read later than the rows to be written were.
    `refused` are the keys of the open rejects of the stream; None: too many to keep in mind.
    `inserting` says that all rows that this run has read so far were new.
    """

    mapping: str
    stream: str
    run_id: str
    epoch: int
    batch_seq: int
    position: str | None
    resumed: bool
    cursor: str | None = None
    now: str = field(default="", compare=False)
    read: Read = field(default=UNKNOWN, compare=False)
    apart: bool = False
    older_than: frozenset[str] = frozenset()
    refused: frozenset[str] | None = field(default=None, compare=False)
    inserting: bool = field(default=False, compare=False)


def _no_rejects() -> pl.DataFrame:
    return pl.DataFrame(schema=REJECT_SCHEMA)


TAKEN_SCHEMA: dict[str, pl.DataType] = {
    "page": pl.UInt32(),
    "at": pl.UInt32(),
    "key": pl.String(),
    OUTCOME: pl.String(),
}
"""`Tally.taken`: places and keys of records, each with the name of the count that it is in, or
`superseded` where it lost to another record of the batch. Those that wait have no place."""

RETRIED_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    OUTCOME: pl.String(),
    "key": pl.String(),
    "reasons": pl.String(),
}
"""`Tally.retried`: rejects by their ids, and what became of their records: `loaded`, `superseded`
(by another record of the batch, or a newer version), `filtered`, `waiting`; `refused` again, with
the key and the reasons of now; or `newer`: a later run has written the row, which stays."""


def _none_taken() -> pl.DataFrame:
    return pl.DataFrame(schema=TAKEN_SCHEMA)


def _no_notes() -> pl.DataFrame:
    return pl.DataFrame(schema=NOTE_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a batch came to, to be committed with its rows.

    `by_page` has the accounts of its pages. What is in `counts` and not in them belongs to no page.
    None: one page brought all.
    `rejects` and `notes` have the schemas of `crmmap.values`. `pages` is how
    many pages the batch was made from. `ended` says that the stream is read
    to its end: it must be true in the last batch and in any after it.
    `cursor`, unless None, replaces the stream's cursor. `keys` counts foreign keys by field, and
    by what became of them: see `StreamReport`. `gap` is what the batch adds to the read's
    (see `Read`). `taken` (`TAKEN_SCHEMA`) are the records that were not refused: open rejects with
    the keys of those that the table holds now, or that wait, are resolved. `versioned` says that
    the order of reading does not tell which of two records with one key is newer; `keeping`, that
    the table keeps every version of a record: a reject is then of one of them. `retried`
    (`RETRIED_SCHEMA`) are the rejects whose records these are, where they were refused before.
    `broken` are sentences about what was expected of the read, and is not so. `whole` is how many
    records a read of everything has fetched that ends here, and is as expected. `same_by` is as in
    `Written`.
    """

    counts: Counts
    by_page: tuple[PageAccount, ...] | None = None
    rejects: pl.DataFrame = field(default_factory=_no_rejects)
    notes: pl.DataFrame = field(default_factory=_no_notes)
    pages: int = 0
    position: str | None = None
    ended: bool = False
    cursor: str | None = None
    keys: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    gap: str = ""
    taken: pl.DataFrame = field(default_factory=_none_taken)
    versioned: bool = False
    keeping: bool = False
    retried: pl.DataFrame | None = None
    archived: Archived = Archived()
    broken: tuple[str, ...] = ()
    whole: int | None = None
    same_by: Mapping[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of each row that was given to be written.

    `outcomes` (`OUTCOME_SCHEMA`) says of every row that the database took whether it was
    `inserted`, `updated`, `unchanged` or a `duplicate`; `refused` holds the others
    (`REFUSED_SCHEMA`), which are in no count yet. `deleted` is how many rows of the table that
    were there are now marked as deleted, or removed. `same_by` counts those duplicates that another
    rule than the key has found, by the first such rule.
    """

    outcomes: pl.DataFrame
    refused: pl.DataFrame
    deleted: int = 0
    same_by: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """How many rows came to each outcome."""
        counts = dict(self.outcomes[OUTCOME].value_counts().iter_rows())
        return Counts(**counts, deleted=self.deleted)
