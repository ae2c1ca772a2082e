"""Streams with a shape, run whole: pages, what the mapping gives, rows that wait, and the mock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from crmmap.extract.spool import Spool
from crmmap.prove import Asked
from crmmap.prove.cases import cases_of
from crmmap.prove.casework import failure
from crmmap.prove.proving import prove
from crmmap.report.parts import Line
from crmmap.report.plan import plan_document, plan_parts
from crmmap.spec.read import read_mapping
from crmmap.values import Request, Response, Secret
from fault_server import FaultServer, Seen, answer
from invented import load, mock, plan_of, sqlite, table

HEAD = """
crmmap: 1
name: shapes
settings: {url: {env: SHAPES_URL, default: "https://api.shapes.example"}}
source: {kind: http, base_url: "{{ settings.url }}", retry: {attempts: 1}}
defaults: {batch: 20}
streams:
"""
EVERY = (
    HEAD
    + r"""
  accounts:
    request: {path: /accounts}
    records: list
    shape: [entries: {key: id}]
    pagination: {kind: token, token: next, param: after}
    table: {name: accounts, key: id}
    fields: {id: id, name: {from: name, required: true}}
  sheets:
    request: {path: /sheets, params: {limit: "7"}}
    records: values
    shape: [header_row: 1]
    pagination: {kind: offset, param: offset, size: 7}
    table: {name: sheets, key: Code}
    fields: {Code: Code, amount: {from: Amount, type: "decimal(9,2)"}}
  reports:
    request: {path: /reports}
    records: reports[]
    shape:
      - zip:
          names: "[dimensions[].name, metrics[].name][]"
          rows: rows
          cells: "[ds[].value, ms[].value][]"
    pagination: {kind: token, token: next, param: after}
    table: {name: reports, key: day}
    fields: {day: day, visits: {from: visits, type: integer}}
  labels:
    request: {path: /labels}
    records: values
    shape: [wrap: label]
    pagination: {kind: token, token: next, param: after}
    table: {name: labels, key: label}
    fields: {label: label}
  tickets:
    request: {path: /tickets}
    shape: [union: {of: {open: open.items, closed: "closed[]"}, as: state}]
    pagination: {kind: token, token: next, param: after}
    table: {name: tickets, key: id}
    fields: {id: id, state: state, title: title}
  phones:
    request: {path: /contacts, params: {limit: "9"}}
    records: results
    shape:
      - explode: {of: groups, as: group}
      - explode: {of: group.phones, as: phone, index: place}
    pagination: {kind: keyset, from: id, param: after, size: 9}
    table: {name: phones, key: [contact, place]}
    fields:
      contact: id
      account: {from: account, lookup: accounts}
      place: {from: place, type: integer}
      number: {from: phone.number, type: phone}
      kind: group.kind
  posts:
    request: {path: /posts}
    records: data
    shape:
      - include: {from: included, by: [type, id], of: rel.author.data, as: author}
      - rename: {match: "^hs_", to: "", in: attributes}
      - collect: {match: "^cf_", into: custom}
      - parse_json: {of: extra}
      - pivot:
          of: extra
          name: title
          value: value
          as: answers
          clean: [lower, {replace: {find: "[^a-z]+", with: _, regex: true}}]
    pagination: {kind: next_url, url: links.next}
    table: {name: posts, key: id}
    fields:
      id: id
      author: author.attributes.name
      title: {from: attributes.title, required: true}
      size: {from: custom.cf_size, type: integer}
      source: answers.lead_source
"""
)
STREAMS = ["accounts", "sheets", "reports", "labels", "tickets", "phones", "posts"]


def test_the_mock_sends_what_every_shape_takes_apart(tmp_path: Path) -> None:
    with mock(records=50, text=EVERY) as plan:
        first = load(plan, sqlite(tmp_path))
        second = load(plan, sqlite(tmp_path))
    for stream in first.streams:
        assert (stream.status, stream.reasons) == ("done", {}), (stream.stream, stream.message)
        assert stream.counts.fetched == stream.counts.inserted == 50, stream.stream
    for stream in second.streams:
        assert stream.counts.unchanged == 50, stream.stream
    filled = {name: table(sqlite(tmp_path), name) for name in STREAMS}
    for name, rows in filled.items():
        for column in zip(*rows, strict=True):
            assert any(each is not None for each in column), name


def test_broken_records_are_accounted_for(tmp_path: Path) -> None:
    # A key that is broken in a page's last record is no way to ask for the next one.
    text = EVERY.replace("keyset, from: id, param: after", "offset, param: offset")
    with mock(records=60, dirty=30, text=text) as plan:
        report = load(plan, sqlite(tmp_path))
    for stream in report.streams:
        assert stream.status == "done", (stream.stream, stream.message)
        assert stream.counts.balanced
        assert stream.counts.fetched == 60, stream.stream
        assert stream.counts.rejected, stream.stream


def test_a_read_cut_short_goes_on_where_it_was(tmp_path: Path) -> None:
    with mock(records=50, text=EVERY) as plan:
        load(plan, sqlite(tmp_path), limit=13)
        load(plan, sqlite(tmp_path))
        cut = {name: table(sqlite(tmp_path), name) for name in STREAMS}
        (tmp_path / "whole").mkdir()
        load(plan, sqlite(tmp_path / "whole"))
        whole = {name: table(sqlite(tmp_path / "whole"), name) for name in STREAMS}
    assert cut == whole


@pytest.fixture
def serve() -> Any:
    servers: list[FaultServer] = []

    def start(answers: Callable[[str], object]) -> str:
        def give(seen: Seen) -> bytes:
            return answer(json.dumps(answers(seen.target)).encode())

        servers.append(FaultServer(give).__enter__())
        return servers[-1].url

    yield start
    for each in servers:
        each.__exit__(None, None, None)


ITEMS = (
    HEAD
    + """
  orders:
    request: {path: /orders}
    records: orders
    pagination: {kind: none}
    table: {name: orders, key: id}
    fields: {id: id}
  lines:
    request: {path: /carts, params: {region: "north"}}
    records: carts
    shape: [explode: {of: lines, as: line, index: at}]
    pagination: {kind: page, param: page, size: 2}
    table: {name: lines, key: [order, at]}
    fields:
      order: {from: order, lookup: {stream: orders, missing: wait}}
      at: {from: at, type: integer}
      article: line.article
      region: {value: north}
"""
)


def test_pages_are_counted_as_sent_and_rows_wait_as_shaped(
    tmp_path: Path, serve: Callable[[Callable[[str], object]], str]
) -> None:
    orders: list[object] = [{"id": "a"}]
    carts: list[list[object]] = [
        [
            {"order": "a", "lines": [{"article": "x"}, {"article": "y"}]},
            {"order": "b", "lines": []},
        ],
        [{"order": "b", "lines": [{"article": "z"}, None]}],
    ]

    def give(target: str) -> object:
        if target.startswith("/orders"):
            return {"orders": orders}
        return {"carts": carts["page=2" in target]}

    plan = plan_of(ITEMS, {"url": serve(give)})
    lines = load(plan, sqlite(tmp_path)).streams[1]
    # The first page has as many carts as were asked for, though three lines come of four carts.
    assert (lines.pages, lines.counts.fetched, lines.counts.deferred) == (2, 4, 2), lines.message
    orders.append({"id": "b"})
    load(plan, sqlite(tmp_path))
    rows = table(sqlite(tmp_path), "lines")
    assert [row[:4] for row in rows] == [
        ("a", 0, "x", "north"), ("a", 1, "y", "north"),
        ("b", 0, "z", "north"), ("b", 1, None, "north"),
    ]  # fmt: skip


def test_a_source_that_ignores_the_page_is_told_by_what_it_sent(
    tmp_path: Path, serve: Callable[[Callable[[str], object]], str]
) -> None:
    same = {"orders": [], "carts": [{"order": "a", "lines": []}, {"order": "b", "lines": []}]}
    report = load(plan_of(ITEMS, {"url": serve(lambda _: same)}), sqlite(tmp_path))
    assert "the same records as the page before it" in report.streams[1].message


def test_the_plan_shows_the_steps() -> None:
    document = plan_document(plan_of(EVERY, {"url": "https://api.shapes.example"}))
    shown = {each["stream"]: each["shape"] for each in document["streams"]}
    assert shown["accounts"] == ["entries(key=id)"]
    assert shown["tickets"] == ["union(of={open: open.items, closed: 'closed[]'}, as=state)"]
    assert shown["posts"][1] == "rename(match='^hs_', to='', in=attributes)"
    assert "clean=[lower, replace(" in shown["posts"][4]
    lines = [part.text for part in plan_parts(document) if isinstance(part, Line)]
    assert "   shape     entries(key=id)" in lines


# --- several streams that read the same pages -----------------------------------------------------

SHARED = (
    HEAD
    + """
  people:
    request: {path: /people}
    records: people
    pagination: {kind: token, token: next, param: after}
    incremental: {kind: timestamp, field: at, params: {since: "{{ cursor }}"}}
    table: {name: people, key: id}
    fields: {id: id, at: {from: at, type: datetime}}
  phones:
    pages_of: people
    records: people
    shape: [explode: {of: phones, as: phone, index: place}]
    table: {name: phones, key: [person, place]}
    fields:
      person: {from: id, lookup: people}
      place: {from: place, type: integer}
      phone: phone
"""
)
PEOPLE: list[dict[str, object]] = [
    {"id": "1", "at": "2024-01-01T00:00:00Z", "phones": ["a", "b"]},
    {"id": "2", "at": "2024-01-02T00:00:00Z", "phones": ["c"]},
    {"id": "3", "at": "2024-01-03T00:00:00Z", "phones": []},
]
PHONES = [("1", 0, "a"), ("1", 1, "b"), ("2", 0, "c")]


class People:
    """Gives people one by one, from the time asked for; may break at one page, once."""

    def __init__(self, broken: str = "") -> None:
        self.broken, self.asked = broken, list[str]()
        self.people = [dict(each) for each in PEOPLE]

    def __call__(self, seen: Seen) -> bytes:
        query = dict(parse_qsl(urlsplit(seen.target).query))
        self.asked.append(seen.target.partition("/people")[2])
        if self.broken and query.get("after") == self.broken:
            self.broken = ""
            return answer(b"{}", 400)
        found = [each for each in self.people if str(each["at"]) >= query.get("since", "")]
        at = int(query.get("after", 0))
        more = str(at + 1) if at + 1 < len(found) else None
        return answer(json.dumps({"people": found[at : at + 1], "next": more}).encode())

    def queries(self) -> list[str]:
        found, self.asked = self.asked, []
        return found


def phones(folder: Path) -> list[tuple[object, ...]]:
    return [row[:3] for row in table(sqlite(folder), "phones")]


def test_an_answer_is_asked_for_once_though_two_streams_read_it(tmp_path: Path) -> None:
    source = People()
    with FaultServer(source) as server:
        plan = plan_of(SHARED, {"url": server.url})
        first = load(plan, sqlite(tmp_path))
        assert source.queries() == ["", "?after=1", "?after=2"]
        assert [each.counts.inserted for each in first.streams] == [3, 3]
        assert phones(tmp_path) == PHONES
        # The person who was changed last has no phone; the cursor of both streams is theirs.
        for _ in range(2):
            load(plan, sqlite(tmp_path))
            assert source.queries() == ["?since=2024-01-03T00%3A00%3A00.000Z"]
        source.people[2] |= {"at": "2024-01-04T00:00:00.000Z", "phones": ["d"]}
        load(plan, sqlite(tmp_path))
        assert len(source.queries()) == 1
    assert phones(tmp_path) == [*PHONES, ("3", 0, "d")]


def test_what_the_first_stream_did_not_read_in_this_run_is_asked_for(tmp_path: Path) -> None:
    source = People(broken="1")
    with FaultServer(source) as server:
        plan = plan_of(SHARED, {"url": server.url})
        broken = load(plan, sqlite(tmp_path))
        assert [each.status for each in broken.streams] == ["failed", "skipped"]
        assert source.queries() == ["", "?after=1"]
        load(plan, sqlite(tmp_path))
        # The first goes on with its second page; the other lacks the one before.
        assert source.queries() == ["?after=1", "?after=2", ""]
        assert phones(tmp_path) == PHONES
        load(plan, sqlite(tmp_path))
        assert len(source.queries()) == 1


def test_a_stream_that_reads_anothers_pages_runs_alone_too(tmp_path: Path) -> None:
    source = People()
    with FaultServer(source) as server:
        plan = plan_of(SHARED, {"url": server.url})
        load(plan, sqlite(tmp_path), streams=("people",))
        assert len(source.queries()) == 3
        load(plan, sqlite(tmp_path), streams=("phones",))
        # Nothing of it was read before, whatever the cursor of the other says.
        assert source.queries() == ["", "?after=1", "?after=2"]
        assert phones(tmp_path) == PHONES
        load(plan, sqlite(tmp_path))
        assert source.queries()[0].startswith("?since=")


def test_a_limited_read_leaves_nothing_behind(tmp_path: Path) -> None:
    source = People()
    with FaultServer(source) as server:
        plan = plan_of(SHARED, {"url": server.url})
        load(plan, sqlite(tmp_path), limit=1)
        assert source.queries() == [""]
        load(plan, sqlite(tmp_path))
    assert phones(tmp_path) == PHONES


def test_the_plan_says_whose_pages_are_read(tmp_path: Path) -> None:
    document = plan_document(plan_of(SHARED, {"url": "https://api.shapes.example"}))
    lines = [part.text for part in plan_parts(document) if isinstance(part, Line)]
    assert any("; those of people, asked for once" in line for line in lines)
    assert document["streams"][1]["after"] == ["people"]


def test_the_mock_serves_streams_that_read_the_same_pages(tmp_path: Path) -> None:
    with mock(records=30, text=SHARED) as plan:
        for expected in ("inserted", "unchanged"):
            report = load(plan, sqlite(tmp_path), fresh=True)
            for each in report.streams:
                assert getattr(each.counts, expected) == 30, (each.stream, each.counts)


# --- the spool -----------------------------------------------------------------------------------

ASKED = Request(url="https://api.example/people", headers=(("X-Key", Secret("s")),))
SAID = Response(status=200, headers={"a": "b"}, body=b"x" * 1000, url="https://api.example/people")


def test_a_spool_gives_back_what_it_was_given() -> None:
    spool = Spool()
    spool.keep(ASKED, SAID)
    assert spool.find(ASKED) == SAID
    assert spool.find(ASKED.with_param("page", "2")) is None
    assert spool.find(ASKED.with_body("page", 2)) is None
    spool.close()
    assert spool.find(ASKED) is None
    spool.keep(ASKED, SAID)


@pytest.mark.parametrize("bounds", [{"largest": 20}, {"most": 1}])
def test_a_spool_that_is_full_keeps_what_it_has(bounds: dict[str, int]) -> None:
    spool = Spool(**bounds)
    spool.keep(ASKED, SAID)
    other = ASKED.with_param("page", "2")
    spool.keep(other, SAID)
    assert [spool.find(each) for each in (ASKED, other)] == [SAID, None]
    spool.close()


# --- lists in records that come in pieces ---------------------------------------------------------

NESTED = (
    HEAD
    + """
  companies:
    request: {path: /contacts}
    records: results
    nested:
      - at: companies
        records: results
        request: {path: "/contacts/{{ record.id }}/companies"}
        pagination: {kind: next_url, url: next}
    responses: [{status: 404, then: {kind: skip}}]
    shape: [explode: {of: companies.results, as: company}]
    pagination: {kind: none}
    table: {name: companies, key: [contact, company]}
    fields: {contact: id, company: company.id}
"""
)


@pytest.mark.parametrize(
    ("way", "says"),
    [("/again", "goes in a circle"), ("https://evil.example/x", "evil.example"),
     ("/other", "there is no list 'results' in the answer of"), ("", "")],
)  # fmt: skip
def test_a_list_in_pieces_is_held_to_the_bounds_of_pages(
    tmp_path: Path, serve: Callable[[Callable[[str], object]], str], way: str, says: str
) -> None:
    contact = {"id": "1", "companies": {"results": [{"id": "a"}], "next": way or None}}

    def give(target: str) -> object:
        if target == "/contacts":
            return {"results": [contact]}
        return {"results": [{"id": target}], "next": "/again"} if target == "/again" else {}

    (stream,) = load(plan_of(NESTED, {"url": serve(give)}), sqlite(tmp_path)).streams
    assert stream.status == ("failed" if way else "done")
    assert says in stream.message
    assert len(table(sqlite(tmp_path), "companies")) == (0 if way else 1)


def test_a_piece_that_a_rule_skips_is_reported(tmp_path: Path) -> None:
    def give(seen: Seen) -> bytes:
        if seen.target != "/contacts":
            return answer(b"{}", 404)
        found = {"id": "1", "companies": {"results": [{"id": "a"}], "next": "/more"}}
        return answer(json.dumps({"results": [found]}).encode())

    with FaultServer(give) as server:
        report = load(plan_of(NESTED, {"url": server.url}), sqlite(tmp_path))
    (stream,) = report.streams
    assert (stream.status, stream.counts.inserted) == ("done", 1), stream.message
    assert sum(stream.skips.values()) == 1


def test_a_record_that_can_not_name_its_pieces_fails_the_stream_in_words(
    tmp_path: Path, serve: Callable[[Callable[[str], object]], str]
) -> None:
    contact = {"companies": {"results": [], "next": "/more"}}
    plan = plan_of(NESTED, {"url": serve(lambda _: {"results": [contact]})})
    (stream,) = load(plan, sqlite(tmp_path)).streams
    assert "a template of the request can't be rendered" in stream.message


def test_the_plan_names_the_lists_that_come_in_pieces() -> None:
    document = plan_document(plan_of(NESTED, {"url": "https://api.shapes.example"}))
    lines = [part.text for part in plan_parts(document) if isinstance(part, Line)]
    assert "   nested    companies, by next_url(url=next)" in lines


# --- cases ---------------------------------------------------------------------------------------

CASES = """
cases:
  - name: records are given as the API lists them
    stream: phones
    given: [{id: "1", phones: [a, b]}, {id: "2", phones: 7}, {id: "3"}]
    rows: [{person: "1", place: 0, phone: a}, {person: "1", place: 1, phone: b}]
    rejects: [{key: null, reasons: [shape.type]}]
  - name: an answer holds them where the stream whose pages are read has them
    stream: phones
    answer: {people: [{id: "1", phones: [a]}], next: null}
    rows: [{person: "1", place: 0, phone: a}]
"""


UNITED = (
    HEAD
    + """
  tickets:
    request: {path: /tickets}
    shape: [union: {of: {open: open.items, closed: "closed[]"}, as: state}]
    pagination: {kind: token, token: next, param: after}
    table: {name: tickets, key: id}
    fields: {id: id, state: state, title: title}
"""
)


def test_the_laws_hold_of_a_shape_that_does_not_keep_the_order_of_records() -> None:
    spec = read_mapping(UNITED.encode(), "shapes.yaml")
    proofs = list(prove(spec, Asked(examples=5, seconds=None), lambda _: None))
    assert [each.finding for each in proofs if each.finding is not None] == []


def test_cases_of_a_shaped_stream_give_what_the_source_sends() -> None:
    spec = read_mapping(SHARED.encode(), "shapes.yaml")
    found = [failure(spec, Path("x"), case) for case in cases_of(CASES.encode(), "x", spec)]
    assert found == [None, None]
