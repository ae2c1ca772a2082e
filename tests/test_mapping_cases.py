"""Every shipped mapping gives what its case file says, and its case file speaks of every column."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from crmmap.plan import Plan
from crmmap.prove import Case, cases_beside, read_cases
from crmmap.prove.casework import against
from crmmap.prove.replay import plan_of
from crmmap.spec import read_file
from crmmap.spec.model import Mapping

MAPPINGS = Path(__file__).parent.parent / "mappings"
NAMES = tuple(sorted(path.stem for path in MAPPINGS.glob("*.yaml")))


@cache
def read(mapping: str) -> Mapping:
    return read_file(MAPPINGS / f"{mapping}.yaml")


@cache
def compiled(mapping: str, settings: frozenset[tuple[str, str]]) -> Plan:
    return plan_of(read(mapping), dict(settings))


def cases_of(mapping: str) -> tuple[Case, ...]:
    return read_cases(cases_beside(MAPPINGS / f"{mapping}.yaml"), read(mapping))


CASES = [
    pytest.param(mapping, case, id=f"{mapping}: {case.name}")
    for mapping in NAMES
    for case in cases_of(mapping)
]


@pytest.mark.parametrize(("mapping", "case"), CASES)
def test_a_mapping_gives_what_its_case_says(mapping: str, case: Case) -> None:
    plan = compiled(mapping, frozenset(case.settings.items()))
    found = against(plan, cases_beside(MAPPINGS / f"{mapping}.yaml"), case)
    assert found is None, "\n".join((found.where, found.what, *found.lines))


@pytest.mark.parametrize("mapping", NAMES)
def test_every_column_has_a_value_in_some_case(mapping: str) -> None:
    filled = {
        (case.stream, name) for case in cases_of(mapping) for row in case.rows for name in row
    }
    plan = compiled(mapping, frozenset())
    columns = {(step.name, name) for step in plan.steps for name in step.target.names}
    assert columns - filled == set()


@pytest.mark.parametrize("mapping", NAMES)
def test_cases_have_names_of_their_own(mapping: str) -> None:
    names = Counter(case.name for case in cases_of(mapping))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("mapping", NAMES)
def test_every_setting_can_come_from_the_environment_and_says_where_users_find_it(
    mapping: str,
) -> None:
    settings = read(mapping).settings
    assert [name for name, each in settings.items() if not (each.env and each.help)] == []
