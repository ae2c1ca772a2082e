"""Streams whose rows are asked for in turn, until there are none below."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crmmap.errors import SourceError
from crmmap.extract.descent import Descent
from crmmap.plan import Recursion
from fault_server import FaultServer
from invented import load, mock, plan_of, sqlite, table
from test_increments import Api, Query, serve  # noqa: F401  (a fixture)

BLOCKS = """
crmmap: 1
name: blocks
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  pages:
    request: {{path: /pages}}
    table: {{name: pages, key: id}}
    fields: {{id: id}}
  blocks:
    for_each: {{{first}recurse: {{{how}}}}}
    request: {{path: "{path}"}}
    records: items[]
    pagination: {{kind: token, token: next, param: from}}
    table: {{name: blocks, key: id}}
    fields:
      id: {{from: id, clean: [trim, lower]}}
      above: {{value: "{{{{ parent.id }}}}"}}
      more: {{from: has_children, type: boolean}}
"""
TREE: Mapping[str, list[str]] = {
    "p1": ["a", "b", "c"],
    "p2": ["d"],
    "a": ["a1", "a2", "a3"],
    "a2": ["a21"],
    "c": ["c1", "a"],  # a second way to `a`
    "c1": ["c"],  # a circle
    "d": ["d1"],
    "d1": ["d11"],
}
ALL = {"a", "b", "c", "a1", "a2", "a3", "a21", "c1", "d", "d1", "d11"}


def blocks(
    url: str, how: str = "where: more", first: str = "stream: pages, ",
    path: str = "/{{ parent.id }}",
) -> str:  # fmt: skip
    return BLOCKS.format(url=url, how=how, first=first, path=path)


def api_of(tree: Mapping[str, list[str]], size: int = 2) -> Api:
    def below(name: str) -> Callable[[Query, Any], object]:
        def give(query: Query, _: Any) -> object:
            start = int(query.get("from", 0))
            found = [{"id": f" {one.upper()}", "has_children": one in tree} for one in tree[name]]
            more = start + size if start + size < len(found) else None
            return {"items": found[start : start + size], "next": more}

        return give

    api = Api({"/pages": lambda _query, _: [{"id": "p1"}, {"id": "p2"}]})
    api.paths |= {f"/{name}": below(name) for name in tree}
    return api


def test_rows_are_asked_for_in_turn_and_each_once(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    api, store = api_of(TREE), sqlite(tmp_path)
    report = load(plan_of(blocks(serve(api)), {}), store)
    assert report.status == "done"
    assert {row[0] for row in table(store, "blocks")} == ALL
    firsts = [path for path, query in api.asked if not query and path != "/pages"]
    # Level by level, and what is below one page before the next.
    assert firsts == ["/p1", "/a", "/c", "/a2", "/c1", "/p2", "/d", "/d1"]
    above = {str(row[0]): row[1] for row in table(store, "blocks")}
    assert (above["b"], above["a21"], above["d11"]) == ("p1", "a2", "d1")


def test_without_where_every_row_is_asked_for(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    api, store = api_of({**TREE, **{leaf: [] for leaf in ALL - set(TREE)}}), sqlite(tmp_path)
    assert load(plan_of(blocks(serve(api), ""), {}), store).status == "done"
    assert Counter(path for path, query in api.asked if not query)["/d11"] == 1


def test_depth_ends_it(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    api, store = api_of(TREE), sqlite(tmp_path)
    load(plan_of(blocks(serve(api), "where: more, depth: 1"), {}), store)
    assert {row[0] for row in table(store, "blocks")} == ALL - {"a21", "d11"}


def test_too_many_rows_are_refused(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    api, store = api_of(TREE), sqlite(tmp_path)
    report = load(plan_of(blocks(serve(api), "where: more, most: 3"), {}), store)
    (failed,) = [each for each in report.streams if each.status == "failed"]
    assert "more than 3 rows to ask for below one row (`most`)" in failed.message


def test_the_first_request_may_be_for_no_row(tmp_path: Path, serve: Callable[[Api], str]) -> None:
    api, store = api_of({**TREE, "root": ["a", "d"]}), sqlite(tmp_path)
    text = blocks(serve(api), first="", path="/{{ parent.id or 'root' }}")
    assert load(plan_of(text, {}), store).status == "done"
    found = {str(row[0]): row[1] for row in table(store, "blocks")}
    assert found == {"a": None, "d": None, "a1": "a", "a2": "a", "a3": "a", "a21": "a2",
                     "d1": "d", "d11": "d1"}  # fmt: skip


@pytest.mark.parametrize("at", range(11))
def test_a_read_goes_on_where_it_was_killed(
    tmp_path: Path, serve: Callable[[Api], str], at: int
) -> None:
    api, store, stop = api_of(TREE), sqlite(tmp_path), threading.Event()

    def counting(gave: Callable[[Query, Any], object]) -> Callable[[Query, Any], object]:
        def give(query: Query, body: Any) -> object:
            if len(api.asked) > at:
                stop.set()
            return gave(query, body)

        return give

    plain = dict(api.paths)
    api.paths = {path: counting(give) for path, give in plain.items()}
    plan = plan_of(blocks(serve(api)), {})
    first = load(plan, store, stop=stop).status
    assert first in ("interrupted", "done")
    api.paths = plain
    api.asked.clear()
    report = load(plan, store)
    assert report.status == "done"
    assert {row[0] for row in table(store, "blocks")} == ALL
    if at > 7 and first == "interrupted":  # what is stored by now is not asked for again
        assert "/p1" not in [path for path, _ in api.asked]


TREES = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=5, unique=True)
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=TREES, size=st.integers(1, 3), kills=st.lists(st.integers(1, 4), max_size=4))
def test_any_graph_is_read_whole_whatever_kills_the_read(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, list[str]], size: int,
    kills: list[int],
) -> None:  # fmt: skip
    """What is reached from the pages is stored, however often a run is ended and begun again."""
    whole = {"p1": ["a", "b"], "p2": ["c"], **tree}
    api = api_of(whole, size)
    store = sqlite(tmp_path_factory.mktemp("graph"))
    with FaultServer(api) as server:
        plan = plan_of(blocks(server.url), {})
        for left in kills:
            stop, gave, count = threading.Event(), dict(api.paths), [left]

            def stopping(
                give: Callable[[Query, Any], object], stop: threading.Event = stop,
                count: list[int] = count,
            ) -> Callable[[Query, Any], object]:  # fmt: skip
                def answered(query: Query, body: Any) -> object:
                    count[0] -= 1
                    if count[0] < 0:
                        stop.set()
                    return give(query, body)

                return answered

            api.paths = {path: stopping(give) for path, give in gave.items()}
            load(plan, store, stop=stop)
            api.paths = gave
        assert load(plan, store).status == "done"
    reached, pending = set[str](), ["p1", "p2"]
    while pending:
        new = set(whole.get(pending.pop(), ())) - reached
        reached |= new
        pending += new
    assert {row[0] for row in table(store, "blocks")} == reached


def test_a_position_says_where_reading_stands() -> None:
    how = Recursion(columns=("id",), where=None, depth=None, most=5)
    here, _ = Descent.at({"id": "p"}, None)
    here = here.beyond(how, [{"id": "a"}, {"id": "b"}, {"id": "a"}, {"id": "p"}])
    again, inner = Descent.at({"id": "p"}, here.position("3"))
    assert (again, inner) == (here, "3")
    after, inner = Descent.at({"id": "p"}, here.position(None))
    assert (after.row, after.level, inner) == ({"id": "a"}, 1, None)
    assert after.waiting == ((1, {"id": "b"}),)
    assert json.loads(here.position(None) or "")["inner"] is None
    last = after.following()
    assert last is not None
    assert last.position(None) is None
    with pytest.raises(SourceError, match="more than 5 rows"):
        last.beyond(how, [{"id": str(n)} for n in range(4)])


@pytest.mark.parametrize(
    ("first", "path"),
    [("stream: pages, ", "/{{ parent.id }}"), ("", "/items/{{ parent.id or 'root' }}"),
     ("", "{{ '/items/' ~ parent.id ~ '/below' if parent.id else '/items' }}")],
)  # fmt: skip
@pytest.mark.parametrize("how", ["where: more", "depth: 1", ""])
def test_the_mock_has_rows_below_rows(tmp_path: Path, first: str, path: str, how: str) -> None:
    text = blocks("http://127.0.0.1", how, first, path)
    with mock(text=text, records=40) as plan:
        report = load(plan, sqlite(tmp_path))
    assert report.status == "done"
    counts = report.streams[-1].counts
    assert (counts.inserted, counts.rejected) == (40, 0)
    own = {row[0] for row in table(sqlite(tmp_path), "blocks")}
    assert any(row[1] in own for row in table(sqlite(tmp_path), "blocks"))
