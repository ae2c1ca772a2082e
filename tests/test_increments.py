"""What need not be read again, and streams that are read partition by partition."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pytest

from crmmap.events import RunReport
from fault_server import FaultServer, Seen, answer
from invented import load, mock, plan_of, sqlite, table
from stores import store_url  # noqa: F401  (a fixture)

Query = dict[str, str]


@dataclass
class Api:
    """A small API: what each path answers to a query, and what it was asked."""

    paths: dict[str, Callable[[Query, Any], object]]
    asked: list[tuple[str, Query]] = field(default_factory=list)

    def __call__(self, seen: Seen) -> bytes:
        parts = urlsplit(seen.target)
        query = dict(parse_qsl(parts.query))
        self.asked.append((parts.path, query))
        body = json.loads(seen.body) if seen.body else None
        return answer(json.dumps(self.paths[parts.path](query, body)).encode())

    def queries(self) -> list[Query]:
        found = [query for _, query in self.asked]
        self.asked.clear()
        return found


@pytest.fixture
def serve() -> Iterator[Callable[[Api], str]]:
    servers: list[FaultServer] = []

    def start(api: Api) -> str:
        servers.append(FaultServer(api).__enter__())
        return servers[-1].url

    yield start
    for each in servers:
        each.__exit__(None, None, None)


def paged(records: list[dict[str, object]], size: int = 2) -> Callable[[Query, Any], object]:
    def give(query: Query, _: Any) -> object:
        found = [each for each in records if str(each["at"]) >= query.get("since", "")]
        start = int(query.get("from", 0))
        return {"items": found[start : start + size],
                "next": start + size if start + size < len(found) else None}  # fmt: skip

    return give


def notes(url: str, more: str = "") -> str:
    return f"""
crmmap: 1
name: increments
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  notes:
    request: {{path: /notes}}
    records: items[]
    pagination: {{kind: token, token: next, param: from}}
    incremental: {{kind: timestamp, field: at, params: {{since: "{{{{ cursor }}}}"}}{more}}}
    table: {{name: notes, key: id}}
    fields:
      id: id
      at: {{from: at, type: datetime}}
      text: text
"""


def note(number: int, at: str, text: str = "") -> dict[str, object]:
    return {"id": str(number), "at": at, "text": text}


def only(report: RunReport) -> Any:
    (stream,) = report.streams
    assert stream.status == "done", stream.message
    return stream.counts


def test_the_second_read_asks_for_what_changed(store_url: str, serve: Callable[[Api], str]) -> None:
    records = [note(n, f"2024-01-0{n}T00:00:00.000Z") for n in range(1, 6)]
    api = Api({"/notes": paged(records)})
    plan = plan_of(notes(serve(api)), {})

    assert only(load(plan, store_url)).inserted == 5
    assert all("since" not in query for query in api.queries())

    records[0] = note(1, "2024-02-01T10:00:00.500Z", "changed")
    counts = only(load(plan, store_url))
    assert [query["since"] for query in api.queries()] == ["2024-01-05T00:00:00.000Z"]
    assert (counts.fetched, counts.updated, counts.unchanged) == (2, 1, 1)

    counts = only(load(plan, store_url))
    assert [query["since"] for query in api.queries()] == ["2024-02-01T10:00:00.500Z"]
    assert (counts.fetched, counts.unchanged) == (1, 1)

    counts = only(load(plan, store_url, fresh=True))
    assert all("since" not in query for query in api.queries())
    assert (counts.fetched, counts.unchanged) == (5, 5)


def test_without_a_field_the_cursor_is_when_the_last_read_began(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    api = Api({"/notes": paged([note(1, "2024-01-05T00:00:00.000Z")])})
    plan = plan_of(notes(serve(api)).replace("field: at, ", ""), {})
    before = datetime.now(UTC)
    only(load(plan, sqlite(tmp_path)))
    after = datetime.now(UTC)
    assert api.queries() == [{}]
    only(load(plan, sqlite(tmp_path)))
    (asked,) = api.queries()
    assert before - timedelta(seconds=1) < datetime.fromisoformat(asked["since"]) < after


def test_lookback_asks_from_before(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    api = Api({"/notes": paged([note(1, "2024-01-05T00:00:00.000Z")])})
    plan = plan_of(notes(serve(api), ", lookback: 90m"), {})
    only(load(plan, sqlite(tmp_path)))
    api.queries()
    only(load(plan, sqlite(tmp_path)))
    assert api.queries() == [{"since": "2024-01-04T22:30:00.000Z"}]


def test_a_cursor_does_not_pass_the_moment_when_its_read_began(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    api = Api({"/notes": paged([note(1, "2999-01-01T00:00:00.000Z")])})
    plan = plan_of(notes(serve(api)), {})
    only(load(plan, sqlite(tmp_path)))
    only(load(plan, sqlite(tmp_path)))
    assert "2024" < api.queries()[-1]["since"] < "2998"


def test_an_interrupted_read_leaves_nothing_behind(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    """The newest comes first: a cursor that moved with it would pass the others."""
    records = [note(n, f"2024-01-0{9 - n}T00:00:00.000Z") for n in range(1, 8)]
    api = Api({"/notes": paged(records)})
    plan, store = plan_of(notes(serve(api)), {}), sqlite(tmp_path)

    stop = threading.Event()
    gave = api.paths["/notes"]

    def stopping(query: Query, body: Any) -> object:
        if query.get("from") == "4":
            stop.set()
        return gave(query, body)

    api.paths["/notes"] = stopping
    assert load(plan, store, stop=stop).status == "interrupted"
    assert 0 < len(table(store, "notes")) < 7
    api.queries()
    only(load(plan, store))
    assert all("since" not in query for query in api.queries())
    assert len(table(store, "notes")) == 7
    only(load(plan, store))
    assert api.queries()[0] == {"since": "2024-01-08T00:00:00.000Z"}


def test_a_limited_read_does_not_move_the_cursor(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    api = Api({"/notes": paged([note(n, f"2024-01-0{n}T00:00:00.000Z") for n in range(1, 6)])})
    plan, store = plan_of(notes(serve(api)), {}), sqlite(tmp_path)
    only(load(plan, store, limit=1))
    api.queries()
    assert only(load(plan, store)).fetched == 5
    assert all("since" not in query for query in api.queries())


def test_a_cursor_of_another_request_is_worth_nothing(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    api = Api({"/notes": paged([note(1, "2024-01-05T00:00:00.000Z")])})
    url, store = serve(api), sqlite(tmp_path)
    only(load(plan_of(notes(url), {}), store))
    api.queries()
    changed = notes(url).replace("path: /notes", 'path: /notes, params: {kind: "a"}')
    only(load(plan_of(changed, {}), store))
    assert api.queries() == [{"kind": "a"}]


def test_windows_are_read_one_after_the_other(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    api = Api({"/notes": lambda _query, _: {"items": [], "next": None}})
    more = ', start: "2020-01-01", window: 5000d'
    text = notes(serve(api), more).replace(
        'since: "{{ cursor }}"', 'from_: "{{ window.start }}", to: "{{ window.end | upper }}"'
    )
    only(load(plan_of(text, {}), sqlite(tmp_path)))
    (query,) = api.queries()
    assert query["from_"] == "2020-01-01T00:00:00.000Z"
    assert query["to"] > "2024"


SEQUENCE = """
crmmap: 1
name: sequences
source: {{kind: http, base_url: "{url}"}}
streams:
  events:
    request: {{path: /events}}
    incremental: {{kind: {kind}, field: id, params: {{after: "{{{{ cursor }}}}"}}}}
    table: {{name: events, key: id}}
    fields:
      id: {{from: id, type: {type}}}
"""


@pytest.mark.parametrize(
    ("kind", "type_", "ids", "after"),
    [("sequence", "integer", [3, 11, 9], "11"), ("event_id", "text", ["b9", "a1"], "a1")],
)
def test_sequences_and_event_ids(
    tmp_path: Path, serve: Callable[[Api], str], kind: str, type_: str, ids: list[Any], after: str
) -> None:
    api = Api({"/events": lambda query, _: [] if "after" in query else [{"id": i} for i in ids]})
    plan = plan_of(SEQUENCE.format(url=serve(api), kind=kind, type=type_), {})
    only(load(plan, sqlite(tmp_path)))
    only(load(plan, sqlite(tmp_path)))
    only(load(plan, sqlite(tmp_path)))
    assert api.queries() == [{}, {"after": after}, {"after": after}]


def test_of_a_source_that_offers_nothing_only_what_changed_is_written(
    store_url: str, serve: Callable[[Api], str]
) -> None:
    records = [note(n, f"2024-01-0{n}T00:00:00.000Z") for n in range(1, 6)]
    api = Api({"/notes": paged(records)})
    text = re.sub("incremental: .*", "incremental: {kind: hash}", notes(serve(api)))
    only(load(plan_of(text, {}), store_url))
    records[2] = note(3, "2024-01-03T00:00:00.000Z", "changed")
    counts = only(load(plan_of(text, {}), store_url))
    assert (counts.fetched, counts.updated, counts.unchanged) == (5, 1, 4)
    assert all("since" not in query for query in api.queries())


# --- partitions ---------------------------------------------------------------------------------

CHILDREN = """
crmmap: 1
name: families
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  toys:
    for_each: {{stream: children{more}}}
    request: {request}
    records: items[]
    table: {{name: toys, key: id}}
    fields:
      id: id
      child: {child}
  children:
    request: {{path: /children}}
    table: {{name: children, key: id}}
    fields: {{id: id, name: name}}
"""
EACH = '{path: "/children/{{ parent.id }}/toys"}'
PARENT = '{value: "{{ parent.id }}", lookup: {stream: children, missing: reject}}'
NAMES = ["a", "b/c", "d", "e", "f"]


def family(url: str, *, more: str = "", request: str = EACH, child: str = PARENT) -> str:
    return CHILDREN.format(url=url, more=more, request=request, child=child)


def toys_of() -> Api:
    def toys(name: str) -> Callable[[Query, Any], object]:
        return lambda _query, _body: {"items": [{"id": f"{name}1"}, {"id": f"{name}2"}]}

    children = [{"id": name, "name": name.upper()} for name in NAMES]
    api = Api({"/children": lambda _query, _: children})
    for name in NAMES:
        api.paths[f"/children/{name.replace('/', '%2F')}/toys"] = toys(name)
    return api


ALL_TOYS = sorted((f"{name}{n}", name) for name in NAMES for n in (1, 2))


def test_a_stream_is_read_for_each_row_of_its_parent(
    store_url: str, serve: Callable[[Api], str]
) -> None:
    plan = plan_of(family(serve(toys_of())), {})
    report = load(plan, store_url)
    assert {each.stream: each.counts.inserted for each in report.streams} == {
        "children": 5, "toys": 10,
    }  # fmt: skip
    assert sorted(row[:2] for row in table(store_url, "toys")) == ALL_TOYS
    again = load(plan, store_url)
    assert again.counts.unchanged == 15


def test_a_rejected_record_keeps_what_its_parent_gave(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    api = toys_of()
    api.paths["/children/a/toys"] = lambda _query, _: {"items": [{"id": None}]}
    store = sqlite(tmp_path)
    load(plan_of(family(serve(api)), {}), store)
    (reject,) = table(store, "crmmap_rejects")
    assert any('"#given":{"child":"a"}' in str(cell) for cell in reject)


@pytest.mark.parametrize("at", range(5))
def test_reading_for_each_row_is_resumed_where_it_stopped(
    tmp_path: Path, serve: Callable[[Api], str], at: int
) -> None:
    api, store, stop = toys_of(), sqlite(tmp_path), threading.Event()

    def counting(gave: Callable[[Query, Any], object]) -> Callable[[Query, Any], object]:
        def give(query: Query, body: Any) -> object:
            if len(api.asked) > at:
                stop.set()
            return gave(query, body)

        return give

    plain = dict(api.paths)
    api.paths = {path: counting(give) for path, give in plain.items()}
    plan = plan_of(family(serve(api)), {})
    assert load(plan, store, stop=stop).status == "interrupted"
    api.paths = plain
    api.asked.clear()
    report = load(plan, store)
    assert report.status == "done"
    assert sorted(row[:2] for row in table(store, "toys")) == ALL_TOYS


def test_rows_are_asked_for_in_batches(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    asked: list[Any] = []

    def toys(_query: Query, body: Any) -> object:
        asked.append(body)
        ids = body["ids"].split(",")
        return {"items": [{"id": f"{each}1", "of": each} for each in ids]}

    api = toys_of()
    api.paths["/toys"] = toys
    request = (
        "{path: /toys, method: POST, safe: true, "
        "body: {ids: \"{{ parents | map('id') | join(',') }}\"}}"
    )
    text = family(serve(api), more=", batch: 2", request=request, child="of")
    store = sqlite(tmp_path)
    assert load(plan_of(text, {}), store).status == "done"
    assert asked == [{"ids": "a,b/c"}, {"ids": "d,e"}, {"ids": "f"}]
    assert len(table(store, "toys")) == 5


BODY = """{path: /toys, method: POST, safe: true, body: {
      inputs: {each: parents, give: {id: "{{ item.id }}", named: {text: "true", as: boolean}}},
      regions: {each: settings.regions, give: "{{ item | lower }}"},
      properties: {each: selected.of, give: "{{ item }}"},
      most: {text: "{{ settings.most }}", as: number}, each: parents}}"""


def test_a_body_is_built_of_lists_and_of_typed_leaves(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    asked: list[Any] = []

    def toys(_query: Query, body: Any) -> object:
        asked.append(body)
        return {"items": [{"id": f"{each['id']}1", "of": {"a": 1}} for each in body["inputs"]]}

    api = toys_of()
    api.paths["/toys"] = toys
    names = [*NAMES, '"}],"x":[{"y":"', "{{ settings.most }}"]
    children = [{"id": name, "name": name} for name in names]
    api.paths["/children"] = lambda _query, _body: children
    text = family(serve(api), more=", batch: 10", request=BODY, child="of.a")
    text = text.replace("name: families", "name: families\nsettings: {regions: {}, most: {}}")
    store = sqlite(tmp_path)
    assert load(plan_of(text, {"regions": "US, CA,", "most": "50"}), store).status == "done"
    (body,) = asked
    assert sorted(each["id"] for each in body["inputs"]) == sorted(names)
    assert all(each["named"] is True for each in body["inputs"])
    assert {name: body[name] for name in body if name != "inputs"} == {
        "regions": ["us", "ca"], "properties": ["a"], "most": 50, "each": "parents",
    }  # fmt: skip

    report = load(plan_of(text, {"regions": "", "most": "many"}), store)
    (stream,) = (each for each in report.streams if each.stream == "toys")
    assert (stream.status, stream.exit_code) == ("failed", 1)
    assert "`as: number` needs a whole number" in stream.message
    assert "many" not in stream.message


def test_a_body_made_of_parents_is_pretended(tmp_path: Path) -> None:
    text = family("https://api.example", more=", batch: 7", request=BODY, child="of.a")
    text = text.replace("name: families", "name: families\nsettings: {regions: {}, most: {}}")
    text = text.replace(
        "child: of.a", "child: {from: of.a, lookup: {stream: children, missing: reject}}"
    )
    with mock(records=30, text=text) as plan:
        plan = replace(plan, values={"regions": "x", "most": "1"})
        report = load(plan, sqlite(tmp_path))
    assert {each.stream: each.counts.inserted for each in report.streams} == {
        "children": 30, "toys": 30,
    }  # fmt: skip


def test_only_parents_that_were_written_since_are_asked_for_again(
    store_url: str, serve: Callable[[Api], str]
) -> None:
    api = toys_of()
    plan = plan_of(family(serve(api), more=", changed: true"), {})
    load(plan, store_url)
    children = [{"id": name, "name": name.upper()} for name in NAMES]
    children[2]["name"] = "renamed"
    api.paths["/children"] = lambda _query, _: children
    api.asked.clear()
    load(plan, store_url)
    assert [path for path, _ in api.asked] == ["/children", "/children/d/toys"]
    api.asked.clear()
    load(plan, store_url)
    assert [path for path, _ in api.asked] == ["/children"]
    load(plan, store_url, fresh=True)
    assert len(api.asked) == 1 + 1 + 5


OVER = """
crmmap: 1
name: regions
settings: {{regions: {{default: "north, south,"}}}}
source: {{kind: http, base_url: "{url}"}}
streams:
  sales:
    for_each:
      over: {{region: {{split: "{{{{ settings.regions }}}}"}}, year: {{from: 2020, to: 2021}}}}
    request:
      path: /sales
      params: {{r: "{{{{ partition.region }}}}", y: "{{{{ partition.year }}}}"}}
    incremental: {{kind: timestamp, field: at, params: {{since: "{{{{ cursor }}}}"}}}}
    table: {{name: sales, key: [region, year]}}
    fields:
      region: {{value: "{{{{ partition.region }}}}"}}
      year: {{value: "{{{{ partition.year }}}}", type: integer}}
      at: {{from: at, type: datetime}}
"""


def test_each_combination_is_read_and_keeps_its_own_cursor(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    def sales(query: Query, _: Any) -> object:
        # The south has sold nothing after 2020.
        if query["r"] == "south" and query["y"] == "2021":
            return []
        return [{"at": f"{query['y']}-06-01T00:00:00Z"}]

    api = Api({"/sales": sales})
    plan, store = (
        plan_of(OVER.format(url=serve(api)), {"regions": "north, south,"}),
        sqlite(tmp_path),
    )
    only(load(plan, store))
    assert api.queries() == [{"r": r, "y": y} for r in ("north", "south") for y in ("2020", "2021")]
    assert [row[:2] for row in table(store, "sales")] == [
        ("north", 2020), ("north", 2021), ("south", 2020),
    ]  # fmt: skip
    only(load(plan, store))
    assert [query.get("since", "")[:4] for query in api.queries()] == ["2020", "2021", "2020", ""]


# --- the mock -----------------------------------------------------------------------------------


def test_the_mock_answers_for_partitions_and_cursors(tmp_path: Path) -> None:
    text = family("https://families.example")
    store = sqlite(tmp_path)
    with mock(records=30, text=text) as plan:
        first, second = load(plan, store), load(plan, store)
    assert {each.stream: each.counts.inserted for each in first.streams} == {
        "children": 30, "toys": 30,
    }  # fmt: skip
    assert second.counts.unchanged == 60


def test_what_people_see_of_a_plan_names_the_parent() -> None:
    from crmmap.report.plan import plan_document

    plan = plan_of(family("https://families.example"), {})
    toys = next(each for each in plan_document(plan)["streams"] if each["stream"] == "toys")
    assert toys["request"]["url"] == "https://families.example/children/{parent.id}/toys"


def test_pages_are_counted_over_all_partitions(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    report = load(plan_of(family(serve(toys_of())), {}), sqlite(tmp_path))
    assert {each.stream: each.pages for each in report.streams} == {"children": 1, "toys": 5}


FOUND = """
crmmap: 1
name: found
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 1}}
streams:
  rooms:
    for_each:
      over:
        house: {{union: [{{list: [a]}}, {{stream: houses, field: street}}]}}
        year: {{dates: {{from: "2020-02-10", to: "2022-01-01", step: year}}}}
    request:
      path: /rooms
      params: {{house: "{{{{ partition.house }}}}", year: "{{{{ partition.year.start | date }}}}"}}
    table: {{name: rooms, key: [id, year]}}
    fields: {{id: id, year: {{value: "{{{{ partition.year.end | date }}}}"}}}}
  houses:
    request: {{path: /houses}}
    table: {{name: houses, key: id}}
    fields: {{id: id, street: {{from: street, type: {type}}}}}
"""
STREETS = ["7", None, "7", "12", "100"]
HOUSES = ["a", "100", "12", "7"]
YEARS = ["2020-02-10", "2021-01-01"]


def found_api() -> Api:
    houses = [{"id": str(at), "street": street} for at, street in enumerate(STREETS)]
    return Api({
        "/houses": lambda _query, _body: houses,
        "/rooms": lambda query, _body: [{"id": query["house"]}],
    })  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "order"), [("text", HOUSES), ("integer", ["a", "7", "12", "100"])]
)
def test_partitions_go_over_the_values_that_another_stream_found(
    store_url: str, serve: Callable[[Api], str], kind: str, order: list[str]
) -> None:
    api = found_api()
    assert load(plan_of(FOUND.format(url=serve(api), type=kind), {}), store_url).status == "done"
    asked = [query for path, query in api.asked if path == "/rooms"]
    assert asked == [{"house": house, "year": year} for house in order for year in YEARS]
    assert len(table(store_url, "rooms")) == 8


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("at", range(2, 9))
def test_partitions_that_a_run_found_are_resumed(
    tmp_path: Path, serve: Callable[[Api], str], at: int, *, changed: bool
) -> None:
    api, store, stop = found_api(), sqlite(tmp_path), threading.Event()
    gave = api.paths["/rooms"]

    def stopping(query: Query, body: Any) -> object:
        if len(api.asked) >= at:
            stop.set()
        return gave(query, body)

    plan = plan_of(FOUND.format(url=serve(api), type="text"), {})
    api.paths["/rooms"] = stopping
    load(plan, store, stop=stop)
    api.paths["/rooms"] = gave
    if changed:  # the values are others when it goes on: then all are asked for
        more = [{"id": "9", "street": "101"}, {"id": "8", "street": "05"}]
        api.paths["/houses"] = lambda _query, _body: more
    report = load(plan, store)
    assert report.status == "done", [each.message for each in report.streams]
    houses = [*HOUSES, "05", "101"] if changed else HOUSES
    years = ["2021-01-01", "2022-01-01"]
    assert sorted(row[:2] for row in table(store, "rooms")) == sorted(
        (house, year) for house in houses for year in years
    )


def test_partitions_that_a_run_finds_are_pretended(tmp_path: Path) -> None:
    text = FOUND.format(url="https://api.example", type="text")
    with mock(records=5, text=text) as plan:
        report = load(plan, sqlite(tmp_path))
    assert report.status == "done", [each.message for each in report.streams]
    assert len(table(sqlite(tmp_path), "rooms")) == 5 * 2


def test_too_many_values_are_refused(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    text = FOUND.replace("{{list: [a]}}", "{{from: 1000, to: 10997}}")
    plan = plan_of(text.format(url=serve(found_api()), type="text"), {})
    failed = next(each for each in load(plan, sqlite(tmp_path)).streams if each.stream == "rooms")
    assert "`for_each` goes over 'house': it has more than 10000 values" in failed.message


# --- a cursor for each row of the parent --------------------------------------------------------

OWN = """
crmmap: 1
name: own
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 1}}
streams:
  notes:
    for_each: {{stream: people, own_cursors: {most}}}
    request: {{path: "/people/{{{{ parent.id }}}}/notes"}}
    incremental: {{kind: {kind}, field: at, params: {{since: "{{{{ cursor }}}}"}}}}
    table: {{name: notes, key: [of, at]}}
    fields: {{of: {{value: "{{{{ parent.id }}}}"}}, at: {{from: at, type: {type}}}}}
  people:
    request: {{path: /people}}
    table: {{name: people, key: id}}
    fields: {{id: id}}
"""
NOTES = {"a": [1, 5], "b,": [], "c": [2], '["d"]': [3, 9]}


def own_api(notes: dict[str, list[int]]) -> Api:
    def of(name: str) -> Callable[[Query, Any], object]:
        return lambda query, _: [
            {"at": at} for at in notes[name] if at > int(query.get("since", -1))
        ]

    api = Api({"/people": lambda _query, _body: [{"id": name} for name in notes]})
    api.paths |= {f"/people/{quote(name, safe='')}/notes": of(name) for name in notes}
    return api


def asked_since(api: Api) -> dict[str, str | None]:
    found = {
        unquote(path).split("/")[2]: query.get("since")
        for path, query in api.asked if path != "/people"
    }  # fmt: skip
    api.asked.clear()
    return found


@pytest.mark.parametrize("kind", ["sequence", "event_id"])
def test_each_row_of_the_parent_keeps_its_own_cursor(
    store_url: str, serve: Callable[[Api], str], kind: str
) -> None:
    notes = {name: [*several] for name, several in NOTES.items()}
    api = own_api(notes)
    url = serve(api)
    plan = plan_of(OWN.format(url=url, most=5, kind=kind, type="integer"), {})
    load(plan, store_url)
    assert asked_since(api) == dict.fromkeys(NOTES)
    notes["c"].append(4)
    # A person who is new is asked for from the start.
    notes["e"] = [7]
    api.paths["/people/e/notes"] = lambda query, _: [] if "since" in query else [{"at": 7}]
    load(plan, store_url)
    assert asked_since(api) == {"a": "5", "b,": None, "c": "2", '["d"]': "9", "e": None}
    load(plan, store_url)
    assert asked_since(api) == {"a": "5", "b,": None, "c": "4", '["d"]': "9", "e": "7"}
    load(plan, store_url, fresh=True)
    assert asked_since(api) == dict.fromkeys(notes)
    assert len(table(store_url, "notes")) == 7


@pytest.mark.parametrize("at", range(2, 7))
def test_a_read_with_a_cursor_for_each_row_is_resumed(
    tmp_path: Path, serve: Callable[[Api], str], at: int
) -> None:
    api, store, stop = own_api(NOTES), sqlite(tmp_path), threading.Event()
    plan = plan_of(OWN.format(url=serve(api), most=5, kind="sequence", type="integer"), {})

    def counting(gave: Callable[[Query, Any], object]) -> Callable[[Query, Any], object]:
        def give(query: Query, body: Any) -> object:
            if len(api.asked) >= at:
                stop.set()
            return gave(query, body)

        return give

    plain = dict(api.paths)
    api.paths = {path: counting(give) for path, give in plain.items()}
    load(plan, store, stop=stop)
    api.paths = plain
    report = load(plan, store)
    assert report.status == "done"
    assert len(table(store, "notes")) == 5
    api.asked.clear()
    load(plan, store)
    assert asked_since(api) == {"a": "5", "b,": None, "c": "2", '["d"]': "9"}


def test_more_rows_than_may_keep_a_cursor_are_refused(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    plan = plan_of(
        OWN.format(url=serve(own_api(NOTES)), most=2, kind="sequence", type="integer"), {}
    )
    stream = next(each for each in load(plan, sqlite(tmp_path)).streams if each.stream == "notes")
    assert stream.status == "failed"
    assert "more than 2 rows of its parent would keep a cursor each" in stream.message


@pytest.mark.parametrize(("empty", "remarks"), [(2, 0), (3, 1), (7, 1)])
def test_empty_pages_with_more_to_come_are_read_and_remarked_on(
    tmp_path: Path, serve: Callable[[Api], str], empty: int, remarks: int
) -> None:
    def give(query: Query, _: Any) -> object:
        at = int(query.get("from", 0))
        items = [note(1, "2024-01-05T00:00:00.000Z")] if at == empty else []
        return {"items": items, "next": at + 1 if at < empty else None}

    report = load(plan_of(notes(serve(Api({"/notes": give}))), {}), sqlite(tmp_path))
    assert only(report).inserted == 1
    assert len(report.remarks) == remarks
    said = "notes: 3 empty pages in a row, up to page 3"
    assert all(each.startswith(said) for each in report.remarks)
