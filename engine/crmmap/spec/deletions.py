"""Which streams fill a table, and which delete rows of it."""

from __future__ import annotations

from collections.abc import Mapping

from crmmap.kinds.writes import KEEPING, Deletes, Deleting, Snapshot
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Stream


def fillers(streams: Mapping[str, Stream], table: str) -> list[str]:
    """Return the streams whose rows a table has."""
    return [
        name
        for name, each in streams.items()
        if each.table.name == table and not isinstance(each.table.write, Deleting)
    ]


def deletes_of(mapping: MappingSpec, table: str) -> Deletes | None:
    """Return what becomes of rows of a table that are deleted; None where none ever is.

    Of a history no row is: a version ends.
    """
    owners = (mapping.streams[name] for name in fillers(mapping.streams, table))
    kept = any(isinstance(each.table.write, KEEPING) for each in owners)
    if kept or not is_deleted_from(mapping, table):
        return None
    said = (each.table.deletes for each in mapping.streams.values() if each.table.name == table)
    return next((how for how in said if how is not None), "soft")


def is_deleted_from(mapping: MappingSpec, table: str) -> bool:
    """Say whether some stream may delete rows of a table."""
    return any(
        each.table.name == table
        and (bool(each.deleted) or isinstance(each.table.write, Snapshot | Deleting))
        for each in mapping.streams.values()
    )
