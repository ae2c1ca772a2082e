"""Whether rows can be deleted as a mapping says."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.incremental import Cursorless
from crmmap.kinds.types import declared
from crmmap.kinds.writes import KEEPING, Append, Deleting, History, Snapshot, Sweep, Upsert
from crmmap.spec.deletions import fillers, is_deleted_from
from crmmap.spec.faults import Fault, guess, quoted, shown
from crmmap.spec.lint_dedupe import beside
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Stream
from crmmap.values import Path

FILLING = ("deleted", "fields_from", "instead_of")
"""What only a stream can say that has rows of its own."""


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of how streams delete rows."""
    yield from _disagreements(mapping)
    yield from _held(mapping)
    for name, stream in mapping.streams.items():
        path: Path = ("streams", name)
        if isinstance(stream.table.write, Deleting):
            yield from _deleting(mapping, stream, path)
        if isinstance(stream.table.write, Snapshot):
            yield from _snapshot(mapping, stream, stream.table.write, path)
        yield from _parents(mapping, stream, path)
        if stream.deleted and isinstance(stream.table.write, Append):
            message = "is not for a table that keeps what every record said: no row of it changes"
            yield Fault(path=(*path, "deleted"), rule="write.deleted", message=message, on_key=True)
        if isinstance(stream.table.write, History):
            yield from _history(stream, stream.table.write, path)
        also = isinstance(stream.table.write, Upsert) and beside(stream)
        if also and is_deleted_from(mapping, stream.table.name):
            message = (
                "finds rows that are the same by more than the key, of a table whose rows are "
                "deleted. Only one of the two can be"
            )
            yield Fault(path=(*path, "dedupe", "by"), rule="write.dedupe", message=message)


def _disagreements(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield where streams of one table would delete its rows in two ways."""
    said: dict[str, tuple[str, str]] = {}
    for name, stream in mapping.streams.items():
        how = stream.table.deletes
        if how is None:
            continue
        other, first = said.setdefault(stream.table.name, (name, how))
        if how != first:
            message = f"is `{first}` in the stream '{other}', which has the same table"
            path: Path = ("streams", name, "table", "deletes")
            yield Fault(path=path, rule="write.deletes", message=message)


def _held(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield where rows would be removed that the database holds, for others refer to them."""
    holders: dict[str, tuple[str, str]] = {}
    for name, stream in mapping.streams.items():
        for field, each in stream.fields.items():
            parent = mapping.streams.get(each.lookup.stream) if each.lookup is not None else None
            if each.lookup is not None and each.lookup.constraint and parent is not None:
                holders.setdefault(parent.table.name, (name, field))
    for name, stream in mapping.streams.items():
        table = stream.table.name
        if stream.table.deletes == "hard" and table in holders:
            holder, field = holders[table]
            message = (
                f"removes rows that '{holder}' refers to by a constraint, in its field '{field}': "
                "the database holds them. Mark them (`soft`), or take the constraint away"
            )
            path: Path = ("streams", name, "table", "deletes")
            yield Fault(path=path, rule="write.constraint", message=message)


def _deleting(mapping: MappingSpec, stream: Stream, path: Path) -> Iterator[Fault]:
    owners = fillers(mapping.streams, stream.table.name)
    if not owners:
        message = (
            "is a table that no stream fills. Name that of the stream whose rows are to be deleted"
        )
        yield Fault(path=(*path, "table", "name"), rule="write.table", message=message)
        return
    owner = mapping.streams[owners[0]]
    if isinstance(owner.table.write, KEEPING):
        message = f"is a table in which '{owners[0]}' keeps what every record said: none is deleted"
        yield Fault(path=(*path, "table", "name"), rule="write.table", message=message)
    if stream.table.key != owner.table.key:
        message = f"must be the key of '{owners[0]}', whose rows are deleted: "
        message += ", ".join(owner.table.key)
        yield Fault(path=(*path, "table", "key"), rule="write.key", message=message)
    for field, each in stream.fields.items():
        other = owner.fields.get(field)
        if other is None or declared(other.type) != declared(each.type):
            message = f"'{owners[0]}' has no field '{field}' of this type, and its table is meant"
            place = (*path, "fields", field)
            yield Fault(path=place, rule="write.field", message=message, on_key=True)
    for word in FILLING:
        if getattr(stream, word):
            message = "is of a stream with rows of its own, and this one deletes another's"
            yield Fault(path=(*path, word), rule="write.foreign", message=message, on_key=True)
    narrow = stream.incremental is not None and not isinstance(stream.incremental, Cursorless)
    if isinstance(stream.table.write, Sweep) and narrow:
        message = "asks for what changed, and a sweep must list all there is. Take it away"
        place = (*path, "incremental")
        yield Fault(path=place, rule="write.incremental", message=message, on_key=True)


def _history(stream: Stream, write: History, path: Path) -> Iterator[Fault]:
    if stream.table.deletes is not None:
        message = "is not for a history, of which no row is deleted: a version ends"
        place = (*path, "table", "deletes")
        yield Fault(path=place, rule="write.deletes", message=message, on_key=True)
    if write.vanished == "end" and stream.deleted:
        message = (
            "and `vanished: end` both say when a record is gone, and nobody could tell which of "
            "the two has ended a row. Take one of them"
        )
        yield Fault(path=(*path, "deleted"), rule="write.deleted", message=message, on_key=True)
    if write.vanished == "end":
        yield from _complete(stream, path)


def _snapshot(mapping: MappingSpec, stream: Stream, write: Snapshot, path: Path) -> Iterator[Fault]:
    yield from _complete(stream, path)
    if write.per is not None and (message := _unfit_per(mapping, stream, write.per)):
        yield Fault(path=(*path, "table", "write", "per"), rule="write.per", message=message)


def _complete(stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield why no read of a stream is ever complete."""
    if getattr(stream.incremental, "start", None) is not None:
        message = (
            "lets every read begin later than with the first record, so that none is complete, and "
            "no row ever vanishes. Take it away"
        )
        place = (*path, "incremental", "start")
        yield Fault(path=place, rule="write.incremental", message=message, on_key=True)


def _unfit_per(mapping: MappingSpec, stream: Stream, per: str) -> str:
    """Return why rows can't vanish by that for which a stream is read; empty where they can."""
    each = stream.for_each
    parent = None if each is None else mapping.streams.get(each.stream or "")
    if each is None or parent is None or each.over or each.recurse is not None:
        return (
            "is of a stream that is read for the rows of another, and only for those: write "
            "`for_each: {stream: NAME}`"
        )
    field = stream.fields.get(per)
    if field is None:
        return (
            f"names {shown('field', per)}, which the stream does not have"
            f"{guess(per, stream.fields)}. It has: {quoted(stream.fields)}"
        )
    if len(parent.table.key) > 1:
        return f"needs a key of one field, and that of '{each.stream}' has several"
    key = parent.table.key[0]
    looked_up = (
        field.lookup is not None
        and field.lookup.stream == each.stream
        and field.lookup.by in (None, key)
    )
    given = field.value is not None and field.value.text.strip("{} ") == f"parent.{key}"
    if looked_up or given:
        return ""
    return (
        f"must hold the key of the row that is asked for: give '{per}' `lookup: {each.stream}`, "
        f'or `value: "{{{{ parent.{key} }}}}"`'
    )


def _parents(mapping: MappingSpec, stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield where a stream without rows of its own is named as one with rows."""
    named: dict[Path, str] = {
        ("fields", field, "lookup", "stream"): each.lookup.stream
        for field, each in stream.fields.items()
        if each.lookup is not None
    }
    if stream.for_each is not None and stream.for_each.stream is not None:
        named["for_each", "stream"] = stream.for_each.stream
    for place, name in named.items():
        parent = mapping.streams.get(name)
        if parent is not None and isinstance(parent.table.write, Deleting):
            owners = fillers(mapping.streams, parent.table.name)
            message = f"has no rows of its own: it deletes those of {quoted(owners)}"
            yield Fault(path=(*path, *place), rule="write.parent", message=message)
