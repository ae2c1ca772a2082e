"""Whether the database can hold the foreign keys that it is to hold."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.writes import KEEPING, Replace
from crmmap.spec.faults import Fault
from crmmap.spec.model import Lookup
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.values import Path


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the lookups whose parents are written so that no constraint can lead to them."""
    for name, stream in mapping.streams.items():
        for field, each in stream.fields.items():
            if each.lookup is None or each.lookup.stream not in mapping.streams:
                continue
            path: Path = ("streams", name, "fields", field, "lookup")
            if each.lookup.constraint and (why := _why_not(mapping, each.lookup)):
                message = f"can't be held by the database: {why}. Write `constraint: false` here"
                yield Fault(path=(*path, "constraint"), rule="lookup.constraint", message=message)
            if each.lookup.wait_for and each.lookup.missing != "wait":
                message = "is of lookups that wait. Write `missing: wait`, or leave it out"
                yield Fault(path=(*path, "wait_for"), rule="lookup.wait_for", message=message)


def _why_not(mapping: MappingSpec, lookup: Lookup) -> str:
    """Return why a constraint can't lead to the parent; empty where it can."""
    table, parent = mapping.streams[lookup.stream].table, lookup.stream
    if isinstance(table.write, KEEPING):
        return f"'{parent}' has a row for each version of a record"
    if isinstance(table.write, Replace):
        return f"a row of '{parent}' goes when a read does not bring it"
    return ""
