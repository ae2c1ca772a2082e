"""Whether a stream may ask for its own rows in turn."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from crmmap.kinds.incremental import Cursorless
from crmmap.kinds.source import Http
from crmmap.spec.faults import Fault, guess, quoted, shown
from crmmap.spec.model import Mapping, Stream
from crmmap.spec.partitions import Recurse
from crmmap.values import Path


def faults(mapping: Mapping, name: str, how: Recurse, path: Path) -> Iterator[Fault]:
    """Yield why the stream can't, and what is wrong with the field that chooses rows."""
    stream = mapping.streams[name]
    message = _unsuited(mapping, stream)
    if message is not None:
        yield Fault(path=path, rule="for_each.recurse", message=message, on_key=True)
    if how.where is not None:
        yield from _where(stream, how.where, (*path, "where"))


def _unsuited(mapping: Mapping, stream: Stream) -> str | None:
    each = stream.for_each
    if not isinstance(mapping.source_of(stream), Http):
        return "is of answers over http. In SQL, write `WITH RECURSIVE` in the `select`"
    if each is not None and each.batch is not None:
        return "needs a request for each row, and `batch` makes one for several. Take `batch` away"
    if stream.incremental is not None and not isinstance(stream.incremental, Cursorless):
        return (
            "reads all: below a row that did not change, others may have. Take `incremental` away, "
            "or write `incremental: {kind: hash}`"
        )
    return None


def _where(stream: Stream, name: str, path: Path) -> Iterator[Fault]:
    field = stream.fields.get(name)
    if field is None:
        message = (
            f"names {shown('field', name)}, which the stream does not have"
            f"{guess(name, stream.fields)}. It has: {quoted(stream.fields)}"
        )
        yield Fault(path=path, rule="field.unknown", message=message)
    elif field.type.dtype != pl.Boolean:
        message = f"names the field '{name}', which must be a boolean: true where rows are below"
        yield Fault(path=path, rule="recurse.where", message=message)
