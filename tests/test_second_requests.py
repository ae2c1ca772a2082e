"""Pages that take several requests: a list split over them, and what belongs to the records."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa

from fault_server import FaultServer, Seen, answer
from invented import load, mock, plan_of, sqlite, table
from stores import store_url  # noqa: F401  (a fixture)

NAMES = [f"p{n}" for n in range(10)]


class Api:
    """Records with ten properties each, two to a page; a page shows the properties asked for."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = [
            {"id": str(n), "properties": {name: f"{name} of {n}" for name in NAMES}}
            for n in range(1, 6)
        ]
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.when: Callable[[Api, list[Any], list[str]], list[Any]] = lambda _api, page, _names: (
            page
        )
        self.second: Callable[[str, Any], tuple[int, Any]] = lambda _path, _body: (200, [])

    def __call__(self, seen: Seen) -> bytes:
        parts = urlsplit(seen.target)
        query = dict(parse_qsl(parts.query))
        body = json.loads(seen.body) if seen.body else None
        self.asked.append((parts.path, query, body))
        if parts.path not in ("/records", "/search"):
            status, found = self.second(parts.path, body)
            return answer(json.dumps(found).encode(), status)
        names = body["properties"] if body else query.get("properties", "").split(",")
        start = int(body.get("after", 0) if body else query.get("after", 0))
        page = [
            {"id": each["id"], "properties": {name: each["properties"][name] for name in names}}
            for each in self.records[start : start + 2]
        ] if names != [""] else self.records[start : start + 2]  # fmt: skip
        following = start + 2 if start + 2 < len(self.records) else None
        page = self.when(self, page, names)
        return answer(json.dumps({"results": page, "next": following}).encode())

    def asking(self, path: str) -> list[tuple[dict[str, str], Any]]:
        return [(query, body) for each, query, body in self.asked if each == path]


@pytest.fixture
def api() -> Iterator[tuple[Api, str]]:
    made = Api()
    with FaultServer(made) as server:
        yield made, server.url


MAPPING = """
crmmap: 1
name: parts
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  records:
    request: {request}
    records: results[]
    pagination: {{kind: token, token: next, {place}: after}}
    table: {{name: records, key: id}}
    fields:
      id: id
      {fields}
    {more}
"""
FIELDS = "\n      ".join(f"{name}: properties.{name}" for name in NAMES)
BY_PARAM = """
      path: /records
      params: {properties: "{{ selected('properties') | join(',') }}"}
      split: {param: properties, most: 4, by: id}
"""
BY_BODY = """
      method: POST
      safe: true
      path: /search
      body: {properties: {each: selected.properties, give: "{{ item }}"}}
      split: {body: properties, most: 4, by: id}
"""


def split(url: str, request: str = BY_PARAM, place: str = "param") -> str:
    return MAPPING.format(url=url, request=request, place=place, fields=FIELDS, more="")


def rejects(store: str) -> list[tuple[str, str]]:
    engine = sa.create_engine(store)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT reasons, raw FROM crmmap_rejects ORDER BY at"))
        kept = [(json.loads(reasons)[0]["rule"], raw) for reasons, raw in found]
    engine.dispose()
    return kept


def whole(api: Api) -> list[tuple[object, ...]]:
    return [(each["id"], *each["properties"].values()) for each in api.records]


def stored(store: str) -> list[tuple[object, ...]]:
    return [row[:11] for row in table(store, "records")]


# --- split --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "place"), [(BY_PARAM, "param"), (BY_BODY, "body")])
def test_a_long_list_is_split_over_requests_and_merged(
    store_url: str, api: tuple[Api, str], request_: str, place: str
) -> None:
    made, url = api
    report = load(plan_of(split(url, request_, place), {}), store_url)
    assert report.streams[0].status == "done", report.streams[0].message
    assert stored(store_url) == whole(made)
    assert report.counts.fetched == 5
    asked = made.asking("/search") + made.asking("/records")
    lists = [
        body["properties"] if body else query["properties"].split(",") for query, body in asked
    ]
    assert lists == [NAMES[:4], NAMES[4:8], NAMES[8:]] * 3
    tokens = [(body or query).get("after") for query, body in asked]
    assert [str(each) for each in tokens] == [str(n) for n in (None, 2, 4) for _ in range(3)]


def test_a_stretch_is_bounded_by_its_characters_too(tmp_path: Path, api: tuple[Api, str]) -> None:
    made, url = api
    made.records = [{"id": "1", "properties": {name * 20: "x" for name in NAMES}} for _ in range(1)]
    text = split(url).replace("most: 4", "longest: 100")
    for name in NAMES:
        text = text.replace(f"properties.{name}\n", f"properties.{name * 20}\n")
    report = load(plan_of(text, {}), sqlite(tmp_path))
    assert report.streams[0].status == "done", report.streams[0].message
    asked = [query["properties"] for query, _ in made.asking("/records")]
    assert len(asked) == 5
    assert all(len(each) <= 100 for each in asked)


def test_a_record_that_moves_between_two_parts_is_asked_for_again(
    tmp_path: Path, api: tuple[Api, str]
) -> None:
    made, url = api
    moved: list[str] = []

    def once(_api: Api, page: list[Any], names: list[str]) -> list[Any]:
        if names[0] == "p4" and not moved:
            moved.append("once")
            return page[1:]
        return page

    made.when = once
    report = load(plan_of(split(url), {}), sqlite(tmp_path))
    assert (report.counts.inserted, report.counts.rejected) == (5, 0)
    assert stored(sqlite(tmp_path)) == whole(made)


def test_a_record_that_does_not_come_whole_is_rejected_not_emptied(
    store_url: str, api: tuple[Api, str]
) -> None:
    """It was whole in the first run: its row must not lose what did not come in the second."""
    made, url = api
    load(plan_of(split(url), {}), store_url)
    made.when = lambda _api, page, names: page[1:] if names[0] == "p4" else page
    report = load(plan_of(split(url), {}), store_url)
    assert report.counts.balanced
    # Of the pages of two the first record; the page of one has nothing in common any more.
    assert (report.counts.unchanged, report.counts.rejected) == (2, 2)
    assert {rule for rule, _ in rejects(store_url)} == {"split.incomplete"}
    assert report.streams[0].status == "failed"
    assert "have no record in common by 'id'" in report.streams[0].message
    assert stored(store_url) == whole(made)


def test_a_record_in_a_later_part_alone_is_accounted_for(
    tmp_path: Path, api: tuple[Api, str]
) -> None:
    made, url = api
    made.when = lambda _api, page, names: (
        [*page, {"id": "new", "properties": dict.fromkeys(names)}] if names[0] == "p4" else page
    )
    report = load(plan_of(split(url), {}), sqlite(tmp_path))
    assert report.streams[0].status == "done"
    assert (report.counts.fetched, report.counts.inserted, report.counts.rejected) == (8, 5, 3)


def test_an_interrupted_read_in_parts_is_resumed(store_url: str, api: tuple[Api, str]) -> None:
    made, url = api
    stop = threading.Event()

    def stopping(_api: Api, page: list[Any], names: list[str]) -> list[Any]:
        if page and page[0]["id"] == "3" and names[0] == "p4":
            stop.set()
        return page

    made.when = stopping
    plan = plan_of(split(url), {})
    assert load(plan, store_url, stop=stop).status == "interrupted"
    made.when = lambda _api, page, _names: page
    made.asked.clear()
    report = load(plan, store_url)
    assert report.streams[0].resumed
    assert {query.get("after") for query, _ in made.asking("/records")} <= {"2", "4"}
    assert stored(store_url) == whole(made)


@pytest.mark.parametrize(("request_", "place"), [(BY_PARAM, "param"), (BY_BODY, "body")])
def test_the_mock_shows_what_a_part_asks_for(tmp_path: Path, request_: str, place: str) -> None:
    with mock(records=7, text=split("https://parts.example", request_, place)) as plan:
        report = load(plan, sqlite(tmp_path))
    assert (report.counts.inserted, report.counts.rejected) == (7, 0)
    one = split("https://parts.example", request_, place).replace("most: 4", "most: 100")
    (tmp_path / "whole").mkdir()
    with mock(records=7, text=one) as plan:
        load(plan, sqlite(tmp_path / "whole"))
    assert stored(sqlite(tmp_path)) == stored(sqlite(tmp_path / "whole"))


# --- enrich -------------------------------------------------------------------------------------

ENRICH = """enrich:
      boats:
        request:
          method: POST
          path: /boats
          body: {{ids: {{each: records, give: "{{{{ item.id }}}}"}}}}
        on: {{id: owner.id}}
        {more}
"""


def enriching(url: str, more: str = "batch: 2", boat: str = "boats.name") -> str:
    return MAPPING.format(
        url=url, request="{path: /records}", place="param", fields=f"boat: {{from: '{boat}'}}",
        more=ENRICH.format(more=more),
    )  # fmt: skip


def boats(_path: str, body: Any) -> tuple[int, Any]:
    # In another order, and with the ids as numbers.
    return 200, [{"owner": {"id": int(each)}, "name": f"boat {each}"} for each in body["ids"]][::-1]


def test_what_belongs_to_records_is_put_into_them(store_url: str, api: tuple[Api, str]) -> None:
    made, url = api
    made.second = boats
    report = load(plan_of(enriching(url), {}), store_url)
    assert report.streams[0].status == "done", report.streams[0].message
    assert stored_boats(store_url) == [(str(n), f"boat {n}") for n in range(1, 6)]
    assert [body["ids"] for _, body in made.asking("/boats")] == [["1", "2"], ["3", "4"], ["5"]]
    assert load(plan_of(enriching(url), {}), store_url).counts.unchanged == 5


def stored_boats(store: str) -> list[tuple[object, ...]]:
    return [row[:2] for row in table(store, "records")]


def test_a_batch_may_be_smaller_than_a_page(tmp_path: Path, api: tuple[Api, str]) -> None:
    made, url = api
    made.second = boats
    load(plan_of(enriching(url, "batch: 1"), {}), sqlite(tmp_path))
    assert [body["ids"] for _, body in made.asking("/boats")] == [[str(n)] for n in range(1, 6)]


@pytest.mark.parametrize(
    ("more", "found", "expected", "rule"),
    [
        ("batch: 9", [], ["1", "2", "3", "4", "5"], None),
        ("batch: 9, missing: reject", [], [], "enrich.missing"),
        ("batch: 9", ["2", "2"], ["1", "3", "4", "5"], "enrich.several"),
        ("batch: 9, many: true", ["2", "2"], ["1", "2", "3", "4", "5"], None),
        ("batch: 9", ["none of them"], ["1", "2", "3", "4", "5"], None),
    ],
)
def test_none_or_several_are_found(
    tmp_path: Path, api: tuple[Api, str], more: str, found: list[str], expected: list[str],
    rule: str | None,
) -> None:  # fmt: skip
    made, url = api
    made.second = lambda _path, _body: (200, [{"owner": {"id": each}} for each in found])
    text = enriching(url, "\n        ".join(more.split(", ")))
    report = load(plan_of(text, {}), sqlite(tmp_path))
    assert report.counts.fetched == 5
    assert report.counts.balanced
    assert [row[0] for row in table(sqlite(tmp_path), "records")] == expected
    assert {each for each, _ in rejects(sqlite(tmp_path))} == ({rule} if rule else set())


# The second: an answer that is well, but for an item of it.
@pytest.mark.parametrize("trouble", [(500, {}), (200, [None])], ids=["500", "unfit"])
@pytest.mark.parametrize(
    ("policy", "status", "inserted", "rejected"),
    [("fail", "failed", 2, 0), ("reject", "done", 3, 2), ("skip", "done", 5, 0)],
)
def test_a_second_request_that_fails(
    tmp_path: Path, api: tuple[Api, str], policy: str, status: str, inserted: int, rejected: int,
    trouble: tuple[int, Any],
) -> None:  # fmt: skip
    made, url = api
    made.second = lambda path, body: trouble if "3" in body["ids"] else boats(path, body)
    text = enriching(url, f"batch: 2\n        on_failure: {policy}")
    report = load(plan_of(text, {}), sqlite(tmp_path))
    (stream,) = report.streams
    assert (stream.status, stream.counts.inserted, stream.counts.rejected) == (
        status, inserted, rejected,
    )  # fmt: skip
    assert stream.counts.balanced
    if policy == "skip":
        assert stream.skips == {"enrich.boats failed": 1}
    if policy == "fail":
        made.second = boats
        report = load(plan_of(text, {}), sqlite(tmp_path))
        assert report.streams[0].resumed
        assert stored_boats(sqlite(tmp_path)) == [(str(n), f"boat {n}") for n in range(1, 6)]


def test_refused_credentials_fail_whatever_the_policy(tmp_path: Path, api: tuple[Api, str]) -> None:
    made, url = api
    made.second = lambda _path, _body: (401, {})
    report = load(
        plan_of(enriching(url, "batch: 2\n        on_failure: skip"), {}), sqlite(tmp_path)
    )
    assert report.streams[0].status == "failed"


def test_a_name_that_the_records_have_is_refused(tmp_path: Path, api: tuple[Api, str]) -> None:
    made, url = api
    made.second = boats
    made.records = [{"id": "1", "boats": 7, "properties": {}}]
    report = load(plan_of(enriching(url), {}), sqlite(tmp_path))
    assert "an entry 'boats' of their own" in report.streams[0].message


@pytest.mark.parametrize("more", ["batch: 3", "batch: 3\n        many: true"])
@pytest.mark.parametrize("dirty", [0, 20])
def test_the_mock_gives_what_belongs_to_records(tmp_path: Path, more: str, dirty: float) -> None:
    boat = "boats[0].name" if "many" in more else "boats.name"
    text = enriching("https://boats.example", more, boat)
    with mock(records=20, dirty=dirty, text=text) as plan:
        report = load(plan, sqlite(tmp_path))
        again = load(plan, sqlite(tmp_path))
    assert report.streams[0].status == "done", report.streams[0].message
    assert report.counts.fetched == 20
    assert report.counts.balanced
    assert again.counts.unchanged + again.counts.rejected == 20
    filled = [row for row in table(sqlite(tmp_path), "records") if row[1]]
    assert len(filled) > 5


def test_a_record_with_its_own_request(tmp_path: Path, api: tuple[Api, str]) -> None:
    made, url = api
    text = MAPPING.format(
        url=url, request="{path: /records}", place="param", fields="boat: boats.name",
        more="""enrich:
      boats:
        request: {path: "/boats/{{ record.id }}"}
        on: {id: id}
""",
    )  # fmt: skip
    made.second = lambda path, _body: (200, [{"id": path.rpartition("/")[2], "name": path}])
    load(plan_of(text, {}), sqlite(tmp_path))
    assert stored_boats(sqlite(tmp_path)) == [(str(n), f"/boats/{n}") for n in range(1, 6)]
    with mock(records=5, text=text) as plan:
        (tmp_path / "mock").mkdir()
        report = load(plan, sqlite(tmp_path / "mock"))
    assert report.counts.inserted == 5
    assert any(row[1] for row in table(sqlite(tmp_path / "mock"), "records"))


def test_a_hostile_id_stays_one_segment_of_a_path(tmp_path: Path, api: tuple[Api, str]) -> None:
    made, url = api
    made.records = [{"id": "../admin?x=1", "properties": {}}]
    text = enriching(url).replace(
        "path: /boats", "path: \"/boats/{{ records | map('id') | join(',') }}\""
    )
    text = text.replace('body: {ids: {each: records, give: "{{ item.id }}"}}', "safe: true")
    load(plan_of(text, {}), sqlite(tmp_path))
    assert [path for path, _, _ in made.asked][1:] == ["/boats/..%2Fadmin%3Fx%3D1"]
