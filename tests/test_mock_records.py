"""Invented records: repeatable, read by the mapping's own paths, accepted by its own rules."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmmap.mock import Stream, record, streams_of, world_of
from crmmap.select.strict import read_json
from crmmap.spec.read import read_mapping
from crmmap.transform.cells import judge, verdict_column
from crmmap.values import Page

HEAD = """
crmmap: 1
name: harbour
source: {kind: http, base_url: "https://api.harbour.example"}
streams:
"""

PLAIN = """
  {name}:
    request: {{path: /{name}}}
    table: {{name: {name}, key: id}}
    fields:
      id: id
"""

FLEET = (
    HEAD
    + PLAIN.format(name="berths")
    + """
      code: {from: code, type: integer}
"""
    + PLAIN.format(name="ships")
    + """
      name: {from: name, check: {max_length: 12}}
      flag: {from: flag, check: {one_of: [red, blue]}}
      call_sign: {from: call_sign, check: {pattern: "[A-Z]{3}-\\\\d{2}"}}
      length: {from: size.length, type: number, check: {min: 40, max: 42}}
      built: {from: built, type: date, check: {after: "2024-01-01"}}
      berth: {from: berth, lookup: berths}
      gate: {from: gate, type: integer, lookup: {stream: berths, by: code, missing: reject}}
      escort: {from: escort, lookup: {stream: ships, missing: wait}}
"""
)


@cache
def streams(text: str, *, records: int = 200, seed: int = 0, dirty: float = 0) -> dict[str, Stream]:
    mapping = read_mapping(text.encode(), "invented.yaml")
    return dict(streams_of(world_of(mapping, {}, records=records, seed=seed, dirty=dirty)))


def test_all_sources_of_a_world_have_the_same_streams() -> None:
    mapping = read_mapping(FLEET.encode(), "invented.yaml")
    world = world_of(mapping, {}, records=10)
    assert streams_of(world)["ships"] is streams_of(world)["ships"]
    assert streams_of(world_of(mapping, {}, records=10))["ships"].world is not world


def one_field(rest: str) -> str:
    return HEAD + PLAIN.format(name="ships") + f"      value: {{{rest}}}\n"


def judged(stream: Stream) -> pl.DataFrame:
    """What the real selector and the real transforms make of the records."""
    records = [read_json(line) for line in stream.lines(0, stream.world.records)]
    page = Page(number=1, records=records)
    return judge(stream.step.selector.select(page), stream.step.fields)


def verdicts(stream: Stream) -> list[str]:
    """The rules that some record breaks."""
    frame = judged(stream)
    return [name for name in frame.columns if "|" in name and not frame[name].all()]


# --- the same again -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_records_and_another_seed_others() -> None:
    one = streams(FLEET, seed=1)["ships"].lines(0, 50)
    streams.cache_clear()
    assert streams(FLEET, seed=1)["ships"].lines(0, 50) == one
    assert streams(FLEET, seed=2)["ships"].lines(0, 50) != one


@given(start=st.integers(0, 199), length=st.integers(0, 30), dirty=st.sampled_from([0, 40]))
@settings(max_examples=25, deadline=None)
def test_a_record_does_not_depend_on_what_is_asked_for_with_it(
    start: int, length: int, dirty: float
) -> None:
    stream = streams(FLEET, dirty=dirty)["ships"]
    whole = stream.lines(0, 230)
    assert stream.lines(start, start + length) == whole[start : start + length]


# --- accepted by the mapping's own rules ----------------------------------------------------------


@pytest.mark.parametrize("name", ["berths", "ships"])
def test_clean_records_break_no_rule(name: str) -> None:
    assert verdicts(streams(FLEET)[name]) == []


def test_the_first_record_has_every_field_that_can_have_a_value() -> None:
    first = judged(streams(FLEET)["ships"]).row(0, named=True)
    empty = {
        field.name for field in streams(FLEET)["ships"].step.fields if first[field.name] is None
    }
    assert empty == {"escort"}  # no ship came before the first


def test_some_cells_are_empty_and_most_are_not() -> None:
    frame = judged(streams(FLEET, records=2000)["ships"])
    for name in ("name", "flag", "length"):
        assert 0.02 < frame[name].null_count() / 2000 < 0.09


TYPES = [
    "type: text", "type: integer", "type: number", "type: 'decimal(9,3)'", "type: boolean",
    "type: date", "type: datetime", "type: email", "type: phone", "type: json",
    "type: {kind: enum, values: [a, b]}",
    "type: {kind: date, formats: ['%d.%m.%Y']}",
    "type: {kind: decimal, precision: 8, scale: 2, group: ',', currency: true}",
]  # fmt: skip
CHECKS = [
    "", "check: {max_length: 3}", "check: {min_length: 30}", "check: {one_of: [x, y]}",
    "check: {pattern: 'no-[0-9]+'}", "clean: [{strip_prefix: 'ID '}, upper]",
]  # fmt: skip


@pytest.mark.parametrize(
    "rest", [*TYPES, *CHECKS, "type: integer, check: {min: 7, max: 9}",
             "type: integer, check: {one_of: ['3', '4']}",
             "type: 'decimal(9,2)', check: {min: 0.5, max: 0.75}",
             "type: datetime, check: {after: '2024-06-01', before: '2024-09-01'}"]
)  # fmt: skip
def test_a_field_gets_values_that_its_type_and_checks_accept(rest: str) -> None:
    stream = streams(one_field(", ".join(filter(None, ["from: value", rest]))))["ships"]
    assert verdicts(stream) == []
    assert judged(stream)["value"].null_count() < 40


EXPRESSIONS: list[str | list[str]] = [
    "value", "a.b.c", "a[0]", "a[0].b", "a[1].b", "a[-1].b", '"odd name%".b',
    "phones[?kind=='home'].number | [0]", "phones[?kind=='home' && live].number | [0]",
    "join(' ', [first, last])", "join(' ', [first, last][?@])", "not_null(a, b.c)",
    "to_string(n)", "join(', ', tags)", "join(', ', people[].name)", "a || b",
    ["mobile", "home.phone"], "values(odd)[0]", "odd.* | [0]", "reverse(word)",
]  # fmt: skip


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_mappings_own_paths_find_the_values(expression: str | list[str]) -> None:
    stream = streams(one_field(f"from: {json.dumps(expression)}"))["ships"]
    assert verdicts(stream) == []
    assert judged(stream)["value"].null_count() < 60


@pytest.mark.parametrize(
    "expression",
    ["length(name)", "sum(lines[].price)", "length(lines)", "max(scores)", "avg(scores)"],
)
def test_functions_of_numbers_find_numbers(expression: str) -> None:
    stream = streams(one_field(f"from: '{expression}', type: number"))["ships"]
    assert judged(stream)["value"].null_count() < 60


def test_an_object_that_one_field_keeps_whole_holds_what_others_read_from_it() -> None:
    text = (
        one_field("from: cargo, type: json") + "      weight: {from: cargo.weight, type: number}\n"
    )
    frame = judged(streams(text)["ships"])
    assert json.loads(frame["value"][0])["weight"] is not None
    assert frame["weight"].null_count() < 40


def test_fields_of_one_place_agree_on_its_value() -> None:
    text = one_field("from: n, type: integer") + "      small: {from: n, check: {max_length: 1}}\n"
    assert verdicts(streams(text)["ships"]) == []


def test_where_nothing_satisfies_a_check_the_field_stays_empty() -> None:
    text = one_field("from: n, type: integer, check: {min: 2, max: 1}")
    assert judged(streams(text)["ships"])["value"].null_count() == 200


def test_filters_let_most_records_pass_but_not_all() -> None:
    text = one_field("from: flag, type: {kind: enum, values: [red, blue, green]}").replace(
        "    fields:", "    where: {value: {one_of: [red]}}\n    fields:"
    )
    values = judged(streams(text, records=2000)["ships"])["value"].drop_nulls()
    passing = (values == "red").mean()
    assert isinstance(passing, float)
    assert 0.9 < passing < 1


# --- identity -----------------------------------------------------------------------------------


def test_keys_differ_and_lookups_find_them_but_for_a_few() -> None:
    fleet = streams(FLEET, records=2000)
    berths, ships = judged(fleet["berths"]), judged(fleet["ships"])
    assert berths["id"].n_unique() == berths["code"].n_unique() == 2000
    found = ships["berth"].drop_nulls().is_in(berths["id"].to_list())
    assert 0.005 < 1 - found.sum() / 2000 < 0.05
    assert 0.005 < ships["berth"].null_count() / 2000 < 0.05


def test_where_a_missing_parent_costs_the_record_none_is_missing() -> None:
    fleet = streams(FLEET, records=500)
    gates = judged(fleet["ships"])["gate"].drop_nulls()
    assert gates.is_in(judged(fleet["berths"])["code"].to_list()).all()


def test_a_record_that_looks_up_its_own_stream_finds_an_earlier_one() -> None:
    frame = judged(streams(FLEET, records=500)["ships"])
    place = {key: at for at, key in enumerate(frame["id"])}
    pairs = [(at, place.get(key)) for at, key in enumerate(frame["escort"]) if key is not None]
    assert all(found is None or found < at for at, found in pairs)
    assert sum(found is not None for _, found in pairs) > 450


@pytest.mark.parametrize(
    "kind", ["text", "integer", "email", "phone", "date", "datetime", "number"]
)
def test_a_key_of_any_type_tells_records_apart(kind: str) -> None:
    text = HEAD + PLAIN.format(name="ships").replace("id: id", f"id: {{from: id, type: {kind}}}")
    frame = judged(streams(text, records=1500)["ships"])
    assert frame["id"].null_count() == 0
    assert frame["id"].n_unique() == 1500


def test_a_key_of_a_pattern_tells_records_apart() -> None:
    text = HEAD + PLAIN.format(name="ships").replace(
        "id: id", "id: {from: id, check: {pattern: 'S-[A-Z]{4}'}}"
    )
    stream = streams(text, records=1500)["ships"]
    assert verdicts(stream) == []
    assert judged(stream)["id"].n_unique() == 1500


def test_a_parents_key_suits_what_its_children_check() -> None:
    text = HEAD + PLAIN.format(name="docks") + PLAIN.format(name="ships") + """
      dock: {from: dock, check: {pattern: "[a-z]{6}"}, lookup: docks}
"""  # fmt: skip
    fleet = streams(text)
    assert verdicts(fleet["ships"]) == []
    assert judged(fleet["ships"])["dock"].is_in(judged(fleet["docks"])["id"].to_list()).mean() > 0.9  # type: ignore[operator]


def test_a_key_of_several_fields_and_one_that_is_a_foreign_key() -> None:
    text = HEAD + PLAIN.format(name="docks") + """
  lines:
    request: {path: /lines}
    table: {name: lines, key: [dock, kind]}
    fields:
      dock: {from: dock, lookup: docks}
      kind: {from: kind, type: {kind: enum, values: [in, out]}}
"""  # fmt: skip
    fleet = streams(text)
    frame = judged(fleet["lines"])
    assert frame.select("dock", "kind").n_unique() == 200
    assert frame["dock"].to_list() == judged(fleet["docks"])["id"].to_list()
    assert verdicts(fleet["lines"]) == []


def test_two_streams_may_have_each_others_keys() -> None:
    pair = [("heads", "tails"), ("tails", "heads")]
    text = HEAD + "".join(
        PLAIN.format(name=one).replace(
            "id: id", f"id: {{from: id, lookup: {{stream: {other}, missing: wait}}}}"
        )
        for one, other in pair
    )
    fleet = streams(text)
    assert judged(fleet["heads"])["id"].to_list() == judged(fleet["tails"])["id"].to_list()


# --- dirt ---------------------------------------------------------------------------------------


def refused(stream: Stream) -> float:
    """The share of records that some rule refuses, or that are no objects."""
    records = [json.loads(line) for line in stream.lines(0, stream.world.records)]
    objects = [each for each in records if isinstance(each, dict)]
    select = stream.step.selector.select(Page(number=1, records=objects))
    frame = judge(select, stream.step.fields)
    rules = [
        verdict_column(field.name, rule)
        for field in stream.step.fields
        for rule in ("type", "required", "#selection", *(each.name for each in field.rules))
    ]
    broken = frame.select(~pl.all_horizontal(name for name in rules if name in frame.columns))
    return float((broken.to_series().sum() + len(records) - len(objects)) / len(records))


@pytest.mark.parametrize("dirty", [0, 5, 50, 100])
def test_the_share_of_broken_records_is_the_one_asked_for(dirty: float) -> None:
    stream = streams(FLEET, records=2000, dirty=dirty)["ships"]
    assert refused(stream) == pytest.approx(dirty / 100, abs=0.03 if 0 < dirty < 100 else 0)


def test_dirt_is_of_all_kinds() -> None:
    stream = streams(FLEET, records=2000, dirty=50)["ships"]
    records = [record(stream, index) for index in range(400)]
    assert any(not isinstance(each, dict) for each in records)
    broken = set(verdicts_of_objects(stream))
    assert {"id|required", "length|type", "built|type"} <= broken


def verdicts_of_objects(stream: Stream) -> list[str]:
    records = [json.loads(line) for line in stream.lines(0, 2000)]
    objects: list[Any] = [each for each in records if isinstance(each, dict)]
    frame = judge(stream.step.selector.select(Page(number=1, records=objects)), stream.step.fields)
    return [name for name in frame.columns if "|" in name and not frame[name].all()]


def test_a_dirty_world_is_the_clean_one_but_for_its_dirt() -> None:
    clean = streams(FLEET)["ships"].lines(0, 200)
    dirty = streams(FLEET, dirty=20)["ships"].lines(0, 200)
    same = sum(one == other for one, other in zip(clean, dirty, strict=True))
    assert 130 < same < 180


def test_nothing_in_a_record_is_made_of_names() -> None:
    """A field called email gets no e-mail addresses: its type speaks, not its name."""
    text = one_field("from: value").replace("value:", "email:", 1)
    frame = judged(streams(text)["ships"])
    assert not frame["email"].str.contains("@", literal=True).any()
