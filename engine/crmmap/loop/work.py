"""What the streams of one run share."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl

from crmmap.channels import Threads
from crmmap.errors import StoreLocked
from crmmap.events import Event, Observe, RunKind, StreamReport
from crmmap.extract.readers import Reader
from crmmap.kinds.limits import RejectLimit
from crmmap.load import Store, Tally
from crmmap.plan import FoundField, Plan, Step, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one run is asked to do.

    `streams` are the ones to run (all by default); `fresh` reads from the start
    even where an interrupted run could be resumed; `limit` is the most records
    to read per stream. `kind` is what the ledger calls the run: all but a `run` take records that
    were kept, and leave the positions and cursors of the streams as they are. `max_rejects`, unless
    None, holds instead of what the streams say; without `expecting`, nothing is expected of them.
    """

    run_id: str
    owner: str
    started_at: str
    streams: tuple[str, ...] = ()
    fresh: bool = False
    limit: int | None = None
    max_rejects: RejectLimit | None = None
    expecting: bool = True
    kind: RunKind = "run"

    @property
    def apart(self) -> bool:
        """Whether what is loaded was kept, not read from the source."""
        return self.kind != "run"


@dataclass(slots=True)
class Work:
    """One run under way: what its streams share, and the report of each once it has ended."""

    plan: Plan
    store: Store
    reader: Reader
    options: Options
    stop: threading.Event
    observe: Observe
    reports: dict[str, asyncio.Future[StreamReport]] = field(default_factory=dict)
    grown: dict[str, Step] = field(default_factory=dict)
    """Steps whose fields the source lists, compiled anew with those that it listed."""
    found: dict[str, tuple[FoundField, ...]] = field(default_factory=dict)
    """What the source listed for those."""
    reached: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """The cursors of streams that have ended in this run, by partition."""
    begun: set[str] = field(default_factory=set)
    """The streams that the ledger has begun for this run."""
    remarks: list[str] = field(default_factory=list)
    lost: StoreLocked | None = None
    """Why the run no longer holds its lock, if it has lost it."""
    threads: Threads = field(init=False)
    """For each stream one to read pages, one to make batches of them and one to write those."""

    def __post_init__(self) -> None:
        self.threads = Threads.of(max(1, len(self.steps)))

    @property
    def steps(self) -> tuple[Step, ...]:
        chosen = self.options.streams
        return tuple(
            self.grown.get(step.name, step)
            for step in self.plan.steps
            if not chosen or step.name in chosen
        )

    def tell(self, event: Event) -> None:
        """Tell the observer. One that fails must not cost the run."""
        try:
            self.observe(event)
        except Exception:  # noqa: BLE001  (whatever it is, it is the observer's own)
            self.observe = lambda _: None


Keys = Mapping[str, Mapping[str, int]]


def with_keys(some: Keys, more: Keys) -> Keys:
    """Add up what became of foreign keys, by field; see `StreamReport`."""
    fields = dict.fromkeys((*some, *more))
    return {each: Counter(some.get(each, {})) + Counter(more.get(each, {})) for each in fields}


def with_duplicates(some: Mapping[str, int], target: Target, tally: Tally) -> Mapping[str, int]:
    """Add up duplicates by the rule that found them; see `StreamReport`."""
    if not target.same_by:
        return {}
    found = {rule: tally.same_by.get(rule, 0) for rule in target.same_by}
    found = {target.key: tally.counts.duplicate - sum(found.values()), **found}
    named = {", ".join(rule): count for rule, count in found.items()}
    return {name: some.get(name, 0) + count for name, count in named.items()}


def by_rule(rejects: pl.DataFrame) -> Iterator[str]:
    """Yield `field: rule` (or the rule alone) for every reason of every reject."""
    for text in rejects["reasons"]:
        for reason in json.loads(text):
            yield f"{reason['field']}: {reason['rule']}" if reason["field"] else reason["rule"]


def by_field(notes: pl.DataFrame) -> Iterator[str]:
    """Yield `field: rule` for every note."""
    for field_name, rule in notes.select("field", "rule").iter_rows():
        yield f"{field_name}: {rule}"
