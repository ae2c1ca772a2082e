"""Sources that give no more than so many records to one query, over real HTTP and pretended."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fault_server import FaultServer, Seen, answer
from invented import load, mock, plan_of, sqlite, table

CAP, SIZE = 6, 2

MAPPING = """
crmmap: 1
name: capped
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 1}}
streams:
  people:
    request:
      path: /search
      method: POST
      safe: true
      body: {{limit: {{text: "2", as: number}}, filter: {{of: {by}, above: "{least}"}}}}
    records: results[]
    pagination:
      {{kind: token, token: next, body: after,
        cap: {{records: 6, from: {by}, body: filter.above{more}}}}}
    table: {{name: people, key: id}}
    fields: {{id: id, at: {{from: at, type: datetime}}}}
"""


@dataclass
class Search:
    """Searches its people by a filter; of one search it gives `CAP` at most."""

    people: list[dict[str, Any]]
    asked: list[Any] = field(default_factory=list)

    def __call__(self, seen: Seen) -> bytes:
        body = json.loads(seen.body)
        self.asked.append(body)
        by, above = body["filter"]["of"], body["filter"]["above"]
        found = sorted(
            (each for each in self.people if self._beyond(each[by], above, by)),
            key=lambda each: each[by],
        )
        start = int(body.get("after", 0))
        if start >= CAP:
            return answer(b'{"error": "beyond the window of a search"}', 400)
        stop = min(start + SIZE, CAP)
        page = {"results": found[start:stop], "next": str(stop) if stop < len(found) else None}
        return answer(json.dumps(page).encode())

    @staticmethod
    def _beyond(value: Any, above: Any, by: str) -> bool:
        return bool(value > int(above)) if by == "id" else bool(value >= above)


@pytest.fixture
def search() -> Iterator[tuple[Search, str]]:
    # Three of a kind share each moment, across the edges of pages and of searches.
    people = [{"id": n, "at": f"2024-01-{1 + n // 3:02}T00:00:00.000Z"} for n in range(1, 26)]
    api = Search(people)
    with FaultServer(api) as server:
        yield api, server.url


WAYS = {
    "id": {"by": "id", "least": "0", "more": ""},
    "time": {"by": "at", "least": "2000", "more": ", unique: false"},
}


def everyone(store: str) -> list[int]:
    return sorted(int(str(row[0])) for row in table(store, "people"))


@pytest.mark.parametrize("way", WAYS)
def test_what_lies_beyond_the_cap_is_asked_for_anew(
    tmp_path: Path, search: tuple[Search, str], way: str
) -> None:
    api, url = search
    report = load(plan_of(MAPPING.format(url=url, **WAYS[way]), {}), sqlite(tmp_path))
    assert report.status == "done", report.streams[0].message
    assert everyone(sqlite(tmp_path)) == [*range(1, 26)]
    assert len({body["filter"]["above"] for body in api.asked}) >= 25 // CAP
    assert report.counts.inserted == 25
    assert report.counts.rejected == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("at", range(1, 13))
def test_reading_beyond_the_cap_is_resumed_at_any_page(
    tmp_path: Path, search: tuple[Search, str], way: str, at: int
) -> None:
    api, url = search
    plan = plan_of(MAPPING.format(url=url, **WAYS[way]), {})
    store, stop = sqlite(tmp_path), threading.Event()
    given = api.people

    class Stopping(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            if len(api.asked) >= at:
                stop.set()
            return super().__iter__()

    api.people = Stopping(given)
    load(plan, store, stop=stop)
    before = len(api.asked)
    api.people = given
    report = load(plan, store)
    assert report.status == "done", report.streams[0].message
    assert everyone(store) == [*range(1, 26)]
    assert len(api.asked) - before <= 20 - before + 2, "it began anew instead of going on"


def test_more_records_of_one_moment_than_the_cap_stop_the_stream(
    tmp_path: Path, search: tuple[Search, str]
) -> None:
    api, url = search
    for person in api.people[5:18]:
        person["at"] = "2024-02-02T00:00:00.000Z"
    report = load(plan_of(MAPPING.format(url=url, **WAYS["time"]), {}), sqlite(tmp_path))
    (stream,) = report.streams
    assert stream.status == "failed"
    assert "more than 6 records have '2024-02-02T00:00:00.000Z' at 'at'" in stream.message
    assert "Go on from a value that is unique" in stream.message


@pytest.mark.parametrize("way", WAYS)
def test_a_source_with_a_cap_is_pretended(tmp_path: Path, way: str) -> None:
    text = MAPPING.format(url="https://api.example", **WAYS[way])
    text = text.replace("path: /search", 'path: /search\n      params: {limit: "2"}')
    with mock(records=40, text=text) as plan:
        report = load(plan, sqlite(tmp_path))
    assert report.status == "done", report.streams[0].message
    assert report.counts.inserted == 40
