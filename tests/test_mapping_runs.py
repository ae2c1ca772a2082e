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


TASKS: dict[str, list[dict[str, object]]] = {
    "2024": [],
    "2025": [{"id": 5801234567890000 + at, "entity_ids": [71], "updated": "2025-06-03T08:00:00"}
             for at in range(5)],
    "unscheduled": [{"id": 5801234567890003, "updated": "2025-06-03T08:00:01"},
                    {"id": 5801234567890099, "entity_ids": [71, 72]}],
    "undated": [{"id": 5801234567890111}],
}  # fmt: skip


class Arrivy:
    """Lists two to a page, whatever it is asked for; it may ignore which page is asked for."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.stuck = stuck
        self.targets: list[str] = []

    def __call__(self, seen: Seen) -> bytes:
        assert seen.headers["x-auth-key"] == "k3y"
        assert seen.headers["x-auth-token"] == "t0k3n"
        at = urlsplit(seen.target)
        if at.path != "/tasks":
            steps = at.path.endswith("/status") and "page=2" not in at.query
            found = [{"id": int(at.path.split("/")[2]), "type": "ENROUTE"}] if steps else []
            return answer(json.dumps(found).encode())
        self.targets.append(seen.target)
        query = dict(parse_qsl(at.query))
        which = query["from"][:4] if "from" in query else "unscheduled"
        which = "undated" if query.get("tasks_with_no_datetime") == "true" else which
        page = 1 if self.stuck else int(query.get("page", 1))
        return answer(json.dumps(TASKS[which][page * 2 - 2 : page * 2]).encode())


def test_tasks_come_in_passes_whose_end_is_an_empty_page(tmp_path: Path) -> None:
    source = Arrivy()
    with FaultServer(source) as server:
        settings = {"base_url": server.url, "api_key": "k3y", "api_token": "t0k3n",
                    "years": "2024,2025"}  # fmt: skip
        report = ran("arrivy", settings, tmp_path)
        assert report.status == "done", [each.message for each in report.streams]
        passes = [dict(parse_qsl(urlsplit(each).query)) for each in source.targets]
        asked = [each.get("from", "")[:4] or "".join({*each} - {"items_per_page", "page"})
                 for each in passes]  # fmt: skip
        assert asked == [
            "2024", *["2025"] * 4, *["unscheduled"] * 2, *["tasks_with_no_datetime"] * 2,
        ]  # fmt: skip
        # A plus sign in a query is a space to Arrivy.
        assert "from=2024-01-01T00%3A00%3A00%2B00%3A00" in source.targets[0]
        # A task that came in two passes is one.
        assert counted(report, "api_tasks") == (7, 0, 0)
        assert counted(report, "task_statuses") == (7, 0, 0)
        ids = [row[0] for row in table(sqlite(tmp_path), "arrivy_api_tasks")]
        assert 5801234567890003 in ids
        assert len(table(sqlite(tmp_path), "arrivy_task_entities")) == 7
        again = ran("arrivy", settings, tmp_path)
        assert counted(again, "api_tasks") == (0, 0, 7)
        # No task has changed: none is asked for its steps.
        assert counted(again, "task_statuses") == (0, 0, 0)


def test_a_source_that_ignores_the_page_is_found_out(tmp_path: Path) -> None:
    with FaultServer(Arrivy(stuck=True)) as server:
        settings = {"base_url": server.url, "api_key": "k3y", "api_token": "t0k3n",
                    "years": "2025"}  # fmt: skip
        report = ran("arrivy", settings, tmp_path)
    told = next(str(each.message) for each in report.streams if each.stream == "api_tasks")
    assert "page 2 brought the same records as the page before it" in told
