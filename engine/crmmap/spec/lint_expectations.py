"""Whether what is expected of a stream can be seen at all."""

from __future__ import annotations

from collections.abc import Iterator

from crmmap.kinds.types import Date, Datetime, declared
from crmmap.kinds.writes import Deleting
from crmmap.spec.faults import Fault, quoted, shown
from crmmap.spec.freshness import dated_by
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Stream
from crmmap.values import Path


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of every stream's `expect`."""
    for name, stream in mapping.streams.items():
        if stream.expect.freshness is not None:
            yield from _freshness(stream, ("streams", name, "expect", "freshness"))


def _freshness(stream: Stream, path: Path) -> Iterator[Fault]:
    if isinstance(stream.table.write, Deleting):
        message = "tells nothing of a stream that only deletes; expect it of the one that fills"
        yield Fault(path=path, rule="expect.freshness", message=message)
        return
    fresh = stream.expect.freshness
    field = dated_by(stream)
    dates = [each for each, one in stream.fields.items() if isinstance(one.type, Date | Datetime)]
    told = f"Dates and datetimes are: {quoted(dates)}"
    if field is None:
        message = "does not say by which field, as the stream has neither cursor nor version"
        message += f". Write `{{within: …, field: …}}`. {told}"
        yield Fault(path=path, rule="expect.freshness", message=message)
        return
    place = path if fresh is None or fresh.field is None else (*path, "field")
    if field in stream.fields and field not in dates:
        kind = declared(stream.fields[field].type)
        message = f"needs a date or datetime, but {shown('field', field)} is {kind}. {told}"
        yield Fault(path=place, rule="expect.freshness", message=message)
    elif field not in dates and place != path:
        message = f"names {shown('field', field)}, which the stream does not have. {told}"
        yield Fault(path=place, rule="expect.freshness", message=message)
