"""Whether the steps of a shape can follow each other, and whether pages can be shared."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.shapes import SHAPES
from crmmap.kinds.source import Http
from crmmap.kinds.tables import Union
from crmmap.spec.faults import Fault, guess, quoted, shown
from crmmap.spec.model import Mapping, Stream
from crmmap.values import Path


def faults(stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield the steps that can't do what they say where they stand."""
    for at, step in enumerate(stream.shape):
        word = next(token for token, made in SHAPES.items() if made is type(step))
        place = (*path, "shape", at, word)
        if at and step.takes != "record":
            message = "finds the records, for later steps to take. It must be the first step"
            yield Fault(path=place, rule="shape.first", message=message)
        if isinstance(step, Union) and not step.of:
            message = "unites nothing. Write at least one list: `{of: {open: …}, as: state}`"
            yield Fault(path=(*place, "of"), rule="shape.union", message=message)


ASKING = ("request", "pagination", "for_each", "incremental", "changes", "responses", "source",
          "format", "instead_of", "fields_from", "file", "query", "nested")  # fmt: skip
"""Words that a stream takes over, or that make no sense beside `pages_of`."""


def shared(mapping: Mapping, name: str, stream: Stream, path: Path) -> Iterator[Fault]:
    """Yield why a stream can't read the pages of another."""
    place, other = (*path, "pages_of"), mapping.streams.get(stream.pages_of or "")
    if other is None:
        message = (
            f"names {shown('stream', stream.pages_of or '')}, which is not there"
            f"{guess(stream.pages_of or '', mapping.streams)}. Streams: {quoted(mapping.streams)}"
        )
        yield Fault(path=place, rule="stream.unknown", message=message)
        return
    if other.pages_of is not None or stream.pages_of == name:
        message = "must name another stream, one that asks for its pages itself"
        yield Fault(path=place, rule="pages_of.stream", message=message)
    elif not isinstance(mapping.source_of(other), Http):
        message = "names a stream of files. Only answers over http can be read twice"
        yield Fault(path=place, rule="pages_of.source", message=message)
    elif other.format is not None:
        message = f"can't be: '{stream.pages_of}' has a `format` of its own. Give it to the source"
        yield Fault(path=place, rule="pages_of.format", message=message)
    elif other.changes is not None and other.changes.records is not None:
        message = (
            f"can't be: '{stream.pages_of}' finds its records elsewhere once it has a cursor "
            "(`changes.records`), and nobody says where this one's are then"
        )
        yield Fault(path=place, rule="pages_of.changes", message=message)
    elif other.for_each is not None and other.for_each.recurse is not None:
        message = (
            f"can't be: '{stream.pages_of}' asks for its own rows in turn (`recurse`), which are "
            "not found in these"
        )
        yield Fault(path=place, rule="pages_of.recurse", message=message)
    bare = Stream(table=stream.table, fields=stream.fields)
    for word in (word for word in ASKING if getattr(stream, word) != getattr(bare, word)):
        message = f"is that of '{stream.pages_of}', whose pages are read. Take it away here"
        yield Fault(path=(*path, word), rule="pages_of.word", message=message, on_key=True)
