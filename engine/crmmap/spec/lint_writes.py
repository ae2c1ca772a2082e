"""Whether a table can be written as `write` says: what goes with each kind of write."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.incremental import Cursorless
from crmmap.kinds.types import Datetime
from crmmap.kinds.writes import KEEPING, NEXT, WRITES, Append, History, Replace, Upsert
from crmmap.spec.deletions import is_deleted_from
from crmmap.spec.duplicates import Dedupe, Latest
from crmmap.spec.faults import Fault
from crmmap.spec.lint_dedupe import beside, name_beside
from crmmap.spec.model import Lookup, Mapping, Stream
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
    elif isinstance(write, Replace):
        yield from _replaced(mapping, stream, path)
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


def _replaced(mapping: Mapping, stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield why the rows of a stream can't replace all others at the end of a read."""
    asked = mapping.asked(stream)
    if asked.incremental is not None and not isinstance(asked.incremental, Cursorless):
        message = "asks for what changed only: and what replaces a table must be all. Leave it out"
        place = (*path, "incremental") if stream.pages_of is None else (*path, "pages_of")
        yield Fault(path=place, rule="replace.incremental", message=message, on_key=True)
    if asked.for_each is not None and asked.for_each.changed:
        message = "asks for some parents only: and what replaces a table must be all. Leave it out"
        place = (*path, "for_each", "changed") if stream.pages_of is None else (*path, "pages_of")
        yield Fault(path=place, rule="replace.changed", message=message, on_key=True)
    if is_deleted_from(mapping, stream.table.name):
        message = (
            "is a table whose rows are replaced, and so none of them is ever deleted by itself. "
            "With `where`, the stream leaves records out"
        )
        yield Fault(path=(*path, "table", "name"), rule="replace.deletes", message=message)
    for field, each in stream.fields.items():
        place = (*path, "fields", field, "lookup")
        if each.lookup is not None and each.lookup.missing == "wait":
            message = (
                "holds a row back until after the read: and the table is replaced with its end. "
                "Allowed here: null, reject, stub"
            )
            yield Fault(path=(*place, "missing"), rule="replace.wait", message=message)
        if each.lookup is not None and mapping.streams.get(each.lookup.stream) is stream:
            message = "leads to rows of the read before, which are about to be replaced"
            yield Fault(path=place, rule="replace.itself", message=message)
    yield from name_beside(mapping, stream, NEXT, "write: replace", path)


def _lookups(mapping: Mapping, stream: Stream, path: Path) -> Iterator[Fault]:
    for field, each in stream.fields.items():
        parent = mapping.streams.get(each.lookup.stream) if each.lookup is not None else None
        if each.lookup is None or parent is None:
            continue
        place = (*path, "fields", field, "lookup")
        if isinstance(parent.table.write, Replace):
            yield from _of_replaced(each.lookup, place)
        if not isinstance(parent.table.write, KEEPING):
            continue
        several = f"'{each.lookup.stream}' has a row for each version of a record"
        if each.lookup.missing == "stub":
            message = f"{several}, and a stub is none. Allowed here: null, reject, wait"
            yield Fault(path=(*place, "missing"), rule="lookup.versions", message=message)


def _of_replaced(lookup: Lookup, path: Path) -> Iterator[Fault]:
    goes = f"leads to '{lookup.stream}', of which a row goes when a read does not bring it"
    if lookup.missing == "stub":
        message = f"{goes}: and so does every stub. Allowed here: null, reject, wait"
        yield Fault(path=(*path, "missing"), rule="lookup.replaced", message=message)
