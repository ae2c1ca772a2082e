"""Whether what a partition goes over is said once, and is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crmmap.kinds.periods import periods
from crmmap.kinds.texts import Json
from crmmap.moments import EPOCH, moment
from crmmap.spec.faults import Fault, guess, quoted, shown
from crmmap.spec.model import Stream
from crmmap.spec.partitions import DateRange, Over
from crmmap.values import Path

Streams = Mapping[str, Stream]
ONE_OF = (
    "needs one of `list: […]`, `split: TEXT`, `from` and `to`, `dates: {from: …}`, "
    "`stream: NAME`, or `union: […]`"
)


def faults(name: str, over: Over, streams: Streams, path: Path) -> Iterator[Fault]:
    """Yield the faults of the values, at `path`, that a part of the stream `name` takes."""
    ranged = over.from_ is not None or over.to is not None
    ways = (
        bool(over.list), over.split is not None, ranged, over.dates is not None,
        over.stream is not None, bool(over.union),
    )  # fmt: skip
    if ways.count(True) != 1:
        yield Fault(path=path, rule="over", message=ONE_OF)
    elif ranged and (over.from_ is None or over.to is None or over.to < over.from_):
        message = "a range needs `from` and `to`, and `to` must not be the smaller one"
        yield Fault(path=path, rule="over.range", message=message)
    if over.dates is not None:
        yield from _dates(over.dates, (*path, "dates"))
    if over.field is not None and over.stream is None:
        message = "is a column of a stream's table. Write `stream: NAME` beside it"
        yield Fault(path=(*path, "field"), rule="over.field", message=message, on_key=True)
    if over.stream is not None:
        yield from _column(name, over, over.stream, streams, path)
    for at, each in enumerate(over.union):
        place = (*path, "union", at)
        if each.union:
            message = "is a union inside of one. Put its parts into the outer one"
            yield Fault(path=(*place, "union"), rule="over.union", message=message, on_key=True)
        else:
            yield from faults(name, each, streams, place)


def _column(name: str, over: Over, stream: str, streams: Streams, path: Path) -> Iterator[Fault]:
    if stream not in streams:
        message = (
            f"names {shown('stream', stream)}, which is not there{guess(stream, streams)}. "
            f"Streams: {quoted(streams)}"
        )
        yield Fault(path=(*path, "stream"), rule="stream.unknown", message=message)
    elif stream == name:
        message = "is the stream itself. A stream can't be its own parent"
        yield Fault(path=(*path, "stream"), rule="for_each.cycle", message=message)
    elif over.field is None:
        if len(streams[stream].table.key) > 1:
            message = "has a key of several fields. Write which one: `field: NAME`"
            yield Fault(path=(*path, "stream"), rule="over.field", message=message)
    elif over.field not in streams[stream].fields:
        fields = streams[stream].fields
        message = (
            f"names {shown('field', over.field)}, which {shown('stream', stream)} does not have"
            f"{guess(over.field, fields)}. It has: {quoted(fields)}"
        )
        yield Fault(path=(*path, "field"), rule="field.unknown", message=message)
    elif isinstance(streams[stream].fields[over.field].type, Json):
        message = "holds JSON, whose values can't be told apart. Take another field"
        yield Fault(path=(*path, "field"), rule="over.field", message=message)


def _dates(dates: DateRange, path: Path) -> Iterator[Fault]:
    for word, text in (("from", dates.from_), ("to", dates.to)):
        if "{" not in text and (word, text) != ("to", "now"):
            try:
                moment(text)
            except ValueError:
                message = "is no date. Write it like 2024-01-31 or 2024-01-31T08:00:00Z"
                yield Fault(path=(*path, word), rule="over.dates", message=message)
    try:
        next(periods(EPOCH, EPOCH.replace(year=1971), dates.step), None)
    except (ValueError, OverflowError):
        message = "is too short or too long for a period. Write it like 30d, month or year"
        yield Fault(path=(*path, "step"), rule="over.dates", message=message)
