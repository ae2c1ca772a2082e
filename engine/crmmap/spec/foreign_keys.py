"""What a field's column holds: of a foreign key, that is its parent's key."""

from __future__ import annotations

from collections.abc import Mapping

from crmmap.spec.model import Stream


def held(streams: Mapping[str, Stream], stream: str, field: str) -> tuple[str, str]:
    """Return the stream and the field whose values a field's column holds.

    It is the field itself, or of a foreign key its parent's key, which may be one, too.
    """
    place, seen = (stream, field), set[tuple[str, str]]()
    while place not in seen:
        seen.add(place)
        lookup = streams[place[0]].fields[place[1]].lookup
        parent = None if lookup is None else streams.get(lookup.stream)
        if lookup is not None and parent is not None and {*parent.table.key[:1]} & {*parent.fields}:
            place = lookup.stream, parent.table.key[0]
    return place
