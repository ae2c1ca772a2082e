"""What people and programs are told of runs and problems."""

from __future__ import annotations

import io
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crmmap.errors import ExitCode
from crmmap.events import Event, RunReport, StreamReport, Waits
from crmmap.report.document import run_document
from crmmap.report.parts import Grid, Heading, Line, rendered
from crmmap.report.problems import FORMATS, problem_report
from crmmap.report.progress import progress_on
from crmmap.report.summary import Missed, summary, worst
from crmmap.report.wording import duration, printable
from crmmap.values import OUTCOMES, Counts, Problem

DONE = StreamReport(
    stream="contacts",
    table="crm_contacts",
    status="done",
    counts=Counts(fetched=1200, inserted=1100, updated=50, unchanged=38, rejected=12, noted=2),
    seconds=8.0,
    reasons={"phone: type": 9, "id: required": 2, "json.duplicate_key": 1},
    notes={"email: type": 2},
)
REPORT = RunReport(
    run_id="R1",
    mapping="crm",
    title="A CRM",
    store="sqlite:///x.db",
    started_at="2026-01-01T00:00:00+00:00",
    seconds=12.4,
    streams=(DONE,),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(*outcomes: RunReport | Missed, again: str = "crmmap run crm") -> str:
    return rendered(summary(outcomes, {"crm": again}), io.StringIO())


# --- the summary ----------------------------------------------------------------------------------


def test_a_run_that_went_well_is_told_whole() -> None:
    assert (
        told(REPORT)
        == """\
crm (A CRM): done in 12.4 s

stream    table         status  fetched  inserted  updated  unchanged  rejected  seconds  records/s
---------------------------------------------------------------------------------------------------
contacts  crm_contacts  done      1,200     1,100       50         38        12      8.0        150

1,200 fetched = 1,100 inserted + 50 updated + 38 unchanged + 12 rejected: balanced

12 records rejected:
  9 × phone: type
  2 × id: required
  1 × json.duplicate_key
  SELECT * FROM crmmap_rejects WHERE run_id = 'R1'

2 cells noted (emptied, or kept as text):
  2 × email: type
  SELECT * FROM crmmap_notes WHERE run_id = 'R1'

store sqlite:///x.db, run R1
"""
    )


def test_duplicates_are_told_by_rule_where_there_are_several() -> None:
    counts = replace(DONE.counts, fetched=1212, duplicate=12)
    by_rule = {"id": 1, "email": 0, "phone, birth": 11}
    several = replace(REPORT, streams=(replace(DONE, counts=counts, duplicates=by_rule),))
    assert "\ncontacts: duplicates: 1 by id, 11 by phone and birth\n" in told(several)
    none = replace(REPORT, streams=(replace(DONE, duplicates=dict.fromkeys(by_rule, 0)),))
    assert told(none) == told(REPORT)
    assert run_document(several)["streams"][0]["duplicates"] == by_rule  # type: ignore[index]


def test_an_interrupted_run_says_how_to_go_on() -> None:
    report = replace(
        REPORT,
        streams=(
            replace(DONE, counts=Counts(fetched=5, inserted=7, deferred=-2), resumed=True),
            StreamReport(stream="deals", table="deals", status="interrupted", message="go on"),
        ),
    )

    assert (
        told(report)
        == """\
crm (A CRM): interrupted in 12.4 s

stream    table         status         fetched  inserted  updated  unchanged  deferred  rejected  seconds  records/s
--------------------------------------------------------------------------------------------------------------------
contacts  crm_contacts  done, resumed        5         7        0          0        -2         0      8.0          1
deals     deals         interrupted          0         0        0          0         0         0      0.0          -
all                                          5         7        0          0        -2         0     12.4          0

5 fetched = 7 inserted − 2 deferred: balanced

interrupted deals: go on

store sqlite:///x.db, run R1
What was committed stays. To go on from here:
  crmmap run crm
"""  # noqa: E501
    )


def test_a_paused_run_says_when_and_is_no_failure() -> None:
    paused = StreamReport(
        stream="deals", table="deals", status="paused", message="resume after midnight",
        exit_code=ExitCode.PAUSED,
    )  # fmt: skip
    report = replace(REPORT, streams=(DONE, paused))

    assert (report.status, report.exit_code) == ("paused", ExitCode.PAUSED)
    text = told(report)
    assert "paused deals: resume after midnight" in text
    assert text.endswith("Later, the same command goes on:\n  crmmap run crm\n")


def test_a_failure_weighs_more_than_a_pause() -> None:
    codes = (ExitCode.PAUSED, ExitCode.OK, ExitCode.STREAM_FAILED)
    streams = tuple(replace(DONE, exit_code=code) for code in codes)
    report = replace(REPORT, streams=streams)

    assert (report.status, report.exit_code) == ("failed", ExitCode.STREAM_FAILED)
    assert worst([report, replace(REPORT, streams=streams[:2])]) == ExitCode.STREAM_FAILED
    assert worst([replace(REPORT, streams=streams[:2]), REPORT]) == ExitCode.PAUSED


def test_a_failed_stream_names_the_message_and_the_command() -> None:
    failed = replace(DONE, status="failed", message="503 from /x", exit_code=ExitCode.STREAM_FAILED)
    text = told(replace(REPORT, streams=(failed,)))

    assert "failed contacts: 503 from /x" in text
    assert text.endswith("the same command goes on:\n  crmmap run crm\n")


def test_what_was_committed_is_told_only_where_something_was() -> None:
    failed = replace(DONE, status="failed", message="503", exit_code=ExitCode.STREAM_FAILED)
    first = replace(failed, counts=Counts())
    resumed = replace(first, resumed=True)
    stopped = replace(first, status="interrupted", exit_code=ExitCode.OK)

    assert "What was committed stays" in told(replace(REPORT, streams=(failed,)))
    assert "What was committed stays" in told(replace(REPORT, streams=(resumed,)))
    for stream in (first, stopped):
        text = told(replace(REPORT, streams=(stream,)))
        assert "Nothing was committed" in text
        assert "stays" not in text
        assert text.endswith("\n  crmmap run crm\n")


def test_a_stream_whose_every_record_was_rejected_is_shouted() -> None:
    lost = replace(DONE, counts=Counts(fetched=2, rejected=2), reasons={"id: required": 2})
    empty = replace(DONE, stream="deals", counts=Counts(), reasons={})
    report = replace(REPORT, streams=(lost, empty))
    text = told(report)

    assert report.exit_code == ExitCode.DATA_POLICY
    assert report.status == lost.status == "done"
    assert "every record of contacts was rejected; " in text
    assert "every record of deals" not in text


@pytest.mark.parametrize(
    ("streams", "code", "status"),
    [
        ((DONE,), 0, "done"),
        ((replace(DONE, counts=Counts(fetched=2, rejected=2)), DONE), 3, "done"),
        ((replace(DONE, counts=Counts(fetched=2, rejected=1, inserted=1)),), 0, "done"),
        ((replace(DONE, counts=Counts(fetched=2)),), 3, "failed"),
        (
            (
                replace(DONE, counts=Counts(fetched=2, rejected=2)),
                replace(DONE, status="failed", exit_code=ExitCode.STREAM_FAILED),
            ),
            3,
            "failed",
        ),
        (
            (
                replace(DONE, counts=Counts(fetched=2, rejected=2)),
                replace(DONE, status="failed", exit_code=ExitCode.UNREACHABLE),
            ),
            4,
            "failed",
        ),
        (
            (
                replace(DONE, counts=Counts(fetched=2, rejected=2)),
                replace(DONE, status="interrupted"),
            ),
            130,
            "interrupted",
        ),
    ],
)
def test_a_runs_exit_code_and_status(
    streams: tuple[StreamReport, ...], code: int, status: str
) -> None:
    report = replace(REPORT, streams=streams)

    assert (report.exit_code, report.status) == (code, status)


def test_remarks_and_waiting_records_are_told() -> None:
    remark = "added column phone to the existing table contacts"
    waiting = replace(DONE, waiting=3)
    report = replace(REPORT, remarks=(remark,), streams=(waiting,))
    text = told(report)

    assert f"\n{remark}\n" in text
    assert "3 records of contacts wait in crmmap_deferred until a parent arrives." in text
    alone = replace(REPORT, streams=(replace(DONE, waiting=1),))
    assert "1 record of contacts waits in crmmap_deferred until a parent arrives." in told(alone)
    waits = (Waits(field="owner", parent="owners", count=3, since="2024-05-01T10:20:30+00:00"),)
    known = replace(REPORT, streams=(replace(waiting, waits=waits),))
    assert (
        "3 records of contacts wait in crmmap_deferred until a parent arrives:\n"
        "  3 × owner (owners), since 2024-05-01 10:20 UTC\n"
    ) in told(known)
    assert run_document(report)["remarks"] == [remark]


def test_skips_are_never_silent_and_retries_are_counted() -> None:
    met = replace(DONE, retries=3, waited=62.4, skips={"answered 403 Forbidden (rule 1)": 2})
    text = told(replace(REPORT, streams=(met,)))

    assert "contacts: skipped 2 times, for the source has nothing there:\n" in text
    assert "\n  2 × answered 403 Forbidden (rule 1)\n" in text
    assert "\n3 requests sent again, 1 min 02 s waited\n" in text
    (document,) = run_document(replace(REPORT, streams=(met,)))["streams"]
    assert (document["retries"], document["waited"]) == (3, 62.4)
    assert document["skips"] == {"answered 403 Forbidden (rule 1)": 2}


def test_of_several_streams_each_ones_retries_are_told() -> None:
    deals = replace(DONE, stream="deals", retries=1)
    text = told(replace(REPORT, streams=(replace(DONE, retries=2), deals)))

    assert "\n3 requests sent again\n  contacts: 2 requests sent again\n" in text
    assert "sent again" not in told(REPORT)
    assert "skipped" not in told(REPORT)


def test_a_broken_account_is_shouted() -> None:
    text = told(replace(REPORT, streams=(replace(DONE, counts=Counts(fetched=3, inserted=1)),)))

    assert "3 fetched = 1 inserted: NOT balanced, 2 records unaccounted for" in text


def test_a_dry_run_points_at_no_store() -> None:
    text = told(replace(REPORT, dry_run=True))

    assert "nothing was written" in text
    assert "SELECT" not in text
    assert "sqlite" not in text


def test_several_mappings_are_summed_and_the_worst_code_wins() -> None:
    locked = Missed(mapping="other", message="locked by x", exit_code=ExitCode.LOCKED)
    text = told(REPORT, locked)

    assert worst([REPORT, locked]) == ExitCode.LOCKED
    assert worst([]) == ExitCode.OK
    assert "other: failed\n  locked by x\n" in text
    assert "2 mappings: 1 done and 1 failed" in text
    assert text.endswith("= 1,100 inserted + 50 updated + 38 unchanged + 12 rejected: balanced\n")


counts = st.builds(Counts, **{each.name: st.integers(-50, 10**9) for each in fields(Counts)})


@given(counts)
def test_the_accounting_names_every_outcome_that_is_not_zero(each: Counts) -> None:
    assume(each != Counts())
    text = told(replace(REPORT, streams=(replace(DONE, counts=each),)))
    account = next(line for line in text.splitlines() if " fetched = " in line)

    assert account.endswith(": balanced") == each.balanced
    for name in OUTCOMES:
        value = getattr(each, name)
        assert (f"{abs(value):,} {name}" in account) == bool(value)


# --- tables and texts -----------------------------------------------------------------------------


def test_a_terminal_gets_the_same_words_in_colour() -> None:
    parts = tuple(summary([REPORT], {}))
    text = rendered(parts, Terminal())

    assert "\x1b[" in text
    for word in ("crm_contacts", "unchanged", "1,200", "balanced"):
        assert word in text


def test_no_text_can_move_the_cursor() -> None:
    grid = Grid(headings=(Heading("a"),), rows=(("x\x1b[2J\u202ey",),))

    for stream in (io.StringIO(), Terminal()):
        text = rendered([grid, Line("\x1b]0;title\x07\rz")], stream)
        assert "\x1b[2J" not in text
        assert "\x1b]" not in text
        assert "\r" not in text
        assert "\u202e" not in text


@given(st.text())
def test_printable_text_is_printable_and_otherwise_kept(text: str) -> None:
    shown = printable(text)

    assert shown == text or any(not each.isprintable() for each in text)
    assert all(each == "\n" or ord(each) >= 32 for each in shown)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (3599.9, "1 h 00 min"),
     (7620, "2 h 07 min")],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


# --- JSON -----------------------------------------------------------------------------------------


def test_the_json_report_has_every_field_and_its_numbers() -> None:
    document = json.loads(json.dumps(run_document(REPORT)))

    assert {each.name for each in fields(RunReport)} <= set(document)
    names = {each.name for each in fields(StreamReport)} - {"error"}
    assert names <= set(document["streams"][0])
    assert list(document)[:2] == ["status", "exit_code"]
    assert document["exit_code"] == 0
    assert document["streams"][0]["counts"]["rejected"] == 12
    assert document["balanced"] is True


def test_a_run_without_a_report_is_told_in_json_too() -> None:
    missed = Missed(mapping="crm", message="locked", exit_code=ExitCode.LOCKED)

    assert run_document(missed) == {
        "status": "failed", "exit_code": 5, "mapping": "crm", "message": "locked",
    }  # fmt: skip


# --- problems -------------------------------------------------------------------------------------

PROBLEM = Problem(
    file="a b/c.yaml", line=3, column=5, path=("streams", "x", "fields", 0),
    message="50% wrong,\nhere: there. Write 'y'", rule="type",
)  # fmt: skip


def test_problems_in_text_are_one_line_each() -> None:
    text = problem_report([PROBLEM, PROBLEM], format_="text", version="1")

    assert text == 2 * ("a b/c.yaml:3:5: streams.x.fields.0: 50% wrong, here: there. Write 'y'\n")


def test_problems_for_github() -> None:
    assert problem_report([PROBLEM], format_="github", version="1") == (
        "::error file=a b/c.yaml,line=3,col=5,title=crmmap%3A type::"
        "streams.x.fields.0: 50%25 wrong,%0Ahere: there. Write 'y'\n"
    )


def test_problems_in_sarif() -> None:
    absolute = replace(PROBLEM, file="/x/y z.yaml", path=(), rule="yaml.tab")
    log = json.loads(problem_report([PROBLEM, absolute], format_="sarif", version="1.2"))

    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert run["tool"]["driver"]["version"] == "1.2"
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result, problem in zip(run["results"], (PROBLEM, absolute), strict=True):
        assert rules[result["ruleIndex"]] == result["ruleId"] == problem.rule
        place = result["locations"][0]["physicalLocation"]
        assert place["region"] == {"startLine": 3, "startColumn": 5}
    uris = [each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            for each in run["results"]]  # fmt: skip
    assert uris == ["a%20b/c.yaml", "file:///x/y%20z.yaml"]


@pytest.mark.parametrize("format_", FORMATS)
def test_no_problem_is_silence_for_people_and_a_document_for_programs(format_: str) -> None:
    text = problem_report([], format_=format_, version="1")

    assert (text == "") == (format_ in ("text", "github"))
    assert not text or json.loads(text)


# --- progress -------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def batch(records: int) -> Event:
    return Event(kind="batch", stream="s", counts=Counts(fetched=records), pages=2)


def test_plain_progress_tells_ends_and_little_between() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = progress_on(stream, "crm", clock=clock)

    progress.observe(Event(kind="begin", stream="s"))
    for second in range(1, 13):
        clock.now = second
        progress.observe(Event(kind="page", stream="s", pages=second))
        progress.observe(batch(second * 100))
    progress.observe(Event(kind="end", stream="s", counts=Counts(fetched=1200)))

    assert stream.getvalue() == (
        "crm.s: begins\n"
        "crm.s: 500 records from 2 pages, 100 records/s\n"
        "crm.s: 1,000 records from 2 pages, 100 records/s\n"
        "crm.s: ends after 1,200 records in 12.0 s\n"
    )


def test_plain_progress_tells_a_first_wait_at_once() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = progress_on(stream, "crm", clock=clock)

    for _ in range(3):
        progress.observe(Event(kind="wait", stream="", message="waiting 60 s: 429"))

    assert stream.getvalue() == "crm: waiting 60 s: 429\n"


def test_bars_tell_records_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream, clock = Terminal(), Clock()
    progress = progress_on(stream, "crm", clock=clock)
    try:
        progress.observe(Event(kind="begin", stream="s"))
        clock.now = 2.0
        progress.observe(batch(300))
        progress.observe(Event(kind="wait", stream="", message="waiting 60 s: 429"))
        progress.observe(Event(kind="page", stream="s", pages=7, share=0.5))
        progress.say("hello [bold]\x1b[2J")
        progress.observe(Event(kind="end", stream="s", counts=Counts(fetched=300)))
    finally:
        progress.close()

    text = stream.getvalue()
    assert "300 records" in text
    assert "150/s" in text
    assert "hello [bold]\\x1b[2J" in text


def test_progress_into_a_closed_stream_is_lost_without_a_word(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as stream:
        progress = progress_on(stream, "crm")
    progress.observe(Event(kind="begin", stream="s"))
    progress.close()
