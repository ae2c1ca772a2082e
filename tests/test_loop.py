"""The loop by example: what one stream's trouble does to the others, and what waits."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest

from crmmap.errors import ExitCode, MappingError, SourceError, Throttled
from crmmap.events import NO_TROUBLES, Event, RunReport, Troubles
from crmmap.extract.http_reader import HttpReader
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import FoundField, Plan, Step, Target, compile_plan, placeholder_settings
from crmmap.values import RECORD, Counts, Page, Start
from invented import mapping, sqlite, table

HEAD = """
crmmap: 1
name: loop
source: {kind: http, base_url: "https://loop.example"}
streams:
"""


@dataclass(frozen=True)
class Sources:
    """A source that is a list of records per stream; an exception in the list is raised there."""

    records: Mapping[str, Sequence[object]]
    size: int = 2
    weight: int = 0

    def pages(self, step: Step, begin: Start) -> Iterator[Page]:
        position = begin.position
        records = self.records[step.name]
        last = max(0, len(records) - 1) // self.size * self.size
        for number, start in enumerate(range(int(position or 0), last + 1, self.size), 1):
            chunk = records[start : start + self.size]
            for each in chunk:
                if isinstance(each, BaseException):
                    raise each
            following = None if start == last else str(start + self.size)
            size = self.weight * RECORD
            yield Page(number=number, records=list(chunk), position=following, size=size)

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return ()

    def absent(self, step: Step) -> str | None:
        return None if step.name in self.records else "nothing to read"

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


def plan(streams: str, batch: int = 1) -> Plan:
    spec = mapping(HEAD + streams)
    compiled = compile_plan(spec, placeholder_settings(spec, {}))
    return replace(compiled, steps=tuple(replace(step, batch=batch) for step in compiled.steps))


def stream(name: str, *fields: str, extra: str = "") -> str:
    lines = "".join(f"      {field}\n" for field in ("id: id", *fields))
    return (
        f"  {name}:\n    request: {{path: /{name}}}\n"
        f"    table: {{name: {name}, key: id}}\n{extra}    fields:\n{lines}"
    )


def load(
    the_plan: Plan, url: str, observe: object = lambda _: None, size: int = 2,
    only: tuple[str, ...] = (), **records: object,
) -> RunReport:  # fmt: skip
    return load_from(the_plan, url, Sources(records, size), observe, only)  # type: ignore[arg-type]


def load_from(
    the_plan: Plan, url: str, sources: Sources, observe: object = lambda _: None,
    only: tuple[str, ...] = (),
) -> RunReport:  # fmt: skip
    store = Store.open(url, application="tests")
    options = Options(run_id=str(uuid.uuid4()), owner="tests:1", started_at="", streams=only)
    try:
        return run(
            the_plan, store, sources,
            options=options, stop=threading.Event(), observe=observe,  # type: ignore[arg-type]
        )  # fmt: skip
    finally:
        store.close()


def rows(url: str, name: str, *columns: str) -> list[tuple[object, ...]]:
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    with engine.connect() as connection:
        text = f"SELECT {', '.join(columns)} FROM {name} ORDER BY {', '.join(columns)}"
        found = [tuple(row) for row in connection.execute(sa.text(text))]
    engine.dispose()
    return found


CHAIN = (
    stream("first")
    + stream("second", "up: {from: up, lookup: {stream: first, missing: reject}}")
    + stream("third", "up: {from: up, lookup: {stream: second, missing: reject}}")
    + stream("apart")
)


def test_what_depends_on_a_failed_stream_is_skipped_however_far_down(tmp_path: Path) -> None:
    report = load(
        plan(CHAIN), sqlite(tmp_path),
        first=[SourceError("gone")], second=[{"id": "1"}], third=[{"id": "1"}], apart=[{"id": "1"}],
    )  # fmt: skip
    assert [each.status for each in report.streams] == ["failed", "done", "skipped", "skipped"]
    assert report.exit_code == ExitCode.STREAM_FAILED
    assert {each.stream: each.status for each in report.streams}["apart"] == "done"


def test_what_depends_on_a_paused_stream_waits_with_it(tmp_path: Path) -> None:
    report = load(
        plan(CHAIN), sqlite(tmp_path),
        first=[{"id": "1"}, Throttled("tomorrow")], second=[], third=[], apart=[{"id": "1"}],
    )  # fmt: skip
    assert [each.status for each in report.streams] == ["paused", "done", "paused", "paused"]
    assert [each.message for each in report.streams] == [
        "tomorrow", "", "not begun: first was paused", "not begun: second was paused",
    ]  # fmt: skip
    assert (report.status, report.exit_code) == ("paused", ExitCode.PAUSED)


def test_a_parent_that_has_nothing_to_read_from_does_not_stop_its_children(tmp_path: Path) -> None:
    report = load(plan(CHAIN), sqlite(tmp_path), second=[{"id": "1"}], third=[{"id": "1"}])
    assert {each.stream: each.status for each in report.streams} == {
        "first": "skipped", "second": "done", "third": "done", "apart": "skipped",
    }  # fmt: skip
    assert report.exit_code == ExitCode.OK


@pytest.mark.parametrize(
    "trouble", [KeyError("a bug"), pl.exceptions.PanicException("a panic"), SourceError("refused")]
)
def test_a_streams_trouble_keeps_what_it_read_and_spares_its_siblings(
    tmp_path: Path, trouble: BaseException
) -> None:
    url = sqlite(tmp_path)
    report = load(
        plan(stream("one") + stream("two")), url,
        one=[{"id": "1"}, {"id": "2"}, trouble], two=[{"id": str(n)} for n in range(30)],
    )  # fmt: skip
    one, two = report.streams
    assert (one.status, two.status) == ("failed", "done")
    assert one.exit_code == ExitCode.STREAM_FAILED
    assert two.counts.inserted == 30
    if isinstance(trouble, SourceError):
        assert rows(url, "one", "id") == [("1",), ("2",)]
    assert ("one", "failed") in rows(url, "crmmap_stream_runs", "stream", "status")


class Slow(Store):
    """A store that makes its tables ready only once the lock was renewed meanwhile."""

    renewed = threading.Event()

    def prepare(self, targets: Sequence[Target]) -> tuple[str, ...]:
        assert not targets or self.renewed.wait(5)
        return Store.prepare(self, targets)

    def heartbeat(self, run_id: str) -> None:
        Store.heartbeat(self, run_id)
        self.renewed.set()


def test_the_lock_is_kept_while_tables_are_made_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that is added to a large table may take longer than the lock lasts."""
    monkeypatch.setattr(import_module("crmmap.loop.run"), "HEARTBEAT", 0.01)
    store = Slow.open(sqlite(tmp_path), application="tests")
    options = Options(run_id="r", owner="tests:1", started_at="")
    report = run(
        plan(stream("a")), store, Sources({"a": [{"id": 1}]}, 2),
        options=options, stop=threading.Event(),
    )  # fmt: skip
    store.close()
    assert report.counts.inserted == 1


def test_an_observer_that_fails_does_not_cost_the_run(tmp_path: Path) -> None:
    def fail(_: Event) -> None:
        raise BrokenPipeError

    report = load(plan(stream("one")), sqlite(tmp_path), fail, one=[{"id": "1"}])
    assert report.exit_code == ExitCode.OK


SELF = stream("people", "boss: {from: boss, lookup: {stream: people, missing: wait}}")


def test_rows_that_wait_are_settled_in_chains_and_counted_where_they_end(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    chain = [{"id": str(n), "boss": str(n + 1)} for n in range(5)] + [{"id": "5"}]
    report = load(plan(SELF), url, people=chain)
    assert rows(url, "people", "id", "boss")[0] == ("0", "1")
    assert report.counts.inserted == 6
    assert report.counts.deferred == 0
    assert report.streams[0].waiting == 0


def test_what_still_waits_is_told_and_arrives_with_a_later_run(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    orphan = {"id": "1", "boss": "9"}
    for _ in range(2):
        report = load(plan(SELF), url, people=[orphan, orphan])
        assert (report.counts.fetched, report.counts.deferred) == (2, 1)
        assert report.counts.duplicate == 1
        assert report.streams[0].waiting == 1
        assert rows(url, "people", "id") == []
    report = load(plan(SELF), url, people=[{"id": "9"}])
    assert rows(url, "people", "id", "boss") == [("1", "9"), ("9", None)]
    assert report.counts.balanced
    assert report.streams[0].waiting == 0


def test_a_newer_version_that_waits_is_not_lost_to_an_older_one(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    versioned = stream(
        "people", "v: {from: v, type: integer}",
        "boss: {from: boss, lookup: {stream: people, missing: wait}}",
        extra="    dedupe: {keep: {latest: v}}\n",
    )  # fmt: skip
    records = [
        {"id": "1", "v": 2, "boss": "9"}, {"id": "0"}, {"id": "1", "v": 1}, {"id": "9"},
    ]  # fmt: skip
    report = load(plan(versioned), url, people=records)
    assert ("1", 2, "9") in rows(url, "people", "id", "v", "boss")
    assert report.counts.balanced


@pytest.mark.parametrize("batch", [1, 9])
@pytest.mark.parametrize(
    ("read", "last"),
    [
        ([{"id": "1", "boss": "9"}, {"id": "1", "name": "b"}], "b"),
        ([{"id": "1", "name": "a"}, {"id": "1", "name": "b", "boss": "9"}], "b"),
        ([{"id": "1", "name": "a", "boss": "9"}, {"id": "1", "name": "b", "aide": "9"}], "b"),
        ([{"id": "1", "name": "a", "aide": "9"}, {"id": "1", "name": "b", "boss": "9"}], "b"),
        ([{"id": "1", "name": name, "boss": "9"} for name in "aba"], "a"),
    ],
)
def test_the_record_read_last_wins_even_where_others_waited(
    tmp_path: Path, batch: int, read: list[object], last: str
) -> None:
    url = sqlite(tmp_path)
    waiting = stream(
        "people", "name: name", "boss: {from: boss, lookup: {stream: people, missing: wait}}",
        "aide: {from: aide, lookup: {stream: people, missing: wait}}",
    )  # fmt: skip
    first = load(plan(waiting, batch), url, people=read)
    second = load(plan(waiting, batch), url, people=[{"id": "9"}])
    assert rows(url, "people", "id", "name") == [("1", last), ("9", None)]
    assert first.counts.balanced
    assert second.counts.balanced
    assert second.streams[0].waiting == 0


def test_of_the_versions_of_one_record_the_newest_waits(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    versioned = stream(
        "people", "v: {from: v, type: integer}",
        "boss: {from: boss, lookup: {stream: people, missing: wait}}",
        extra="    dedupe: {keep: {latest: v}}\n",
    )  # fmt: skip
    records = [
        {"id": "1", "v": 1, "boss": "9"}, {"id": "0"}, {"id": "1", "v": 3, "boss": "9"},
        {"id": "1", "v": 2, "boss": "9"},
    ]  # fmt: skip
    report = load(plan(versioned), url, people=records)
    assert (report.streams[0].waiting, report.counts.duplicate) == (1, 2)
    report = load(plan(versioned), url, people=[{"id": "9"}])
    assert (report.counts.inserted, report.counts.updated, report.counts.duplicate) == (2, 0, 0)
    assert ("1", 3, "9") in rows(url, "people", "id", "v", "boss")
    assert report.streams[0].waiting == 0


def test_composite_keys_that_read_alike_stay_apart(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    text = stream("pairs", "b: b", "up: {from: up, lookup: {stream: ups, missing: wait}}").replace(
        "key: id}", "key: [id, b]}"
    )
    records = [{"id": "a,b", "b": "c", "up": "x"}, {"id": "a", "b": "b,c"}]
    load(plan(stream("ups") + text), url, ups=[{"id": "x"}], pairs=records)
    assert rows(url, "pairs", "id", "b") == [("a", "b,c"), ("a,b", "c")]


def test_a_row_whose_parent_is_lost_by_another_lookup_is_lost_too(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    text = stream("ups") + stream(
        "people", "boss: {from: boss, lookup: {stream: people, missing: wait}}",
        "up: {from: up, lookup: {stream: ups, missing: reject}}",
    )  # fmt: skip
    people = [{"id": "kid", "boss": "dad"}, {"id": "dad", "up": "nobody"}]
    report = load(plan(text, batch=10), url, ups=[{"id": "x"}], people=people)
    assert rows(url, "people", "id") == []
    assert (report.counts.rejected, report.streams[1].waiting) == (1, 1)


def test_the_kept_duplicate_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    text = stream("ups", "mail: mail") + stream(
        "kids", "v: {from: v, type: integer}",
        "up: {from: mail, lookup: {stream: ups, by: mail}}",
        extra="    dedupe: {keep: {latest: v}}\n",
    )  # fmt: skip
    ups = [{"id": str(n), "mail": f"m{n}"} for n in range(20)]
    kids = [{"id": str(n % 9), "v": 1, "mail": f"m{n}"} for n in range(20)]
    contents = []
    for batch in (1, 100):
        (tmp_path / str(batch)).mkdir()
        url = sqlite(tmp_path / str(batch))
        load(plan(text, batch), url, ups=ups, kids=kids)
        contents.append(rows(url, "kids", "id", "up"))
    assert contents[0] == contents[1]


@pytest.mark.parametrize(("weight", "batches"), [(0, 1), (9, 2), (10, 3), (99, 6)])
def test_of_large_records_fewer_make_a_batch(tmp_path: Path, weight: int, batches: int) -> None:
    people = [{"id": str(each)} for each in range(12)]
    url = sqlite(tmp_path)
    sources = Sources({"people": people}, weight=weight)
    report = load_from(plan(stream("people"), batch=20), url, sources)
    assert report.streams[0].batches == batches
    assert len(table(url, "people")) == 12


def test_a_deeply_nested_record_is_rejected_and_kept_raw(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    deep: object = "x"
    for _ in range(600):
        deep = [deep]
    report = load(plan(stream("one", "extra: extra")), url, one=[{"id": "1", "extra": deep}])
    assert report.counts.rejected == 1
    assert "[[[[" in str(table(url, "crmmap_rejects")[0])


def test_notes_are_written_once_for_a_record_that_waits(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    text = stream(
        "people", "mail: {from: mail, type: email, on_error: null_and_note}",
        "boss: {from: boss, lookup: {stream: people, missing: wait}}",
    )  # fmt: skip
    report = load(plan(text), url, people=[{"id": "1", "mail": "x", "boss": "2"}, {"id": "2"}])
    assert report.counts.noted == 1
    assert len(rows(url, "crmmap_notes", "key")) == 1


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_reference_to_the_own_stream_may_make_a_stub(tmp_path: Path, batch: int) -> None:
    """A row that names one still to come, one that never comes, itself, and one before it."""
    text = stream(
        "people", "name: name", "boss: {from: boss, lookup: {stream: people, missing: stub}}"
    )
    people = [
        {"id": "1", "name": "Ann", "boss": "2"},
        {"id": "2", "name": "Bea", "boss": "9"},
        {"id": "3", "name": "Cem", "boss": "3"},
        {"id": "4", "name": "Dag", "boss": "1"},
    ]
    report = load(plan(text, batch), sqlite(tmp_path), people=people)
    assert report.exit_code == ExitCode.OK
    found = rows(sqlite(tmp_path), "people", "id", "name", "boss")
    assert found == [
        ("1", "Ann", "2"), ("2", "Bea", "9"), ("3", "Cem", "3"), ("4", "Dag", "1"),
        ("9", None, None),
    ]  # fmt: skip
    again = load(plan(text, batch), sqlite(tmp_path), people=people)
    counts = again.streams[0].counts
    assert (counts.unchanged, counts.stubbed) == (4, 0)


def test_streams_that_look_each_other_up_may_make_stubs(tmp_path: Path) -> None:
    text = stream(
        "offices", "head: {from: head, lookup: {stream: people, missing: stub}}"
    ) + stream("people", "office: {from: office, lookup: {stream: offices, missing: stub}}")
    report = load(
        plan(text, 1), sqlite(tmp_path),
        offices=[{"id": "o1", "head": "p1"}, {"id": "o2", "head": "p9"}],
        people=[{"id": "p1", "office": "o1"}, {"id": "p2", "office": "o8"}],
    )  # fmt: skip
    assert report.exit_code == ExitCode.OK
    assert rows(sqlite(tmp_path), "offices", "id", "head") == [
        ("o1", "p1"), ("o2", "p9"), ("o8", None)
    ]  # fmt: skip
    assert rows(sqlite(tmp_path), "people", "id", "office") == [
        ("p1", "o1"), ("p2", "o8"), ("p9", None)
    ]  # fmt: skip


def test_a_placeholder_of_a_foreign_key_means_that_there_is_no_parent(tmp_path: Path) -> None:
    usual = 'defaults: {lookup: {missing: stub, none: ["0", "-1"]}}\nstreams:\n'
    text = stream("offices") + stream(
        "people",
        "office: {from: office, lookup: offices}",
        "other: {from: office, lookup: {stream: offices, missing: null, none: []}}",
    )
    spec = mapping(HEAD.replace("streams:\n", usual) + text)
    the_plan = compile_plan(spec, placeholder_settings(spec, {}))
    people = [{"id": "1", "office": "0"}, {"id": "2", "office": "-1"}, {"id": "3", "office": "o"}]
    load(the_plan, sqlite(tmp_path), offices=[], people=people)
    assert rows(sqlite(tmp_path), "offices", "id") == [("o",)]
    assert rows(sqlite(tmp_path), "people", "id", "office") == [
        ("1", None), ("2", None), ("3", "o")
    ]  # fmt: skip


def test_a_lookup_compares_with_what_the_column_of_a_foreign_key_holds(tmp_path: Path) -> None:
    """The details of a firm are known by its id, whatever the source calls it there."""
    firms = stream("firms", "code: code").replace("id: id", "id: {from: id, type: integer}")
    details = stream("details", "firm: {from: firm, lookup: {stream: firms, by: code}}")
    details = details.replace("key: id", "key: firm").replace("      id: id\n", "")
    notes = stream("notes", "of: {from: of, type: TYPE, lookup: {stream: details}}")
    whole = plan(firms + details + notes.replace("TYPE", "integer"))
    records = {"firms": [{"id": 1, "code": "c"}], "details": [{"firm": "c"}]}
    load(whole, sqlite(tmp_path), **records, notes=[{"id": "n", "of": 1}, {"id": "o", "of": 2}])
    assert rows(sqlite(tmp_path), "notes", "id", "of") == [("n", 1), ("o", None)]
    with pytest.raises(MappingError, match="whose 'firm' holds keys of 'firms', of type integer"):
        plan(firms + details + notes.replace("TYPE", "text"))


def test_what_became_of_foreign_keys_is_counted(tmp_path: Path) -> None:
    text = stream("offices") + stream(
        "people",
        "stubbed: {from: office, lookup: {stream: offices, missing: stub}}",
        "emptied: {from: office, lookup: {stream: offices, missing: null}}",
        "waits: {from: boss, lookup: {stream: people, missing: wait}}",
    )
    people = [
        {"id": "1", "office": "o1"},
        {"id": "2", "office": "o2", "boss": "1"},
        {"id": "3", "office": None, "boss": "9"},
    ]
    report = load(plan(text, 10), sqlite(tmp_path), offices=[{"id": "o1"}], people=people)
    assert report.streams[1].keys == {
        "stubbed": {"resolved": 1, "stubbed": 1},
        "emptied": {"resolved": 1, "missing": 1},
        "waits": {"resolved": 1},
    }
    assert [(each.field, each.parent, each.count) for each in report.streams[1].waits] == [
        ("waits", "people", 1)
    ]


def guarded(folder: Path, batch: int) -> tuple[str, Plan]:
    """Return a store that takes no number above 50, and a plan to load numbers into it."""
    url, people = sqlite(folder), plan(stream("people", "n: {from: n, type: integer}"), batch)
    load(people, url, people=[])
    store = Store.open(url, application="tests")
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER guard BEFORE INSERT ON people WHEN NEW.n > 50 "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    store.close()
    return url, people


@pytest.mark.parametrize("batch", [1, 100])
def test_a_record_that_the_database_refuses_hides_no_other_of_its_key(
    tmp_path: Path, batch: int
) -> None:
    """Wherever one batch ends and the next begins."""
    url, people = guarded(tmp_path, batch)
    records = [{"id": "1", "n": 1}, {"id": "1", "n": 60}, {"id": "1", "n": 61}, {"id": "2", "n": 2}]
    report = load(people, url, people=records, size=1)
    assert report.streams[0].counts == Counts(fetched=4, inserted=2, rejected=2)
    assert rows(url, "people", "id", "n") == [("1", 1), ("2", 2)]


def test_of_many_records_that_the_database_refuses_each_makes_way_for_the_next(
    tmp_path: Path,
) -> None:
    """The last is kept, of a batch's records of one key; each refusal is of that record alone."""
    url, people = guarded(tmp_path, 100)
    numbers = {"1": [7, 8, *range(60, 80)], "2": [60, 61, 9], "3": [70, 71], "4": [5]}
    records = [{"id": key, "n": n} for key, every in numbers.items() for n in every]
    report = load(people, url, people=records, size=100)
    assert rows(url, "people", "id", "n") == [("1", 8), ("2", 9), ("4", 5)]
    counts = Counts(fetched=28, inserted=3, duplicate=3, rejected=22)
    assert report.streams[0].counts == counts
    refused = [(key, n) for key, every in numbers.items() for n in every if n > 50 and key != "2"]
    assert rows(url, "crmmap_rejects", "key", "json_extract(raw, '$.n')") == refused
