"""Answers made to hang a reader, to fill its memory, or to see its secrets: each ends in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from crmmap.extract.body import BadBody
from crmmap.extract.decode import decode_json
from crmmap.extract.expected import page_for_people
from crmmap.extract.lines_body import read_ndjson
from crmmap.extract.xml_body import ALL, NotXml, XmlReader, one_by_one, pieces, read_xml, whole
from crmmap.kinds.pagination import Link
from crmmap.select.xpath import Dialect, RecordPath, compile_record_path
from crmmap.values import Page, Request, Response
from fault_server import FaultServer, Seen, Steps, answer, dripped
from invented import load, plan_of, sqlite, table

SOON = 5.0
"""Seconds: hundreds of times as long as any of it takes, and nothing beside what it took."""


def soon(work: Callable[[], object]) -> object:
    began = monotonic()
    found = work()
    assert monotonic() - began < SOON
    return found


@pytest.mark.parametrize(
    "header",
    ["<x>" + "; " * 30_000 + ";=", "<x>;" + " " * 60_000 + "=", "<x>" + ";" * 60_000 + '"'],
)
def test_a_link_header_of_nothing_but_blanks_is_refused_at_once(header: str) -> None:
    page = Page(number=1, records=[], headers={"link": header})

    def ask() -> None:
        with pytest.raises(ValueError, match="can't be read as links"):
            Link().next(Request(url="https://api.example/x"), page)

    soon(ask)


@pytest.mark.parametrize("text", ["<title>" * 9000, "<title x" * 9000, "<title" * 9000])
def test_a_page_of_titles_without_an_end_is_named_at_once(text: str) -> None:
    answer = Response(status=200, headers={}, body=b"", url="https://api.example/x")
    assert soon(lambda: page_for_people(answer, text)) == "markup"


# --- XML ----------------------------------------------------------------------------------------

PATH = compile_record_path("/r/e", Dialect())
LAUGHS = (
    '<!DOCTYPE r [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + ']><r><e x="&h;">&h;</e></r>'
)
THIEF = '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/hostname">]><r><e>&a;</e></r>'
UTF7 = '<?xml version="1.0" encoding="UTF-7"?>'
UTF16 = '<?xml version="1.0" encoding="UTF-16"?>'


def written(text: str) -> list[bytes]:
    """Return a document in the encodings in which a DOCTYPE may hide."""
    seven = UTF7 + text.replace("<", "+ADw-").replace("&", "+ACY-")
    late = f"<!--{'x' * 100_000}-->{text}"
    return [text.encode(), (UTF16 + text).encode("utf-16"), seven.encode(), late.encode()]


def in_pieces(body: bytes, path: RecordPath, *, most: int = ALL) -> object:
    return one_by_one(pieces(body), path, most=most)


both_ways = pytest.mark.parametrize("read", [whole, in_pieces])


@both_ways
@pytest.mark.parametrize("body", [*written(LAUGHS), *written(THIEF)])
def test_no_document_with_a_doctype_is_read_however_it_is_hidden(read: Any, body: bytes) -> None:
    with pytest.raises(NotXml):
        read(body, PATH)
    assert read_xml(body) is None


@both_ways
def test_namespaces_that_every_record_would_repeat_are_refused_at_once(read: Any) -> None:
    many = " ".join(f'xmlns:n{at}="u"' for at in range(50_000))
    body = f"<r {many}>{'<e/>' * 10_000}</r>".encode()

    def refused() -> None:
        with pytest.raises(NotXml, match="namespaces"):
            read(body, PATH)

    soon(refused)


@both_ways
def test_a_long_namespace_that_every_record_would_repeat_is_refused(read: Any) -> None:
    body = f'<r xmlns="{"u" * 1_000_000}">{"<e/>" * 1000}</r>'.encode()
    path = compile_record_path("/*/*", Dialect())
    with pytest.raises(NotXml, match="too long"):
        read(body, path)


@both_ways
def test_records_that_grow_beyond_what_is_held_are_refused_and_no_matter_alone(read: Any) -> None:
    body = f'<r xmlns="{"u" * 50_000}">{"<e/>" * 100}</r>'.encode()
    path = compile_record_path("/*/*", Dialect())
    with pytest.raises(NotXml, match="to hold"):
        read(body, path, most=1_000_000)
    assert sum(1 for _ in XmlReader(path).feed(body)) == 100


@both_ways
def test_a_few_namespaces_are_no_matter(read: Any) -> None:
    many = " ".join(f'xmlns:n{at}="u{at}"' for at in range(50))
    found, _ = read(f"<r {many}><e/><e/></r>".encode(), PATH)
    assert len(found) == 2


# --- more values than can be held ----------------------------------------------------------------

MANY = 3_000_000


@pytest.mark.parametrize(
    ("body", "decode"),
    [
        (b"[" + b"[]," * MANY + b"[]]", decode_json),
        (b"[" + b"{}," * MANY + b"{}]", decode_json),
        (b"{}\n" * MANY, read_ndjson),
        (b"x\n" * 2 * MANY, read_ndjson),
    ],
)
def test_an_answer_of_millions_of_tiny_values_is_refused_before_it_is_read(
    body: bytes, decode: Callable[[Response], object]
) -> None:
    answer = Response(status=200, headers={}, body=body, url="https://api.example/x")

    def read() -> None:
        with pytest.raises(BadBody, match="smaller pages") as caught:
            decode(answer)
        assert not caught.value.again

    soon(read)


def test_a_long_text_is_no_crowd() -> None:
    text = "x" * 6_000_000
    answer = Response(status=200, headers={}, body=json.dumps([text]).encode(), url="")
    assert decode_json(answer).value == [text]


# --- stopping ------------------------------------------------------------------------------------

SLOW = """
crmmap: 1
name: slow
source: {kind: http, base_url: "URL", retry: {attempts: 3}}
defaults: {batch: 1}
streams:
  people:
    request: {path: /people}
    records: items
    pagination: {kind: token, token: next, param: after}
    table: {name: people, key: id}
    fields: {id: id}
"""


def test_a_run_that_is_to_stop_does_not_wait_for_a_slow_answer(tmp_path: Path) -> None:
    stop = threading.Event()

    def people(seen: Seen) -> Steps:
        if "after" not in seen.target:
            return answer(b'{"items": [{"id": "1"}], "next": "2"}')
        stop.set()
        return [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", *dripped(b"x" * 100, 1)]

    with FaultServer(people) as server:
        began = monotonic()
        plan = plan_of(SLOW.replace("URL", server.url), {})
        report = load(plan, sqlite(tmp_path), stop=stop)
    assert report.streams[0].status == "interrupted"
    assert monotonic() - began < 30
    assert [row[0] for row in table(sqlite(tmp_path), "people")] == ["1"]


# --- what is held with one page ------------------------------------------------------------------

BESIDE = """
crmmap: 1
name: beside
source: {kind: http, base_url: "URL", retry: {attempts: 1}, max_body: 100000}
streams:
  people:
    request: {path: /people}
    records: items
    MORE
    table: {name: people, key: id}
    fields: {id: id}
"""
ENRICH = """enrich:
      others: {request: {path: "/notes/{{ record.id }}"}, on: {id: id}, FAILING}"""
NESTED = """nested:
      - at: notes
        records: items
        request: {path: "/notes/{{ record.id }}"}
        pagination: {kind: token, token: next, param: after}"""


def heavy(seen: Seen) -> Steps:
    if seen.target.startswith("/people"):
        people = [{"id": str(at), "notes": {"items": [], "next": "1"}} for at in range(10)]
        return answer(json.dumps({"items": people}).encode())
    number = seen.target.partition("?")[0].rpartition("/")[2]
    return answer(json.dumps({"items": [{"id": number, "text": "x" * 30_000}]}).encode())


@pytest.mark.parametrize(
    "more",
    [
        NESTED,
        ENRICH.replace("FAILING", "records: items"),
        ENRICH.replace("FAILING", "records: items, on_failure: reject"),
    ],
)
def test_what_belongs_to_one_page_is_no_longer_than_one_answer_may_be(
    tmp_path: Path, more: str
) -> None:
    with FaultServer(heavy) as server:
        text = BESIDE.replace("MORE", more).replace("URL", server.url)
        report = load(plan_of(text, {}), sqlite(tmp_path))
    assert report.streams[0].status == "failed"
    assert "raise the source's max_body" in report.streams[0].message
    assert len(server.requests) == 5


EXPLODED = """
crmmap: 1
name: exploded
source: {kind: http, base_url: "URL", retry: {attempts: 1}}
streams:
  phones:
    request: {path: /people}
    records: "@"
    shape: [explode: {of: phones, as: phone}]
    table: {name: phones, key: phone}
    fields: {phone: phone, note: about.note}
"""


def test_a_long_text_beside_a_long_list_is_not_repeated_without_bounds(tmp_path: Path) -> None:
    person = {"about": {"note": "x" * 1_000_000}, "phones": list(range(10_000))}
    with FaultServer(answer(json.dumps([person]).encode())) as server:
        report = load(plan_of(EXPLODED.replace("URL", server.url), {}), sqlite(tmp_path))
    assert report.streams[0].status == "failed"
    assert "`explode` would repeat more than" in report.streams[0].message


@pytest.mark.parametrize("reset", ["-1", "1e99", "NaN", "inf", "9" * 29, "9" * 400, "", "0", "x"])
@pytest.mark.parametrize("left", ["0", "-5", "9" * 9, "9" * 99, "NaN"])
def test_no_rate_that_answers_tell_hangs_a_run(tmp_path: Path, left: str, reset: str) -> None:
    def people(seen: Seen) -> bytes:
        following = None if "after" in seen.target else "2"
        found = {"items": [{"id": seen.target}], "next": following}
        told = {"x_left": left, "x_reset": reset, "retry_after": reset}
        return answer(json.dumps(found).encode(), **told)

    rate = "rate: {limit: 100, per: 100ms, remaining: X-Left, reset: X-Reset}"
    with FaultServer(people) as server:
        text = SLOW.replace("URL", server.url).replace("retry: {attempts: 3}", rate)
        plan = plan_of(text, {})
        report = soon(lambda: load(plan, sqlite(tmp_path)).streams[0])
    shut = left == "0" and reset == "9" * 29
    assert getattr(report, "status", "") == ("paused" if shut else "done")


def test_a_long_text_that_many_records_include_is_not_repeated_without_bounds(
    tmp_path: Path,
) -> None:
    notes = [{"phone": str(at), "by": "1"} for at in range(1000)]
    found = {"notes": notes, "people": [{"id": "1", "note": "x" * 1_000_000}]}
    text = EXPLODED.replace('"@"', "notes").replace(
        "explode: {of: phones, as: phone}", "include: {from: people, by: id, of: by, as: about}"
    )
    with FaultServer(answer(json.dumps(found).encode())) as server:
        report = load(plan_of(text.replace("URL", server.url), {}), sqlite(tmp_path))
    assert report.streams[0].status == "failed"
    assert "`include` would repeat more than" in report.streams[0].message
