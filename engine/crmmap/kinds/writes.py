"""How a stream's rows are written into its table. How each is done in SQL stands in `load`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

Deletes = Literal["soft", "hard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """One row per key: new ones are inserted, changed ones updated, unchanged ones left alone.

    A row whose record the source no longer sends stays.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """A log: rows are added, and none that is there is ever changed.

    A row is known by its key and its content: its primary key is the key and `_crmmap_row_hash`.
    So a record that was changed gives another row, and one that comes again as it was gives none:
    reading it twice does no harm. For events, messages, and whatever the source does not change.
    """


NEXT = "__next"
"""Ends the name of the table in which a read is gathered that is to replace another's rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """The table holds what the last complete read brought, and nothing else.

    A read is gathered in a table beside, called the same with `__next`. With its last batch, and
    all at once, rows that it did not bring are deleted, changed ones updated, new ones inserted;
    until then everybody sees the rows of the read before. Until then its records count as
    `deferred`, too. A read that was interrupted is gone on with; one that can't have met all that
    the source has (`--limit`, a part that was skipped or failed) replaces nothing, and its records
    stay deferred. A record that was rejected is not in the new rows: `expect` says how far their
    number may drop.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Every version of a record stays, with the time in which it held (a dimension of type 2).

    A record that was changed ends its current row and begins another: `_crmmap_valid_from`,
    `_crmmap_valid_to` (null while it holds), `_crmmap_current`. The primary key is the key and
    `_crmmap_valid_from`. Lookups of other streams see current rows only.

    With `dedupe: {keep: {latest: FIELD}}`, a version begins at the field's value, which is a
    `datetime` and `required`; one that comes late is put into its place, and never becomes current
    over a newer one; of two with the same value, the one read later replaces the other. Without
    it, a version begins when the read that brought it began, by the database's clock, and a read
    keeps one version of a record, the last. So a column that is added to the table is filled in the
    versions that are read again, or without such a field by new versions.

    A record that says that its row is gone (`deleted`) ends the version that held at that time,
    and begins none; so no version holds until the record is back.
    """

    vanished: Annotated[
        Literal["stay", "end"],
        "What becomes of the current row of a record that a complete read (see `snapshot`) did not "
        "bring any more: it stays, or ends with the read. Once it is back, a row holds again.",
    ] = "stay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Like `upsert`; and a row whose record a complete read did not bring any more is deleted.

    Complete is a read that began at the beginning and came to its end, be it in several runs: not
    one that was limited, that asked for changes only (`--full` asks for all), of which a rule for
    answers skipped a part, or of which a record was rejected whose key is not known. The report
    says why a read was not. A record that is rejected for another field, or waits for its parent,
    is there; one that does not pass `where` is not. A row that comes back is no longer deleted.
    """

    per: Annotated[
        str | None,
        "Of a stream that is read `for_each` row of another: the field that holds that row's key. "
        "Then rows are deleted only of the parents that were asked for, and all of one that has "
        "none left: for links, which are read for the parents that changed.",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """The records are of deleted rows: those of the table that another stream fills are deleted.

    For a source that lists what was deleted or archived apart. Only the key is needed. A record
    without a row changes nothing. With `dedupe: {keep: {latest: FIELD}}`, one that is older than
    the row does not delete it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All that there are: a row of the table that another stream fills, and not these, is deleted.

    For a source that lists all its keys cheaply. Only the key is needed, and no column is written.
    What is a complete read, `snapshot` says. A row that was deleted and is listed again is no
    longer deleted.
    """


Write = Upsert | Append | Replace | History | Snapshot | Delete | Sweep

KEEPING = (Append, History)
"""Those that keep several versions of a record, each in a row of its own."""

Deleting = Delete | Sweep
"""Those by which a stream deletes rows of a table that another fills."""

WRITES: dict[str, type] = {
    "upsert": Upsert,
    "append": Append,
    "replace": Replace,
    "history": History,
    "snapshot": Snapshot,
    "delete": Delete,
    "sweep": Sweep,
}
