"""Every shipped mapping gives what its case file says, and its case file speaks of every column.

A case is written for people who know the CRM:

    name, stream    what it shows, and of which stream
    settings        what the user supplies; what is left out has its default
    given           the records: as the API lists them; of a file, the cells that are not empty,
                    by header
    file            or a file's whole text
    rows            the rows that it must give; columns left out must be null
    rejects         the records refused, with reasons: `field: rule`, or the rule alone; else none
    notes           the cells emptied; else none
    duplicate, filtered   how many records ended there; else 0

Lookups need a store: a column that looks something up still shows what was sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from crmmap.extract.files import CsvFile, Wanted, read_pages
from crmmap.kinds.formats import Csv
from crmmap.kinds.source import Files
from crmmap.plan import Plan, Step, compile_plan, placeholder_settings
from crmmap.spec import read_file
from crmmap.spec.document import read_document
from crmmap.transform import apply, dedupe
from crmmap.values import Batch, Page

MAPPINGS = Path(__file__).parent.parent / "mappings"
NAMES = ("hubspot", "salespro", "arrivy")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One entry of a case file."""

    name: str
    stream: str
    rows: Sequence[Row]
    given: Sequence[Row] | None = None
    file: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    rejects: Sequence[Row] = ()
    notes: Sequence[Row] = ()
    duplicate: int = 0
    filtered: int = 0


def cases_of(mapping: str) -> list[Case]:
    document = read_document((MAPPINGS / "cases" / f"{mapping}.yaml").read_bytes())
    assert not document.faults, document.faults
    assert isinstance(document.value, dict)
    return [Case(**entry) for entry in document.value["cases"]]


CASES = [
    pytest.param(mapping, case, id=f"{mapping}: {case.name}")
    for mapping in NAMES
    for case in cases_of(mapping)
]


@pytest.mark.parametrize(("mapping", "case"), CASES)
def test_a_mapping_gives_what_its_case_says(mapping: str, case: Case, tmp_path: Path) -> None:
    plan = plan_of(mapping, case.settings)
    step = plan.step(case.stream)

    batch = apply(step, pages_of(plan, case, tmp_path))
    rows = dedupe(batch.rows, step.target)
    duplicate = len(batch.rows) - len(rows)

    assert in_order(rows_of(rows, step)) == in_order(expected_rows(case, step))
    assert in_order(rejects_of(batch)) == in_order(case.rejects)
    assert in_order(notes_of(batch)) == in_order(case.notes)
    assert (duplicate, batch.filtered) == (case.duplicate, case.filtered)
    ended = len(batch.rows) + len(batch.rejects) + batch.filtered
    assert ended == batch.fetched


@pytest.mark.parametrize("mapping", NAMES)
def test_every_column_has_a_value_in_some_case(mapping: str) -> None:
    filled = {
        (case.stream, name) for case in cases_of(mapping) for row in case.rows for name in row
    }
    columns = {
        (step.name, name) for step in plan_of(mapping, {}).steps for name in step.target.names
    }
    assert columns - filled == set()


@pytest.mark.parametrize("mapping", NAMES)
def test_cases_have_names_of_their_own(mapping: str) -> None:
    repeated = Counter(case.name for case in cases_of(mapping)) - Counter(
        {case.name for case in cases_of(mapping)}
    )
    assert not repeated


@pytest.mark.parametrize("mapping", NAMES)
def test_every_setting_can_come_from_the_environment_and_says_where_users_find_it(
    mapping: str,
) -> None:
    settings = read_file(MAPPINGS / f"{mapping}.yaml").settings
    assert [name for name, each in settings.items() if not (each.env and each.help)] == []


def plan_of(mapping: str, settings: Mapping[str, str]) -> Plan:
    spec = read_file(MAPPINGS / f"{mapping}.yaml")
    return compile_plan(spec, placeholder_settings(spec, settings))


# --- what a case gives -------------------------------------------------------------------------


def pages_of(plan: Plan, case: Case, folder: Path) -> list[Page]:
    if case.file is not None:
        return pages_of_text(plan, case, folder / "export.csv")
    assert case.given is not None, "a case has either `given` or `file`"
    if isinstance(plan.sources["source"], Files):
        return [Page(number=1, records=cells(case.given), lines=range(2, len(case.given) + 2))]
    return [Page(number=1, records=list(case.given))]


def pages_of_text(plan: Plan, case: Case, path: Path) -> list[Page]:
    assert isinstance(plan.sources["source"], Files)
    assert isinstance(plan.sources["source"].format, Csv)
    path.write_bytes((case.file or "").encode())
    step = plan.step(case.stream)
    wanted = Wanted(headers=step.headers, optional=step.optional)
    return list(read_pages(CsvFile(path=path, format=plan.sources["source"].format, wanted=wanted)))


def cells(records: Sequence[Row]) -> pl.DataFrame:
    headers = dict.fromkeys(header for record in records for header in record)
    return pl.DataFrame(
        [[record.get(header) for header in headers] for record in records],
        schema=dict.fromkeys(headers, pl.String),
        orient="row",
        strict=True,  # a number would not be what a file holds: put quotes around it
    )


# --- what came of it, as a case writes it --------------------------------------------------------


def rows_of(rows: pl.DataFrame, step: Step) -> list[Row]:
    found = rows.select(step.target.names).iter_rows(named=True)
    return [
        {name: plain(value, step, name) for name, value in row.items() if value is not None}
        for row in found
    ]


def expected_rows(case: Case, step: Step) -> list[Row]:
    return [{name: written(value, step, name) for name, value in row.items()} for row in case.rows]


def plain(value: object, step: Step, name: str) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return json.loads(value) if is_json(step, name) and isinstance(value, str) else value


def written(value: object, step: Step, name: str) -> object:
    if isinstance(step.target.column(name).type.dtype, pl.Datetime) and isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC).isoformat()
    return value


def is_json(step: Step, name: str) -> bool:
    return "container" in step.target.column(name).type.accepts


def rejects_of(batch: Batch) -> list[Row]:
    return [
        {
            "key": row["key"],
            "reasons": [reason_of(each) for each in json.loads(row["reasons"])],
        }
        for row in batch.rejects.iter_rows(named=True)
    ]


def reason_of(reason: Row) -> str:
    return f"{reason['field']}: {reason['rule']}" if reason["field"] else reason["rule"]


def notes_of(batch: Batch) -> list[Row]:
    return list(batch.notes.select("key", "field", "rule").iter_rows(named=True))


def in_order(found: Sequence[Row]) -> list[Row]:
    return sorted(found, key=lambda each: json.dumps(each, sort_keys=True))
