"""Laws of a whole run, over whatever a source may send: properties, not examples."""

from __future__ import annotations

import json
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmmap.events import NO_TROUBLES, RunReport, Troubles
from crmmap.extract.http_reader import HttpReader
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import FoundField, Plan, Step, compile_plan, placeholder_settings
from crmmap.values import Page, Start
from invented import mapping, sqlite, table
from test_loop import rows

MAPPING = """
crmmap: 1
name: laws
source: {kind: http, base_url: "https://laws.example"}
streams:
  things:
    request: {path: /things}
    table: {name: things, key: id}
    dedupe: {keep: {latest: changed}}
    where: {kind: {one_of: [a, b]}}
    fields:
      id: {from: id, required: true}
      kind: {from: kind}
      changed: {from: changed, type: datetime}
      email: {from: [mail, other.mail], type: email, on_error: null_and_note}
      amount: {from: amount, type: "decimal(8,2)", check: {min: 0}}
      count: {from: count, type: integer}
      extra: {from: extra, type: json}
      parent: {from: parent, lookup: {stream: things, missing: wait}}
"""

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=6),
    st.sampled_from(["", " ", "12.50", "1e3", "a@b.example", "nope", "\x00", "\ud83d", "🙂", "a"]),
)  # fmt: skip
anything = st.recursive(scalars, lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
), max_leaves=6)  # fmt: skip
IDS = [str(number) for number in range(8)]
things = st.fixed_dictionaries(
    {"id": st.one_of(st.sampled_from(IDS), scalars)},
    optional={
        "kind": st.sampled_from(["a", "b", "c", None]),
        "changed": st.sampled_from(
            ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00+02:00", "x", None]
        ),
        "mail": scalars,
        "other": anything,
        "amount": st.one_of(scalars, st.decimals(0, 999, places=2).map(str)),
        "count": scalars,
        "extra": anything,
        "parent": st.one_of(st.none(), st.sampled_from(IDS)),
    },
)
records = st.lists(things, max_size=25)
slowly = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Listed:
    """A source that is a list: it gives its records `size` to a page."""

    records: Sequence[object]
    size: int = 7

    def pages(self, step: Step, begin: Start) -> Iterator[Page]:
        position = begin.position
        starts = list(range(0, len(self.records), self.size)) or [0]
        for number, start in enumerate(starts, 1):
            if position is None or start >= int(position):
                end = start + self.size
                following = None if start == starts[-1] else str(end)
                yield Page(number=number, records=self.records[start:end], position=following)

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return ()

    def absent(self, step: Step) -> str | None:
        return None

    def share(self, step: Step, page: Page) -> float | None:
        return None

    def troubles(self, step: Step) -> Troubles:
        return NO_TROUBLES

    def parse(self, step: Step, raws: list[str]) -> Page:
        return HttpReader.parse(self, step, raws)  # type: ignore[arg-type]

    def clean(self, text: str) -> str:
        return text

    def close(self) -> None:
        pass


def plan() -> Plan:
    spec = mapping(MAPPING)
    return compile_plan(spec, placeholder_settings(spec, {}))


PLAN = plan()


def load(source: Listed, store_url: str, batch: int = 10) -> RunReport:
    steps = tuple(replace(step, batch=batch) for step in PLAN.steps)
    store = Store.open(store_url, application="laws")
    options = Options(run_id=str(uuid.uuid4()), owner="laws:1", started_at="")
    try:
        return run(
            replace(PLAN, steps=steps), store, source, options=options, stop=threading.Event()
        )
    finally:
        store.close()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def fresh(folder: Path) -> str:
    place = folder / uuid.uuid4().hex
    place.mkdir()
    return sqlite(place)


@slowly
@given(records)
def test_every_record_ends_in_exactly_one_place(folder: Path, sent: list[object]) -> None:
    store = fresh(folder)
    report = load(Listed(sent), store)
    counts = report.counts
    assert counts.fetched == len(sent)
    assert counts.balanced
    assert len(table(store, "things")) == counts.inserted
    assert len(table(store, "crmmap_rejects")) == counts.rejected
    assert len(table(store, "crmmap_deferred")) == counts.deferred


def unambiguous(sent: list[dict[str, object]]) -> list[dict[str, object]]:
    """Drop what contradicts itself: one key, one version, and different contents."""
    instants = {
        "2026-01-01T00:00:00Z": 1,
        "2026-01-02T00:00:00Z": 2,
        "2026-01-03T00:00:00+02:00": 3,
    }
    kept = {
        (str(each["id"]).strip(), instants.get(str(each.get("changed")), 0)): each for each in sent
    }
    return list(kept.values())


@slowly
@given(records, st.sampled_from([1, 10]))
def test_the_same_run_twice_changes_nothing(
    folder: Path, sent: list[dict[str, object]], batch: int
) -> None:
    store, sent = fresh(folder), unambiguous(sent)
    load(Listed(sent), store, batch)
    before = table(store, "things")
    again = load(Listed(sent), store, batch).counts
    assert (again.inserted, again.updated) == (0, 0)
    assert table(store, "things") == before


@slowly
@given(records, st.integers(1, 9), st.integers(1, 9), st.integers(1, 30), st.integers(1, 30))
def test_page_and_batch_sizes_do_not_change_the_tables(
    folder: Path, sent: list[object], size: int, other_size: int, batch: int, other_batch: int
) -> None:
    one, other = fresh(folder), fresh(folder)
    load(Listed(sent, size), one, batch)
    load(Listed(sent, other_size), other, other_batch)
    assert table(one, "things") == table(other, "things")


@slowly
@given(records, st.randoms(use_true_random=False))
def test_neither_the_order_of_records_nor_of_their_fields_matters(
    folder: Path, sent: list[dict[str, object]], random: object
) -> None:
    shuffled = [dict(random.sample(list(each.items()), len(each))) for each in sent]  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = fresh(folder), fresh(folder)
    load(Listed(sent), one)
    load(Listed(shuffled), other)
    assert table(one, "things") == table(other, "things")


@slowly
@given(records)
def test_a_reject_never_loses_its_raw_record(folder: Path, sent: list[object]) -> None:
    store = fresh(folder)
    report = load(Listed(sent), store)
    kept = [json.loads(str(raw)) for (raw,) in rows(store, "crmmap_rejects", "raw")]
    assert len(kept) == report.counts.rejected
    left = list(sent)
    for raw in kept:
        left.remove(raw)
