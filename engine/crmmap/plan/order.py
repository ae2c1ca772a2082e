"""The order of streams: parents before those that need them, else as the mapping has them."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from crmmap.kinds.writes import Delete, Deleting
from crmmap.spec.deletions import fillers
from crmmap.spec.model import PATIENT, Stream

Parents = dict[str, tuple[str, ...]]


def parents_of(streams: Mapping[str, Stream]) -> Parents:
    """Return the streams that must end before each one starts, in the order to run them in.

    A stream whose rows can wait for a parent's, or make stubs of them, runs after it too, unless
    that would close a circle: then they do. So does one that is read for rows, after those that
    delete some, and one that is told which rows to delete, after those that make stubs of them.
    Lint has refused other circles.
    """
    place = {name: index for index, name in enumerate(streams)}
    hard = {name: _looked_up(streams, name, waiting=False) for name in streams}
    parents = {name: list(found) for name, found in hard.items()}
    asked = {n: (*_looked_up(streams, n, waiting=True), *_deleting(streams, n)) for n in streams}
    stubbing = {name: _stubbing(streams, name) for name in streams}
    for softs in (asked, stubbing):
        for name, found in softs.items():
            for soft in found:
                if soft not in parents[name] and not _reaches(parents, soft, name):
                    parents[name].append(soft)
    ordered = {name: sorted(found, key=place.__getitem__) for name, found in parents.items()}
    return {name: tuple(ordered[name]) for name in TopologicalSorter(ordered).static_order()}


def _deleting(streams: Mapping[str, Stream], name: str) -> list[str]:
    """Return the streams that delete rows for which a stream is to be read: they come first."""
    each = streams[name].for_each
    tables = {streams[parent].table.name for parent in (() if each is None else each.streams)}
    return [
        other
        for other, stream in streams.items()
        if isinstance(stream.table.write, Deleting) and stream.table.name in tables
    ]


def _stubbing(streams: Mapping[str, Stream], name: str) -> tuple[str, ...]:
    """Return the streams that make stubs in a table of which a stream tells what is gone.

    They come first: so a row that is gone is marked, whether it was a stub or not.
    """
    if not isinstance(streams[name].table.write, Delete):
        return ()
    table = streams[name].table.name
    return tuple(
        other
        for other, stream in streams.items()
        if other != name and any(
            each.lookup is not None and each.lookup.missing == "stub"
            and streams[each.lookup.stream].table.name == table
            for each in stream.fields.values()
        )
    )  # fmt: skip


def _looked_up(streams: Mapping[str, Stream], name: str, *, waiting: bool) -> tuple[str, ...]:
    stream = streams[name]
    found = [
        each.lookup.stream
        for each in stream.fields.values()
        if each.lookup is not None and (each.lookup.missing in PATIENT) == waiting
    ]
    if stream.for_each is not None and not waiting:
        found += stream.for_each.streams
    if stream.pages_of is not None and not waiting:
        found.append(stream.pages_of)
    if isinstance(stream.table.write, Deleting) and not waiting:
        found += fillers(streams, stream.table.name)
    itself = (name, stream.instead_of)
    # Whichever of those that fill the parent's table is read, it must have ended.
    every = (
        other for parent in found if parent not in itself
        for other, each in streams.items() if parent in (other, each.instead_of)
    )  # fmt: skip
    return tuple(dict.fromkeys(other for other in every if other not in itself))


def _reaches(parents: Mapping[str, list[str]], start: str, end: str) -> bool:
    """Say whether `end` is among the parents of `start`, and theirs."""
    seen: set[str] = set()
    pending = [start]
    while pending:
        name = pending.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            pending += parents[name]
    return False
