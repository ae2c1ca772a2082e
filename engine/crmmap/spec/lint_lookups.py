"""Whether lookups lead somewhere, and whether streams can be put in an order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from crmmap.kinds.types import TYPES
from crmmap.spec.faults import Fault, guess, quoted, shown
from crmmap.spec.foreign_keys import held
from crmmap.spec.model import PATIENT, Field, Lookup, Stream
from crmmap.values import Path

MOST_CYCLES = 20

Edges = dict[str, dict[str, Path]]
"""Stream → parent stream → where in the stream that stands."""


def faults(streams: Mapping[str, Stream], spoilt: Collection[Path]) -> Iterator[Fault]:
    """Yield the faults of every lookup, and every cycle of streams that wait for each other.

    A lookup that makes stubs is in none. Nobody knows whether one waits whose `missing` is
    `spoilt`: it is in no cycle.
    """
    edges: Edges = {name: {} for name in streams}
    for name, stream in streams.items():
        each_of = stream.for_each
        for parent in each_of.streams if each_of is not None else ():
            if parent in streams and parent != name:
                direct = each_of is not None and parent == each_of.stream
                edges[name][parent] = ("for_each", "stream" if direct else "over")
        if stream.pages_of in streams and stream.pages_of != name:
            edges[name][str(stream.pages_of)] = ("pages_of",)
        for field, each in stream.fields.items():
            if each.lookup is None:
                continue
            path: Path = ("streams", name, "fields", field, "lookup")
            yield from _lookup(each, streams, path)
            waits = each.lookup.missing in PATIENT or (*path, "missing") in spoilt
            if not waits and each.lookup.stream in streams:
                edges[name].setdefault(each.lookup.stream, ("fields", field, "lookup"))
    yield from _cycles(edges)


def _lookup(field: Field, streams: Mapping[str, Stream], path: Path) -> Iterator[Fault]:
    lookup = field.lookup
    if lookup is None or not lookup.stream:
        return
    if lookup.stream not in streams:
        message = (
            f"names {shown('stream', lookup.stream)}, which does not exist"
            f"{guess(lookup.stream, streams)}. "
            f"Streams: {quoted(streams)}"
        )
        yield Fault(path=(*path, "stream"), rule="lookup.stream", message=message)
        return
    parent = streams[lookup.stream]
    faults_by = list(_by(lookup, parent, path))
    yield from faults_by or _type(field, lookup, streams, path)


def _type(
    field: Field, lookup: Lookup, streams: Mapping[str, Stream], path: Path
) -> Iterator[Fault]:
    """Yield a fault where the field's values could never be equal to those of the column."""
    parent = streams[lookup.stream]
    name = lookup.by or next(iter(parent.table.key), "")
    if name not in parent.fields:
        return
    owner, key = held(streams, lookup.stream, name)
    by = streams[owner].fields[key]
    if by.type.dtype != field.type.dtype:
        words = {kind: word for word, kind in TYPES.items()}
        own, other = words[type(field.type)], words[type(by.type)]
        what, advice = f"'{lookup.stream}', whose field has", "Give both fields the same type"
        if owner != lookup.stream:
            what = f"'{lookup.stream}', whose '{name}' holds keys of '{owner}', of"
            advice = "Give this field that type"
        message = f"compares values of type {own} with {what} type {other}. {advice}"
        yield Fault(path=path, rule="lookup.type", message=message)


def _by(lookup: Lookup, parent: Stream, path: Path) -> Iterator[Fault]:
    key = parent.table.key
    if lookup.by is not None and parent.fields and lookup.by not in parent.fields:
        message = (
            f"names {shown('field', lookup.by)}, which '{lookup.stream}' does not have"
            f"{guess(lookup.by, parent.fields)}. "
            f"It has: {quoted(parent.fields)}"
        )
        yield Fault(path=(*path, "by"), rule="lookup.by", message=message)
    elif len(key) > 1:
        message = (
            f"leads to '{lookup.stream}', whose key has {len(key)} fields. "
            "A lookup needs a parent with a key of one field"
        )
        yield Fault(path=path, rule="lookup.key", message=message)
    elif lookup.missing == "stub" and key and lookup.by not in (None, key[0]):
        message = (
            "a stub is made from the parent's key, but this compares with another field. "
            "Allowed here: null, reject, wait"
        )
        yield Fault(path=(*path, "missing"), rule="lookup.stub", message=message)


def _cycles(edges: Edges) -> Iterator[Fault]:
    """Yield one fault per cycle, taking an edge of each away to find the next."""
    for _ in range(MOST_CYCLES):
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            # graphlib gives each stream after the one that looks it up, the first again at the end.
            ring = _from_first(error.args[1][::-1], list(edges))
        else:
            return
        child, parent = ring[0], ring[1]
        place = edges[child].pop(parent)
        message = (
            f"makes streams wait for each other: {' -> '.join(ring)}. "
            "Give one of these lookups `missing: stub` or `missing: wait`"
        )
        path = ("streams", child, *place)
        yield Fault(path=path, rule="lookup.cycle", message=message, spoils=False)


def _from_first(ring: list[str], order: list[str]) -> list[str]:
    """Turn the ring so that it begins with the stream that stands first in the file."""
    places = {name: at for at, name in enumerate(order)}
    body = ring[:-1]
    start = min(range(len(body)), key=lambda at: places[body[at]])
    turned = body[start:] + body[:start]
    return [*turned, turned[0]]
