"""How a stream's rows are written into its table. How each is done in SQL stands in `load`."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Upsert:
    """One row per key: new ones are inserted, changed ones updated, unchanged ones left alone.

    A row whose record the source no longer sends stays.
    """


Write = Upsert

WRITES: dict[str, type] = {"upsert": Upsert}
