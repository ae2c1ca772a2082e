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


Write = Upsert | Append

KEEPING = (Append,)
"""Those that keep several versions of a record, each in a row of its own."""

WRITES: dict[str, type] = {"upsert": Upsert, "append": Append}
