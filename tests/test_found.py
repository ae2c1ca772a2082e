"""Columns that the source lists itself: found once, named safely, added to what is there."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from crmmap.errors import ExitCode, SourceError
from crmmap.plan import FoundField, compile_plan, placeholder_settings
from crmmap.plan.found import column_name, path_of
from crmmap.select.jmespath import compile_expression
from crmmap.spec.model import FieldsFrom, Naming, RequestSpec
from crmmap.template import Template
from fault_server import FaultServer, Seen, answer
from invented import load, mapping, mock, plan_of, sqlite, table
from stores import store_url  # noqa: F401  (a fixture)

MAPPING = """
crmmap: 1
name: guild
settings: {{url: {{default: "{url}"}}}}
source: {{kind: http, base_url: "{{{{ settings.url }}}}", retry: {{attempts: 1}}}}
defaults: {{batch: 2}}
streams:
  members:
    request:
      path: /members
      params: {{properties: "{{{{ selected('properties') | join(',') }}}}"}}
    records: results[]
    pagination: {{kind: token, token: next, param: after}}
    table: {{name: members, key: id}}
    fields:
      id: id
      mail: {{from: properties.email, type: email}}
    fields_from:
      request: {{path: /properties/members}}
      records: results[]
      name: name
      type: type
      from: "properties.{{name}}"
      types: {{string: text, number: "decimal(12,2)", date: date, bool: boolean}}
      {more}
  boats:
    request: {{path: /boats}}
    table: {{name: boats, key: id}}
    fields: {{id: id}}
"""


class Guild:
    """An API with properties of its own. `members` are given two to a page."""

    def __init__(self) -> None:
        self.properties: Any = [
            {"name": "email", "type": "string"},
            {"name": "favouriteColour", "type": "string"},
            {"name": "height-in-m", "type": "number"},
            {"name": "since", "type": "date"},
        ]
        self.members: list[dict[str, Any]] = [
            {"id": str(n), "properties": {"email": f"m{n}@example.com", "favouriteColour": "blue",
             "height-in-m": f"1.{n}", "since": "2024-05-06"}} for n in range(1, 6)
        ]  # fmt: skip
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.when: Callable[[str], None] = lambda _: None

    def __call__(self, seen: Seen) -> bytes:
        parts = urlsplit(seen.target)
        query = dict(parse_qsl(parts.query))
        self.asked.append((parts.path, query))
        self.when(query.get("after", ""))
        if parts.path == "/boats":
            return answer(b'[{"id": "b1"}]')
        if parts.path != "/members":
            status = 200 if isinstance(self.properties, list) else 403
            return answer(json.dumps({"results": self.properties}).encode(), status)
        start = int(query.get("after", 0))
        names = query["properties"].split(",")
        shown = [
            {**each, "properties": {name: each["properties"].get(name) for name in names}}
            for each in self.members[start : start + 2]
        ]
        following = start + 2 if start + 2 < len(self.members) else None
        return answer(json.dumps({"results": shown, "next": following}).encode())


@pytest.fixture
def guild() -> Iterator[tuple[Guild, str]]:
    api = Guild()
    with FaultServer(api) as server:
        yield api, server.url


def text(url: str, more: str = "") -> str:
    return MAPPING.format(url=url, more=more)


def run(url: str, store: str, more: str = "", **options: Any) -> Any:
    report = load(plan_of(text(url, more), {"url": url}), store, **options)
    return report, next(each for each in report.streams if each.stream == "members")


def columns(store: str, name: str = "members") -> list[str]:
    engine = sa.create_engine(store)
    found = [column["name"] for column in sa.inspect(engine).get_columns(name)]
    engine.dispose()
    return [name for name in found if not name.startswith("_crmmap")]


def test_the_listed_fields_become_columns(store_url: str, guild: tuple[Guild, str]) -> None:
    api, url = guild
    report, members = run(url, store_url)
    assert members.status == "done", members.message
    assert set(columns(store_url)) == {"id", "mail", "favourite_colour", "height_in_m", "since"}
    assert len(table(store_url, "members")) == members.counts.inserted == 5
    # Asked for once, and the pages ask for what was found.
    assert [path for path, _ in api.asked].count("/properties/members") == 1
    asked = {query["properties"] for path, query in api.asked if path == "/members"}
    assert asked == {"email,favouriteColour,height-in-m,since"}
    assert report.remarks == ()  # the table was made in this run: nothing was added to it

    _, again = run(url, store_url)
    assert again.counts.unchanged == 5


def test_a_new_field_is_added_to_the_table_that_is_there(
    store_url: str, guild: tuple[Guild, str]
) -> None:
    api, url = guild
    run(url, store_url)
    api.properties.append({"name": "captain", "type": "bool"})
    api.members[0]["properties"]["captain"] = "true"
    report, members = run(url, store_url)
    assert members.status == "done"
    assert "captain" in columns(store_url)
    assert report.remarks == ("added the column captain to the existing table 'members'",)

    # One that is gone stays as it is.
    api.properties.pop()
    _, members = run(url, store_url)
    assert members.status == "done"
    assert "captain" in columns(store_url)


def test_another_type_fails_the_stream_alone(store_url: str, guild: tuple[Guild, str]) -> None:
    api, url = guild
    run(url, store_url)
    api.properties[1]["type"] = "bool"
    report, members = run(url, store_url)
    assert members.status == "failed"
    told = r"column 'favourite_colour': has the type (LONG)?TEXT, but the mapping's is"
    assert re.search(told, members.message)
    assert [each.status for each in report.streams if each.stream == "boats"] == ["done"]


def test_an_unknown_type_is_kept_as_text_and_told(tmp_path: Path, guild: tuple[Guild, str]) -> None:
    api, url = guild
    api.properties += [{"name": "place", "type": "coordinates"}, {"name": "odd"}]
    report, members = run(url, sqlite(tmp_path))
    assert members.status == "done"
    said = "kept as text, for `types` has no word for what they are: odd, place (coordinates)"
    assert report.remarks == (f"members: {said}",)


@pytest.mark.parametrize(
    ("properties", "more", "message"),
    [
        (None, "", "/properties/members: answered 403"),
        ([{"type": "string"}], "", "an item of the list has no name at 'name'"),
        (["email"], "", "an item of the list is no object"),
        ([{"name": "a\u001b[31m", "type": "string"}], "", "can't be shown"),
        ([{"name": "a", "type": "string"}, {"name": "a", "type": "bool"}], "", "listed twice"),
        (
            [{"name": "fooBar", "type": "string"}, {"name": "foo bar", "type": "string"}], "",
            "'foo bar' and 'fooBar' would have one column, 'foo_bar'",
        ),
        (
            [{"name": "Mail", "type": "string"}], "",
            "'Mail' would have the column of the declared field 'mail'",
        ),
        (
            [{"name": f"p{n}", "type": "string"} for n in range(9)], "most: 8",
            "9 fields were found, and `most` allows 8",
        ),
        ([{"name": "_crmmap_row_hash", "type": "string"}], "", "a column that is kept for ours"),
    ],
)  # fmt: skip
def test_a_list_that_can_not_be_used_fails_its_stream_alone(
    tmp_path: Path, guild: tuple[Guild, str], properties: Any, more: str, message: str
) -> None:
    api, url = guild
    api.properties = properties
    report, members = run(url, sqlite(tmp_path), more)
    assert (members.status, members.counts.fetched) == ("failed", 0)
    assert message in members.message
    assert "\x1b" not in members.message
    assert [each.status for each in report.streams if each.stream == "boats"] == ["done"]
    assert report.exit_code in (ExitCode.STREAM_FAILED, ExitCode.UNREACHABLE)
    assert not any(path == "/members" for path, _ in api.asked)


def test_a_list_is_not_skipped_by_a_rule_for_lost_would_be_its_columns(
    tmp_path: Path, guild: tuple[Guild, str]
) -> None:
    api, url = guild
    api.properties = {}
    rules = "    responses: [{status: 403, then: skip}]\n"
    written = text(url).replace("    fields_from:", f"{rules}    fields_from:")
    report = load(plan_of(written, {"url": url}), sqlite(tmp_path))
    members = next(each for each in report.streams if each.stream == "members")
    assert members.status == "failed"
    assert "there is no list: answered 403 Forbidden" in members.message


def test_clashing_names_keep_their_columns_by_a_digest(
    tmp_path: Path, guild: tuple[Guild, str]
) -> None:
    api, url = guild
    api.properties = [{"name": name, "type": "string"} for name in ("fooBar", "foo bar", "Mail")]
    api.members[0]["properties"] |= {"fooBar": "one", "foo bar": "two", "Mail": "three"}
    _, members = run(url, sqlite(tmp_path), "column: {clash: digest}")
    assert members.status == "done", members.message
    found = columns(sqlite(tmp_path))
    assert len(found) == len(set(found)) == 5
    assert sum(name.startswith("foo_bar_") for name in found) == 2
    assert sum(name.startswith("mail_") for name in found) == 1


def test_only_and_except_choose(tmp_path: Path, guild: tuple[Guild, str]) -> None:
    _, url = guild
    run(url, sqlite(tmp_path), "only: ['fav*', since]\n      except: since")
    assert columns(sqlite(tmp_path)) == ["id", "mail", "favourite_colour"]


def test_a_position_is_worth_nothing_once_the_fields_are_others(
    store_url: str, guild: tuple[Guild, str]
) -> None:
    """Interrupted, then resumed with the same fields; interrupted again, then with others."""
    api, url = guild
    for change in (False, True):
        stop = threading.Event()
        api.when = lambda after, stop=stop: stop.set() if after == "2" else None  # type: ignore[misc]
        _, members = run(url, store_url, stop=stop)
        assert members.status == "interrupted"
        api.when = lambda _: None
        if change:
            api.properties.append({"name": "captain", "type": "bool"})
        _, members = run(url, store_url)
        assert (members.status, members.resumed) == ("done", not change)
    assert len(table(store_url, "members")) == 5


def test_the_mock_lists_fields_and_fills_them(store_url: str) -> None:
    with mock(records=7, text=text("https://guild.example")) as plan:
        report = load(plan, store_url)
        again = load(plan, store_url)
    assert [each.status for each in report.streams] == ["done", "done"]
    names = set(columns(store_url))
    assert {"custom_string_1", "custom_number_2", "custom_date_1", "custom_bool_2"} <= names
    assert "email" not in names  # listed by the mock too, but a declared field reads it
    engine = sa.create_engine(store_url)
    with engine.connect() as connection:
        query = "SELECT COUNT(custom_string_1), COUNT(custom_number_1) FROM members"
        assert all(connection.execute(sa.text(query)).one())
    engine.dispose()
    assert again.counts.unchanged == again.counts.fetched == 14


DUES = """
  dues:
    for_each: {stream: members, batch: 5}
    request: {path: /dues, params: {of: "{{ parents | map('id') | join(',') }}"}}
    table: {name: dues, key: id}
    fields: {id: id, member: {from: member, lookup: members}}
"""


def test_the_mock_knows_a_parent_that_has_found_fields(tmp_path: Path) -> None:
    with mock(records=15, text=text("https://guild.example") + DUES) as plan:
        report = load(plan, sqlite(tmp_path))
    dues = next(each for each in report.streams if each.stream == "dues")
    assert (dues.counts.fetched, dues.counts.inserted) == (15, 15)


def test_an_account_with_five_hundred_fields(store_url: str, guild: tuple[Guild, str]) -> None:
    """They are asked for in parts, written to a table as wide, and found unchanged again."""
    api, url = guild
    names = [f"property_number_{n}_of_a_long_list" for n in range(498)]
    api.properties = [{"name": name, "type": "string"} for name in names]
    api.members = [
        {"id": str(n), "properties": {name: f"{name[16:20]} {n}" for name in names}}
        for n in range(1, 6)
    ]
    # One has more in it than a row of PostgreSQL or MariaDB holds: it costs itself.
    long = {"id": "6", "properties": {name: f"{name} at length" for name in names}}
    api.members.append(long)
    for each in api.members:
        each["properties"]["email"] = None
    split = "split: {param: properties, most: 100, longest: 2000, by: id}"
    wide = text(url).replace("      path: /members\n", f"      path: /members\n      {split}\n")
    plan = plan_of(wide, {"url": url})
    report = load(plan, store_url)
    held = 6 if store_url.startswith("sqlite") else 5
    assert report.counts.inserted == held + 1, [each.message for each in report.streams]
    assert report.counts.rejected == 6 - held
    assert report.streams[0].reasons == ({"store.size": 1} if held == 5 else {})
    pages = [query["properties"] for path, query in api.asked if path == "/members"]
    assert len(pages) > 3 * 6
    assert max(map(len, pages)) <= 2000
    row = next(row for row in table(store_url, "members") if row[0] == "3")
    assert {f"{name[16:20]} 3" for name in names} <= set(row)
    assert load(plan, store_url).counts.unchanged == held + 1


def test_a_plan_needs_no_network() -> None:
    spec = mapping(text("https://guild.example"))
    plan = compile_plan(spec, placeholder_settings(spec, {}))
    assert plan.step("members").target.names == ("id", "mail")
    found = {"members": [FoundField(name="z", type="bool"), FoundField(name="a", type="string")]}
    grown = compile_plan(spec, placeholder_settings(spec, {}), found)
    assert grown.step("members").target.names == ("id", "mail", "a", "z")
    assert grown.step("members").fingerprint != plan.step("members").fingerprint
    finding = plan.step("members").finding
    assert finding is not None
    later = finding.compiled(found["members"])
    for name in ("target", "optional", "selected", "selection", "fingerprint", "parents"):
        assert getattr(later, name) == getattr(grown.step("members"), name)
    with pytest.raises(SourceError, match="declared field 'id'"):
        compile_plan(
            spec, placeholder_settings(spec, {}), {"members": [FoundField(name="ID", type="x")]}
        )


@given(st.text(max_size=200), st.sampled_from(["snake", "keep"]), st.integers(20, 63))
def test_every_name_makes_a_column(name: str, case: Any, longest: int) -> None:
    column = column_name(name, Naming(case=case, longest=longest, prefix="p_"))
    assert column.isidentifier()
    assert column.isascii()
    assert len(column) <= longest
    assert column_name(name, Naming(case=case, longest=longest, prefix="p_")) == column


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_a_name_stays_a_name(name: str) -> None:
    """Whatever a source calls a field, the expression finds that field and nothing else."""
    spec = {"request": RequestSpec(path=Template.parse("/")), "types": {},
            "name": compile_expression("n"), "type": compile_expression("t")}  # fmt: skip
    plain = FieldsFrom(from_="properties.{name}", **spec)  # type: ignore[arg-type]
    found = compile_expression(path_of(plain, name)).find({"properties": {name: 7}, name: 8})
    assert found == 7
    listed = FieldsFrom(from_="fields[?id=='{name}'].value | [0]", **spec)  # type: ignore[arg-type]
    fields = [{"id": f"{name}x", "value": 1}, {"id": name, "value": 7}]
    assert compile_expression(path_of(listed, name)).find({"fields": fields}) == 7
