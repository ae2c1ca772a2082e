"""Whether partitions and cursors name streams and fields that suit them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from crmmap.kinds.auth import Choice
from crmmap.kinds.conversations import Steps
from crmmap.kinds.incremental import Cursorless, EventId, Sequence, Timestamp
from crmmap.kinds.source import Files
from crmmap.spec import lint_bodies, lint_over, lint_recursion
from crmmap.spec.faults import Fault, guess, quoted, shown
from crmmap.spec.model import Field, Stream
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.partitions import ForEach
from crmmap.values import Path

Streams = Mapping[str, Stream]
ASKING = ("request", "changes", "incremental", "query", "enrich", "nested")
"""Words of a stream whose templates may name what it is read for."""

IN_LOGINS = (("headers",), ("params",), ("json",), ("form",))
"""Where texts of a login may name what its steps took."""


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of `for_each`, `incremental`, `changes`, bodies, and given fields."""
    streams, settings = mapping.streams, mapping.settings
    for name, stream in streams.items():
        path: Path = ("streams", name)
        if stream.for_each is not None:
            yield from _for_each(mapping, name, stream.for_each, (*path, "for_each"))
            yield from _own_cursors(stream, stream.for_each, (*path, "for_each", "own_cursors"))
        yield from _incremental(stream, path)
        yield from lint_bodies.faults(stream, settings, path)
        for field, each in stream.fields.items():
            yield from _source(each, (*path, "fields", field))


def _source(field: Field, path: Path) -> Iterator[Fault]:
    if not field.from_ and field.value is None:
        message = "is read from nowhere. Write `from: …`, or `value: …` for what is in no record"
        yield Fault(path=path, rule="field.from", message=message)
    elif field.from_ and field.value is not None:
        message = "has `from` and `value`: a field has one of them. Take one away"
        yield Fault(path=(*path, "value"), rule="field.value", message=message, on_key=True)


def _for_each(mapping: MappingSpec, name: str, each: ForEach, path: Path) -> Iterator[Fault]:
    streams = mapping.streams
    if each.stream is None and not each.over and each.recurse is None:
        message = "goes over nothing. Write `stream: NAME`, or `over: {NAME: {list: […]}}`"
        yield Fault(path=path, rule="for_each.empty", message=message)
    for word in ("batch", "changed"):
        if each.stream is None and getattr(each, word):
            message = "is of the rows of a stream. Write `stream: NAME` beside it"
            yield Fault(path=(*path, word), rule="for_each.stream", message=message, on_key=True)
    if each.stream is not None:
        yield from _parent(name, each.stream, streams, (*path, "stream"))
    if each.recurse is not None:
        yield from lint_recursion.faults(mapping, name, each.recurse, (*path, "recurse"))
    for part, over in each.over.items():
        yield from lint_over.faults(name, over, streams, (*path, "over", part))


def _own_cursors(stream: Stream, each: ForEach, path: Path) -> Iterator[Fault]:
    if each.own_cursors is None:
        yield from _one_cursor(stream, each, path[:-1])
        return
    message = None
    if each.stream is None:
        message = "is of the rows of a stream. Write `stream: NAME` beside it"
    elif stream.incremental is None or isinstance(stream.incremental, Cursorless):
        message = "is of a stream that keeps cursors. Add `incremental`"
    elif each.batch is not None:
        message = "needs a request for each row: one for several has one cursor. Take `batch` away"
    elif isinstance(stream.incremental, Timestamp) and stream.incremental.window is not None:
        message = "does not go with windows, which all rows share. Take `window` away"
    if message is not None:
        yield Fault(path=path, rule="for_each.own_cursors", message=message, on_key=True)


def _one_cursor(stream: Stream, each: ForEach, path: Path) -> Iterator[Fault]:
    """Yield why the rows of a parent can't have one cursor together.

    A time goes no further than the moment when the read began. A number or an id of one row's
    may be beyond what another row, which was read before, has got since.
    """
    how = stream.incremental
    shared = isinstance(how, EventId) or (isinstance(how, Sequence) and not how.lookback)
    if each.stream is not None and shared:
        instead = "Take `batch` away, and write" if each.batch else "Write"
        message = (
            "has one cursor for all rows, and what one of them gets while others are read would "
            f"never be asked for. {instead} `own_cursors: 10000`"
        )
        yield Fault(path=(*path, "stream"), rule="for_each.cursor", message=message)


def _parent(name: str, parent: str, streams: Streams, path: Path) -> Iterator[Fault]:
    if parent not in streams:
        message = (
            f"names {shown('stream', parent)}, which is not there{guess(parent, streams)}. "
            f"Streams: {quoted(streams)}"
        )
        yield Fault(path=path, rule="stream.unknown", message=message)
    elif parent == name:
        message = (
            "is the stream itself. Name the stream whose rows come first, or none, and write "
            "`recurse` for the rows below those"
        )
        yield Fault(path=path, rule="for_each.cycle", message=message)


def _incremental(stream: Stream, path: Path) -> Iterator[Fault]:
    how = stream.incremental
    if how is None or isinstance(how, Cursorless):
        if stream.changes is not None:
            message = "says how to ask with a cursor, and the stream has none. Add `incremental`"
            place = (*path, "changes")
            yield Fault(path=place, rule="changes.cursor", message=message, on_key=True)
        return
    if how.field is None:
        return
    place = (*path, "incremental", "field")
    field = stream.fields.get(how.field)
    if field is None:
        message = (
            f"names {shown('field', how.field)}, which the stream does not have"
            f"{guess(how.field, stream.fields)}. It has: {quoted(stream.fields)}"
        )
        yield Fault(path=place, rule="field.unknown", message=message)
        return
    if field.lookup is not None:
        message = "is a foreign key, which tells no order. Take another field"
        yield Fault(path=place, rule="incremental.field", message=message)
    elif (
        isinstance(how, Timestamp)
        and not field.type.dtype.is_(pl.Date)
        and not isinstance(field.type.dtype, pl.Datetime)
    ):
        message = "must be a date or datetime, for it is compared with the time of the read"
        yield Fault(path=place, rule="incremental.field", message=message)
    elif isinstance(how, Sequence) and not field.type.dtype.is_integer():
        message = "must be an integer. For ids that are no numbers there is `event_id`"
        yield Fault(path=place, rule="incremental.field", message=message)


def allowed_names(path: Path, mapping: MappingSpec) -> dict[str, str]:
    """Return what a template at this place may name → how it is written."""
    allowed = {"settings": "settings.NAME"}
    if path[-1:] == ("value",) and _of_files(path, mapping):
        return {**allowed, "file": "file.name"}
    if path[:1] in (("source",), ("sources",)):
        return _of_source(path, mapping)
    if path[-2:] == ("cap", "write"):
        return {"value": "value"}
    if len(path) < 3 or path[0] != "streams":
        return allowed
    stream = mapping.streams.get(str(path[1]))
    stream = None if stream is None else mapping.asked(stream)
    valued = path[2] == "fields" and path[-1] == "value"
    if stream is None or not (valued or path[2] in ASKING):
        return allowed
    each = stream.for_each
    if each is not None and (each.stream is not None or each.recurse is not None):
        allowed |= {"parents": "parents"} if each.batch else {"parent": "parent.FIELD"}
    if each is not None and each.over:
        allowed["partition"] = "partition.NAME"
    if isinstance(stream.incremental, Timestamp) and stream.incremental.window is not None:
        allowed["window"] = "window.start"
    if path[2] == "nested":
        allowed["record"] = "record.NAME"
    if lint_bodies.inside_a_list(stream, path[2:]):
        allowed["item"] = "item"
    if path[2] == "enrich" and str(path[3]) in stream.enrich:
        several = stream.enrich[str(path[3])].batch is not None
        allowed |= {"records": "records"} if several else {"record": "record.NAME"}
    how = None if isinstance(stream.incremental, Cursorless) else stream.incremental
    if how is not None and (
        path[2] not in ("request", "enrich", "nested") or how.start is not None
    ):
        allowed["cursor"] = "cursor"
    return allowed


def _of_files(path: Path, mapping: MappingSpec) -> bool:
    stream = mapping.streams.get(str(path[1])) if path[0] == "streams" else None
    return stream is not None and isinstance(mapping.source_of(stream), Files)


def _of_source(path: Path, mapping: MappingSpec) -> dict[str, str]:
    settings, taken = {"settings": "settings.NAME"}, {"taken": "taken.NAME"}
    name, way = (path[1], path[2:]) if path[0] == "sources" else ("source", path[1:])
    auth = getattr(mapping.every_source.get(str(name)), "auth", None)
    if way[:1] != ("auth",):
        return settings
    way = way[1:]
    while isinstance(auth, Choice) and way[:1] == ("of",):
        auth, way = auth.of.get(str(way[1])), way[2:]
    if not isinstance(auth, Steps) or way[-2:-1] not in IN_LOGINS:
        return settings
    return {**settings, **taken} if way[0] == "steps" else taken
