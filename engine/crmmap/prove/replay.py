"""What a case gives: its records through the mapping, written as a case writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from crmmap.errors import SourceError
from crmmap.extract.database_cells import text_of
from crmmap.extract.decoders import decoder_of
from crmmap.extract.files import CsvFile, Wanted, read_pages
from crmmap.extract.pages import page_of
from crmmap.extract.partitions import with_given
from crmmap.extract.regular_file import Local
from crmmap.extract.request import given_values
from crmmap.kinds.database import Sql
from crmmap.kinds.formats import Csv, Xml
from crmmap.kinds.source import Files
from crmmap.plan import Plan, Step, compile_plan, placeholder_settings
from crmmap.prove.cases import Case, Row
from crmmap.select.jmespath import compile_expression
from crmmap.select.xpath import XML
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.transform import apply, dedupe_all
from crmmap.values import Batch, Page, Response, as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case's records. Rows hold the columns that are not null."""

    rows: tuple[Row, ...]
    rejects: tuple[Row, ...] = ()
    notes: tuple[Row, ...] = ()
    duplicate: int = 0
    filtered: int = 0


def plan_of(mapping: MappingSpec, settings: Mapping[str, str]) -> Plan:
    """Return the mapping's plan with the settings given, and placeholders for the others."""
    return compile_plan(mapping, placeholder_settings(mapping, settings))


def replay(plan: Plan, case: Case) -> Outcome:
    """Take a case's records through the mapping. Raises SourceError where they can't be read."""
    step = plan.step(case.stream)
    with TemporaryDirectory(prefix="crmmap-case-") as folder:
        batch = apply(step, pages_of(plan, step, case, Path(folder)))
    return outcome_of(step, batch)


def outcome_of(step: Step, batch: Batch) -> Outcome:
    """Return what became of a batch that is all that was read."""
    kept = dedupe_all(batch.rows, step.target)
    return Outcome(
        rows=rows_of(step, kept),
        rejects=rejects_of(batch),
        notes=tuple(batch.notes.select("key", "field", "rule").iter_rows(named=True)),
        duplicate=len(batch.rows) - len(kept),
        filtered=batch.filtered,
    )


# --- what goes in -------------------------------------------------------------------------------


def pages_of(plan: Plan, step: Step, case: Case, folder: Path) -> list[Page]:
    """Return a case's records as the stream's reader would give them. Raises SourceError."""
    pages = _pages(step, case, folder)
    given = given_values(plan, step, case.for_each) if step.given else {}
    return [with_given(page, given) for page in pages] if given else pages


def _pages(step: Step, case: Case, folder: Path) -> list[Page]:
    files = isinstance(step.source, Files) and isinstance(step.format, Csv)
    if case.file is not None or (case.text is not None and files):
        return _of_file(step, case.file or case.text or "", folder / "export.csv")
    if case.given is None:
        body = as_json(case.answer) if case.text is None else case.text
        return [_of_answer(step, body.encode())]
    if files:
        lines = range(2, len(case.given) + 2)
        return [Page(number=1, records=cells(case.given), lines=lines)]
    if isinstance(step.source, Sql):
        return [Page(number=1, records=cells([*map(_as_texts, case.given)]))]
    if step.shape:
        # Records are given as a list, however the source writes them.
        listed = replace(step, records=compile_expression("@"), format=None)
        return [_of_answer(listed, as_json(list(case.given)).encode())]
    return [Page(number=1, records=records_of(step, case.given))]


def records_of(step: Step, given: Sequence[Any]) -> list[Any]:
    """Return records as a reader gives them: of XML, a text is an element."""
    if not isinstance(step.format, Xml):
        return list(given)
    return [{XML: each} if isinstance(each, str) else each for each in given]


def _of_file(step: Step, text: str, path: Path) -> list[Page]:
    form = step.format if isinstance(step.source, Files) else None
    if not isinstance(form, Csv):
        message = "`file` is a CSV file's text, and this mapping reads none. Write `text`"
        raise SourceError(message)
    path.write_bytes(text.encode())
    wanted = Wanted(headers=step.headers, optional=step.optional)
    return list(read_pages(CsvFile(file=Local(path=path), format=form, wanted=wanted)))


def _of_answer(step: Step, body: bytes) -> Page:
    headers = {"content-length": str(len(body))}
    response = Response(status=200, headers=headers, body=body, url="the case")
    return page_of(step, 1, response, decoder_of(step)(response))


def _as_texts(record: Row) -> Row:
    """Return a database's row with its whole numbers and flags as the texts that they become."""
    return {
        name: text_of(value) if isinstance(value, int) else value for name, value in record.items()
    }


def cells(records: Sequence[Row]) -> pl.DataFrame:
    """Return records, each header by header, as the text columns of a file."""
    headers = dict.fromkeys(header for record in records for header in record)
    for record in records:
        for header, cell in record.items():
            if not isinstance(cell, str | None):
                # A number would not be what a file holds.
                message = f"the cell '{header}' is no text. Put quotes around it"
                raise SourceError(message)
    return pl.DataFrame(
        [[record.get(header) for header in headers] for record in records],
        schema=dict.fromkeys(headers, pl.String),
        orient="row",
        strict=True,
    )


# --- what came of it, as a case writes it -------------------------------------------------------


def rows_of(step: Step, rows: pl.DataFrame) -> tuple[Row, ...]:
    """Return a frame's rows as a case writes them."""
    found = rows.select(step.target.names).iter_rows(named=True)
    return tuple(
        {name: plain(step, name, value) for name, value in row.items() if value is not None}
        for row in found
    )


def plain(step: Step, name: str, value: object) -> object:
    """Return a stored value as a case writes it: times in ISO 8601, decimals as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return json.loads(value) if is_json(step, name) and isinstance(value, str) else value


def is_json(step: Step, name: str) -> bool:
    """Say whether a column holds JSON documents."""
    return "container" in step.target.column(name).type.accepts


def written(step: Step, row: Row) -> Row:
    """Return a row that a case expects, its moments in UTC as `plain` writes them."""
    return {
        name: _moment(value) if _is_moment(step, name) and isinstance(value, str) else value
        for name, value in row.items()
        if value is not None
    }


def _is_moment(step: Step, name: str) -> bool:
    return isinstance(step.target.column(name).type.dtype, pl.Datetime)


def _moment(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except ValueError:
        return text  # it is no moment: then it differs from all of them, which is told


def rejects_of(batch: Batch) -> tuple[Row, ...]:
    """Return a batch's rejects as a case writes them."""
    return tuple(
        {
            "key": row["key"],
            "reasons": [reason_of(each) for each in json.loads(row["reasons"])],
        }
        for row in batch.rejects.iter_rows(named=True)
    )


def reason_of(reason: Mapping[str, Any]) -> str:
    """Return a reason as a case writes it: `field: rule`, or the rule alone."""
    return f"{reason['field']}: {reason['rule']}" if reason["field"] else str(reason["rule"])
