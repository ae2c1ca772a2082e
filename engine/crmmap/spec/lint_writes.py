"""Whether a table can be written as `write` says: what goes with each kind of write."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.types import Datetime
from crmmap.kinds.writes import KEEPING, WRITES, Append, History, Upsert
from crmmap.spec.faults import Fault
from crmmap.spec.lint_dedupe import beside
from crmmap.spec.model import Dedupe, Latest, Mapping, Stream
from crmmap.values import Path

WORDS = {made: word for word, made in WRITES.items()}


def faults(mapping: Mapping) -> Iterator[Fault]:
    """Yield what does not go with the way a stream's table is written."""
    for name, stream in mapping.streams.items():
        path: Path = ("streams", name)
        yield from _stream(mapping, stream, path)
        yield from _lookups(mapping, stream, path)


def _stream(mapping: Mapping, stream: Stream, path: Path) -> Iterator[Fault]:
    write, word = stream.table.write, WORDS.get(type(stream.table.write), "")
    if isinstance(write, Append) and stream.dedupe != Dedupe():
        message = "keeps every version of a record (`write: append`), and so chooses none"
        yield Fault(path=(*path, "dedupe"), rule="dedupe.append", message=message, on_key=True)
    elif isinstance(write, History):
        yield from _versions(stream, path)
    if not isinstance(write, Upsert | Append) and beside(stream):
        message = f"finds records under other keys, too: that goes with `write: upsert`, not {word}"
        yield Fault(path=(*path, "dedupe", "by"), rule="dedupe.write", message=message, on_key=True)
    other = mapping.streams.get(stream.instead_of or "")
    if other is not None and other.table.write != write:
        message = f"must be as in '{stream.instead_of}', which fills the same table"
        yield Fault(path=(*path, "table", "write"), rule="instead_of.write", message=message)
    parent = mapping.streams.get((stream.for_each and stream.for_each.stream) or "")
    if parent is not None and isinstance(parent.table.write, Append):
        message = (
            "names a stream that appends: it has several rows for one record, each of which "
            "would be asked for. Name one that has one row for each"
        )
        yield Fault(path=(*path, "for_each", "stream"), rule="for_each.append", message=message)


def _versions(stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield why the versions of a record can't be put in the order of their time."""
    keep = stream.dedupe.keep
    if keep == "first":
        message = "would let no version but the first in. Write `{latest: FIELD}`, or leave it out"
        yield Fault(path=(*path, "dedupe", "keep"), rule="dedupe.history", message=message)
    field = stream.fields.get(keep.latest) if isinstance(keep, Latest) else None
    if field is not None and not (isinstance(field.type, Datetime) and field.required):
        message = (
            "is when a version begins to hold (`write: history`), and so must have "
            "`type: datetime` and be `required`"
        )
        place = (*path, "dedupe", "keep", "latest")
        yield Fault(path=place, rule="dedupe.history", message=message)


def _lookups(mapping: Mapping, stream: Stream, path: Path) -> Iterator[Fault]:
    for field, each in stream.fields.items():
        parent = mapping.streams.get(each.lookup.stream) if each.lookup is not None else None
        if each.lookup is None or parent is None or not isinstance(parent.table.write, KEEPING):
            continue
        place = (*path, "fields", field, "lookup")
        several = f"'{each.lookup.stream}' has a row for each version of a record"
        if each.lookup.missing == "stub":
            message = f"{several}, and a stub is none. Allowed here: null, reject, wait"
            yield Fault(path=(*place, "missing"), rule="lookup.versions", message=message)
        if each.lookup.constraint:
            message = f"{several}: no key that a constraint could refer to"
            yield Fault(path=(*place, "constraint"), rule="lookup.versions", message=message)
