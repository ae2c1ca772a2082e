"""What a schema cannot say: whether the parts of a mapping fit each other.

Every check is a generator of faults over a built mapping. This module holds
the checks of sources, streams and tables; each other subject has its own `lint_…`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain

from crmmap.kinds.formats import Csv, Json, Xml
from crmmap.kinds.incremental import FileIdentity
from crmmap.kinds.source import Files, Http
from crmmap.kinds.types import declared
from crmmap.kinds.writes import Deleting
from crmmap.spec import (
    lint_auth,
    lint_columns,
    lint_constraints,
    lint_dedupe,
    lint_deletes,
    lint_enrich,
    lint_expectations,
    lint_found,
    lint_lines,
    lint_lookups,
    lint_partitions,
    lint_patterns,
    lint_queries,
    lint_renamed,
    lint_responses,
    lint_shapes,
    lint_texts,
    lint_writes,
)
from crmmap.spec.build import Built
from crmmap.spec.duplicates import Latest
from crmmap.spec.faults import Fault, guess, miscounted, quoted, shown, silenced
from crmmap.spec.languages import format_of
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Stream
from crmmap.values import Path

OF_FILES = (
    "table", "fields", "source", "was", "instead_of", "when", "file", "format", "records", "shape",
    "incremental", "where", "deleted", "dedupe", "comment",
    "max_rejects", "expect", "query", "responses", "enrich", "fields_from", "pages_of",
)  # fmt: skip
"""What a stream of files may say; of those in the last line, their own checks speak."""

RESERVED = "crmmap_"
"""Tables of the ledger begin so."""


def lint(built: Built, spoilt: Collection[Path]) -> list[Fault]:
    """Return what does not fit. Of what stands at or below a `spoilt` path, nothing is said."""
    mapping = built.mapping
    faults = chain(
        _source(mapping, spoilt),
        _names(mapping),
        _tables(mapping),
        *(_stream(mapping, name, stream) for name, stream in mapping.streams.items()),
        lint_lookups.faults(mapping.streams, spoilt),
        lint_constraints.faults(mapping),
        lint_partitions.faults(mapping),
        lint_responses.faults(mapping),
        lint_lines.faults(mapping),
        lint_queries.faults(mapping),
        lint_found.faults(mapping),
        lint_enrich.faults(mapping),
        lint_renamed.faults(mapping),
        lint_dedupe.faults(mapping),
        lint_writes.faults(mapping),
        lint_columns.faults(mapping, spoilt),
        lint_patterns.faults(mapping),
        lint_texts.faults(mapping, built.uses),
        lint_auth.faults(mapping),
        lint_deletes.faults(mapping),
        lint_expectations.faults(mapping),
    )
    return [
        fault for fault in faults if not silenced(fault, spoilt) and not miscounted(fault, spoilt)
    ]


def _source(mapping: MappingSpec, spoilt: Collection[Path]) -> Iterator[Fault]:
    doubted = any(path[:1] in (("source",), ("sources",)) for path in spoilt)
    if not doubted and (mapping.source is None) == (not mapping.sources):
        message = "needs `source: {kind: …}`, or several by name in `sources`: one of the two words"
        yield Fault(path=("sources",) if mapping.sources else (), rule="source", message=message)
    if not mapping.streams:
        message = "holds no stream. Write at least one: `contacts: {table: …, fields: …}`"
        yield Fault(path=("streams",), rule="streams.empty", message=message)


def _names(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield names that differ by case only: databases and file systems take them for one."""
    yield from _alike(mapping.settings, ("settings",))
    yield from _alike(mapping.streams, ("streams",))
    for name, stream in mapping.streams.items():
        yield from _alike(stream.fields, ("streams", name, "fields"))


def _alike(names: Mapping[str, object], path: Path) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(name.casefold(), name)
        if first != name:
            message = f"differs from '{first}' by case only, which databases don't see. Rename one"
            yield Fault(path=(*path, name), rule="name.case", message=message, on_key=True)


def _tables(mapping: MappingSpec) -> Iterator[Fault]:
    owners: dict[str, str] = {}
    for name, stream in mapping.streams.items():
        table, path = stream.table.name, ("streams", name, "table", "name")
        if not table:
            continue
        deleting = isinstance(stream.table.write, Deleting)
        owner = name if deleting else owners.setdefault(table.casefold(), name)
        if _stands_for(mapping, owner) != _stands_for(mapping, name):
            message = f"is the table that the stream '{owner}' fills too. Each needs its own"
            yield Fault(path=path, rule="table.shared", message=message)
        if table.casefold().startswith(RESERVED):
            message = f"begins with '{RESERVED}', which is kept for the ledger. Take another name"
            yield Fault(path=path, rule="table.reserved", message=message)


def _stream(mapping: MappingSpec, name: str, stream: Stream) -> Iterator[Fault]:
    path: Path = ("streams", name)
    source = mapping.source_of(stream)
    if stream.pages_of is not None:
        yield from lint_shapes.shared(mapping, name, stream, path)
    elif isinstance(source, Http):
        yield from _of_http(stream, path)
    elif isinstance(source, Files):
        yield from _of_files(stream, format_of(stream, source), path)
    elif stream.source is not None and stream.source not in mapping.every_source:
        message = (
            f"names {shown('source', stream.source)}, which the mapping does not have"
            f"{guess(stream.source, mapping.every_source)}. It has: {quoted(mapping.every_source)}"
        )
        yield Fault(path=(*path, "source"), rule="source.unknown", message=message)
    if isinstance(stream.incremental, FileIdentity) and not isinstance(source, Files):
        message = "is of a source of files. Others have `timestamp`, `sequence`, `event_id`, `hash`"
        yield Fault(path=(*path, "incremental"), rule="incremental.file", message=message)
    if stream.instead_of is not None:
        yield from _instead(mapping, name, stream, (*path, "instead_of"))
    if not stream.fields:
        message = "holds no field. A stream needs those of its key at least"
        yield Fault(path=(*path, "fields"), rule="fields.empty", message=message)
        return
    for field in stream.fields:
        if field.casefold().startswith(f"_{RESERVED}"):
            message = f"begins with '_{RESERVED}', which is kept for our columns. Take another name"
            yield Fault(path=(*path, "fields", field), rule="field.reserved", message=message)
    yield from _keys(stream, path)
    yield from _named_fields(stream, path)
    yield from lint_shapes.faults(stream, path)
    form = format_of(stream, source)
    if isinstance(source, Http) and stream.shape and isinstance(form, Xml | Csv):
        message = "is of JSON. Of other formats, `records` and `from` reach everything there is"
        yield Fault(path=(*path, "shape"), rule="shape.format", message=message, on_key=True)
    if isinstance(source, Http) and isinstance(form, Csv) and stream.records != "@":
        message = "is of JSON and XML. Of CSV, every line after the header is a record"
        yield Fault(path=(*path, "records"), rule="stream.records", message=message, on_key=True)


def _stands_for(mapping: MappingSpec, name: str) -> str:
    """Return the stream whose table a stream fills: its own, or that of another."""
    return mapping.streams[name].instead_of or name


def _instead(mapping: MappingSpec, name: str, stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield why a stream can't stand for another: both must make the same rows."""
    other = mapping.streams.get(stream.instead_of or "")
    if other is None or stream.instead_of == name or other.instead_of is not None:
        message = (
            f"must name another stream, one that is read instead of none: not {stream.instead_of!r}"
        )
        yield Fault(path=path, rule="instead_of.stream", message=message)
    elif mapping.source_name(other) == mapping.source_name(stream):
        message = (
            "names a stream of the same source: it would never be read. Give it another source"
        )
        yield Fault(path=path, rule="instead_of.source", message=message)
    elif stream.table.name != other.table.name or stream.table.key != other.table.key:
        message = "needs the same table and the same key as the stream it names"
        yield Fault(path=path, rule="instead_of.table", message=message)
    else:
        for field, each in stream.fields.items():
            if field in other.fields and declared(other.fields[field].type) == declared(each.type):
                continue
            message = (
                f"'{stream.instead_of}' has no field '{field}' of this type, "
                "and both streams fill one table"
            )
            place: Path = ("streams", name, "fields", field)
            yield Fault(path=place, rule="instead_of.field", message=message, on_key=True)


def _of_http(stream: Stream, path: Path) -> Iterator[Fault]:
    if stream.request is None:
        message = "is missing. A stream of an HTTP source needs it: `request: {path: …}`"
        yield Fault(path=(*path, "request"), rule="stream.request", message=message)
    if stream.file is not None:
        message = "belongs to a source of files. An HTTP source has `request` instead"
        yield Fault(path=(*path, "file"), rule="stream.file", message=message, on_key=True)


def _of_files(stream: Stream, form: object, path: Path) -> Iterator[Fault]:
    if stream.file is None:
        message = 'is missing. A stream of a file source needs it: `file: "{{ settings.NAME }}"`'
        yield Fault(path=(*path, "file"), rule="stream.file", message=message)
    for word in lint_queries.foreign(stream, OF_FILES):
        message = "belongs to another kind of source. A file source has `file` only"
        yield Fault(path=(*path, word), rule=f"stream.{word}", message=message, on_key=True)
    whole = isinstance(form, Json)
    if stream.records != "@" and not whole and not isinstance(form, Xml):
        message = "is of files in JSON and XML. Of others, every line is a record"
        yield Fault(path=(*path, "records"), rule="stream.records", message=message, on_key=True)
    if stream.shape and not whole:
        message = "is of files in JSON, which are read whole"
        yield Fault(path=(*path, "shape"), rule="stream.shape", message=message, on_key=True)


def _keys(stream: Stream, path: Path) -> Iterator[Fault]:
    several = len(stream.table.key) > 1
    for at, key in enumerate(stream.table.key):
        place = (*path, "table", "key", *((at,) if several else ()))
        yield from _field(stream, key, place)
        if key in stream.table.key[:at]:
            message = "stands in the key twice. Keep one of them"
            yield Fault(path=place, rule="key.twice", message=message)


def _named_fields(stream: Stream, path: Path) -> Iterator[Fault]:
    keep = stream.dedupe.keep
    if isinstance(keep, Latest):
        yield from _field(stream, keep.latest, (*path, "dedupe", "keep", "latest"))
    for word, checks in (("where", stream.where), ("deleted", stream.deleted)):
        for name in checks:
            yield from _field(stream, name, (*path, word, name), on_key=True)


def _field(stream: Stream, name: str, path: Path, *, on_key: bool = False) -> Iterator[Fault]:
    if name and name not in stream.fields:
        message = (
            f"names {shown('field', name)}, which the stream does not have"
            f"{guess(name, stream.fields)}. "
            f"It has: {quoted(stream.fields)}"
        )
        yield Fault(path=path, rule="field.unknown", message=message, on_key=on_key)
