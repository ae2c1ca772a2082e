"""The tables that streams fill: their columns, typed, and those that are searched."""

from __future__ import annotations

from collections.abc import Mapping

from crmmap.kinds.types import Type
from crmmap.plan.steps import Column, ForeignKey, Target
from crmmap.spec.deletions import deletes_of
from crmmap.spec.duplicates import Latest
from crmmap.spec.foreign_keys import held
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Stream


def target_of(mapping: MappingSpec, name: str, types: Mapping[str, Mapping[str, Type]]) -> Target:
    """Return the table that a stream fills. `types` are of every stream's fields."""
    stream = mapping.streams[name]
    keep, rules = stream.dedupe.keep, stream.dedupe.beside(stream.table.key)
    return Target(
        table=stream.table.name,
        key=stream.table.key,
        columns=tuple(
            Column(
                name=field,
                type=_stored_type(mapping, types, name, field),
                comment=each.comment,
                tags=each.tags,
                refers=each.lookup is not None,
            )
            for field, each in stream.fields.items()
        ),
        write=stream.table.write,
        deletes=deletes_of(mapping, stream.table.name),
        version=keep.latest if isinstance(keep, Latest) else None,
        first=keep == "first",
        same_by=rules,
        indexed=(*_searched(mapping, stream.instead_of or name), *rules),
        foreign_keys=_constrained(mapping, stream),
        comment=stream.table.comment or stream.comment,
    )


def _stored_type(
    mapping: MappingSpec, types: Mapping[str, Mapping[str, Type]], stream: str, field: str
) -> Type:
    """Return a column's type: a looked-up one holds the parent's key."""
    owner, name = held(mapping.streams, stream, field)
    return types[owner][name]


def _searched(mapping: MappingSpec, name: str) -> tuple[tuple[str, ...], ...]:
    """Return the columns, other than the key, by which lookups search this stream's table.

    Those with a foreign key that the database holds are among them: it searches them whenever
    a parent is deleted.
    """
    stream = mapping.streams[name]
    key = stream.table.key
    found = {
        each.lookup.by
        for stream in mapping.streams.values()
        for each in stream.fields.values()
        if each.lookup is not None and each.lookup.stream == name and each.lookup.by
    }
    found |= {each.column for each in _constrained(mapping, stream)}
    return tuple(sorted((by,) for by in found if (by,) != key))


def _constrained(mapping: MappingSpec, stream: Stream) -> tuple[ForeignKey, ...]:
    """Return the foreign keys that the database is to hold."""
    parents = {
        field: mapping.streams[each.lookup.stream].table
        for field, each in stream.fields.items()
        if each.lookup is not None and each.lookup.constraint
    }
    return tuple(
        ForeignKey(column=field, table=parent.name, key=parent.key[0])
        for field, parent in parents.items()
    )
