"""Kill -9 at every named place of a run, and at random moments: the next run makes up for it.

After every kill, or two, one more run is let come to its end: then the tables hold what they do
where nothing was ever killed, and the ledger balances.
"""

from __future__ import annotations

import ast
import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from changing_crm import Crm, Manner
from crmmap.load import Store, ledger
from crmmap.values import OUTCOMES
from fault_server import FaultServer
from killed_runs import Nursery, library, run_whole
from stores import STORES, empty_store

ENGINE = Path(__file__).parents[1] / "engine"
LONG = int(os.environ.get("CRMMAP_TORTURE_KILLS", "0"))
"""Of `make torture`: so many random kills on each store; and each place at every pass."""

LOG = logging.getLogger(__name__)
"""How far a long test has come: `pytest --log-cli-level=info` shows it."""

HEAD = """
crmmap: 1
name: killed
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 4}}
archive: rejects
streams:
"""
STREAM = """
  {name}:
    request: {{path: /{name}}}
    records: items[]
    pagination: {{kind: token, token: next, param: from}}
    table: {{name: {name}, key: id, write: {write}}}
    {words}
    fields:
      id: id
      changed: {{from: changed, type: datetime, required: true}}
      size: {{from: size, type: integer}}
      {up}
"""
SINCE = 'incremental: {kind: timestamp, field: changed, params: {since: "{{ cursor }}"}}'
NEWEST = "dedupe: {keep: {latest: changed}}"
STREAMS = {
    "firms": (
        "upsert",
        f"{SINCE}\n    {NEWEST}",
        "up: {from: up, lookup: {stream: firms, missing: wait}}",
    ),
    "teams": ("snapshot", "", ""),
    "prices": ("replace", "", ""),
    "places": ("upsert", "", ""),
    "people": ("history", NEWEST, "up: {from: up, lookup: {stream: places, missing: stub}}"),
    "events": ("append", SINCE, ""),
}
TABLES = (*STREAMS, "crmmap_deferred")


def mapping(url: str) -> str:
    streams = (
        STREAM.format(name=name, write=write, words=words, up=up)
        for name, (write, words, up) in STREAMS.items()
    )
    return HEAD.format(url=url) + "".join(streams)


ENDS = (0, 3)
"""Exit codes of a run that came to its end: 3 where all that it read of a stream was rejected."""

ON_SERVERS = (
    "load.table_made", "load.locked", "load.after_rows", "load.after_ledger", "load.before_commit",
    "load.after_commit", "load.after_finish", "loop.after_retry",
)  # fmt: skip


def places() -> list[str]:
    """Return the names of all places where the engine can be killed, some of which are two."""
    calls = (
        node
        for path in sorted(ENGINE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "fail_at"
    )
    return [ast.literal_eval(call.args[0]) for call in calls]


@dataclass
class Experiment:
    """A source that goes on changing, a store whose runs are killed, and one whose runs are not."""

    kind: str
    nursery: Nursery
    crm: Crm
    text: str
    store: str
    other: str
    thinned: bool = False
    """Whether only some places are tried: on the servers, where there is no time for all."""
    changes: int = 0
    seconds: float = 0.5
    """How long a run takes that is let come to its end."""

    def change(self, count: int = 6) -> None:
        """Let the source change: most records anew, some gone, all by the number of the change."""
        self.changes += 1
        random = Random(self.changes)
        for name in STREAMS:
            for number in random.sample(range(count + 3), count):
                moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(
                    days=self.changes, seconds=number
                )
                self.crm.put(
                    name, f"{name[0]}{number}", moment,
                    size="many" if random.random() < 0.1 else random.randrange(3),
                    up=random.choice([None, *(f"{name[0]}{each}" for each in range(count + 6))]),
                )  # fmt: skip
            for key in [each for each in self.crm.streams[name] if random.random() < 0.15]:
                del self.crm.streams[name][key]

    def killed(self, failpoint: str = "", after: float = 0, call: int = 0, bug: str = "") -> bool:
        code = self.nursery.run(
            self.text, self.store, failpoint=failpoint, after=after, call=call, bug=bug
        )  # fmt: skip
        assert code in (*ENDS, -signal.SIGKILL)
        return code not in ENDS

    def converges(self) -> None:
        """Let both stores be loaded whole: they hold the same, and nothing is left over."""
        began = monotonic()
        assert run_whole(self.text, self.store) in ENDS
        self.seconds = monotonic() - began
        assert run_whole(self.text, self.other) in ENDS
        assert held(self.store) == held(self.other)


def held(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a store's tables hold, alike for all kinds of stores; check what always holds."""
    with closing(Store.open(url, application="tests")) as store, store.engine.begin() as connection:
        sums = f"SELECT count(*) FROM {{}} WHERE fetched <> {' + '.join(OUTCOMES)}"
        for name in ("crmmap_batches", "crmmap_pages"):
            assert connection.exec_driver_sql(sums.format(name)).scalar() == 0
        held = sa.select(ledger.LOCKS.c.run_id)
        assert {*connection.execute(held).scalars()} == {None}
        assert all(connection.execute(sa.select(ledger.CURSORS.c.ended)).scalars())
        found = {"": [(name,) for name in sorted(sa.inspect(connection).get_table_names())]}
        for name in TABLES:
            rows = connection.exec_driver_sql(f"SELECT * FROM {name}").mappings()
            found[name] = sorted((_plain(store, row) for row in rows), key=repr)
    return found


OWN = ("_crmmap_run_id", "_crmmap_synced_at", "run_id", "since", "place")
"""Columns that tell runs apart, or times of day."""


def _plain(store: Store, row: Any) -> tuple[Any, ...]:
    cells = {name: cell for name, cell in row.items() if name not in OWN}
    if "_crmmap_deleted_at" in cells:
        cells["_crmmap_deleted_at"] = cells["_crmmap_deleted_at"] is not None
    for name, cell in cells.items():
        if name in ("changed", "_crmmap_valid_from", "_crmmap_valid_to") and cell is not None:
            cells[name] = store.dialect.read_time(cell)
    if "_crmmap_current" in cells:
        cells["_crmmap_current"] = bool(cells["_crmmap_current"])
    return tuple(cells.items())


@pytest.fixture(params=STORES)
def experiment(request: pytest.FixtureRequest) -> Iterator[Experiment]:
    with ExitStack() as stack:
        crm = Crm({name: {} for name in STREAMS}, Manner(size=2))
        server = stack.enter_context(FaultServer(crm))
        yield Experiment(
            request.param, stack.enter_context(Nursery()), crm, mapping(server.url),
            stack.enter_context(empty_store(request.param)),
            stack.enter_context(empty_store("sqlite")),
            thinned=request.param != "sqlite" and not LONG,
        )  # fmt: skip


@pytest.mark.timeout(900 + 60 * LONG)
def test_a_run_that_is_killed_at_any_place_is_made_up_for_by_the_next(
    experiment: Experiment,
) -> None:
    """Every place is reached; those within a batch when a batch was committed already."""
    names = sorted(
        dict.fromkeys(places()), key=lambda name: name != "load.table_made"
    )  # once they are made, never
    assert len(names) >= 20
    if experiment.thinned:
        names = [name for name in names if name in ON_SERVERS]
    for at, name in enumerate(names):
        if at % 2 == 0:
            experiment.change()
        hit = experiment.killed(f"{name}:2") or experiment.killed(name)
        assert hit, f"{name} is never hit"
        if at % 2:
            experiment.converges()
    experiment.converges()


@pytest.mark.timeout(600 + 60 * LONG)
def test_a_run_that_is_killed_at_any_moment_is_made_up_for_by_the_next(
    experiment: Experiment,
) -> None:
    random = Random(LONG)
    kills = 0
    for number in range(LONG or 2):
        if number % 2 == 0:  # two kills of reading the same
            experiment.change(30 if LONG else 12)
        kills += experiment.killed(after=random.uniform(0.02, experiment.seconds))
        LOG.info("%s: %d kills of %d runs", experiment.kind, kills, number + 1)
        if number % 2:
            experiment.converges()
    if LONG:
        assert kills > LONG / 2
    experiment.converges()


@contextmanager
def with_new_stores(experiment: Experiment) -> Iterator[Experiment]:
    with empty_store(experiment.kind) as store, empty_store("sqlite") as other:
        yield replace(experiment, store=store, other=other)


EVERY_CALL = [range(first, sys.maxsize, 8) for first in range(1, 9)]
"""Each until a run has no such call. A test that is broken off was about all of a run, too."""


@pytest.mark.timeout(36_000 if LONG else 600)
@pytest.mark.parametrize("new", [False, True], ids=["again", "new"])
@pytest.mark.parametrize("experiment", STORES if LONG else STORES[:1], indirect=True)
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler: what kills is in C")
def test_a_run_that_is_killed_at_any_call_is_made_up_for_by_the_next(
    experiment: Experiment, tmp_path: Path, *, new: bool
) -> None:
    """In the long profile at every call of a small run, first every eighth; otherwise at one.

    Of a store's later runs, or of the first, which makes the tables. As threads take turns, the
    same number is not always the same call.
    """
    kills = 0
    with Nursery(library(tmp_path)) as experiment.nursery:
        for calls in EVERY_CALL if LONG else [range(100, 101)]:
            for call in calls:
                experiment.change(3)
                with with_new_stores(experiment) if new else nullcontext(experiment) as tried:
                    killed = tried.killed(call=call)
                    tried.converges()
                kills += killed
                LOG.info("%s: kill %d, at call %d", experiment.kind, kills, call)
                if not killed:
                    break
    assert kills >= (200 if LONG else 1)
