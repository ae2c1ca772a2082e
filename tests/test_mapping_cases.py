"""Every shipped mapping gives what its case file says, and its case file speaks of every column."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from crmmap.prove import Case, cases_beside, failure, read_cases
from crmmap.prove.replay import plan_of
from crmmap.spec import read_file

MAPPINGS = Path(__file__).parent.parent / "mappings"
NAMES = tuple(sorted(path.stem for path in MAPPINGS.glob("*.yaml")))


def cases_of(mapping: str) -> tuple[Case, ...]:
    path = MAPPINGS / f"{mapping}.yaml"
    return read_cases(cases_beside(path), read_file(path))


CASES = [
    pytest.param(mapping, case, id=f"{mapping}: {case.name}")
    for mapping in NAMES
    for case in cases_of(mapping)
]


@pytest.mark.parametrize(("mapping", "case"), CASES)
def test_a_mapping_gives_what_its_case_says(mapping: str, case: Case) -> None:
    path = MAPPINGS / f"{mapping}.yaml"
    found = failure(read_file(path), cases_beside(path), case)
    assert found is None, "\n".join((found.where, found.what, *found.lines))


@pytest.mark.parametrize("mapping", NAMES)
def test_every_column_has_a_value_in_some_case(mapping: str) -> None:
    filled = {
        (case.stream, name) for case in cases_of(mapping) for row in case.rows for name in row
    }
    plan = plan_of(read_file(MAPPINGS / f"{mapping}.yaml"), {})
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
    settings = read_file(MAPPINGS / f"{mapping}.yaml").settings
    assert [name for name, each in settings.items() if not (each.env and each.help)] == []
