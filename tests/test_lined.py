"""JSON Lines, CSV and packed answers over real HTTP, and what of them is refused."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from crmmap.extract.body import BadBody
from crmmap.extract.unpack import unpacked
from fault_server import CLOSE, FaultServer, answer
from invented import load, mapping, mock, plan_of, sqlite, table

LINED = """
crmmap: 1
name: harbour
settings: {url: {env: HARBOUR_URL}}
source:
  kind: http
  base_url: "{{ settings.url }}"
  retry: {attempts: 2, base: 0.001}
  format: FORMAT
streams:
  sailors:
    request: {path: /sailors}
    table: {name: harbour_sailors, key: id}
    fields:
      id: ID
      name: NAME
      ship: {value: Beagle}
      captain: {from: CAPTAIN, lookup: {stream: sailors, missing: wait}}
"""


def lined(form: str, **names: str) -> str:
    chosen = {"ID": "id", "NAME": "name", "CAPTAIN": "captain", **names}
    text = LINED.replace("FORMAT", form)
    for name, written in chosen.items():
        text = text.replace(f" {name}\n", f" {written}\n").replace(f" {name},", f" {written},")
    return text


CSV = lined(
    "{kind: csv, delimiter: ';', encoding: cp1252}", ID="Nº", NAME="Full Name", CAPTAIN="Boss"
)


def zipped(*files: tuple[str, bytes]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files:
            archive.writestr(name, body)
    return file.getvalue()


LINES = b'{"id": "1", "name": "Ann", "captain": "2"}\n{"id": "2", "name": null}\n'
ROWS = [("1", "Ann", "Beagle", "2"), ("2", None, "Beagle", None)]


@pytest.mark.parametrize(
    ("form", "pack"),
    [
        ("{kind: ndjson}", lambda body: body),
        ("{kind: ndjson, unpack: gzip}", gzip.compress),
        ("{kind: ndjson, unpack: auto}", gzip.compress),
        ("{kind: ndjson, unpack: auto}", lambda body: body),
        ("{kind: ndjson, unpack: zip}", lambda body: zipped(("../../etc/passwd", body))),
        ("{kind: ndjson, unpack: auto}", lambda body: zipped(("a/", b""), ("a/b", body))),
    ],
)
def test_lines_are_records(tmp_path: Path, form: str, pack: Callable[[bytes], bytes]) -> None:
    with FaultServer(answer(pack(LINES))) as server:
        report = load(plan_of(lined(form), {"url": server.url}), store := sqlite(tmp_path))
    assert report.streams[0].status == "done", report.streams[0].message
    assert [row[:4] for row in table(store, "harbour_sailors")] == ROWS


def test_csv_is_read_by_its_headers_and_refused_by_the_line(tmp_path: Path) -> None:
    body = "Nº;Other;Full Name;Boss\r\n1;x;Ann;2\r\n3;y\r\n2;z;;\r\n".encode("cp1252")
    with FaultServer(answer(body)) as server:
        report = load(plan_of(CSV, {"url": server.url}), store := sqlite(tmp_path))
    assert report.streams[0].reasons == {"file.ragged": 1}
    assert report.streams[0].counts.fetched == 3
    assert [row[:4] for row in table(store, "harbour_sailors")] == ROWS


def test_csv_without_a_header_that_is_read_is_refused(tmp_path: Path) -> None:
    with FaultServer(answer("Nº;Name\r\n1;Ann\r\n".encode("cp1252"))) as server:
        report = load(plan_of(CSV, {"url": server.url}), sqlite(tmp_path))
    assert report.streams[0].status == "failed"
    assert "'Full Name'" in report.streams[0].message


@pytest.mark.parametrize("text", [lined("{kind: ndjson}"), CSV], ids=["ndjson", "csv"])
def test_lines_that_may_be_cut_short_are_refused(tmp_path: Path, text: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    with FaultServer([head + LINES, CLOSE]) as server:
        report = load(plan_of(text, {"url": server.url}), sqlite(tmp_path))
        assert len(server.requests) == 1
    assert report.streams[0].status == "failed"
    assert "does not say how long it is" in report.streams[0].message


def encrypted() -> bytes:
    body = bytearray(zipped(("a", b"x" * 100)))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(mark) + at] |= 1
    return bytes(body)


@pytest.mark.parametrize(
    ("how", "body", "says", "again"),
    [
        ("gzip", b"plain", "not compressed", True),
        ("gzip", gzip.compress(b"x" * 100)[:-9], "cut short", True),
        ("gzip", gzip.compress(gzip.compress(b"x")), "packed once more", False),
        ("zip", b"plain", "damaged or cut short", True),
        ("zip", zipped(("a", b"x" * 100))[:60], "damaged or cut short", True),
        ("zip", zipped(("a", b"1"), ("b", b"2")), "holds 2 files", False),
        ("zip", zipped(), "holds 0 files", False),
        ("zip", zipped(("a", zipped(("b", b"x")))), "packed once more", False),
        ("zip", encrypted(), "encrypted", False),
        ("zip", zipped(("a", bytes(2_000_000))), "longer than 1000000 bytes", False),
        ("gzip", gzip.compress(bytes(2_000_000)), "longer than 1000000 bytes", False),
    ],
    ids=lambda each: None if isinstance(each, str | bool) else "body",
)
def test_what_is_packed_badly_is_refused(how: str, body: bytes, says: str, again: bool) -> None:
    with pytest.raises(BadBody, match=says) as caught:
        unpacked(body, how, limit=1_000_000)  # type: ignore[arg-type]
    assert caught.value.again is again


def test_a_bomb_is_let_lie() -> None:
    with pytest.raises(BadBody, match="bomb") as caught:
        unpacked(zipped(("a", bytes(40_000_000))), "zip", limit=2**30)
    assert not caught.value.again


@pytest.mark.parametrize("dirty", [0, 30])
@pytest.mark.parametrize(
    "text",
    [lined("{kind: ndjson, unpack: zip}"), CSV, lined("{kind: json, unpack: auto}")],
    ids=["ndjson", "csv", "json"],
)
def test_the_mock_speaks_in_lines(tmp_path: Path, text: str, dirty: float) -> None:
    mapping(text)
    with mock(records=95, dirty=dirty, text=text) as plan:
        report = load(plan, sqlite(tmp_path))
    assert report.streams[0].status == "done", report.streams[0].message
    assert report.streams[0].counts.fetched == 95
    assert report.streams[0].counts.balanced
    assert (report.streams[0].counts.rejected > 5) is bool(dirty)


SHIPS = """
crmmap: 1
name: harbour
source: {kind: http, base_url: "https://harbour.example", format: ndjson}
streams:
  ships:
    request: {path: /ships}
    shape: [parse_json: {of: papers}]
    table: {name: ships, key: id}
    fields: {id: id, flag: papers.flag}
  masts:
    pages_of: ships
    shape: [explode: {of: masts, as: mast}]
    table: {name: masts, key: [ship, mast]}
    fields: {ship: id, mast: mast.id, wood: mast.wood}
"""


def test_the_mock_undoes_shapes_line_by_line(tmp_path: Path) -> None:
    with mock(records=40, text=SHIPS) as plan:
        report = load(plan, sqlite(tmp_path))
    assert [each.counts.inserted for each in report.streams] == [40, 40]
    assert [each.reasons for each in report.streams] == [{}, {}]
