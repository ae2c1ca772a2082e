"""Random sequences of changes at a source and runs, against a plain model of the store.

After every run the tables must hold what `expected` says, row by row, written by the run
that it says; and every record that a run read must be in the one count that it says.
`make torture` tries many more of them.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from itertools import zip_longest
from random import Random
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from changing_crm import Crm, Manner, Read, changed
from crmmap.events import RunReport
from crmmap.extract.readers import open_reader
from crmmap.load import Store, ledger
from crmmap.load.tables import CURRENT, DELETED_AT, RUN_ID, VALID_FROM, VALID_TO
from crmmap.loop import Options, run
from crmmap.plan import Plan
from crmmap.values import OUTCOMES
from expected import Lookup, Model, Record, Shape, written
from fault_server import FaultServer
from invented import plan_of
from stores import STORES, empty_store

LOG = logging.getLogger(__name__)
"""How far a long test has come: `pytest --log-cli-level=info` shows it."""

MAPPING = """
crmmap: 1
name: sequences
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
streams:
"""
STREAM = """
  {name}:
    {request}
    records: items[]
    pagination: {{kind: token, token: next, param: from}}
    table: {{name: {table}, key: id, write: {write}}}
    where: {{kind: {{one_of: [{kinds}]}}}}
    {words}
    fields:
      id: id
      changed: {{from: changed, type: datetime, required: true}}
      kind: kind
      size: {{from: size, type: integer}}
      {fields}
"""
REQUEST = "request: {{path: /{name}}}"
PER = """for_each: {{stream: {parent}, batch: 100}}
    request:
      method: POST
      path: /{name}
      body: {{of: {{each: parents, give: "{{{{ item.id }}}}"}}, by: {per}}}"""
SINCE = 'incremental: {kind: timestamp, field: changed, params: {since: "{{ cursor }}"}}'
CELLS = ("id", "changed", "kind", "size")

ARCHIVED = "deleted: {kind: {one_of: [archived]}}"
ENDING = "{kind: history, vanished: end}"

SHAPES = {
    "firms": Shape(
        (*CELLS, "parent"), (Lookup("parent", "firms", "wait"),), version=True, tombstones=True
    ),
    "teams": Shape(CELLS, tombstones=True),
    "people": Shape(
        (*CELLS, "firm", "team"),
        (Lookup("firm", "firms", "wait"), Lookup("team", "teams", "null")),
        version=True,
    ),
    "visits": Shape(
        (*CELLS, "person", "firm"),
        (Lookup("person", "people", "reject"), Lookup("firm", "firms", "stub")),
    ),
    "log": Shape(CELLS, write="append"),
    "staff": Shape(
        (*CELLS, "firm", "team"),
        (Lookup("firm", "firms", "wait"), Lookup("team", "teams", "null")),
        write="snapshot",
    ),
    "prices": Shape(CELLS, write="replace"),
    "codes": Shape((*CELLS, "firm"), (Lookup("firm", "firms", "wait"),), first=True),
    "leavers": Shape(CELLS, version=True, write="delete", of="people"),
    "expired": Shape(CELLS, write="delete", of="codes"),
    "roll": Shape(CELLS, write="sweep", of="teams"),
    "seats": Shape(
        (*CELLS, "team"), (Lookup("team", "teams", "null"),), write="snapshot", per="team"
    ),
    "rates": Shape(CELLS, version=True, write="history"),
    "posts": Shape(CELLS, write="history"),
}
WAITING = [
    name for name, shape in SHAPES.items() if any(e.missing == "wait" for e in shape.lookups)
]


def words(name: str) -> Iterator[str]:
    """Yield what a stream's part of the mapping says beside what all say."""
    shape = SHAPES[name]
    if name == "firms":
        yield SINCE
    if shape.tombstones:
        yield ARCHIVED
    if shape.version or shape.first:
        yield f"dedupe: {{keep: {'first' if shape.first else '{latest: changed}'}}}"


def request(name: str) -> str:
    if per := SHAPES[name].per:
        return PER.format(name=name, parent=parent_of(name), per=per)
    return REQUEST.format(name=name)


def parent_of(name: str) -> str:
    """Return the stream for whose rows one of links is asked."""
    shape = SHAPES[name]
    return next(each.parent for each in shape.lookups if each.field == shape.per)


def how_written(shape: Shape) -> str:
    if shape.write == "history" and not shape.version:
        return ENDING
    return f"{{kind: snapshot, per: {shape.per}}}" if shape.per else shape.write


def mapping(url: str) -> str:
    text = MAPPING.format(url=url)
    for name, shape in SHAPES.items():
        lines = [
            f'{each.field}: {{from: {each.field}, lookup: {{stream: {each.parent}, '
            f'missing: "{each.missing}"}}}}'
            for each in shape.lookups
        ]  # fmt: skip
        text += STREAM.format(
            name=name, table=shape.of or name, write=how_written(shape), request=request(name),
            kinds="plain, archived" if shape.tombstones else "plain",
            words="\n    ".join(words(name)), fields="\n      ".join(lines),
        )  # fmt: skip
    return text


@cache
def compiled(url: str, batch: int) -> Plan:
    plan = plan_of(mapping(url), {})
    return replace(plan, steps=tuple(replace(step, batch=batch) for step in plan.steps))


@dataclass(frozen=True)
class Reading:
    """A read under way: when it began, and the newest record that it has seen."""

    began: datetime
    seen: datetime | None = None

    def with_seen(self, records: Sequence[Record]) -> Reading:
        times = [
            changed(each) for each in records if each["kind"] != "other" and each["size"] != "many"
        ]
        return replace(self, seen=max([*times, *([self.seen] if self.seen else [])], default=None))

    def reached(self, cursor: datetime | None) -> datetime | None:
        """Return what the next read asks with: never a time after this one began."""
        return cursor if self.seen is None else min(self.seen, self.began)


@dataclass
class Progress:
    """What the model knows of how far a stream has been read."""

    cursor: datetime | None = None
    reading: Reading | None = None
    under_way: tuple[int, int] | None = None
    """The read that a run left, by number, and how many of its records were taken in."""
    whole: bool = True
    """Whether the read asked for all that there is."""


RELATED = [
    ("firms", "people", "leavers"),
    ("firms", "staff"),
    ("teams", "roll"),
    ("teams", "seats"),
    ("firms", "codes", "expired"),
    ("teams", "people", "visits"),
    ("log", "prices", "rates", "posts"),
]
"""Streams that have to do with each other: most steps are about those that the last was about."""
NUMBERS = 6
KEYS = {
    name: [f"{shape.of or name}{number}" for number in range(NUMBERS)]
    for name, shape in SHAPES.items()
}
WHATS = [
    *["record"] * 6,
    *["deleted"] * 3,
    "filtered",
    "archived",
    "broken",
    "of the future",
    "of the past",
]
seeds = st.integers(0, 2**32)
"""What changes and how a run goes, all told by one number."""


@dataclass(frozen=True)
class Made:
    """A record created, changed or deleted; `one` and `other` are the ones that it names."""

    stream: str
    number: int
    what: str
    size: int
    one: int | None
    other: int | None


@dataclass(frozen=True)
class Order:
    """How the source gives its pages, and what a run is asked to do."""

    size: int
    disorder: int | None = None
    batch: int = 5
    streams: tuple[str, ...] = ()
    fresh: bool = False
    limit: int | None = None
    stop_after: int | None = None
    """Pages, after which the run is told to stop."""


def changes(random: Random, streams: Sequence[str]) -> Iterator[Made]:
    """Yield what changes: records of low numbers often, and those of high ones are seldom there."""
    numbers = range(NUMBERS)
    for _ in range(random.choice([0, 2, 5, 12])):
        yield Made(
            stream=random.choice(streams), number=min(random.choices(numbers, k=2)),
            what=random.choice(WHATS), size=random.randrange(4),
            one=random.choice([None, *numbers]), other=random.choice([None, *numbers]),
        )  # fmt: skip


def order(random: Random, streams: tuple[str, ...]) -> Order:
    """Tell how a run of some of the streams goes."""
    return Order(
        size=random.choice([1, 1, 2, 4]),
        disorder=random.choice([None, random.randrange(10**6)]),
        batch=random.choice([1, 1, 5]),
        streams=tuple(random.sample(streams, random.randint(1, len(streams)))),
        fresh=random.random() < 0.2,
        limit=random.choice([*[None] * 6, 1, 4]),
        stop_after=random.choice([None, None, *range(1, 7)]),
    )


class Sequences(RuleBasedStateMachine):
    """Changes at the source and runs, in any order."""

    url: ClassVar[str]
    store_of: ClassVar[Callable[[], AbstractContextManager[str]]]
    crm: ClassVar[Crm]
    tried: ClassVar[int] = 0
    """Steps in all."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = ExitStack()
        self.store_url = self.opened.enter_context(type(self).store_of())
        self.store = Store.open(self.store_url, application="tests", pause=lambda _: None)
        self.opened.callback(self.store.close)
        Sequences.crm = Crm({name: {} for name in SHAPES})
        self.model = Model(SHAPES)
        self.progress = {name: Progress() for name in SHAPES}
        self.taken: set[str] = set()
        """All that was ever taken in of the streams, by stream and contents."""
        self.steps = 0
        self.related = RELATED[0]
        self.hidden: set[str] = set()
        """Records that say they changed before they came to be: the cursor may be past them."""

    def teardown(self) -> None:
        self.opened.close()

    # --- at the source ----------------------------------------------------------------------

    def random(self, seed: int) -> Random:
        """Return what tells all of a step; the simplest steps are not all the same one."""
        self.steps += 1
        Sequences.tried += 1
        LOG.info("%s: step %d", self.store.engine.dialect.name, Sequences.tried)
        random = Random(f"{self.steps} {seed}")
        if self.steps == 1 or random.random() < 0.2:
            self.related = random.choice(RELATED)
        return random

    def change(self, made: Iterable[Made]) -> None:
        for each in made:
            key = KEYS[each.stream][each.number]
            cells = {"kind": "plain", "size": each.size, **self.named(each)}
            versions = self.crm.streams[each.stream].get(key)
            match each.what:
                case "record":
                    self.crm.put(each.stream, key, self.crm.now(), **cells)
                case "filtered":
                    self.crm.put(each.stream, key, self.crm.now(), **{**cells, "kind": "other"})
                case "archived":
                    nobody = dict.fromkeys(self.named(each))
                    archived = {"kind": "archived", "size": each.size, **nobody}
                    self.crm.put(each.stream, key, self.crm.now(), **archived)
                case "broken":
                    self.crm.put(each.stream, key, self.crm.now(), **{**cells, "size": "many"})
                case "of the future":
                    future = self.crm.now().replace(year=2100)
                    self.crm.put(each.stream, key, future, **cells)
                case "of the past" if versions is None:
                    past = self.crm.now().replace(year=2001)
                    record = self.crm.put(each.stream, key, past, **cells)
                    self.hidden.add(f"{each.stream} {written(record)}")
                case "deleted":
                    self.crm.streams[each.stream].pop(key, None)

    @staticmethod
    def named(made: Made) -> dict[str, str | None]:
        """Return the fields that name others, which need not be there."""
        found = zip(SHAPES[made.stream].lookups, (made.one, made.other), strict=False)
        return {
            lookup.field: None if number is None else KEYS[lookup.parent][number]
            for lookup, number in found
        }

    # --- runs -------------------------------------------------------------------------------

    @rule(seed=seeds)
    def change_and_run(self, seed: int) -> None:
        random = self.random(seed)
        self.change(changes(random, self.related))
        if random.random() < 0.2:
            self.run_twice(random)
        else:
            self.run(order(random, self.related))

    def run_twice(self, random: Random) -> None:
        """Nothing changes the second time, where no two records of a read contradict each other."""
        tidy = Order(size=random.choice([2, 4]), streams=self.related, fresh=True)
        first, second = self.run(tidy), self.run(tidy)
        query = "SELECT sum(stubbed), min(deferred) FROM crmmap_batches WHERE run_id = :run"
        # What settles at a run's end may be the parent of what was rejected before.
        if self.sql(query, run=first) == [(0, 0)]:
            query = "SELECT coalesce(sum(inserted + updated), 0) FROM crmmap_batches"
            query += " WHERE run_id = :run"
            query += " AND stream NOT IN ('teams', 'roll', 'codes', 'expired')"
            assert self.sql(query, run=second) == [(0,)]

    def run(self, order: Order) -> str:
        self.crm.manner = Manner(order.size, order.disorder)
        run_id = str(uuid.uuid4())
        options = Options(
            run_id=run_id, owner="tests:1", started_at="", streams=order.streams,
            fresh=order.fresh, limit=order.limit,
        )  # fmt: skip
        stop = threading.Event()
        pages = 0

        def observe() -> None:
            nonlocal pages
            pages += 1
            if pages == order.stop_after:
                stop.set()

        self.crm.observe = observe
        plan = compiled(self.url, order.batch)
        first = len(self.crm.reads)
        with open_reader(plan, stop=stop, clock=lambda: datetime.now(UTC)) as reader:
            report = run(plan, self.store, reader, options=options, stop=stop)
        self.follow(report, options, order.batch, self.crm.reads[first:], stopped=stop.is_set())
        self.compare()
        return run_id

    # --- what the model makes of it -----------------------------------------------------------

    def follow(
        self,
        report: RunReport,
        options: Options,
        batch: int,
        reads: Sequence[Read],
        *,
        stopped: bool,
    ) -> None:
        """Take the model through what the run has read; compare its counts."""
        by_stream = {read.stream: read for read in reads}
        assert len(by_stream) == len(reads), "a stream was read twice in one run"
        counts: Counter[tuple[str, str]] = Counter()
        begun, reached = self.begun(options.run_id), self.reached()
        for stream in report.streams:
            assert stream.status == "done" or stopped, stream.message
            if options.streams and stream.stream not in options.streams:
                continue  # only what waited was tried
            if stream.stream not in begun:
                assert stream.stream not in by_stream
                continue
            found = self.follow_stream(
                stream.stream, options, batch, by_stream.get(stream.stream),
                begun[stream.stream], *reached[stream.stream],
            )  # fmt: skip
            counts.update({(stream.stream, name): count for name, count in found.items()})
        if not stopped:
            counts.update(self.model.settle(options.run_id, WAITING, batch))
        names = ("fetched", *OUTCOMES, "stubbed", "deleted")
        sums = ", ".join(f"sum({name})" for name in names)
        told = {
            (stream, name): int(count)
            for stream, *each in self.sql(
                f"SELECT stream, {sums} FROM crmmap_batches WHERE run_id = :run GROUP BY stream",
                run=options.run_id,
            )
            for name, count in zip(names, each, strict=True)
        }
        found = {key: count for key, count in told.items() if count}
        assert found == {key: count for key, count in counts.items() if count}

    def follow_stream(
        self, stream: str, options: Options, batch: int, read: Read | None, began: datetime,
        reached: tuple[int, int] | None, ended: bool,
    ) -> Counter[str]:  # fmt: skip
        """Take the model through a stream's records, as far as the store says it took them in."""
        progress, per = self.progress[stream], SHAPES[stream].per
        left, progress.under_way = progress.under_way, reached
        if options.fresh or options.limit is not None:
            left = None
        if left is not None:
            assert read is None or per, "a read that was interrupted began anew"
        else:
            self.model.begin(stream)
            progress.whole = options.limit is None
            if stream == "firms" and read is not None:
                asked = None if options.fresh else progress.cursor
                assert read.asked == (
                    asked and asked.replace(microsecond=asked.microsecond // 1000 * 1000)
                )
        if read is None and per and ended and not self.asks_for(stream):
            read = Read(stream, None, (), 1, frozenset())
        start = 0
        if left is not None and (read is None or reached == left):
            number, start = left
            read = self.crm.reads[number]
        if read is None:  # it was stopped before a page came
            assert reached is None
            assert not ended
            return Counter()
        end = min(len(read.records), options.limit or sys.maxsize) if ended else start
        if reached is not None:
            assert self.crm.reads[reached[0]] is read
            end = reached[1]
        if read.of is not None and (ended or end > start):
            assert read.of == self.asks_for(stream)
            self.model.asked[stream] = read.of
        reading = (progress.reading if left else None) or Reading(began)
        counts: Counter[str] = Counter()
        for records in read.batches(start, end, batch):
            counts.update(self.model.load(options.run_id, stream, records))
            self.taken.update(f"{stream} {written(each)}" for each in records)
            reading = reading.with_seen(records)
        if ended and progress.whole:
            counts.update(self.model.finish(options.run_id, stream))
        if options.limit is None and (ended or end > start):
            progress.reading = None if ended else reading
            progress.cursor = reading.reached(progress.cursor) if ended else progress.cursor
        return counts

    def asks_for(self, stream: str) -> frozenset[str]:
        """Return the rows of its parent for which a stream of links asks now."""
        return self.model.there(parent_of(stream))

    def begun(self, run_id: str) -> dict[str, datetime]:
        """Return when a run began its streams, by the database's clock."""
        query = "SELECT stream, started_at FROM crmmap_stream_runs WHERE run_id = :run"
        read = self.store.dialect.read_time
        return {stream: read(began) for stream, began in self.sql(query, run=run_id)}

    def reached(self) -> dict[str, tuple[tuple[int, int] | None, bool]]:
        """Return of each stream which read is under way and how far, and whether it has ended."""
        found: dict[str, tuple[tuple[int, int] | None, bool]] = {}
        query = "SELECT stream, position, ended FROM crmmap_cursors"
        for stream, position, ended in self.sql(query):
            place = re.search(r"\bfrom\W+(\d+):(\d+)\b", position or "")
            assert (place is None) == (position is None), position
            read = None if place is None else (int(place[1]), int(place[2]))
            found[stream] = read, bool(ended) and read is None
        return found

    def compare(self) -> None:
        kept = ledger.DEFERRED.c
        waiting: dict[str, dict[tuple[str, str], str]] = {name: {} for name in SHAPES}
        query = sa.select(kept.stream, kept.key, kept.raw, kept.run_id)
        for stream, key, raw, by in self.sql(query):
            waiting[stream][key, written(json.loads(raw))] = by
        assert waiting == self.model.waiting
        for stream, shape in SHAPES.items():
            if shape.of:
                continue
            rows = self.sql(f"SELECT * FROM {stream}", named=True)
            found = [self.row(shape, row) for row in rows]
            assert sorted(found, key=repr) == sorted(self.model.rows(stream), key=repr), stream
            if shape.write == "history":
                self.versions_follow_each_other(shape, rows)
        rejected = self.sql("SELECT run_id, stream, raw FROM crmmap_rejects")
        assert self.model.rejected == Counter(
            f"{by} {stream} {written(json.loads(raw))}" for by, stream, raw in rejected
        )
        self.nothing_is_passed()

    def versions_follow_each_other(self, shape: Shape, rows: Sequence[Any]) -> None:
        """No two versions of a record hold at one time; where none ends by itself, always one."""
        read = self.store.dialect.read_time
        rows = sorted(rows, key=lambda row: (row["id"], read(row[VALID_FROM])))
        for row, following in zip_longest(rows, rows[1:]):
            begins, until = read(row[VALID_FROM]), row[VALID_TO] and read(row[VALID_TO])
            last = following is None or following["id"] != row["id"]
            assert bool(row[CURRENT]) == (until is None)
            assert until is None or begins <= until
            assert last or (until is not None and until <= read(following[VALID_FROM]))
            if shape.version:
                assert begins == read(row["changed"])
                assert until == (None if last else read(following[VALID_FROM]))

    def row(self, shape: Shape, row: Any) -> tuple[dict[str, Any], str, bool]:
        cells = {name: row[name] for name in shape.fields}
        if cells["changed"] is not None:
            cells["changed"] = self.store.dialect.read_time(cells["changed"])
        gone = row.get(DELETED_AT) is not None or not row.get(CURRENT, True)
        return cells, row[RUN_ID], gone

    def nothing_is_passed(self) -> None:
        """The cursor stands before every record that was not taken in."""
        cursor = self.progress["firms"].cursor
        for versions in self.crm.streams["firms"].values():
            if cursor is not None and changed(versions[-1]) < cursor:
                assert f"firms {written(versions[-1])}" in self.taken | self.hidden

    def sql(
        self, statement: str | sa.Select[Any], *, named: bool = False, **given: str
    ) -> list[Any]:
        query = sa.text(statement) if isinstance(statement, str) else statement
        with self.store.engine.begin() as connection:
            found = connection.execute(query, given)
            return [*found.mappings()] if named else [tuple(row) for row in found]


LONG = int(os.environ.get("CRMMAP_TORTURE_STEPS", "0"))
"""Of `make torture`: so many steps on each store."""
STEPS = 40


@contextmanager
def served() -> Iterator[None]:
    """Let the machine's source answer."""
    with FaultServer(lambda seen: Sequences.crm(seen)) as server:
        Sequences.url = server.url
        yield


@pytest.mark.timeout(300 + 10 * LONG)
@pytest.mark.parametrize("kind", STORES)
def test_the_store_holds_what_the_model_says(kind: str) -> None:
    how = settings(
        max_examples=LONG // STEPS + 2, stateful_step_count=STEPS if LONG else 5, deadline=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    Sequences.store_of = partial(empty_store, kind)
    Sequences.tried = 0
    with served():
        run_state_machine_as_test(Sequences, settings=how)
    assert Sequences.tried >= LONG
