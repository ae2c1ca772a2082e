"""Sources that give no more than so many records to one query or window: read whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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
    lost: int = 0

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
        page["all"] = len(found) + self.lost
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


@pytest.mark.parametrize("several", [1, 2, 4, 5])
def test_a_page_that_comes_again_beyond_the_cap_is_no_circle(
    tmp_path: Path, search: tuple[Search, str], several: int
) -> None:
    api, url = search
    for number, person in enumerate(api.people):
        person["at"] = f"2024-01-{1 + number // several:02}T00:00:00.000Z"
    report = load(plan_of(MAPPING.format(url=url, **WAYS["time"]), {}), sqlite(tmp_path))
    assert report.status == "done", report.streams[0].message
    assert everyone(sqlite(tmp_path)) == [*range(1, 26)]


def test_a_search_that_ends_before_its_total_is_refused(
    tmp_path: Path, search: tuple[Search, str]
) -> None:
    """What earlier searches gave does not make up for what the last one lacks."""
    api, url = search
    text = MAPPING.format(url=url, **WAYS["id"]).replace("body: after,", "body: after, total: all,")
    assert load(plan_of(text, {}), sqlite(tmp_path)).status == "done"
    api.lost = 2
    (stream,) = load(plan_of(text, {}), sqlite(tmp_path), fresh=True).streams
    assert stream.status == "failed"
    assert "it has 3 records (at 'all'), and 1 came" in stream.message


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


@pytest.mark.parametrize("seed", range(4))
def test_a_record_without_an_id_is_no_bound_of_a_search(tmp_path: Path, seed: int) -> None:
    text = MAPPING.format(url="https://api.example", **WAYS["id"])
    text = text.replace("path: /search", 'path: /search\n      params: {limit: "2"}')
    with mock(records=60, text=text, dirty=15, seed=seed) as plan:
        report = load(plan, sqlite(tmp_path))
    assert report.status == "done", report.streams[0].message
    assert report.counts.rejected > 0
    assert report.counts.fetched >= 60


# --- windows, read in pieces --------------------------------------------------------------------

WINDOWS = """
crmmap: 1
name: windows
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 1}}
streams:
  visits:
    request:
      path: /visits
      params: {{from: "{{{{ window.start | epoch_ms }}}}", to: "{{{{ window.end | epoch_ms }}}}"}}
    records: items[]
    pagination: {{kind: offset, param: skip, total: count}}
    incremental:
      {{kind: timestamp, field: at, start: "2024-01-01", window: 5000d, most: {most}, total: count}}
    table: {{name: visits, key: id}}
    fields: {{id: id, at: {{from: at, type: datetime}}}}
"""


@dataclass
class Visits:
    """Gives the visits of a window, and says how many there are; past `CAP` of them, nothing."""

    at: list[datetime]
    asked: list[tuple[int, int, int]] = field(default_factory=list)
    stop: tuple[int, threading.Event] | None = None

    def __call__(self, seen: Seen) -> bytes:
        query = {name: int(value) for name, value in parse_qsl(urlsplit(seen.target).query)}
        start, end, skip = query["from"], query["to"], query.get("skip", 0)
        self.asked.append((start, end, skip))
        if self.stop is not None and len(self.asked) >= self.stop[0]:
            self.stop[1].set()
        found = [
            {"id": number, "at": at.isoformat()}
            for number, at in enumerate(self.at)
            if start <= at.timestamp() * 1000 < end
        ]
        if skip >= CAP:
            return answer(b"{}", 400)
        page = {"items": found[:CAP][skip : skip + 2], "count": str(len(found))}
        return answer(json.dumps(page).encode())


FIRST = datetime(2024, 3, 1, tzinfo=UTC)
CROWDED = [FIRST + timedelta(seconds=n) for n in range(14)]
SPREAD = [FIRST + timedelta(days=30 * n) for n in range(10)]
CLOSE = [FIRST + timedelta(milliseconds=n // 4) for n in range(12)]


def ids(store: str) -> list[int]:
    return sorted(int(str(row[0])) for row in table(store, "visits"))


@pytest.mark.parametrize("at", [CROWDED, SPREAD, CLOSE, [*CROWDED, *SPREAD], []])
def test_a_window_with_too_many_records_is_read_in_pieces(
    tmp_path: Path, at: list[datetime]
) -> None:
    api, store = Visits(at), sqlite(tmp_path)
    with FaultServer(api) as server:
        plan = plan_of(WINDOWS.format(url=server.url, most=CAP), {})
        report = load(plan, store)
        assert report.status == "done", report.streams[0].message
        assert ids(store) == [*range(len(at))]
        assert report.counts.inserted == report.counts.fetched == len(at)
        assert len(api.asked) < 400
        load(plan, store)
    assert ids(store) == [*range(len(at))]


@pytest.mark.parametrize("after", [1, 2, 15, 30, 31, 32, 33, 34, 35, 36, 40, 41, 42, 43, 50, 60])
def test_reading_in_pieces_is_resumed_where_it_stopped(tmp_path: Path, after: int) -> None:
    at = [*CROWDED, *SPREAD]
    with FaultServer(straight := Visits(at)) as server:
        load(plan_of(WINDOWS.format(url=server.url, most=CAP), {}), sqlite(tmp_path))
    (tmp_path / "store.db").unlink()
    stop = threading.Event()
    api, store = Visits(at, stop=(after, stop)), sqlite(tmp_path)
    with FaultServer(api) as server:
        plan = plan_of(WINDOWS.format(url=server.url, most=CAP), {})
        assert load(plan, store, stop=stop).status == "interrupted"
        api.stop = None
        report = load(plan, store)
        assert report.status == "done", report.streams[0].message
    assert ids(store) == [*range(len(at))]
    resumed = len(api.asked) - after
    assert resumed <= len(straight.asked)
    if after > 40:  # pages were stored by then, though some more were read ahead
        assert resumed < len(straight.asked) - 20, "it began anew instead of going on"


def test_more_records_of_one_moment_than_a_window_may_have_stop_the_stream(tmp_path: Path) -> None:
    api = Visits([FIRST] * (CAP + 1))
    with FaultServer(api) as server:
        report = load(plan_of(WINDOWS.format(url=server.url, most=CAP), {}), sqlite(tmp_path))
    (stream,) = report.streams
    assert stream.status == "failed"
    assert (
        "it has 7 records between 2024-03-01T00:00:00.000Z and 2024-03-01T00:00:00.001Z. "
        "It gives 6 of a window at most, and there is no shorter one to ask for"
    ) in stream.message


def test_an_answer_that_does_not_say_how_many_there_are_is_refused(tmp_path: Path) -> None:
    with FaultServer(lambda _: answer(b'{"items": []}')) as server:
        report = load(plan_of(WINDOWS.format(url=server.url, most=CAP), {}), sqlite(tmp_path))
    (stream,) = report.streams
    assert "has nothing at 'count', and so it is not known" in stream.message


def test_windows_of_a_most_are_pretended(tmp_path: Path) -> None:
    with mock(records=30, text=WINDOWS.format(url="https://api.example", most=10)) as plan:
        report = load(plan, sqlite(tmp_path))
    assert report.status == "done", report.streams[0].message
    assert report.counts.inserted == 10  # no window may have more
