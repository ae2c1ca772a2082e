"""Tables beside a target's own that hold nothing but what a read under way has brought.

Where one does not fit any more, as the table that it is beside was given another key, nobody needs
to mend it: it is made anew, and the read begins again to prove what is gone.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from crmmap.load import ledger

READ_BY = "read_by"
"""In such a table's `info`: its column that names the read."""

LOST = "what it had met was kept in a table that did not fit any more"
"""The gap of a read that had begun to fill it."""


def is_aside(table: sa.Table) -> bool:
    """Say whether a table is of this kind."""
    return READ_BY in table.info


def emptied(table: sa.Table, quote: Callable[[str], str]) -> tuple[str, ...]:
    """Return the statements that remove a table of this kind, before it is made anew.

    First comes what the ledger must know of it: some databases commit a DROP by itself.
    """
    cursors, name = quote(ledger.CURSORS.name), quote(table.name)
    reads = f"SELECT {quote(table.info[READ_BY])} FROM {name}"  # noqa: S608  (names are quoted)
    return (
        f"UPDATE {cursors} SET read_gap = '{LOST}' WHERE read_name IN ({reads})",  # noqa: S608  (names are quoted)
        f"DROP TABLE {name}",
    )
