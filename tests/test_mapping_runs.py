"""Whole runs of shipped mappings over real HTTP, against sources that behave as their CRMs do."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from crmmap.loop.run import RunReport
from crmmap.plan import compile_plan, resolve_settings
from crmmap.spec import read_file
from fault_server import FaultServer, Seen, answer
from invented import load, sqlite, table

MAPPINGS = Path(__file__).parent.parent / "mappings"
Query = dict[str, str]


def ran(name: str, settings: Mapping[str, str], folder: Path) -> RunReport:
    mapping = read_file(MAPPINGS / f"{name}.yaml")
    plan = compile_plan(mapping, resolve_settings(mapping, {}, settings))
    return load(plan, sqlite(folder))


def counted(report: RunReport, stream: str) -> tuple[int, int, int]:
    (counts,) = (each.counts for each in report.streams if each.stream == stream)
    return counts.inserted, counts.updated, counts.unchanged


BEGAN = 1_748_868_880_000


def event(at: int, **more: object) -> dict[str, object]:
    lead = {"id": f"lead{at:04}", "city": {"normal": f"City {at}", "raw": f"city {at}"}}
    vars_ = {"lead": lead, "flow": {"id": "f1"}, "source": {"id": "s1"}}
    times = {"start_timestamp": BEGAN + at * 1000, "end_timestamp": BEGAN + at * 1000 + 5}
    return {"id": f"{at:024x}", "type": "source", "outcome": "success", "vars": vars_,
            **times, **more}  # fmt: skip


class LeadConduit:
    """Lists the events after an id, as many as the limit says."""

    def __init__(self, count: int) -> None:
        self.events = [event(at) for at in range(count)]
        self.asked: list[Query] = []

    def __call__(self, seen: Seen) -> bytes:
        wanted = "Basic " + base64.b64encode(b"API:k3y").decode()
        if seen.headers.get("authorization") != wanted:
            return answer(b'{"error":"not authorized"}', 401)
        assert seen.headers["accept"] == "application/json"
        at = urlsplit(seen.target)
        if at.path == "/flows":
            sources = [{"id": "s1", "name": "Web form"}]
            return answer(json.dumps([{"id": "f1", "name": "R", "sources": sources}]).encode())
        query = dict(parse_qsl(at.query))
        self.asked.append(query)
        assert query["sort"] == "asc"
        found = [each for each in self.events if str(each["id"]) > query.get("after_id", "")]
        return answer(json.dumps(found[: int(query["limit"])]).encode())

    def pages(self) -> list[tuple[str | None, str | None]]:
        asked, self.asked = self.asked, []
        return [(query.get("start"), query.get("after_id")) for query in asked]


def test_events_come_after_the_last_id_until_a_page_is_empty(tmp_path: Path) -> None:
    source, first = LeadConduit(2000), "2025-06-01"
    with FaultServer(source) as server:
        settings = {"base_url": server.url, "key": "k3y", "start": first}
        report = ran("activeprospect", settings, tmp_path)
        assert report.status == "done", [each.message for each in report.streams]
        # Two pages are exactly full, so that a third must be asked for. The leads read the same.
        assert source.pages() == [(first, None), (first, f"{999:024x}"), (first, f"{1999:024x}")]
        assert counted(report, "events") == counted(report, "leads") == (2000, 0, 0)
        assert counted(report, "sources") == (1, 0, 0)

        source.events.append(event(2000))
        # An older id than the last one: written late, within the second.
        source.events.insert(1500, event(1500, id=f"{1499:023x}f"))
        report = ran("activeprospect", settings, tmp_path)
        # An hour before the newest event, which is before the very first.
        since = "2025-06-02T12:27:59.000Z"
        assert source.pages()[0] == (since, None)
        assert counted(report, "events") == (2, 0, 2000)
        report = ran("activeprospect", settings, tmp_path)
        assert counted(report, "events") == (0, 0, 2002)
    assert len(table(sqlite(tmp_path), "activeprospect_leads")) == 2001


def test_a_key_that_leadconduit_refuses_is_explained(tmp_path: Path) -> None:
    with FaultServer(LeadConduit(1)) as server:
        report = ran("activeprospect", {"base_url": server.url, "key": "wrong"}, tmp_path)
    assert report.status == "failed"
    told = next(each.message for each in report.streams if each.stream == "flows")
    assert "The API key is wrong, or the account is a free one" in str(told)
