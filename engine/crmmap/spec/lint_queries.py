"""Whether streams of a database say what is read, and others don't."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, fields

from crmmap.kinds.database import Query, Sql
from crmmap.kinds.incremental import EventId, Incremental, RowHash, Timestamp
from crmmap.spec.faults import Fault, guess, quoted
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Stream
from crmmap.values import Path

READS = re.compile(r"\s*(?:select|with)\b", re.IGNORECASE)
BATCHED = "parents_"
UNDERSTOOD = (
    "table", "fields", "source", "was", "instead_of", "when", "query", "for_each", "incremental",
    "where", "deleted", "dedupe", "comment",
)  # fmt: skip
"""What a stream of a database may say."""


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of every stream's `query`."""
    for name, stream in mapping.streams.items():
        path: Path = ("streams", name)
        source = mapping.source_of(stream)
        if isinstance(source, Sql):
            yield from _of_database(mapping, stream, path)
        elif stream.query is not None and source is not None:
            message = "belongs to a database. Take it away, or give the stream a source of kind sql"
            yield Fault(path=(*path, "query"), rule="stream.query", message=message, on_key=True)


def _of_database(mapping: MappingSpec, stream: Stream, path: Path) -> Iterator[Fault]:
    for word in foreign(stream, UNDERSTOOD):
        message = "belongs to another kind of source. A database has `query` only"
        yield Fault(path=(*path, word), rule=f"stream.{word}", message=message, on_key=True)
    if stream.query is None:
        message = "is missing. A stream of a database needs it: `query: {table: NAME}`"
        yield Fault(path=(*path, "query"), rule="stream.query", message=message)
        return
    yield from _sql(stream.query, (*path, "query"))
    yield from _parameters(mapping, stream, stream.query, (*path, "query"))
    if not stream.query.order:
        yield from _keys(stream, path)
    if stream.incremental is not None:
        yield from _incremental(stream.incremental, (*path, "incremental"))


def foreign(stream: Stream, understood: Collection[str]) -> Iterator[str]:
    """Yield the words that a stream says beside those that are understood of its source."""
    for each in fields(stream):
        usual = each.default if each.default_factory is MISSING else each.default_factory()
        if each.name not in understood and getattr(stream, each.name) != usual:
            yield each.name


def _sql(query: Query, path: Path) -> Iterator[Fault]:
    if query.select is not None and not READS.match(query.select):
        message = "must begin with SELECT, or WITH. A source is only read"
        yield Fault(path=(*path, "select"), rule="query.select", message=message)
    for word in ("select", "where"):
        text = getattr(query, word) or ""
        if text.rstrip().endswith(";"):
            message = "ends with ';'. Take it away: it is a part of a larger statement"
            yield Fault(path=(*path, word), rule="query.end", message=message)
        if "{{" in text:
            message = "is SQL, and no template. Name a setting like `:setting_region`"
            yield Fault(path=(*path, word), rule="query.template", message=message)


def _parameters(mapping: MappingSpec, stream: Stream, query: Query, path: Path) -> Iterator[Fault]:
    allowed = _allowed(mapping, stream)
    for word in ("select", "where"):
        text = getattr(query, word)
        if text is None or "{{" in text:
            continue
        named = Query(table="t", where=text).parameters
        for name in sorted(named - allowed.keys()):
            message = (
                f"names the parameter ':{name}'{guess(name, allowed)}. Allowed here: "
                f"{quoted(f':{each}' for each in allowed)}. Any other colon is written '\\:'"
            )
            yield Fault(path=(*path, word), rule="query.parameter", message=message)


def _allowed(mapping: MappingSpec, stream: Stream) -> Mapping[str, None]:
    names = [f"setting_{name}" for name, each in mapping.settings.items() if not each.secret]
    if stream.incremental is not None and not isinstance(stream.incremental, RowHash):
        names.append("cursor")
    each = stream.for_each
    if each is not None:
        for name, over in each.over.items():
            ends = ("_start", "_end") if over.dates is not None else ("",)
            names += [f"partition_{name}{end}" for end in ends]
    if each is not None and each.stream is not None and each.stream in mapping.streams:
        start = BATCHED if each.batch else "parent_"
        names += [f"{start}{name}" for name in mapping.streams[each.stream].fields]
    return dict.fromkeys(names)


def _keys(stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield fields of the key by which no page can be parted."""
    read = [stream.fields[key] for key in stream.table.key if key in stream.fields]
    if read and all(not field.from_ for field in read):
        message = "has no field that is read from a column. Name columns in the query's `order`"
        yield Fault(path=(*path, "table", "key"), rule="query.order", message=message)
    for key in stream.table.key:
        if key in stream.fields and len(stream.fields[key].from_) > 1:
            message = (
                "is a key that is read from several columns. Name the columns that tell rows "
                "apart in the query's `order`"
            )
            place: Path = (*path, "fields", key, "from")
            yield Fault(path=place, rule="query.order", message=message)


def _incremental(how: Incremental, path: Path) -> Iterator[Fault]:
    if isinstance(how, EventId):
        message = "event_id needs a source that lists events. Allowed here: timestamp, sequence"
        yield Fault(path=(*path, "kind"), rule="incremental.kind", message=message)
    if how.params:
        message = "belongs to HTTP requests. A database is asked by the field itself"
        yield Fault(path=(*path, "params"), rule="incremental.params", message=message)
    if not isinstance(how, Timestamp):
        return
    if how.field is None:
        message = "is missing. A database is asked by it: `field: NAME`"
        yield Fault(path=(*path, "field"), rule="incremental.field", message=message)
    for word in ("window", "most", "total"):
        if getattr(how, word, None) is not None:
            message = "is not needed: a database is read in pages, whatever the time"
            yield Fault(path=(*path, word), rule="incremental.window", message=message, on_key=True)
