"""XML sources, whole: Atom feeds over real HTTP into a real database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crmmap.extract.xml_body import LARGEST, NotXml, XmlReader, one_by_one, pieces, whole
from crmmap.report.plan import plan_document
from crmmap.select.xpath import Dialect, compile_record_path
from fault_server import FaultServer, answer
from invented import load, mapping, mock, plan_of, sqlite, table

ATOM = """
crmmap: 1
name: harbour
settings: {url: {env: HARBOUR_URL}}
source:
  kind: http
  base_url: "{{ settings.url }}"
  retry: {attempts: 3, base: 0.001}
  format:
    kind: xml
    namespaces: {a: "http://www.w3.org/2005/Atom", d: "urn:data", m: "urn:metadata"}
    null_attribute: "m:null"
    sanitize: true
streams:
  sailors:
    request: {path: /Sailors, params: {"$top": "40"}}
    records: /a:feed/a:entry
    pagination:
      {kind: next_url, url: "/a:feed/a:link[@rel='next']/@href", total: "/a:feed/m:count"}
    table: {name: harbour_sailors, key: id}
    fields:
      id: a:content/m:properties/d:id
      name: a:content/m:properties/d:name
      pay: {from: a:content/m:properties/d:pay, type: "decimal(12,4)"}
      active: {from: a:content/m:properties/d:active, type: boolean}
      changed: {from: a:content/m:properties/d:changed, type: datetime}
      edit: "a:link[@rel='edit']/@href"
      port: {value: "{{ settings.url | length }}", type: integer}
      captain: {from: a:content/m:properties/d:captain, lookup: {stream: sailors, missing: wait}}
"""

FEED = (
    '<feed xml:base="http://x.example/" xmlns:d="urn:data" xmlns:m="urn:metadata"'
    ' xmlns="http://www.w3.org/2005/Atom"><title>Sailors</title>'
)


def entry(number: int, more: str = "") -> str:
    return (
        f'<entry><link rel="related"><m:inline><entry><content><m:properties><d:id>child</d:id>'
        f'</m:properties></content></entry></m:inline></link><link rel="edit" href="S({number})"/>'
        f"<content><m:properties><d:id>{number}</d:id>{more}</m:properties></content></entry>"
    )


def feed(*entries: str, after: str = "") -> bytes:
    return f"{FEED}{''.join(entries)}{after}</feed>".encode()


def rows(url: str) -> list[dict[str, object]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT * FROM harbour_sailors ORDER BY id"))
        result = [
            {name: value for name, value in row._mapping.items()
             if value is not None and not name.startswith("_crmmap")}
            for row in found
        ]  # fmt: skip
    engine.dispose()
    return result


@pytest.mark.compiled
@pytest.mark.parametrize("forced", [False, True], ids=["walk", "xpath"])
def test_a_plan_says_which_fields_a_walk_finds(forced: bool) -> None:
    plan = plan_of(ATOM, {"url": "https://harbour.example"})
    (stream,) = plan_document(plan.exact if forced else plan)["streams"]
    said = {each["field"]: each["selected"] for each in stream["fields"]}
    assert said["name"] == ("exact: CRMMAP_EXACT asks for it" if forced else "compiled")
    assert said["edit"] == "exact: an expression is more than names"
    assert said["port"] == "exact: the mapping gives its value"


def test_a_feed_is_read_page_by_page_and_a_cut_page_is_asked_for_again(tmp_path: Path) -> None:
    first = feed(
        entry(1, '<d:name>A &amp; B &</d:name><d:pay m:type="Edm.Decimal">18450.1000</d:pay>'),
        entry(2, '<d:name m:null="true"/><d:captain>1</d:captain>'),
        after='<link rel="next" href="Sailors?$skiptoken=2"/>',
    )
    last = feed(
        entry(3, "<d:active>true</d:active><d:changed>2025-06-02T09:20:11.5-04:00</d:changed>")
    )
    error = feed(entry(3)).replace(b"</feed>", b"<m:error><m:code/>")
    with FaultServer(answer(first), answer(error), answer(last)) as server:
        store = sqlite(tmp_path)
        report = load(plan_of(ATOM, {"url": server.url}), store)
        asked = [each.target for each in server.requests]
    stream = report.streams[0]
    assert (stream.status, stream.counts.fetched, stream.counts.inserted) == ("done", 3, 3)
    assert stream.notes == {"format: mended": 1}
    assert asked == ["/Sailors?%24top=40", *["/Sailors?%24skiptoken=2"] * 2]
    port = len(server.url)
    assert rows(store) == [
        {"id": "1", "name": "A & B &", "pay": "18450.1000", "edit": "S(1)", "port": port},
        {"id": "2", "captain": "1", "edit": "S(2)", "port": port},
        {"id": "3", "active": 1, "changed": "2025-06-02T13:20:11.500000Z", "edit": "S(3)",
         "port": port},
    ]  # fmt: skip


def test_a_feed_that_stays_cut_is_no_short_page(tmp_path: Path) -> None:
    with FaultServer(answer(feed(entry(1))[:-20])) as server:
        report = load(plan_of(ATOM, {"url": server.url}), sqlite(tmp_path))
        assert len(server.requests) == 3
    assert report.streams[0].status == "failed"
    assert "a document that is cut short" in report.streams[0].message
    assert report.streams[0].counts.fetched == 0


def test_rows_that_wait_are_read_again_from_what_was_kept(tmp_path: Path) -> None:
    page = feed(entry(1, "<d:name>é</d:name><d:captain>2</d:captain>"), entry(2))
    text = ATOM.replace("sanitize: true", "sanitize: false") + "defaults: {batch: 1}\n"
    with FaultServer(answer(page)) as server:
        store = sqlite(tmp_path)
        report = load(plan_of(text, {"url": server.url}), store)
    assert report.streams[0].counts.balanced
    assert [(row["id"], row.get("captain"), row.get("name")) for row in rows(store)] == [
        ("1", "2", "é"), ("2", None, None),
    ]  # fmt: skip


def test_a_reject_keeps_its_element(tmp_path: Path) -> None:
    page = feed(entry(1, "<d:pay>é much</d:pay>"))
    with FaultServer(answer(page)) as server:
        store = sqlite(tmp_path)
        load(plan_of(ATOM, {"url": server.url}), store)
    ((raw,),) = table(store, "(SELECT raw FROM crmmap_rejects)", order="1")
    assert str(raw).isascii()
    assert "<d:pay>é much</d:pay>" in json.loads(str(raw))["xml"]


def test_a_link_to_another_host_is_not_followed(tmp_path: Path) -> None:
    page = feed(entry(1), after='<link rel="next" href="http://127.0.0.2:9/Sailors"/>')
    with FaultServer(answer(page)) as server:
        report = load(plan_of(ATOM, {"url": server.url}), sqlite(tmp_path))
    assert report.streams[0].status == "failed"
    assert "127.0.0.2" in report.streams[0].message


@pytest.mark.parametrize("dirty", [0, 30])
def test_the_mock_speaks_xml_from_the_mapping_alone(tmp_path: Path, dirty: float) -> None:
    mapping(ATOM)
    store = sqlite(tmp_path)
    with mock(records=95, dirty=dirty, text=ATOM) as plan:
        report = load(plan, store)
        again = load(plan, store)
    counts = report.streams[0].counts
    assert report.streams[0].status == "done"
    assert (counts.fetched, report.streams[0].pages) == (95, 3)
    assert counts.balanced
    assert (counts.rejected > 5) is bool(dirty)
    assert again.streams[0].counts.inserted == again.streams[0].counts.updated == 0
    assert any(row.get("edit") and row.get("pay") for row in rows(store))


# --- what a document may cost -------------------------------------------------------------------

PATH = compile_record_path("/feed/entry", Dialect())


def test_records_do_not_pile_up_in_the_tree() -> None:
    reader = XmlReader(PATH)
    found = 0
    for piece in (b"<feed>", *[b"<entry><id>1</id></entry>" * 100] * 50, b"<next>2</next></feed>"):
        found += len(list(reader.feed(piece)))
    root = reader.close()
    assert found == 5000
    assert [child.tag for child in root] == ["next"]


@pytest.mark.parametrize("around", [b"<other>x</other>", b"<entry><id>1</id>"])
def test_a_document_has_bounds(around: bytes) -> None:
    def endless() -> object:
        yield b"<feed>"
        yield around
        while True:
            yield b"<a>12345678</a>" * 70_000

    with pytest.raises(NotXml, match="is larger than 16 MiB") as caught:
        one_by_one(endless(), PATH)  # type: ignore[arg-type]
    assert not caught.value.again
    assert LARGEST == 16 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"<feed><entry>" + b"<a>" * 400 + b"</a>" * 400 + b"</entry></feed>",
        b"<feed><entry>" + b"x" * 11_000_000 + b"</entry></feed>",
    ],
    ids=["deep", "long"],
)
@pytest.mark.parametrize("read", [whole, lambda body, path: one_by_one(pieces(body), path)])
def test_depth_and_length_have_bounds(read: Any, body: bytes) -> None:
    with pytest.raises(NotXml, match="nested too deep, or a text too long") as caught:
        read(body, PATH)
    assert not caught.value.again


TWO_OF_ONE_ANSWER = """
crmmap: 1
name: both
source: {kind: http, base_url: "https://both.example", format: xml}
streams:
  people:
    request: {path: /all}
    records: "/feed/item[@of='person']"
    incremental: {kind: timestamp, field: at, params: {since: "{{ cursor }}"}}
    table: {name: people, key: id}
    fields: {id: "@id", at: {from: at, type: datetime}}
  towns:
    request: {path: /all}
    records: "/feed/town"
    table: {name: towns, key: id}
    fields: {id: "@id"}
"""


def test_the_mock_answers_two_streams_at_once(tmp_path: Path) -> None:
    with mock(records=9, text=TWO_OF_ONE_ANSWER) as plan:
        for inserted in (9, 0):
            report = load(plan, sqlite(tmp_path))
            assert [each.counts.inserted for each in report.streams] == [inserted, inserted]
