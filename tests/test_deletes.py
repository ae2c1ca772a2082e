"""Deletions in whole runs: what vanishes, what must not, and what says that a row is deleted."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import changing_crm
from crmmap.errors import SourceError
from crmmap.events import RunReport
from crmmap.load import Store
from crmmap.loop import Options, run
from crmmap.plan import Plan
from fault_server import FaultServer
from invented import load as load_http
from invented import plan_of, sqlite
from stores import LONG, store_url  # noqa: F401  (a fixture)
from test_increments import Api, serve  # noqa: F401  (a fixture)
from test_loop import Sources, plan, rows

GONE = "CASE WHEN _crmmap_deleted_at IS NULL THEN 0 ELSE 1 END"
Records = list[object]


def stream(name: str, table: str, *fields: str, extra: str = "") -> str:
    lines = "".join(f"      {field}\n" for field in fields)
    return (
        f"  {name}:\n    request: {{path: /{name}}}\n    table: {{{table}}}\n{extra}"
        f"    fields:\n{lines}"
    )


def read(the_plan: Plan, url: str, limit: int | None = None, size: int = 2, **records: Any) -> Any:
    """Run the streams that have records."""
    store = Store.open(url, application="tests")
    options = Options(
        run_id=str(uuid.uuid4()), owner="tests:1", started_at="", limit=limit,
        streams=tuple(records),
    )  # fmt: skip
    try:
        return run(
            the_plan, store, Sources(records, size),  # type: ignore[arg-type]
            options=options, stop=threading.Event(),
        )  # fmt: skip
    finally:
        store.close()


def deleted(report: RunReport) -> dict[str, int]:
    return {each.stream: each.counts.deleted for each in report.streams if each.counts.deleted}


def some(*names: str, **more: object) -> Records:
    return [{"id": name, "name": name.upper(), **more} for name in names]


# --- a complete read ----------------------------------------------------------------------------

PEOPLE = plan(
    stream("firms", "name: firms, key: id", "id: id")
    + stream(
        "people", "name: people, key: id, write: snapshot",
        "id: id", "name: {from: name, check: {max_length: 5}}",
        "firm: {from: firm, lookup: {stream: firms, missing: wait}}",
        "left: {from: left, type: boolean}",
        extra="    where: {left: {one_of: ['false']}}\n",
    )
)  # fmt: skip


def there(url: str) -> list[Any]:
    return [name for name, gone in rows(url, "people", "id", GONE) if not gone]


def test_what_a_complete_read_does_not_bring_vanishes(store_url: str) -> None:
    read(PEOPLE, store_url, people=some(*"abcde"))
    report = read(PEOPLE, store_url, people=some(*"ace"))
    assert (report.counts.unchanged, report.counts.deleted) == (3, 2)
    assert there(store_url) == ["a", "c", "e"]
    again = read(PEOPLE, store_url, people=some(*"ace"))
    assert (again.counts.unchanged, again.counts.deleted) == (3, 0)
    back = read(PEOPLE, store_url, people=some(*"abce"))
    assert (back.counts.unchanged, back.counts.updated) == (3, 1)
    assert there(store_url) == ["a", "b", "c", "e"]
    assert rows(store_url, "crmmap_seen_people", "id") == []


@pytest.mark.parametrize(
    ("changed", "stays"),
    [
        ({"name": "far too long"}, True),
        ({"firm": "none yet"}, True),
        ({"left": True}, False),
    ],
    ids=["rejected", "waits", "filtered"],
)
def test_a_record_that_becomes_no_row_is_there_unless_it_is_not_wanted(
    tmp_path: Path, changed: Mapping[str, object], stays: bool
) -> None:
    url = sqlite(tmp_path)
    read(PEOPLE, url, people=some("a", "b"))
    report = read(PEOPLE, url, people=[*some("a"), *some("b", **changed)])
    assert report.counts.deleted == (0 if stays else 1)
    assert there(url) == (["a", "b"] if stays else ["a"])


@pytest.mark.parametrize(
    ("limit", "records", "why"),
    [
        (1, some("a", "b"), "it was limited"),
        (None, [*some("a"), {"name": "nobody"}], "whose key is not known"),
        (None, [*some("a"), "no record"], "whose key is not known"),
    ],
)
def test_a_read_with_a_gap_deletes_nothing(
    tmp_path: Path, limit: int | None, records: Records, why: str
) -> None:
    url = sqlite(tmp_path)
    read(PEOPLE, url, people=some("a", "b"))
    report = read(PEOPLE, url, limit, people=records)
    assert report.counts.deleted == 0
    assert why in report.streams[0].gap
    assert there(url) == ["a", "b"]


def test_a_read_that_fails_and_goes_on_remembers_what_it_has_met(store_url: str) -> None:
    read(PEOPLE, store_url, people=some(*"abcdef"))
    broken: Records = [*some("a", "b"), SourceError("down")]
    assert read(PEOPLE, store_url, people=broken).counts.deleted == 0
    # By now, even `a` and `b` are gone; but the read that goes on has met them.
    rest = read(PEOPLE, store_url, people=["-", "-", *some("d", "f")])
    assert deleted(rest) == {"people": 2}
    assert there(store_url) == ["a", "b", "d", "f"]
    assert deleted(read(PEOPLE, store_url, people=some("d", "f"))) == {"people": 2}


@pytest.mark.parametrize("gone_on", [False, True])
def test_what_waits_and_is_gone_from_a_complete_read_waits_no_longer(
    store_url: str, gone_on: bool
) -> None:
    """Also where the read was broken off; what was met waits on."""
    waiting = [*some("b", firm="f"), *some("c", firm="f"), *some("d", firm="g")]
    read(PEOPLE, store_url, people=[*some("a"), *waiting])
    read(PEOPLE, store_url, 1, people=some("a"))  # it proves nothing
    people = [*some("a"), waiting[0], *some("e")]
    if gone_on:
        read(PEOPLE, store_url, people=[*people[:2], SourceError("down")])
        people[:2] = "--"
    report = read(PEOPLE, store_url, firms=some("f"), people=people)
    assert rows(store_url, "people", "id", "firm") == [("a", None), ("b", "f"), ("e", None)]
    assert rows(store_url, "crmmap_deferred", "stream") == []
    assert report.counts.balanced
    assert report.counts.deleted == 0


def test_a_limited_read_that_is_gone_on_with_is_not_complete(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    read(PEOPLE, url, people=some(*"abcdef"))
    broken: Records = [*some("a", "b"), SourceError("down")]
    read(PEOPLE, url, limit=5, people=broken)
    report = read(PEOPLE, url, people=["-", "-", *some("d")])
    assert deleted(report) == {}
    assert "limited" in report.streams[0].gap


def test_a_parent_that_only_a_row_names_does_not_vanish(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    the_plan = plan(
        stream("firms", "name: firms, key: id, write: snapshot, deletes: hard", "id: id")
        + stream("people", "name: people, key: id", "id: id",
                 "firm: {from: firm, lookup: {stream: firms, missing: stub}}")
    )  # fmt: skip
    for expected in (1, 0, 0):
        report = read(the_plan, url, firms=some("f"), people=some("a", firm="x"))
        assert report.counts.stubbed == expected
        assert report.counts.deleted == 0
    assert rows(url, "firms", "id") == [("f",), ("x",)]


# --- records that say that their row is deleted -------------------------------------------------

DEALS = (
    "id: id", "name: {from: name, required: true, default: x}", "sum: {from: sum, type: integer}",
    "at: {from: at, type: integer}", "gone: {from: gone, type: boolean, default: 'false'}",
)  # fmt: skip
SAYS = "    deleted: {gone: {one_of: ['true']}}\n"
LATEST = "    dedupe: {keep: {latest: at}}\n"


def deals(deletes: str = "soft", extra: str = "") -> Plan:
    table = f"name: deals, key: id, deletes: {deletes}"
    return plan(stream("deals", table, *DEALS, extra=SAYS + extra))


def deal(name: str, at: int = 1, *, gone: bool | None = None, **more: object) -> dict[str, object]:
    said = {} if gone is None else {"gone": gone}
    return {"id": name, "name": name.upper(), "at": at, **said, **more}


def test_a_tombstone_needs_no_more_than_the_key(store_url: str) -> None:
    the_plan = deals()
    read(the_plan, store_url, deals=[deal("a", sum=5), deal("b")])
    tombstones: Records = [{"id": "a", "gone": True, "sum": "many"}, {"id": "z", "gone": True}]
    report = read(the_plan, store_url, deals=tombstones)
    counts = report.counts
    assert (counts.updated, counts.inserted, counts.deleted, counts.noted) == (1, 1, 1, 1)
    kept = rows(store_url, "deals", "id", "name", "sum", GONE)
    assert kept == [("a", "A", 5, 1), ("b", "B", None, 0), ("z", None, None, 1)]
    again = read(the_plan, store_url, deals=tombstones)
    assert (again.counts.unchanged, again.counts.deleted) == (2, 0)
    back = read(the_plan, store_url, deals=[deal("a", sum=5)])
    assert (back.counts.updated, back.counts.deleted) == (1, 0)
    assert rows(store_url, "deals", "id", GONE)[0] == ("a", 0)


def test_a_tombstone_removes_its_row_for_good(store_url: str) -> None:
    the_plan = deals("hard")
    read(the_plan, store_url, deals=[deal("a"), deal("b")])
    tombstones: Records = [{"id": "a", "gone": True}, {"id": "z", "gone": True}]
    report = read(the_plan, store_url, deals=tombstones)
    assert (report.counts.updated, report.counts.unchanged, report.counts.deleted) == (1, 1, 1)
    assert rows(store_url, "deals", "id") == [("b",)]


def test_a_tombstone_without_a_key_is_rejected(tmp_path: Path) -> None:
    report = read(deals(), sqlite(tmp_path), deals=[{"gone": True}])
    assert report.counts.rejected == 1


@pytest.mark.parametrize("size", [1, 4], ids=["pages", "page"])
def test_the_newest_version_decides_whether_a_row_is_deleted(store_url: str, size: int) -> None:
    the_plan = deals(extra=LATEST)
    orders: list[Records] = [
        [deal("a", 2, gone=True), deal("a", 1)],
        [deal("b", 1), deal("b", 2, gone=True), deal("b", 2)],
        [deal("c", 1, gone=True), deal("c", 2)],
        [deal("d", 2), deal("d", 1, gone=True)],
    ]
    read(the_plan, store_url, size=size, deals=[each for order in orders for each in order])
    assert rows(store_url, "deals", "id", GONE) == [("a", 1), ("b", 1), ("c", 0), ("d", 0)]
    late = read(the_plan, store_url, size=size, deals=[deal("a", 1), deal("d", 1, gone=True)])
    assert (late.counts.duplicate, late.counts.deleted) == (2, 0)


def test_a_tombstone_is_not_lost_for_want_of_a_parent(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    the_plan = plan(
        stream("firms", "name: firms, key: id", "id: id")
        + stream("deals", "name: deals, key: id", *DEALS,
                 "firm: {from: firm, required: true, lookup: {stream: firms, missing: reject}}",
                 extra=SAYS)
    )  # fmt: skip
    read(the_plan, url, firms=some("f"), deals=[deal("a", firm="f"), deal("b", firm="f")])
    report = read(
        the_plan, url, deals=[deal("a", firm="none", gone=True), {"id": "b", "gone": True}]
    )
    assert (report.counts.updated, report.counts.rejected) == (2, 0)
    assert rows(url, "deals", "id", "firm", GONE) == [("a", "f", 1), ("b", "f", 1)]


def test_what_a_tombstone_names_does_not_depend_on_who_made_the_stub(tmp_path: Path) -> None:
    the_plan = plan(
        stream("firms", "name: firms, key: id", "id: {from: id, type: email}")
        + stream("deals", "name: deals, key: id", *DEALS,
                 "firm: {from: firm, required: true, lookup: {stream: firms, missing: stub}}",
                 extra=SAYS)
    )  # fmt: skip
    gone = [deal("a", firm="f@X.org", gone=True), deal("b", firm="none", gone=True)]
    for number, firms in enumerate([[], some("f@x.org")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        report = read(the_plan, sqlite(folder), firms=firms, deals=gone)
        assert report.counts.rejected == 0
        assert rows(sqlite(folder), "deals", "id", "firm", GONE) == [
            ("a", "f@x.org", 1),
            ("b", None, 1),
        ]
        assert rows(sqlite(folder), "firms", "id") == [("f@x.org",)]


# --- streams of what is gone, and of what is there ----------------------------------------------

APART = plan(
    stream("gone", "name: deals, key: id, write: delete", "id: id", "at: {from: at, type: integer}",
           extra=LATEST)
    + stream("ids", "name: deals, key: id, write: sweep", "id: id")
    + stream("deals", "name: deals, key: id", *DEALS, extra=LATEST)
)  # fmt: skip


def test_streams_beside_that_of_the_rows_delete_them(store_url: str) -> None:
    read(APART, store_url, deals=[deal(each, 2) for each in "abcd"])
    report = read(
        APART, store_url, deals=[], gone=[{"id": "a", "at": 3}, {"id": "b", "at": 1}, {"id": "z"}],
    )  # fmt: skip
    gone = next(each.counts for each in report.streams if each.stream == "gone")
    assert (gone.updated, gone.duplicate, gone.unchanged, gone.deleted) == (1, 1, 1, 1)
    swept = read(APART, store_url, ids=[{"id": "b"}, {"id": "d"}])
    assert deleted(swept) == {"ids": 1}
    assert rows(store_url, "deals", "id", GONE) == [("a", 1), ("b", 0), ("c", 1), ("d", 0)]
    late = read(APART, store_url, deals=[deal("a", 2), deal("c", 2)])
    assert (late.counts.duplicate, late.counts.updated) == (1, 1)


def test_they_come_after_the_rows(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    report = read(APART, url, gone=[{"id": "a", "at": 9}], ids=some("b"), deals=[
        deal("a"), deal("b"), deal("c"),
    ])  # fmt: skip
    assert report.streams[0].stream == "deals"
    assert rows(url, "deals", "id", GONE) == [("a", 1), ("b", 0), ("c", 1)]


@pytest.mark.parametrize("turned", [False, True])
def test_a_bare_parent_is_there_before_what_says_that_it_is_gone(
    store_url: str, *, turned: bool
) -> None:
    """Whichever of the two streams is quicker, and stands first in the mapping."""
    lookup = "{from: firm, lookup: {stream: firms, missing: stub}}"
    streams = [
        stream("gone", "name: firms, key: id, write: delete", "id: id"),
        stream("firms", "name: firms, key: id", "id: id"),
        stream("deals", "name: deals, key: id", "id: id", f"firm: {lookup}"),
    ]
    the_plan = plan("".join(streams[::-1] if turned else streams))
    assert the_plan.step("gone").parents in (("firms", "deals"), ("deals", "firms"))
    read(the_plan, store_url, firms=[], gone=some("f"), deals=some("a", firm="f"))
    assert rows(store_url, "firms", "id", GONE) == [("f", 1)]
    assert rows(store_url, "deals", "id", "firm") == [("a", "f")]


def test_rows_that_are_gone_are_not_asked_for_even_where_they_would_be_made(
    tmp_path: Path,
) -> None:
    """A stream that is read for the rows comes after what deletes some, though it makes some."""
    deals = stream(
        "deals", "name: deals, key: id", "id: id",
        "firm: {from: firm, lookup: {stream: firms, missing: stub}}",
        extra="    for_each: {stream: firms}\n",
    ).replace("path: /deals", 'path: "/firms/{{ parent.id }}/deals"')  # fmt: skip
    found = plan(
        stream("gone", "name: firms, key: id, write: delete", "id: id")
        + stream("firms", "name: firms, key: id", "id: id") + deals
    )  # fmt: skip
    assert found.step("gone").parents == ("firms",)
    assert found.step("deals").parents == ("gone", "firms")


WAITING = stream("firms", "name: firms, key: id", "id: id") + stream(
    "deals", "name: deals, key: id", "id: id", "name: name",
    "firm: {from: firm, lookup: {stream: firms, missing: wait}}",
)  # fmt: skip


def test_a_record_that_waits_does_not_bring_back_a_row_that_was_deleted(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    the_plan = plan(WAITING + stream("gone", "name: deals, key: id, write: delete", "id: id"))
    read(the_plan, url, deals=some("a"))
    read(the_plan, url, deals=some("a", firm="f"), gone=some("a"))
    read(the_plan, url, firms=some("f"), deals=[])
    assert rows(url, "deals", "id", GONE) == [("a", 1)]


SWEPT = plan(WAITING + stream("ids", "name: deals, key: id, write: sweep", "id: id"))


def test_what_waits_and_a_sweep_does_not_list_becomes_no_row(store_url: str) -> None:
    """What it lists waits on, and the row of a key that waits, too, is not deleted."""
    read(SWEPT, store_url, deals=some(*"ab"))
    read(SWEPT, store_url, deals=[*some("b", firm="f"), *some(*"cd", firm="f")])
    read(SWEPT, store_url, 1, ids=some("a"))  # it proves nothing
    assert len(rows(store_url, "crmmap_deferred", "stream")) == 3
    report = read(SWEPT, store_url, ids=some(*"abc"))
    assert (deleted(report), report.counts.balanced) == ({}, True)
    read(SWEPT, store_url, firms=some("f"))
    assert rows(store_url, "deals", "id", "firm", GONE) == [
        ("a", None, 0), ("b", "f", 0), ("c", "f", 0),
    ]  # fmt: skip
    assert rows(store_url, "crmmap_deferred", "stream") == []
    report = read(SWEPT, store_url, deals=some(*"ef", firm="g"), ids=some(*"abce"))
    assert [each.counts.deferred for each in report.streams] == [2, -1]
    assert [each.waiting for each in report.streams] == [1, 0]
    assert report.counts.balanced


def test_what_began_to_wait_after_a_sweep_began_waits_on(store_url: str) -> None:
    read(SWEPT, store_url, deals=some("b", firm="f"))
    read(SWEPT, store_url, ids=[*some("x", "y"), SourceError("down")])
    read(SWEPT, store_url, deals=some("c", firm="f"))
    read(SWEPT, store_url, ids=["-", "-", *some("z")])
    read(SWEPT, store_url, firms=some("f"))
    assert rows(store_url, "deals", "id") == [("c",)]


# --- links --------------------------------------------------------------------------------------

LINKS = """
crmmap: 1
name: links
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  people:
    request: {{path: /people}}
    deleted: {{gone: {{one_of: ["true"]}}}}
    table: {{name: people, key: id}}
    fields: {{id: id, name: name, gone: {{from: gone, type: boolean}}}}
  links:
    for_each: {{stream: people, changed: true{batch}}}
    request: {request}
    responses: [{{body: lost, then: skip}}]
    records: items[]
    table:
      name: links
      key: [person, firm]
      deletes: hard
      write: {{kind: snapshot, per: person}}
    fields:
      person: {person}
      firm: firm
      since: {{from: since, type: integer}}
"""
ONE = ('{path: "/people/{{ parent.id }}/firms"}', '{value: "{{ parent.id }}"}', "")
MANY = (
    '{method: POST, path: /links, body: {ids: {each: parents, give: "{{ item.id }}"}}}',
    "{from: person, lookup: people}", ", batch: 3",
)  # fmt: skip


class Crm:
    """People, the firms that they are linked with, and an API that tells."""

    def __init__(self) -> None:
        self.people: dict[str, dict[str, Any]] = {}
        self.links: dict[str, list[str]] = {}

    def api(self) -> Api:
        api = Api({"/people": lambda *_: list(self.people.values()), "/links": self.several})
        for name in "abcd":
            api.paths[f"/people/{name}/firms"] = lambda *_, name=name: self.firms(name)
        return api

    def firms(self, name: str) -> object:
        return {"items": [self.link(name, firm) for firm in self.links.get(name, ())]}

    def several(self, _: Any, body: Any) -> object:
        found = ((name, firm) for name in body["ids"] for firm in self.links.get(name, ()))
        return {"items": [self.link(*each) for each in found]}

    def link(self, name: str, firm: str) -> dict[str, object]:
        return {"person": name, "firm": firm, "since": "bad" if firm == "bad" else 2020}

    def change(self, name: str, *links: str, version: int = 0, **more: Any) -> None:
        self.people[name] = {"id": name, "name": f"{name}{version}", **more}
        self.links[name] = [*links]


@pytest.mark.parametrize("how", [ONE, MANY], ids=["one", "batch"])
def test_links_that_vanished_are_removed_of_those_that_were_asked_for(
    store_url: str, serve: Callable[[Api], str], how: tuple[str, str, str]
) -> None:
    crm = Crm()
    crm.change("a", "x", "y", "z")
    crm.change("b", "x")
    crm.change("c", "y")
    request, person, batch = how
    the_plan = plan_of(
        LINKS.format(url=serve(crm.api()), request=request, person=person, batch=batch), {}
    )
    load_http(the_plan, store_url)
    assert len(rows(store_url, "links", "person", "firm")) == 5
    crm.change("a", "y", "new", version=1)
    crm.change("b", version=1)
    crm.links["c"] = []  # but nobody asks, for `c` itself did not change
    report = load_http(the_plan, store_url)
    assert deleted(report) == {"links": 3}
    assert rows(store_url, "links", "person", "firm") == [("a", "new"), ("a", "y"), ("c", "y")]
    assert deleted(load_http(the_plan, store_url)) == {}
    # A record without a known key: what it was asked for may have more links than came.
    crm.change("a", "", version=2)
    crm.change("d", "z")
    assert deleted(load_http(the_plan, store_url)) == {}
    crm.change("a", "y", "bad", version=3)
    assert deleted(load_http(the_plan, store_url)) == {"links": 1}
    assert rows(store_url, "links", "person", "firm") == [("a", "y"), ("c", "y"), ("d", "z")]


def test_what_an_answer_skips_is_not_gone(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    crm, url = Crm(), sqlite(tmp_path)
    crm.change("a", "x")
    crm.change("b", "x")
    api = crm.api()
    request, person, batch = ONE
    the_plan = plan_of(
        LINKS.format(url=serve(api), request=request, person=person, batch=batch), {}
    )
    load_http(the_plan, url)
    crm.change("a", version=1)
    crm.change("b", version=1)
    crm.change("d", version=1, gone=True)
    api.paths["/people/a/firms"] = lambda *_: {"lost": True}
    assert deleted(load_http(the_plan, url)) == {"links": 1}
    assert rows(url, "links", "person", "firm") == [("a", "x")]


def test_a_key_that_is_too_long_costs_only_its_record(store_url: str) -> None:
    """And where it can't be remembered that it came, nothing vanishes."""
    mirror = plan(stream("people", "name: people, key: id, write: snapshot", "id: id"), batch=100)
    read(mirror, store_url, people=[{"id": "a"}, {"id": "b"}])
    report = read(mirror, store_url, people=[{"id": "a"}, {"id": LONG}, {"id": "c"}])
    (told,) = report.streams
    assert told.status == "done"
    assert told.counts.balanced
    assert told.counts.inserted + told.counts.rejected == 2
    assert (told.counts.rejected, told.counts.deleted, bool(told.gap)) in (
        (0, 1, False),
        (1, 0, True),
    )


PAGED = """
crmmap: 1
name: links
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 1}}
streams:
  people:
    request: {{path: /people}}
    records: items[]
    pagination: {{kind: token, token: next, param: from}}
    deleted: {{gone: {{one_of: ["true"]}}}}
    table: {{name: people, key: id}}
    fields: {{id: id, gone: {{from: gone, type: boolean}}}}
  links:
    for_each: {{stream: people{batch}}}
    request: {{method: POST, path: /links, body: {{of: {of}, by: person}}}}
    records: items[]
    pagination: {{kind: token, token: next, param: from}}
    table: {{name: links, key: id, write: {{kind: snapshot, per: person}}}}
    fields: {{id: id, person: {{from: person, lookup: people}}}}
"""
OF_ONE = ("", '["{{ parent.id }}"]')
OF_MANY = (", batch: 3", '{each: parents, give: "{{ item.id }}"}')


@pytest.mark.parametrize("how", [OF_ONE, OF_MANY], ids=["one", "batch"])
@pytest.mark.parametrize(
    ("who", "comes", "after"), [("c", False, 5), ("b", True, 1)], ids=["goes", "comes"]
)
def test_links_stay_of_those_of_whom_not_all_were_read(
    tmp_path: Path, how: tuple[str, str], who: str, after: int, *, comes: bool
) -> None:
    """A read is interrupted, and somebody goes or comes back before it goes on."""
    url, stop, calls = sqlite(tmp_path), threading.Event(), count(1)
    crm = changing_crm.Crm({"people": {}, "links": {}}, changing_crm.Manner(size=1))
    for name in "abc":
        crm.put("people", name, crm.now())
        for number in "12":
            crm.put("links", name + number, crm.now(), person=name)

    def interrupt() -> None:
        if next(calls) == 3 + after:
            stop.set()

    with FaultServer(crm) as server:
        the_plan = plan_of(PAGED.format(url=server.url, batch=how[0], of=how[1]), {})
        load_http(the_plan, url)
        crm.put("people", who, crm.now(), gone=comes)
        crm.observe = interrupt
        assert load_http(the_plan, url, stop=stop).streams[1].status == "interrupted"
        crm.put("people", who, crm.now(), gone=not comes)
        report = load_http(the_plan, url)
    assert report.streams[1].status == "done"
    assert [name for name, gone in rows(url, "links", "id", GONE) if gone] == []
