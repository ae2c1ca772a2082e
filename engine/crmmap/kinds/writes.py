"""How a stream's rows are written into its table. How each is done in SQL stands in `load`."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """One row per key: new ones are inserted, changed ones updated, unchanged ones left alone.

    A row whose record the source no longer sends stays.
    """


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """A log: rows are added, and none that is there is ever changed.

    A row is known by its key and its content: its primary key is the key and `_crmmap_row_hash`.
    So a record that was changed gives another row, and one that comes again as it was gives none:
    reading it twice does no harm. For events, messages, and whatever the source does not change.
    """


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Every version of a record stays, with the time in which it held (a dimension of type 2).

    A record that was changed ends its current row and begins another: `_crmmap_valid_from`,
    `_crmmap_valid_to` (null while it holds), `_crmmap_current`. The primary key is the key and
    `_crmmap_valid_from`. Lookups of other streams see current rows only.

    With `dedupe: {keep: {latest: FIELD}}`, a version begins at the field's value, which is a
    `datetime` and `required`; one that comes late is put into its place, and never becomes current
    over a newer one; of two with the same value, the one read later replaces the other. Without
    it, a version begins when the read that brought it began, by the database's clock, and a read
    keeps one version of a record, the last.
    """


Write = Upsert | Append | History

KEEPING = (Append, History)
"""Those that keep several versions of a record, each in a row of its own."""

WRITES: dict[str, type] = {"upsert": Upsert, "append": Append, "history": History}
