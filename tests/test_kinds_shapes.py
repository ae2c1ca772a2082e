"""Steps of a shape: by their case files, and by the law that pretending is applying backwards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crmmap.errors import SourceError
from crmmap.extract.decode import decode_json
from crmmap.extract.pages import page_of
from crmmap.kinds.shapes import SHAPES
from crmmap.mock.envelopes import envelope_of
from crmmap.mock.shapes import body_of
from crmmap.plan import Step, compile_plan
from crmmap.select.strict import read_json
from crmmap.spec.document import read_document
from crmmap.spec.read import read_mapping
from crmmap.values import Page, Response, as_json
from test_kinds import CASES

MAPPING = """
crmmap: 1
name: shaped
source: {{kind: http, base_url: "https://api.example"}}
streams:
  people:
    request: {{path: /people}}
    records: {records}
    shape: {shape}
    table: {{name: people, key: id}}
    fields: {{id: id}}
"""


def step_of(shape: list[object], records: str = "@") -> Step:
    text = MAPPING.format(shape=json.dumps(shape), records=json.dumps(records))
    return compile_plan(read_mapping(text.encode(), "shaped.yaml"), {}).steps[0]


def read(step: Step, body: str) -> Page:
    """What the source's answer becomes, as a reader of the step yields it."""
    response = Response(status=200, headers={}, body=body.encode(), url="https://api.example")
    return page_of(step, 1, response, decode_json(response))


def cases() -> list[Any]:
    found = []
    for path in sorted((CASES / "shapes").glob("*.yaml")):
        document: Any = read_document(path.read_bytes())
        assert not document.faults, document.faults
        for number, case in enumerate(document.value, start=1):
            found.append(pytest.param(path.stem, case, id=f"{path.stem}-{number}"))
    return found


@pytest.mark.parametrize(("word", "case"), cases())
def test_a_step_makes_records(word: str, case: dict[str, Any]) -> None:
    step = step_of([{word: case["with"]} if case["with"] else word], case.get("records", "@"))
    body = case["text"] if "text" in case else json.dumps(case["document"])
    if "error" in case:
        with pytest.raises(SourceError, match=case["error"]):
            read(step, body)
        return
    page = read(step, body)
    made = case.get("raws") or [as_json(each) for each in case["made"]]
    assert [page.raw(at) for at in range(len(page.records))] == made
    refused = [(each.at, each.raw, each.reasons[0].rule) for each in page.refused]
    assert refused == [(each["at"], each["raw"], each["rule"]) for each in case.get("refused", [])]
    assert page.lines is not None
    assert list(page.lines) == case.get("places", list(page.lines))


@pytest.mark.parametrize(("word", "case"), cases())
def test_a_refusal_shows_no_value(word: str, case: dict[str, Any]) -> None:
    assert case["with"] is not None
    step = step_of([{word: case["with"]} if case["with"] else word], case.get("records", "@"))
    if "error" in case:
        return
    body = case["text"] if "text" in case else json.dumps(case["document"])
    for each in read(step, body).refused:
        for value in ("Ann", "Bob", "Cid", "size"):
            assert value not in each.reasons[0].message


# --- the law --------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "cf_size", "cf_hue", "name", "when"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-99, 99), st.text("xyz7\u00e9\"\\", max_size=3),
    st.lists(st.integers(0, 9), max_size=2), st.dictionaries(st.sampled_from("pq"), st.integers()),
)  # fmt: skip
BARE = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)
ALIKE = st.lists(NAMES, min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.lists(st.fixed_dictionaries(dict.fromkeys(names, VALUES)), max_size=4)
)


TOLD = ALIKE.map(
    lambda found: [{name: f"{each}" for name, each in record.items()} for record in found]
)


def with_entry(
    records: st.SearchStrategy[list[Any]], name: str, each: st.SearchStrategy[Any]
) -> Any:
    """Put a drawn value under a name into each record."""
    return records.flatmap(
        lambda found: st.lists(each, min_size=len(found), max_size=len(found)).map(
            lambda values: [
                {**record, name: value} for record, value in zip(found, values, strict=True)
            ]
        )
    )


SEVERAL = st.lists(BARE, max_size=4)
NUMBERED = SEVERAL.map(lambda found: [{**each, "id": f"n{at}"} for at, each in enumerate(found)])
AUTHORS = SEVERAL.map(
    lambda found: [
        {**each, "author": {"type": "people", "id": str(at), "name": "x"}}
        for at, each in enumerate(found)
    ]
)
LAWS: dict[str, tuple[list[object], str, Any]] = {
    "entries": ([{"entries": {"key": "id"}}], "list", NUMBERED),
    "entries of anything": (
        [{"entries": {"key": "id", "value": "v"}}], "list",
        with_entry(st.just([{}, {}, {}]), "v", VALUES).map(
            lambda found: [{"id": f"n{at}", **each} for at, each in enumerate(found)]),
    ),
    "header row": (["header_row"], "values", ALIKE),
    "header row below": ([{"header_row": 2}], "@", ALIKE),
    "zip": ([{"zip": {"names": "columns[].name", "rows": "rows"}}], "@", ALIKE),
    "zip of reports": (
        [{"zip": {"names": "[dims[].name, metrics[].name][]", "rows": "rows",
                  "cells": "[ds[].value, ms[].value][]"}}], "reports[]", TOLD,
    ),
    "wrap": (["wrap"], "values", with_entry(st.just([{}, {}, {}]), "value", VALUES)),
    "union": (
        [{"union": {"of": {"open": "issues.open", "shut": "issues.shut[]"}, "as": "state"}}], "@",
        SEVERAL.flatmap(lambda found: st.integers(0, len(found)).map(
            lambda cut: [{**each, "state": "open" if at < cut else "shut"}
                         for at, each in enumerate(found)])),
    ),
    "explode": (
        [{"explode": {"of": "phones", "as": "phone", "index": "at"}}], "items[]",
        with_entry(SEVERAL, "phone", VALUES).map(lambda found: [{**x, "at": 0} for x in found]),
    ),
    "explode of lists in lists": (
        [{"explode": {"of": "days", "as": "day"}}, {"explode": {"of": "day.slots", "as": "slot"}}],
        "items[]",
        with_entry(SEVERAL, "slot", VALUES).map(lambda found: [{**x, "day": {}} for x in found]),
    ),
    "explode by key": (
        [{"explode": {"of": "history", "as": "entry", "key": "name"}}], "items[]",
        with_entry(with_entry(SEVERAL, "entry", VALUES), "name", st.text("xyz", max_size=3)),
    ),
    "include": (
        [{"include": {"from": "included", "by": ["type", "id"], "of": "rel.author.data",
                      "as": "author"}}], "data[]",
        AUTHORS.map(lambda found: [
            {**each, "rel": {"author": {"data": {"type": "people", "id": str(at)}}}}
            for at, each in enumerate(found)]),
    ),
    "rename": ([{"rename": {"match": "^hs_v2_", "to": ""}}], "items[]", SEVERAL),
    "rename with a group": (
        [{"rename": {"match": "^hs_date_(.+)$", "to": "date_${1}"}}], "items[]",
        SEVERAL.map(lambda found: [
            {f"date_{name}": each for name, each in record.items()} for record in found]),
    ),
    "collect": (
        [{"collect": {"match": "^cf_", "into": "custom", "to": ""}}], "items[]",
        with_entry(SEVERAL, "custom", st.dictionaries(st.sampled_from(["size", "hue"]), VALUES))
        .map(lambda found: [{name: each for name, each in record.items()
                             if not name.startswith("cf_")} for record in found]),
    ),
    "pivot": (
        [{"pivot": {"of": "fields", "name": "field.title", "value": "value", "as": "fields"}}],
        "items[]", with_entry(SEVERAL, "fields", st.dictionaries(NAMES, VALUES)),
    ),
    "unwrap": (
        [{"unwrap": {"value": ["p", "q"], "in": "found", "first": True}}], "items[]",
        with_entry(SEVERAL, "found", st.dictionaries(NAMES, VALUES)),
    ),
    "unwrap everywhere": ([{"unwrap": {"value": "p"}}], "items[]", SEVERAL),
    "parse_json": ([{"parse_json": {"of": "a"}}], "items[]", with_entry(SEVERAL, "a", VALUES)),
    "a json text of pairs": (
        [{"parse_json": {"of": "results"}},
         {"pivot": {"of": "results", "name": "title", "value": "value", "as": "results"}}],
        "items[]", with_entry(SEVERAL, "results", st.dictionaries(NAMES, VALUES)),
    ),
    "a map whose items are exploded": (
        [{"entries": {"key": "id"}}, {"explode": {"of": "lines", "as": "line", "index": "at"}}],
        "orders", with_entry(NUMBERED, "line", VALUES).map(
            lambda found: [{**x, "at": 0} for x in found]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
@settings(deadline=None)
@given(data=st.data())
def test_what_is_pretended_is_made_again(law: str, data: Any) -> None:
    shape, records, strategy = LAWS[law]
    step = step_of(shape, records)
    wanted = data.draw(strategy)
    assume(law != "union" or wanted)
    assert step.records is not None
    body = body_of(step, envelope_of(step.records), [as_json(each) for each in wanted], {})
    page = read(step, body)
    assert [plain(each) for each in page.records] == [plain(each) for each in wanted]
    assert not page.refused


def plain(value: object) -> object:
    return read_json(as_json(value))


@settings(deadline=None)
@given(data=st.data())
def test_no_value_vanishes(data: Any) -> None:
    """Each value that a step takes one record of ends as a record or as a refusal, at its place."""
    hostile = st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))
    values = data.draw(st.lists(hostile, max_size=5))
    word = data.draw(st.sampled_from(["wrap", "rename", "collect", "pivot", "include", "parse_json",
                                      "explode", "unwrap"]))  # fmt: skip
    attributes: dict[str, object] = {
        "wrap": {"name": "v"}, "rename": {"match": "^c", "to": "d"},
        "collect": {"match": "^c", "into": "custom"},
        "pivot": {"of": "a", "name": "p", "value": "q", "as": "found"},
        "include": {"from": "b", "by": "p", "of": "a", "as": "found"},
        "parse_json": {"of": "a"},
        "unwrap": {"value": "p", "in": "a.b", "as": "found", "first": True},
        "explode": {"of": "a", "as": "item", "keep_empty": True},
    }  # fmt: skip
    written = attributes[word]
    single = {"wrap": "v"}.get(word, written)
    page = read(step_of([{word: single}]), as_json(values))
    assert page.lines is not None
    places = {*page.lines, *(each.at for each in page.refused)}
    assert places == set(range(len(values)))


def test_every_step_has_a_law() -> None:
    used = {
        next(iter(each)) if isinstance(each, dict) else each
        for shape, _, _ in LAWS.values() for each in shape
    }  # fmt: skip
    assert used == set(SHAPES)


def test_two_lists_that_multiply_each_other_do_not_fill_the_memory() -> None:
    step = step_of([{"explode": {"of": "a", "as": "x"}}, {"explode": {"of": "b", "as": "y"}}])
    body = json.dumps([{"a": [0] * 3000, "b": [0] * 3000}])
    with pytest.raises(SourceError, match="makes more than 5,000,000 fields of one page"):
        read(step, body)


@given(st.lists(BARE, min_size=1, max_size=4))
def test_the_list_in_which_a_record_is_pretended_does_not_depend_on_its_neighbours(records):
    step = step_of([{"union": {"of": {"open": "open", "shut": "shut"}, "as": "state"}}])

    def made(several):
        assert step.records is not None
        body = body_of(step, envelope_of(step.records), [as_json(each) for each in several], {})
        return sorted(as_json(each) for each in read(step, body).records)

    assert made(records) == sorted(each for record in records for each in made([record]))
