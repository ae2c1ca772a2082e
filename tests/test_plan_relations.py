"""Which foreign keys the database is to hold, as a mapping says it."""

from __future__ import annotations

from io import StringIO

import pytest

from crmmap.plan import ForeignKey, compile_plan, placeholder_settings
from crmmap.report.parts import rendered
from crmmap.report.plan import plan_document, plan_parts
from invented import mapping

TEXT = """
crmmap: 1
name: relations
source: {{kind: http, base_url: "https://relations.example"}}
defaults: {{lookup: {{missing: wait, constraint: {usual}}}}}
streams:
  offices:
    request: {{path: /o}}
    table: {{name: the_offices, key: code}}
    fields: {{code: code, name: name}}
  people:
    request: {{path: /p}}
    table: {{name: people, key: id}}
    fields:
      id: id
      office: {{from: office, lookup: {{stream: offices, by: name}}}}
      boss: {{from: boss, lookup: {{stream: people, constraint: {own}}}}}
"""
OFFICE = ForeignKey(column="office", table="the_offices", key="code")
BOSS = ForeignKey(column="boss", table="people", key="id")


@pytest.mark.parametrize(
    ("usual", "own", "expected"),
    [
        ("false", "true", (BOSS,)),
        ("true", "false", (OFFICE,)),
        ("true", "null", (OFFICE, BOSS)),
        ("false", "false", ()),
    ],
)
def test_the_default_is_turned_on_and_off(
    usual: str, own: str, expected: tuple[ForeignKey, ...]
) -> None:
    text = TEXT.format(usual=usual, own=own).replace(", constraint: null", "")
    spec = mapping(text)
    plan = compile_plan(spec, placeholder_settings(spec, {}))
    target = plan.step("people").target
    assert target.foreign_keys == expected
    assert target.indexed == tuple(sorted((each.column,) for each in expected))
    told = rendered(plan_parts(plan_document(plan)), StringIO())
    for field in ("office", "boss"):
        line = next(each for each in told.splitlines() if each.startswith(f"   {field} "))
        assert ("; a foreign key" in line) == (field in {each.column for each in expected})
