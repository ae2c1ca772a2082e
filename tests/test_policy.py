"""What is demanded of a read as a whole: few rejects, and what was expected of it."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import write
from crmmap.errors import ExitCode, SourceError
from crmmap.events import RunReport
from crmmap.kinds.limits import RejectLimit
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import Plan, compile_plan, placeholder_settings
from inside import Command, crmmap, file_url  # noqa: F401  (fixtures)
from invented import mapping
from stores import OWNER, store_url  # noqa: F401  (fixture)
from test_loop import HEAD, Sources, plan, stream
from test_retry import sql

AGE = "age: {from: age, type: integer}"


def ran(the_plan: Plan, url: str, people: Sequence[Any], **options: Any) -> RunReport:
    """Run the stream `people` of a plan, from these records, two to a page."""
    given = Options(run_id=uuid.uuid4().hex, owner=OWNER, started_at="")
    with closing(Store.open(url, application="tests")) as store:
        return run(
            the_plan, store, Sources({"people": people}), stop=threading.Event(),  # type: ignore[arg-type]
            options=replace(given, **options),
        )  # fmt: skip


def people(good: int, bad: int = 0) -> list[dict[str, str]]:
    return [{"id": f"{n:03}", "age": "old" if n >= good else "1"} for n in range(good + bad)]


def ids(url: str) -> list[str]:
    return [each for (each,) in sql(url, "SELECT id FROM people ORDER BY id")]


# --- rejects --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "code"), [(people(2), 0), (people(0, 2), 3)])
def test_whether_every_record_was_rejected_is_judged_of_the_whole_read(
    file_url: str, before: list[dict[str, str]], code: int
) -> None:
    the_plan = plan(stream("people", AGE))
    ran(the_plan, file_url, [*before, SourceError("down")])
    report = ran(the_plan, file_url, ["-", "-", {"id": "9", "age": "old"}])
    assert report.counts.rejected == report.counts.fetched == 1
    assert report.exit_code == code


def limited(word: str, batch: int = 2) -> Plan:
    return plan(stream("people", AGE, extra=f"    max_rejects: {word}\n"), batch=batch)


def test_the_batch_that_has_too_many_rejects_is_not_written(file_url: str) -> None:
    records = [*people(2, 2), {"id": "100", "age": "1"}, {"id": "101", "age": "x"}]
    report = ran(limited("2"), file_url, records)

    assert report.exit_code == ExitCode.DATA_POLICY
    assert report.streams[0].status == "failed"
    assert "3 of 6 records were rejected, more than 2 (max_rejects)" in report.streams[0].message
    assert "3 × age: type" in report.streams[0].message
    assert ids(file_url) == ["000", "001"]
    assert len(sql(file_url, "SELECT id FROM crmmap_rejects")) == 2
    # The next run goes on there, and does not begin to count anew.
    again = ran(limited("2"), file_url, records)
    assert again.exit_code == ExitCode.DATA_POLICY
    assert "3 of 6 records" in again.streams[0].message
    assert ran(limited("2"), file_url, records, max_rejects=RejectLimit(count=3)).status == "done"
    assert ids(file_url) == ["000", "001", "100"]
    # A read that begins anew counts anew.
    assert ran(limited("2"), file_url, people(1, 2)).status == "done"


def test_a_share_is_judged_from_enough_records_or_at_the_end(file_url: str) -> None:
    early = [*people(1, 1), *({"id": f"x{n}", "age": "1"} for n in range(8))]
    assert ran(limited("10%"), file_url, early).status == "done"
    late = ran(limited("10%"), file_url, people(8, 2))
    assert "2 of 10 records were rejected, more than 10% (max_rejects)" in late.streams[0].message
    assert ran(limited("0%"), file_url, people(3), fresh=True).status == "done"


def test_a_stream_may_differ_from_the_defaults() -> None:
    own = stream("people", extra="    max_rejects: {count: 7, share: 5%}\n")
    text = HEAD.replace("streams:", "defaults: {max_rejects: 3}\nstreams:") + own + stream("other")
    spec = mapping(text)
    compiled = compile_plan(spec, placeholder_settings(spec, {}))
    assert compiled.step("people").max_rejects == RejectLimit(count=7, share="5%")
    assert compiled.step("other").max_rejects == RejectLimit(count=3)


def test_what_is_demanded_does_not_make_another_stream() -> None:
    bare = plan(stream("people", AGE)).steps[0].fingerprint
    assert limited("5").steps[0].fingerprint == bare
    assert expecting("min_rows: 5", AGE).steps[0].fingerprint == bare


# --- expectations ---------------------------------------------------------------------------------


def expecting(words: str, *fields: str, extra: str = "") -> Plan:
    return plan(stream("people", *fields, extra=f"    expect: {{{words}}}\n{extra}"), batch=2)


def test_a_read_of_everything_must_bring_enough_rows(file_url: str) -> None:
    ran(plan(stream("people")), file_url, people(5))
    few = ran(expecting("min_rows: 4"), file_url, people(1))
    assert few.streams[0].broken == ("min_rows: the read brought 1 row, fewer than 4",)
    report = ran(expecting("min_rows: 4"), file_url, people(3))

    assert report.exit_code == ExitCode.DATA_POLICY
    assert report.streams[0].status == "done"
    assert report.streams[0].broken == ("min_rows: the read brought 3 rows, fewer than 4",)
    assert ran(expecting("min_rows: 4"), file_url, people(4)).exit_code == ExitCode.OK


def test_a_read_may_bring_only_so_much_less_than_the_last(file_url: str) -> None:
    drop = expecting("max_drop: 20%")
    assert ran(drop, file_url, people(10)).exit_code == ExitCode.OK  # there was none before
    assert ran(drop, file_url, people(8)).exit_code == ExitCode.OK
    for _ in range(2):  # what breaks it is nothing to compare with
        report = ran(drop, file_url, people(6))
        assert report.exit_code == ExitCode.DATA_POLICY
        (told,) = report.streams[0].broken
        assert told == (
            "max_drop: the read fetched 6 records, 25% fewer than the 8 of the last complete read "
            "(20% is allowed)"
        )
    assert ran(drop, file_url, people(3), limit=2).exit_code == ExitCode.OK
    assert ran(drop, file_url, people(6), expecting=False).exit_code == ExitCode.OK
    assert ran(drop, file_url, people(5)).exit_code == ExitCode.OK


def test_nothing_is_deleted_by_a_read_that_is_not_as_expected(file_url: str) -> None:
    text = stream("people", extra="    expect: {max_drop: 20%}\n")
    snapshot = plan(text.replace("key: id}", "key: id, write: snapshot, deletes: hard}"), batch=2)
    ran(snapshot, file_url, people(10))
    ran(snapshot, file_url, people(4))
    assert len(ids(file_url)) == 10
    assert ran(snapshot, file_url, people(8)).counts.deleted == 2
    assert len(ids(file_url)) == 8


def test_rows_that_are_not_as_expected_replace_none(file_url: str) -> None:
    words = "    expect: {max_drop: 20%, freshness: {within: 2d, field: seen}}\n"
    text = stream("people", "seen: {from: seen, type: date}", extra=words)
    replacing = plan(text.replace("key: id}", "key: id, write: replace}"), batch=2)
    late = [{"id": each["id"], "seen": "2999-01-01"} for each in people(10)]
    assert ran(replacing, file_url, late).exit_code == ExitCode.OK
    assert len(ran(replacing, file_url, late[:4]).streams[0].broken) == 1
    old = [{"id": each["id"], "seen": "2024-01-01"} for each in people(10)]
    assert "freshness" in ran(replacing, file_url, old).streams[0].broken[0]
    assert sql(file_url, "SELECT DISTINCT seen FROM people") == sql(
        file_url, "SELECT MAX(seen) FROM people"
    )
    assert ran(replacing, file_url, late[:8]).exit_code == ExitCode.OK
    assert len(ids(file_url)) == 8


SEEN = "seen: {from: seen, type: datetime}"
CHANGES = "    incremental: {kind: timestamp, field: seen, params: {since: '{{ cursor }}'}}\n"


def seen(*days: str) -> list[dict[str, str]]:
    return [{"id": day, "seen": f"{day}T00:00:00Z"} for day in days]


def test_a_read_of_everything_that_is_not_as_expected_moves_no_cursor(store_url: str) -> None:
    strict = expecting("min_rows: 3", SEEN, extra=CHANGES)
    ran(strict, store_url, seen("2024-01-01", "2024-01-02"))
    with closing(Store.open(store_url, application="tests")) as store:
        mark = {"mapping": "loop", "run_id": "look", "stream": "people", "fingerprint": ""}
        store.begin_run(mapping="loop", run_id="look", owner=OWNER)
        assert store.begin_stream(**mark).cursor is None  # type: ignore[arg-type]
        store.end_run("look", status="done")

    assert ran(strict, store_url, seen("2024-01-01", "2024-01-02", "2024-01-03")).status == "done"
    # Of changes, it is the table that must have enough.
    assert ran(strict, store_url, seen("2024-01-03")).exit_code == ExitCode.OK
    more = expecting("min_rows: 4", SEEN, extra=CHANGES)
    assert ran(more, store_url, seen("2024-01-03")).streams[0].broken == (
        "min_rows: the table people has 3 rows, fewer than 4",
    )


@pytest.mark.parametrize("kind", ["date", "datetime"])
def test_the_latest_row_must_be_fresh(store_url: str, kind: str) -> None:
    fresh = expecting("freshness: {within: 2d, field: day}", f"day: {{from: day, type: {kind}}}")
    days = ["2024-01-01", "2023-01-01"]
    report = ran(fresh, store_url, [{"id": day, "day": day} for day in days])
    assert report.exit_code == ExitCode.DATA_POLICY
    assert "freshness: the latest day is" in report.streams[0].broken[0]
    assert "it may be 2 days" in report.streams[0].broken[0]
    assert ran(fresh, store_url, [{"id": "x", "day": "2999-01-01"}]).exit_code == ExitCode.OK


def test_no_row_is_not_fresh(file_url: str) -> None:
    fresh = expecting("freshness: {within: 2d, field: seen}", SEEN)
    assert ran(fresh, file_url, []).streams[0].broken == (
        "freshness: no row of people has a value of seen",
    )


# --- the command ----------------------------------------------------------------------------------

MAPPING = """
crmmap: 1
name: people
source: {kind: files}
defaults: {max_rejects: 10%}
streams:
  people:
    file: people.csv
    table: {name: people, key: id}
    expect: {min_rows: 2}
    fields: {id: id, age: {from: age, type: integer}}
"""


def test_limits_and_expectations_from_the_command_line(crmmap: Command, tmp_path: Path) -> None:
    write(tmp_path, people_yaml=MAPPING, people_csv="id,age\n1,3\n2,old\n")

    told = crmmap("run", "people.yaml", "-q")
    assert told.code == 3
    assert "1 of 2 records were rejected, more than 10% (max_rejects)" in told.out
    again = crmmap("run", "people.yaml", "-q", "--max-rejects", "0").out
    assert "crmmap run people.yaml --max-rejects 0" in again
    told = crmmap("run", "people.yaml", "-q", "--max-rejects", "1")
    assert told.code == 3
    assert "people is not as expected: min_rows: the read brought 1 row" in told.out
    told = crmmap("run", "people.yaml", "-q", "--max-rejects", "50%", "--json")
    assert (told.code, told.json["exit_code"], told.json["status"]) == (3, 3, "done")
    assert told.json["streams"][0]["broken"] == ["min_rows: the read brought 1 row, fewer than 2"]
    assert crmmap("run", "people.yaml", "-q", "--max-rejects", "1", "--no-expect").code == 0
    assert "is no limit" in crmmap("run", "people.yaml", "--max-rejects", "some").err
