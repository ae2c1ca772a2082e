"""The mock server, asked by plain `requests`: it speaks what the mapping says, and no more."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from crmmap.extract.request import first_request
from crmmap.kinds.tokens import InMemory
from crmmap.mock import Server, serve, world_of
from crmmap.mock.routes import based_on
from crmmap.plan import Plan, Step
from crmmap.spec.read import read_mapping
from crmmap.values import Page, Request, Secret

HEAD = """
crmmap: 1
name: harbour
settings:
  key: {env: HARBOUR_KEY, secret: true}
  other: {env: HARBOUR_OTHER, secret: true}
source:
  kind: http
  base_url: "https://api.harbour.example/v2"
  auth: %s
streams:
"""
BEARER = '{kind: bearer, token: "{{ settings.key }}"}'

STREAM = """
  {name}:
    request: {request}
    records: {records}
    pagination: {pagination}
    table: {{name: {name}, key: id}}
    fields: {{id: id, name: {{from: name}}}}
"""

TOKEN = "{kind: token, token: paging.next.after, param: after}"


def stream(
    name: str = "ships", *, request: str = "", records: str = '"items[]"', pagination: str = TOKEN
) -> str:
    chosen = request or f"{{path: /{name}, params: {{limit: '7'}}}}"
    return STREAM.format(name=name, request=chosen, records=records, pagination=pagination)


@contextmanager
def serving(
    *streams: str, auth: str = "none", records: int = 25, dirty: float = 0
) -> Iterator[tuple[Server, Plan]]:
    mapping = read_mapping((HEAD % auth + "".join(streams)).encode(), "invented.yaml")
    world = world_of(mapping, {}, records=records, seed=0, dirty=dirty)
    with serve(world) as server:
        yield server, based_on(world.plan, "source", server.url)


def ask(request: Request) -> requests.Response:
    headers = {n: v.reveal() if isinstance(v, Secret) else v for n, v in request.headers}
    return requests.request(
        request.method, request.url, params=list(request.params), headers=headers,
        json=request.body, timeout=10,
    )  # fmt: skip


def walk(plan: Plan, step: Step) -> list[list[Any]]:
    """Every page's records, found and followed as the mapping says."""
    from crmmap.select.jmespath import find_records

    pages: list[list[Any]] = []
    request: Request | None = first_request(plan, step)
    while request is not None:
        assert len(pages) < 100
        (signed,) = plan.sources["source"].auth.flow(request, InMemory())  # type: ignore[union-attr]
        response = ask(signed)
        assert response.status_code == 200
        assert step.records is not None
        assert step.pagination is not None
        records = find_records(step.records, response.json())
        pages.append(records)
        headers = {name.lower(): value for name, value in response.headers.items()}
        page = Page(number=1, records=records, document=response.json(), headers=headers)
        request = step.pagination.next(request, page)
    return pages


# --- pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pagination", "sizes"),
    [("none", [25]), (TOKEN, [7, 7, 7, 4]), ("link", [7, 7, 7, 4]),
     ("{kind: link, rel: more, header: X-More}", [7, 7, 7, 4]),
     ("{kind: token, token: '\"@cursor\"', param: c}", [7, 7, 7, 4])],
)  # fmt: skip
def test_every_pagination_brings_every_record_once(pagination: str, sizes: list[int]) -> None:
    with serving(stream(pagination=pagination)) as (_, plan):
        pages = walk(plan, plan.steps[0])
    assert [len(page) for page in pages] == sizes
    assert len({record["id"] for page in pages for record in page}) == 25


@pytest.mark.parametrize(
    "records",
    ["items", "items[]", "items[*]", "data.list[]", "edges[].node", "a.b[].c.d", "groups[].items[]",
     "items[?kind=='ship']", "edges[?on].node", "edges[?node.kind=='x'].node", "by_id.*"],
)  # fmt: skip
def test_the_mappings_records_are_found_wherever_they_are_looked_for(records: str) -> None:
    with serving(stream(records=json.dumps(records))) as (_, plan):
        pages = walk(plan, plan.steps[0])
    assert len({record["id"] for page in pages for record in page}) == 25


def test_an_answer_may_be_the_list_itself() -> None:
    with serving(stream(records='"@"', pagination="link")) as (_, plan):
        assert sum(map(len, walk(plan, plan.steps[0]))) == 25


@pytest.mark.parametrize("records", [0, 1, 7, 14])
def test_no_records_and_full_last_pages_end_well(records: int) -> None:
    with serving(stream(), records=records) as (_, plan):
        pages = walk(plan, plan.steps[0])
    assert len(pages) == max(1, records // 7 if records >= 7 else 1)
    assert sum(map(len, pages)) == records


def test_the_page_size_is_the_one_asked_for_and_100_if_none_is() -> None:
    with serving(stream(request="{path: /ships}"), records=250) as (server, plan):
        assert [len(page) for page in walk(plan, plan.steps[0])] == [100, 100, 50]
    with serving(stream()) as (server, plan):
        answer = requests.get(f"{server.url}/ships?limit=3", timeout=10).json()
        assert len(answer["items"]) == 3


def test_dirt_changes_no_count() -> None:
    with serving(stream(), dirty=100) as (_, plan):
        assert sum(map(len, walk(plan, plan.steps[0]))) == 25


# --- what is refused --------------------------------------------------------------------------


def test_without_the_token_nothing_is_given() -> None:
    with serving(stream(), auth=BEARER) as (server, plan):
        url = f"{server.url}/ships"
        for headers in ({}, {"Authorization": "Bearer other"}):
            refused = requests.get(url, headers=headers, timeout=10)
            assert refused.status_code == 401
            assert refused.json()["message"] == "missing or wrong: header Authorization"
        given = requests.get(url, headers={"authorization": "Bearer mock-key"}, timeout=10)
        assert given.status_code == 200
        assert sum(map(len, walk(plan, plan.steps[0]))) == 25


@pytest.mark.parametrize("into", ["header", "query"])
def test_several_keys_are_all_asked_for(into: str) -> None:
    keys = '{X-A: "{{ settings.key }}", X-B: "{{ settings.other }}"}'
    auth = f"{{kind: api_key, into: {into}, keys: {keys}}}"
    with serving(stream(), auth=auth) as (server, plan):
        place = {"headers" if into == "header" else "params": {"X-A": "mock-key"}}
        refused = requests.get(f"{server.url}/ships", timeout=10, **place)  # type: ignore[arg-type]
        assert refused.status_code == 401
        assert "X-B" in refused.json()["message"]
        assert "X-A" not in refused.json()["message"]
        assert sum(map(len, walk(plan, plan.steps[0]))) == 25


def test_an_unknown_path_or_method_is_told_the_routes() -> None:
    with serving(stream(), stream("docks")) as (server, _):
        for response in (
            requests.get(f"{server.url}/nowhere", timeout=10),
            requests.post(f"{server.url}/ships", timeout=10),
        ):
            assert response.status_code == 404
            assert response.json()["routes"] == ["GET /docks", "GET /ships"]
        assert server.routes == ("GET /ships", "GET /docks")


def test_a_body_that_is_no_json_is_a_bad_request() -> None:
    with serving(stream(request="{path: /ships, method: POST, body: {}}")) as (server, _):
        response = requests.post(f"{server.url}/ships", data=b"{", timeout=10)
        assert response.status_code == 400
        assert response.json()["message"] == "the body is not JSON"


# --- routes -----------------------------------------------------------------------------------


def test_any_path_may_stand_before_a_route() -> None:
    with serving(stream()) as (server, _):
        assert requests.get(f"{server.url}/api/v9/ships", timeout=10).status_code == 200
        assert requests.get(f"{server.url}/starships", timeout=10).status_code == 404


def test_the_longer_of_two_routes_is_meant() -> None:
    inner = stream("crew", request="{path: /ships/crew}", records="crew", pagination="none")
    outer = stream("hands", request="{path: /crew}", records="hands", pagination="none")
    with serving(inner, outer) as (server, _):
        assert "crew" in requests.get(f"{server.url}/ships/crew", timeout=10).json()
        assert "hands" in requests.get(f"{server.url}/crew", timeout=10).json()


def test_streams_of_one_path_are_told_apart_by_their_parameters() -> None:
    def kind(name: str) -> str:
        request = f"{{path: /things, params: {{kind: {name}, limit: '10'}}}}"
        return stream(name, request=request, records=f'"{name}[]"')

    with serving(kind("ships"), kind("docks")) as (server, plan):
        found = requests.get(f"{server.url}/things?kind=docks", timeout=10).json()
        assert list(found) == ["paging", "docks"]
        assert [sum(map(len, walk(plan, step))) for step in plan.steps] == [25, 25]


def test_streams_that_ask_the_same_share_one_answer() -> None:
    ships = stream(request="{path: /all}", records='"ships[]"')
    crews = stream("crews", request="{path: /all}", records='"ships[].crews[]"').replace(
        "name: {from: name}", "rank: {from: rank}"
    )
    with serving(ships, crews) as (_, plan):
        assert [sum(map(len, walk(plan, step))) for step in plan.steps] == [25, 25]


def test_streams_that_read_the_same_records_each_find_their_fields() -> None:
    ships = stream()
    masts = stream("masts", request="{path: /ships, params: {limit: '7'}}").replace(
        "name: {from: name}", "mast: {from: rig.mast, type: integer}"
    )
    with serving(ships, masts) as (_, plan):
        records = [record for page in walk(plan, plan.steps[0]) for record in page]
    assert {"id", "name", "rig"} <= set(records[0])
    assert len({record["id"] for record in records}) == 25


# --- HTTP -------------------------------------------------------------------------------------


def test_a_post_is_answered_and_its_connection_kept() -> None:
    with serving(stream(request="{path: /search, method: POST, body: {kind: ship}}")) as (
        server,
        _,
    ):
        host = server.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=10)
        sockets = set()
        for _ in range(3):
            connection.request("POST", "/search", body=json.dumps({"kind": "ship"}))
            response = connection.getresponse()
            assert response.status == 200
            assert len(json.loads(response.read())["items"]) == 25
            sockets.add(connection.sock)
        assert len(sockets) == 1
        assert None not in sockets
        connection.close()
        assert server.requests == 3


def test_a_long_answer_is_compressed_for_those_who_take_it() -> None:
    with serving(stream(request="{path: /ships}")) as (server, _):
        host = server.url.removeprefix("http://")
        bodies = []
        for accepted in ("gzip", "identity"):
            connection = http.client.HTTPConnection(host, timeout=10)
            connection.request("GET", "/ships", headers={"Accept-Encoding": accepted})
            response = connection.getresponse()
            encoding = response.headers.get("Content-Encoding")
            assert encoding == ("gzip" if accepted == "gzip" else None)
            bodies.append(response.read())
            connection.close()
    assert gzip.decompress(bodies[0]) == bodies[1]
    assert len(bodies[0]) < len(bodies[1])


def test_the_source_tells_how_often_it_may_be_asked_and_is_patient() -> None:
    limited = """none
  rate: {limit: 2, per: 1h, remaining: X-Left, max: X-Max}
  daily: {limit: 3, remaining: X-Left-Today}
  concurrency: 2"""
    with serving(stream(), auth=limited) as (_, plan):
        found = ask(first_request(plan, plan.step("ships")))
        source = plan.sources["source"]
    told = {name: found.headers[name] for name in ("X-Left", "X-Max", "X-Left-Today")}
    assert told == {"X-Left": "2", "X-Max": "2", "X-Left-Today": "3"}
    assert (source.rate, source.daily, source.concurrency) == ((), None, 2)


def test_requests_are_counted_refused_ones_too() -> None:
    with serving(stream()) as (server, plan):
        walk(plan, plan.steps[0])
        requests.get(f"{server.url}/nowhere", timeout=10)
        assert server.requests == 5


def test_closing_ends_the_connections_that_clients_keep() -> None:
    with serving(stream()) as (server, _):
        session = requests.Session()
        assert session.get(f"{server.url}/ships", timeout=10).status_code == 200
    with pytest.raises(requests.ConnectionError):
        session.get(f"{server.url}/ships", timeout=10)
    session.close()


def test_a_port_can_be_chosen_and_is_free_again_afterwards() -> None:
    mapping = read_mapping((HEAD % "none" + stream()).encode(), "invented.yaml")
    world = world_of(mapping, {}, records=1)
    with serve(world) as server:
        port = int(server.url.rsplit(":", 1)[1])
        with pytest.raises(OSError):
            serve(world, port=port)
    with serve(world, port=port) as again:
        assert again.url == server.url
