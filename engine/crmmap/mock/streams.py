"""From a plan to its streams: which values identify records, and which repeat another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import polars as pl

from crmmap.kinds.formats import Xml
from crmmap.mock.chance import generator
from crmmap.mock.columns import IN_CELLS, IN_JSON, Column, Lot, Writing, cell, column
from crmmap.mock.elements import (
    IN_ELEMENTS,
    Node,
    declarations,
    element_name,
    record_template,
)
from crmmap.mock.found import Listed
from crmmap.mock.identities import Maker, identity
from crmmap.mock.places import Place, json_template, order
from crmmap.mock.pools import Reading, pool_of
from crmmap.mock.records import Stream, World
from crmmap.mock.slots import Slot, slots_of
from crmmap.plan import Step
from crmmap.select.strict import read_json
from crmmap.select.xpath import XML, RecordPath


@lru_cache(maxsize=2)
def streams_of(world: World) -> Mapping[str, Stream]:
    """Return every stream of the plan, ready to make its records.

    Each source of the world asks for them, and to invent values costs much: they are kept.
    """
    slots = {
        step.name: slots_of(world.plan, step, world.hints, world.seed) for step in world.plan.steps
    }
    makers = _makers(slots)
    streams = {}
    for step in world.plan.steps:
        lot = Lot(seed=world.seed, stream=step.name, records=world.records)
        writing = _writing(step)
        columns = [
            column(slot, makers.get(_root(slots, step.name, slot)), lot, writing)
            for slot in slots[step.name]
        ]
        streams[step.name] = _stream(world, step, columns)
    return streams


def _writing(step: Step) -> Writing:
    if isinstance(step.format, Xml):
        return IN_ELEMENTS
    return IN_CELLS if step.headers else IN_JSON


def _stream(world: World, step: Step, columns: Sequence[Column]) -> Stream:
    if isinstance(step.format, Xml) and isinstance(step.records, RecordPath):
        dressed, template = record_template(step.records, columns, step.format)
        empty = (str(Node(name=element_name(step.records))),)
        return Stream(world=world, step=step, columns=dressed, template=template, misshapen=empty)
    places = [each.place for each in columns]
    return Stream(
        world=world,
        step=step,
        columns=tuple(columns[rank] for rank in order(places)),
        template=json_template(places),
    )


def record(stream: Stream, index: int) -> Any:
    """Return one record as its reader decodes it."""
    return decoded(stream, stream.lines(index, index + 1)[0])


def decoded(stream: Stream | Listed, line: str) -> Any:
    """Return a record's text as its reader decodes it."""
    if isinstance(stream, Listed):
        return read_json(line)
    form, path = stream.step.format, stream.step.records
    if not isinstance(form, Xml) or not isinstance(path, RecordPath):
        return read_json(line)
    name = element_name(path)
    return {XML: line.replace(f"<{name}", f"<{name}{declarations(form)}", 1)}


Slots = Mapping[str, Sequence[Slot]]
Root = tuple[str, Place]
"""The slot whose values all that refer to it repeat."""


def _makers(slots: Slots) -> dict[Root | None, Maker]:
    readings: dict[Root, list[Reading]] = {}
    for stream, several in slots.items():
        for slot in several:
            if root := _root(slots, stream, slot):
                readings.setdefault(root, []).extend(slot.readings)
    return {root: _maker(slots, root, found) for root, found in readings.items()}


def _root(
    slots: Slots, stream: str, slot: Slot, *, passed: frozenset[str] = frozenset()
) -> Root | None:
    """Return the slot that this one repeats, itself if it identifies its own stream."""
    link = slot.link
    # Two streams may each have the other's key for their own.
    if link is None or (slot.identifies and link.stream in passed | {stream}):
        return (stream, slot.place) if slot.identifies else None
    parent = next(
        (each for each in slots[link.stream] for reading in each.readings
         if reading.field.name == link.by and reading.first), None,
    )  # fmt: skip
    if parent is None or link.stream == stream:
        return None if parent is None else (stream, parent.place)
    return _root(slots, link.stream, parent, passed=passed | {stream})


def _maker(slots: Slots, root: Root, readings: Sequence[Reading]) -> Maker:
    own = next(slot for slot in slots[root[0]] if slot.place == root[1])
    for suited in (readings, own.readings):
        if suited and (found := identity(suited)) is not None:
            return found
    # Few values are all that the type has (an enum in a key): they come round again.
    pool = pool_of(own.readings, generator(0, root[0], repr(root[1]))) if own.readings else own.pool
    texts: list[str | None] = [*dict.fromkeys(map(cell, pool.values))] or [None]
    few = pl.lit(pl.Series(texts, dtype=pl.String))
    return lambda index: few.gather(index % len(texts))
