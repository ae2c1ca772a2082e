"""`crmmap.testing`: what the authors of mappings import into tests of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import crmmap
from crmmap.extract.partitions import sample
from crmmap.prove.replay import plan_of
from crmmap.prove.sheets import bare_sheet, untriable
from crmmap.testing import mapping, pages, records
from crmmap.transform import apply

MAPPINGS = Path(__file__).parent.parent / "mappings"
SHIPPED = {name: crmmap.read(MAPPINGS / f"{name}.yaml") for name in ("hubspot", "salespro")}
PLANS = {name: plan_of(each, {}) for name, each in SHIPPED.items()}
slowly = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])

STREAMS = [
    (name, step.name)
    for name, plan in PLANS.items()
    for step in plan.steps
    # What is not read, for another stream stands for it, has records all the same.
    if not untriable(replace(step, absent=""))
]


@pytest.mark.parametrize(("name", "stream"), STREAMS)
@slowly
@given(st.data())
def test_sound_records_are_what_the_mapping_takes(name: str, stream: str, data: Any) -> None:
    record = data.draw(records(SHIPPED[name], stream))
    step = PLANS[name].step(stream)
    sheet = bare_sheet(PLANS[name], step, sample(step))
    batch = apply(step, [sheet.page([record])])
    assert len(batch.rows) + batch.filtered == 1
    assert batch.notes.is_empty()


def test_broken_records_are_among_them_where_that_is_asked_for() -> None:
    step = PLANS["hubspot"].step("contacts")
    sheet = bare_sheet(PLANS["hubspot"], step)

    def refused(record: object) -> bool:
        return len(apply(step, [sheet.page([record])]).rejects) == 1

    quick = settings(
        max_examples=300, database=None, derandomize=True, deadline=None, phases=[Phase.generate]
    )
    broken = find(records(SHIPPED["hubspot"], "contacts", broken=0.5), refused, settings=quick)
    assert refused(broken)


@slowly
@given(pages(SHIPPED["salespro"], "offices", broken=0.3, size=3, most=2))
def test_pages_are_lists_of_records_by_header(found: list[list[dict[str, str | None]]]) -> None:
    assert len(found) <= 2
    for page in found:
        assert len(page) <= 3
        assert all("objectId" in record for record in page)


@slowly
@given(mapping(SHIPPED["hubspot"], size=2))
def test_a_whole_source_has_every_stream(found: Mapping[str, list[Any]]) -> None:
    assert set(found) == {step.name for step in PLANS["hubspot"].steps}
    assert all(len(each) <= 2 for each in found.values())


def test_a_stream_that_is_not_there_is_told() -> None:
    with pytest.raises(ValueError, match="no stream 'contact' to make records of: there is none"):
        records(SHIPPED["hubspot"], "contact")
