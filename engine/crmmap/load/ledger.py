"""The ledger: plain tables, beside the data, that say what every run did. Users may query them.

`crmmap_runs` and `crmmap_stream_runs` tell when and how runs and their streams
went, `crmmap_batches` and `crmmap_pages` where every record of every batch and page
went, `crmmap_rejects` and `crmmap_notes` what was refused and why, `crmmap_deferred` what
waits for a parent; `crmmap_archive` has pages as they were read. `crmmap_locks` and
`crmmap_cursors` keep two runs of one mapping apart and remember how far reading has come.
"""

from __future__ import annotations

import sqlalchemy as sa

from crmmap.kinds.stored import BYTES, FLAG, MOMENT, NAME, WHOLE, keyed, text
from crmmap.values import COUNTED, OUTCOMES

VERSION = 1
"""Of these tables. A store written by a newer crmmap is refused."""

METADATA = sa.MetaData()

NAMES = ("run_id", "mapping", "stream", "digest")
"""Columns that are searched, as what they hold is short."""

LONGEST_KEY = 576
"""Characters of a record's key, where the store must bound what it searches: to 768 in all."""


def _table(name: str, comment: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    return sa.Table(f"crmmap_{name}", METADATA, *parts, comment=comment, sqlite_strict=True)


def _text(
    name: str, comment: str = "", *, key: bool = False, needed: bool = False
) -> sa.Column[str]:
    kind = NAME if name in NAMES else keyed(text(), LONGEST_KEY) if key else text()
    return sa.Column(
        name, kind, primary_key=key, nullable=not (key or needed), comment=comment or None
    )


def _whole(name: str, comment: str = "", *, key: bool = False) -> sa.Column[int]:
    return sa.Column(
        name, WHOLE, primary_key=key, nullable=False, autoincrement=False, comment=comment or None
    )


def _place(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, WHOLE, comment=comment)


def _moment(name: str, comment: str = "") -> sa.Column[object]:
    return sa.Column(name, MOMENT, comment=comment or None)


SCHEMA_VERSION = _table(
    "schema_version",
    "The version of the crmmap_ tables.",
    _whole("version", key=True),
    _moment("applied_at", "When the tables were given this version (UTC)."),
)

RUNS = _table(
    "runs",
    "One row per run of a mapping.",
    _text("run_id", key=True),
    _text("mapping", "The mapping's name.", needed=True),
    _text("fingerprint", "Digest of the plan that was run."),
    _text("owner", "The process that ran it, as host:pid."),
    _text(
        "kind",
        "What it was: a run of the source (run, or null), a remap of the archive, or a retry.",
    ),
    _text("status", "running, done, failed or interrupted.", needed=True),
    _moment("started_at", "By the database's clock (UTC)."),
    _moment("ended_at", "Null while it runs; for an interrupted run, when that was noticed."),
)

LOCKS = _table(
    "locks",
    "Which run holds a mapping.",
    _text("mapping", key=True),
    _text("run_id", "Null: nobody holds it."),
    _text("owner", "The process that holds it, as host:pid."),
    _moment("taken_at", "By the database's clock (UTC)."),
    _moment("expires_at", "The holder renews it; once it is past, another run may take over."),
)

STREAM_RUNS = _table(
    "stream_runs",
    "One row per stream of a run.",
    _text("run_id", key=True),
    _text("stream", key=True),
    _text("mapping", needed=True),
    _text("status", "running, done, failed or interrupted.", needed=True),
    sa.Column("resumed", FLAG, comment="Whether it went on where an interrupted run had stopped."),
    _moment("started_at", "By the database's clock (UTC)."),
    _moment("ended_at"),
)


def _counts() -> tuple[sa.Column[int], ...]:
    """Return a column for each count. What an older crmmap did not count is null."""
    first = (_whole(name) for name in COUNTED if name != "deleted")
    return (*first, _place("deleted", "Rows of the table that were marked as deleted, or removed."))


BALANCE = f"fetched = {' + '.join(OUTCOMES)}"

BATCHES = _table(
    "batches",
    "Where the records of each batch went; the database refuses a batch that does not add up.",
    _text("run_id", key=True),
    _text("stream", key=True),
    _whole("batch_seq", "Counts from 1 within the stream's run.", key=True),
    _text("mapping", needed=True),
    _whole("pages", "Pages that the batch was made from."),
    *_counts(),
    _moment("committed_at", "By the database's clock (UTC)."),
    sa.CheckConstraint(BALANCE, name="crmmap_batches_balance"),
)

PAGES = sa.Table(
    "crmmap_pages",
    METADATA,
    _text("run_id", key=True),
    _text("stream", key=True),
    _whole("batch_seq", "The batch that it was loaded with.", key=True),
    _whole("page", "Counts from 1 within the stream's read; 0: what belongs to none.", key=True),
    _text("part", "The partition that it is of, for a stream that keeps a cursor for each."),
    *_counts(),
    _moment("committed_at", "By the database's clock (UTC)."),
    sa.CheckConstraint(BALANCE, name="crmmap_pages_balance"),
    sa.CheckConstraint("page > 0 OR fetched = 0", name="crmmap_pages_fetched"),
    comment="Where the records of each page went; together, a batch's are the batch's.",
    sqlite_strict=True,
    # There may be very many: the key is the table, not an index beside it.
    sqlite_with_rowid=False,
)

CURSORS = _table(
    "cursors",
    "How far each stream has been read.",
    _text("mapping", key=True),
    _text("stream", key=True),
    _text("cursor", "The stream's cursor, for sources that can be asked for changes only."),
    _text("position", "Where an interrupted run left off reading; null once the stream ended."),
    _whole("epoch", "Grows with every beginning; a run with an older one can commit nothing."),
    _text("run_id", "The run that last began the stream."),
    _whole("batch_seq", "The last batch that it committed."),
    sa.Column(
        "ended", FLAG, nullable=False, comment="Whether that run read the stream to its end."
    ),
    _text("fingerprint", "Digest of the stream's plan; a position is good for the same one only."),
    _text("read_name", "The read that is under way, or came last, through all interruptions."),
    _moment("read_began", "When it began, by the database's clock (UTC)."),
    _text("read_gap", "Why it can't have met all that the source has; empty: it can."),
    _place("read_fetched", "Records that it has fetched so far, through all interruptions."),
    _place("read_rejected", "Those of them that were rejected."),
    _place("read_rows", "Those of them that are rows, or wait for a parent."),
    _moment(
        "moved_at", "When cursor or position were last changed, by the database's clock (UTC)."
    ),
    _text("moved_by", "The run that changed them, or the process as host:pid."),
    _place("whole_fetched", "What the last read of everything fetched that was as expected."),
)

REJECTS = _table(
    "rejects",
    "One row per record that was refused. It is open until its record is loaded, or it is dropped.",
    _text("run_id", needed=True),
    _text("mapping", needed=True),
    _text("stream", needed=True),
    _whole("batch_seq"),
    _place("page", "The page that brought the record, counted from 1."),
    _place("at", "Its place in the page, or its line in a file."),
    _text("key", "The record's key as text, if it has one."),
    _text("reasons", "JSON list of {field, rule, message}.", needed=True),
    _text("raw", "The record as the source sent it, as ASCII JSON."),
    _moment("created_at", "By the database's clock (UTC)."),
    _text("id", "What `crmmap rejects` calls it."),
    _text(
        "subject", "Digest of its key, or of `raw` without one: refusals of one record share it."
    ),
    _text("outcome", "loaded, superseded, filtered, waiting or dropped; null while it is open."),
    _moment("resolved_at", "When it was resolved; null while it is open."),
    _text("resolved_by", "The run, or the process as host:pid, that resolved it."),
    _text("retried_by", "The run that last tried it again, and was refused again."),
    sa.Index("ix_crmmap_rejects_run", "run_id", "stream"),
    sa.Index("ix_crmmap_rejects_id", "id"),
    sa.Index("ix_crmmap_rejects_subject", "subject"),
)

NOTES = _table(
    "notes",
    "One row per cell that was emptied, or kept as text, by its field's rule.",
    _text("run_id", needed=True),
    _text("mapping", needed=True),
    _text("stream", needed=True),
    _whole("batch_seq"),
    _place("page", "The page that brought the record, counted from 1."),
    _place("at", "Its place in the page, or its line in a file."),
    _text("key", "The record's key as text."),
    _text("field", needed=True),
    _text("rule", "What the value broke.", needed=True),
    _text("value", "The text that the source sent."),
    _moment("created_at", "By the database's clock (UTC)."),
    sa.Index("ix_crmmap_notes_run", "run_id", "stream"),
)

ARCHIVE = _table(
    "archive",
    "The pages that were kept as they were read, so that the tables can be made from them again.",
    _text("run_id", "The run that read the page.", key=True),
    _text("stream", key=True),
    _whole("batch_seq", "The batch that it was loaded with.", key=True),
    _whole("page", "Counts from 1 within the stream's read; 0: fields that it listed.", key=True),
    _whole("piece", "A long page is kept in several pieces, counted from 1.", key=True),
    _text("mapping", needed=True),
    _text("part", "The partition that it is of, for a stream that keeps a cursor for each."),
    _text("why", "Why it was kept: it has rejects, or all are kept."),
    _whole("records", "How many records the piece has."),
    _whole("bytes", "The length of `body`."),
    _text("codec", "How `body` is written: gzip of lines of JSON, or parquet.", needed=True),
    _moment("created_at", "By the database's clock (UTC)."),
    sa.Column(
        "body", BYTES, nullable=False,
        comment="A line for each record: {at, record}; {at, refused, reasons} for one that could "
        "not be read; {at, withheld} for one that may not be kept. In parquet, a column for each "
        "of the texts, after that of their places.",
    ),
    sa.Index("ix_crmmap_archive_age", "mapping", "created_at", "page", "bytes"),
)  # fmt: skip

DEFERRED = _table(
    "deferred",
    "Records that wait for the parent that a field names.",
    _text("mapping", key=True),
    _text("stream", key=True),
    _text("key", "The record's key as text.", key=True),
    _text("digest", "SHA-256 of `raw`: equal versions of one record wait side by side.", key=True),
    _text("field", "The field whose parent is missing."),
    _text("raw", "The record as the source sent it, as ASCII JSON."),
    _text("run_id", "The run that read it."),
    _moment("since", "Since when a record of its key waits, by the database's clock (UTC)."),
    _text("version", "Its value of the field that tells versions apart, if there is one."),
)

TABLES = tuple(METADATA.sorted_tables)
