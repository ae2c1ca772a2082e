"""Words of the language together: a read that is broken off anywhere loses nothing."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from invented import load, plan_of, sqlite, table
from test_increments import Api, serve  # noqa: F401  (a fixture)

MAPPING = """
crmmap: 1
name: together
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  groups:
    request: {{path: /groups}}
    table: {{name: groups, key: id}}
    fields: {{id: id}}
  orders:
    for_each: {{stream: groups, changed: {changed}}}
    request:
      path: "/groups/{{{{ parent.id }}}}/orders"
      params: {{props: "{{{{ selected('properties') | join(',') }}}}"}}
    changes:
      request:
        path: "/groups/{{{{ parent.id }}}}/changed"
        params: {{props: "{{{{ selected('properties') | join(',') }}}}"}}
    records: results[]
    pagination: {{kind: token, token: next, param: after}}
    incremental: {{kind: timestamp, field: at, params: {{since: "{{{{ cursor }}}}"}}}}
    fields_from:
      request: {{path: /properties}}
      records: results[]
      name: name
      type: type
      from: "properties.{{name}}"
      types: {{string: text}}
    enrich:
      owner:
        request: {{path: /owners, params: {{ids: "{{{{ records | map('boss') | join(',') }}}}"}}}}
        batch: 2
        on: {{boss: id}}
    table: {{name: orders, key: id}}
    fields:
      id: id
      group_id: {{value: "{{{{ parent.id }}}}", lookup: {{stream: groups, missing: wait}}}}
      at: {{from: at, type: datetime}}
      title: properties.title
      owner: owner.name
  lines:
    pages_of: orders
    records: results[]
    shape: [{{explode: {{of: lines, as: line}}}}]
    table: {{name: lines, key: [order_id, n]}}
    fields:
      order_id: {{from: id, lookup: {{stream: orders, missing: wait}}}}
      n: {{from: line.n, type: integer}}
"""


def orders(count: int = 5) -> dict[str, list[dict[str, Any]]]:
    return {
        group: [
            {
                "id": f"{group}{n}", "at": f"2024-0{at}-0{n}T00:00:00.000Z", "boss": f"b{n % 3}",
                "properties": {"title": f"t{n}", "colour": f"c{n}"},
                "lines": [{"n": each} for each in range(n % 3)],
            }
            for n in range(1, count)
        ]
        for at, group in enumerate(("g", "h", "i"), 1)
    }  # fmt: skip


def api_of(kept: dict[str, list[dict[str, Any]]]) -> Api:
    def listed(group: str) -> Callable[[dict[str, str], Any], object]:
        def give(query: dict[str, str], _: Any) -> object:
            found = [each for each in kept[group] if each["at"] >= query.get("since", "")]
            start, props = int(query.get("after", 0)), query["props"].split(",")
            shown = [
                {**each, "properties": {name: each["properties"].get(name) for name in props}}
                for each in found[start : start + 2]
            ]
            return {"results": shown, "next": start + 2 if start + 2 < len(found) else None}

        return give

    paths: dict[str, Any] = {
        "/groups": lambda _query, _body: [{"id": group} for group in kept],
        "/properties": lambda _query, _body: {"results": [{"name": "colour", "type": "string"}]},
        "/owners": lambda query, _: [
            {"id": each, "name": f"name of {each}"}
            for each in dict.fromkeys(query["ids"].split(","))
        ],
    }  # fmt: skip
    for group in kept:
        paths |= {f"/groups/{group}/{word}": listed(group) for word in ("orders", "changed")}
    return Api(paths)


def breaking(api: Api, at: int, how: Callable[[], object]) -> Api:
    """Return an API that does something at its request number `at`."""

    def wrapped(gave: Callable[[Any, Any], object]) -> Callable[[Any, Any], object]:
        def give(query: Any, body: Any) -> object:
            if len(api.asked) == at:
                how()
            return gave(query, body)

        return give

    api.paths = {path: wrapped(gave) for path, gave in api.paths.items()}
    return api


def tables(store: str) -> dict[str, list[tuple[object, ...]]]:
    return {name: table(store, name) for name in ("groups", "orders", "lines")}


@pytest.mark.parametrize("changed", ["false", "true"])
def test_a_read_that_is_broken_off_anywhere_gives_the_same_tables(
    tmp_path: Path, serve: Callable[[Api], str], changed: str
) -> None:
    kept = orders()
    whole = api_of(kept)
    plan = plan_of(MAPPING.format(url=serve(whole), changed=changed), {})
    assert all(each.status == "done" for each in load(plan, sqlite(tmp_path)).streams)
    asked = [path for path, _ in whole.asked if path.endswith("/orders")]
    assert len(asked) == 3 * 2  # two streams read these pages, and ask for them once
    wanted, most = tables(sqlite(tmp_path)), len(whole.asked)
    assert [len(rows) for rows in wanted.values()] == [3, 12, 12]
    for at in range(1, most + 1, 3):
        stop = threading.Event()
        plan = plan_of(
            MAPPING.format(url=serve(breaking(api_of(kept), at, stop.set)), changed=changed), {}
        )
        (tmp_path / f"at{at}").mkdir()
        store = sqlite(tmp_path / f"at{at}")
        load(plan, store, stop=stop)
        report = load(plan, store)
        assert all(each.status == "done" for each in report.streams), (at, report)
        assert tables(store) == wanted, at


def test_changes_are_read_once_whatever_was_broken_off(
    tmp_path: Path, serve: Callable[[Api], str]
) -> None:
    for at in range(1, 16, 4):
        kept, stop = orders(), threading.Event()
        api = api_of(kept)
        plan = plan_of(MAPPING.format(url=serve(api), changed="false"), {})
        (tmp_path / f"at{at}").mkdir()
        store = sqlite(tmp_path / f"at{at}")
        load(plan, store)
        for group, several in kept.items():
            several[-1] |= {"at": "2024-05-05T00:00:00.000Z", "lines": [{"n": 7}]}
            several.append({**several[0], "id": f"{group}new", "at": "2024-05-06T00:00:00.000Z"})
        api.asked.clear()
        breaking(api, at, stop.set)
        load(plan, store, stop=stop)
        kept["g"].append({**kept["g"][0], "id": "later", "at": "2024-05-07T00:00:00.000Z"})
        load(plan, store)
        report = load(plan, store)
        assert all(each.status == "done" for each in report.streams), (at, report)
        found = tables(store)
        assert len(found["orders"]) == 3 * 5 + 1, at
        assert len([row for row in found["lines"] if 7 in row]) == 3, at
        assert "later" in str(found["lines"]), at
