"""The order of streams: parents before those that look them up, else as the mapping has them."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from crmmap.spec.model import Stream


def parents_of(name: str, stream: Stream) -> tuple[str, ...]:
    """Return the streams that must end before this one starts; those waited for need not."""
    found = (
        each.lookup.stream
        for each in stream.fields.values()
        if each.lookup is not None and each.lookup.missing != "wait"
    )
    return tuple(dict.fromkeys(parent for parent in found if parent != name))


def ordered(streams: Mapping[str, Stream]) -> tuple[str, ...]:
    """Return the names of the streams, each after its parents. Lint has refused cycles."""
    place = {name: index for index, name in enumerate(streams)}
    sorter = TopologicalSorter(
        {
            name: sorted(parents_of(name, each), key=place.__getitem__)
            for name, each in streams.items()
        }
    )
    return tuple(sorter.static_order())
