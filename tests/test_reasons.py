"""The reasons for which other tools fall back to code, each said by a mapping instead.

A file of `tests/reasons/` is named for its reason, and holds:

    reason      the reason, in words
    mapping     a mapping's text; its `base_url` is `{{ settings.url }}`, where answers come from
    settings    the values of its other settings
    answers     what the source answers: each to one request that fits it, in this order
    rows        table → its rows after the run; columns left out are null
    rejects     the records refused: `{stream, reasons: ["field: rule"]}`; else none
    streams     stream → what else its report says: `{status: skipped, message: part of it}`

An answer: `request` is what the request must have at least (`method`, `path`, `target`, `params`,
`headers`, `body`, and `form` of a body that is a form); `status` (200), `headers`, and `body`
(JSON) or `text`; `packed: true` sends it as a gzip file. `times` says how often it is given (1). A
request that no answer is left for fails the test, and so does an answer that nobody asked for.
`SERVER` in an answer is the server's address.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import sqlalchemy as sa

from crmmap.plan import compile_plan, resolve_settings
from crmmap.spec.document import read_document
from crmmap.spec.read import read_mapping
from fault_server import FaultServer, Seen
from fault_server import answer as answered
from invented import load, sqlite

FOLDER = Path(__file__).parent / "reasons"
OWN = ("_crmmap_", "crmmap_")
"""How our columns and tables begin."""


@dataclass(kw_only=True)
class Source:
    """Gives each answer as often as it may be given, to the requests that fit it."""

    answers: list[dict[str, Any]]
    url: str = ""
    missed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.left = [each.get("times", 1) for each in self.answers]

    def __call__(self, seen: Seen) -> bytes:
        with self.lock:
            for at, each in enumerate(self.answers):
                if self.left[at] and fits(each.get("request", {}), asked(seen)):
                    self.left[at] -= 1
                    return self.written(each)
            self.missed.append(
                f"{seen.method} {seen.target} {seen.body.decode('utf-8', 'replace')}"
            )
        return answered(b"{}", 404)

    def written(self, each: Mapping[str, Any]) -> bytes:
        body = each["text"] if "text" in each else json.dumps(each.get("body", {}))
        headers = {"content_type": "application/json", **each.get("headers", {})}
        headers = {name: str(value).replace("SERVER", self.url) for name, value in headers.items()}
        sent = body.replace("SERVER", self.url).encode()
        sent = gzip.compress(sent, mtime=0) if each.get("packed") else sent
        return answered(sent, each.get("status", 200), **headers)


def asked(seen: Seen) -> dict[str, Any]:
    """Return a request as the files write it."""
    parts = urlsplit(seen.target)
    request: dict[str, Any] = {
        "method": seen.method, "target": seen.target,
        "path": unquote(parts.path), "headers": dict(seen.headers),
        "params": dict(parse_qsl(parts.query, keep_blank_values=True)),
    }  # fmt: skip
    if seen.headers.get("content-type") == "application/x-www-form-urlencoded":
        request["form"] = dict(parse_qsl(seen.body.decode(), keep_blank_values=True))
    elif seen.body:
        request["body"] = json.loads(seen.body)
    return request


def fits(wanted: object, there: object) -> bool:
    """Say whether what is wanted is there: of objects, each entry; of all else, the same."""
    if isinstance(wanted, dict) and isinstance(there, dict):
        found = {**there, **{str(name).lower(): each for name, each in there.items()}}
        return all(
            fits(each, found.get(name, found.get(name.lower()))) for name, each in wanted.items()
        )
    return wanted == there


def rows_of(engine: sa.Engine, table: str) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(sa.text(f'SELECT * FROM "{table}"')).mappings()
        return [
            {name: value for name, value in row.items()
             if value is not None and not name.startswith(OWN)}
            for row in found
        ]  # fmt: skip


def rejects_of(engine: sa.Engine) -> list[tuple[str, tuple[str, ...]]]:
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT stream, reasons FROM crmmap_rejects"))
        return sorted((stream, tuple(map(shown, json.loads(text)))) for stream, text in found)


def shown(reason: Mapping[str, str | None]) -> str:
    return f"{reason['field']}: {reason['rule']}" if reason["field"] else str(reason["rule"])


def several(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_mapping_says_what_others_need_code_for(path: Path, tmp_path: Path) -> None:
    document = read_document(path.read_bytes())
    assert not document.faults, document.faults
    case: Any = document.value
    assert case["reason"]
    source = Source(answers=case["answers"])
    mapping = read_mapping(case["mapping"].encode(), path.name)
    with FaultServer(source) as server:
        source.url = server.url
        given = {"url": server.url, **case.get("settings", {})}
        plan = compile_plan(mapping, resolve_settings(mapping, {}, given))
        report = load(plan, sqlite(tmp_path))
    assert not source.missed, [each.message for each in report.streams]
    assert not any(source.left), "answers that nobody asked for"
    for each in report.streams:
        expected = {"status": "done", **case.get("streams", {}).get(each.stream, {})}
        said = expected.pop("message", "")
        assert {name: getattr(each, name) for name in expected} == expected, each.message
        assert said in each.message
    engine = sa.create_engine(sqlite(tmp_path))
    try:
        for table, rows in case["rows"].items():
            assert several(rows_of(engine, table)) == several(rows)
        refused = [(each["stream"], tuple(each["reasons"])) for each in case.get("rejects", [])]
        assert rejects_of(engine) == sorted(refused)
    finally:
        engine.dispose()
