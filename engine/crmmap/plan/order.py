"""The order of streams: parents before those that need them, else as the mapping has them."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from crmmap.spec.model import Stream

Parents = dict[str, tuple[str, ...]]


def parents_of(streams: Mapping[str, Stream]) -> Parents:
    """Return the streams that must end before each one starts, in the order to run them in.

    A stream that waits for a parent's rows runs after it too, unless that would
    close a circle: then the rows wait instead. Lint has refused other circles.
    """
    place = {name: index for index, name in enumerate(streams)}
    hard = {name: _looked_up(name, each, waiting=False) for name, each in streams.items()}
    parents = {name: list(found) for name, found in hard.items()}
    for name, each in streams.items():
        for soft in _looked_up(name, each, waiting=True):
            if soft not in parents[name] and not _reaches(parents, soft, name):
                parents[name].append(soft)
    ordered = {name: sorted(found, key=place.__getitem__) for name, found in parents.items()}
    return {name: tuple(ordered[name]) for name in TopologicalSorter(ordered).static_order()}


def _looked_up(name: str, stream: Stream, *, waiting: bool) -> tuple[str, ...]:
    found = [
        each.lookup.stream
        for each in stream.fields.values()
        if each.lookup is not None and (each.lookup.missing == "wait") == waiting
    ]
    if stream.for_each is not None and stream.for_each.stream and not waiting:
        found.append(stream.for_each.stream)
    return tuple(dict.fromkeys(parent for parent in found if parent != name))


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
