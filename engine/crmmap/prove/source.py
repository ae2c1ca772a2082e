"""An invented source, read without a network, and runs of it into a store of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl

from crmmap.events import NO_TROUBLES, RunReport, Troubles
from crmmap.extract.partitions import read_parts
from crmmap.extract.request import Context
from crmmap.kinds.incremental import EventId, Timestamp
from crmmap.kinds.incremental import Sequence as Numbered
from crmmap.kinds.writes import Snapshot
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import FoundField, Plan, Step, Target
from crmmap.prove.cases import Row
from crmmap.prove.replay import rows_of
from crmmap.prove.sheets import Sheet
from crmmap.values import Page, Start

Chosen = Callable[[Sheet, Sequence[Any], str], Sequence[Any]]
"""Gives those of a stream's records that the source has for a cursor."""

NAMES = count(1)
MOST = 100_000
"""Rows of a table that are looked at."""


def _all(_sheet: Sheet, records: Sequence[Any], _cursor: str) -> Sequence[Any]:
    return records


@dataclass(frozen=True, slots=True, kw_only=True)
class Invented:
    """A reader of records that were sent before, `size` to a page.

    Of a stream in partitions the first one that is asked for has them all. `chosen` is what the
    source has for a cursor. Once `pages_left` have been read, `stop` is set.
    """

    plan: Plan
    sheets: Mapping[str, Sheet]
    sent: Mapping[str, Sequence[Any]]
    size: int = 3
    chosen: Chosen = _all
    stop: threading.Event = field(default_factory=threading.Event)
    pages_left: int | None = None
    first: dict[str, str] = field(default_factory=dict)

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        left = self.pages_left
        for page in read_parts(self.plan, boundless(step), start, self._part):
            if left is not None:
                left -= 1
                if left < 0:
                    self.stop.set()
            yield page

    def _part(self, step: Step, context: Context, position: str | None) -> Iterator[Page]:
        cursor = str(context.get("cursor", ""))
        label = json.dumps({**context, "cursor": ""}, sort_keys=True, default=str)
        records: Sequence[Any] = self.sent.get(step.name, ())
        if self.first.setdefault(step.name, label) != label:
            records = []
        if cursor:
            records = self.chosen(self.sheets[step.name], records, cursor)
        starts = range(0, len(records), self.size) or range(1)
        for number, at in enumerate(starts, 1):
            if position is None or at >= int(position):
                end = at + self.size
                following = str(end) if end < len(records) else None
                yield self.sheets[step.name].page(records[at:end], number, following)

    def absent(self, step: Step) -> str | None:
        return None if step.name in self.sheets else "not tried"

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return ()

    def troubles(self, step: Step) -> Troubles:
        return NO_TROUBLES

    def share(self, step: Step, page: Page) -> float | None:
        return None

    def parse(self, step: Step, raws: list[str]) -> Page:
        return self.sheets[step.name].parse(raws)

    @property
    def clean(self) -> None:
        return None

    def close(self) -> None:
        """Do nothing: nothing is open."""


def boundless(step: Step) -> Step:
    """Return the step reading all time at once: what it leaves out on purpose is no news."""
    how = step.incremental
    if isinstance(how, Timestamp):
        how = replace(how, window=None, most=None, total=None, start=None)
    elif isinstance(how, Numbered | EventId):
        how = replace(how, start=None)
    return replace(step, incremental=how)


def impartial(step: Step) -> Step:
    """Return the step with every record a row, and none vanishing by that for which it was asked.

    What a record of a deleted row lacks stays as it was stored before, and so depends on that. And
    the first row that is asked for has all records here, of which none needs to be its own.
    """
    target = step.target
    if target.per is not None:
        target = replace(target, write=Snapshot())
    return replace(step, target=target, tombstones=())


def load(
    reader: Invented, folder: Path, *, streams: Sequence[str] = (), batch: int = 10
) -> RunReport:
    """Run the reader's plan, or some of its streams, into the store in the folder."""
    needed = _needed(reader.plan, streams) if streams else reader.plan.steps
    steps = tuple(replace(impartial(step), batch=batch, keeps="none") for step in needed)
    options = Options(
        run_id=f"proof-{next(NAMES)}", owner="proof:1", started_at="", streams=tuple(streams)
    )
    with closing(_store(folder)) as store:
        return run(
            replace(reader.plan, steps=steps), store, reader, options=options, stop=reader.stop
        )


def _needed(plan: Plan, streams: Sequence[str]) -> Sequence[Step]:
    """Return the steps of streams, and those whose tables they ask: no others need to be made."""
    run = [step for step in plan.steps if step.name in streams]
    names = {*streams, *(parent for step in run for parent in step.parents)}
    tables = {each.parent.table for step in run for each in step.lookups}
    return [step for step in plan.steps if step.name in names or step.target.table in tables]


def _store(folder: Path) -> Store:
    folder.mkdir(exist_ok=True)
    return Store.open(f"sqlite:///{folder / 'proof.db'}", application="crmmap test")


def stored(folder: Path, target: Target) -> list[Mapping[str, str | None]]:
    """Return a table's rows as texts, in the order of their keys, those too that are deleted."""
    every = replace(target, deletes=None)
    with closing(_store(folder)) as store:
        return list(store.parents(every, target.names, after=None, count=MOST, since=None))


def stored_rows(folder: Path, step: Step) -> tuple[Row, ...]:
    """Return the rows of the step's table as a case writes them."""
    texts = pl.DataFrame(
        stored(folder, step.target), schema=dict.fromkeys(step.target.names, pl.String)
    )
    columns = step.target.columns
    return rows_of(
        step, texts.select(each.type.read(pl.col(each.name)).alias(each.name) for each in columns)
    )


def alone(step: Step) -> Step:
    """Return the step without its lookups and its partitions' parents: its fields as sent.

    What the mapping gives of a parent is left to the step's sheet.
    """
    types = {each.name: each.type for each in step.fields}
    columns = tuple(replace(each, type=types[each.name]) for each in step.target.columns)
    target = replace(step.target, columns=columns, indexed=())
    parts = replace(step.parts, parent=None, changed=False, recursion=None)
    return replace(step, lookups=(), parents=(), target=target, parts=parts, given={}, finding=None)


def only(plan: Plan, step: Step) -> Plan:
    """Return the plan with one step."""
    return replace(plan, steps=(step,))
