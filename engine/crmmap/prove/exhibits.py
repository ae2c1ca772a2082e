"""Counterexamples written as cases, ready to be put into a case file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crmmap.mock.shapes import sent_for
from crmmap.prove.cases import Row
from crmmap.prove.sheets import Sheet
from crmmap.prove.yaml_text import block, survives
from crmmap.select.xpath import XML


def exhibit(
    name: str, sheet: Sheet, records: Sequence[Any], rows: Sequence[Row], **more: object
) -> str:
    """Return a case in which the records must give the rows, as the text of a case file.

    What YAML can't hold (a NUL, half a surrogate pair, numbers to the last digit) is written
    as an answer's body in JSON.
    """
    entry: dict[str, object] = {"name": name, "stream": sheet.step.name}
    entry |= _partition(sheet)
    entry |= _input(sheet, records, told="page" in more or "then" in more)
    entry |= {word: value for word, value in more.items() if value not in (None, (), [], 0)}
    entry["rows"] = [dict(row) for row in rows]
    lines = list(block(entry, indent=4))
    return "\n".join(["  - " + lines[0].lstrip(), *lines[1:]])


def _partition(sheet: Sheet) -> Mapping[str, object]:
    """Return what a case says of the partition that its records are of."""
    named = {
        word: sheet.context[word] for word in ("parent", "parents", "partition")
        if word in sheet.context
    }  # fmt: skip
    return {"for_each": named} if named else {}


def _input(sheet: Sheet, records: Sequence[Any], *, told: bool) -> Mapping[str, object]:
    """Return the word for records, and them. What a source is told to have stands one by one."""
    plain = as_given(sheet, records)
    if sheet.is_file or told or (survives(plain) and not sheet.step.shape):
        return {"given": plain}
    return {"text": sheet.body(records, {}).decode()}


def as_given(sheet: Sheet, records: Sequence[Any]) -> list[Any]:
    """Return records as `given` has them: cells, the texts of elements, or JSON values."""
    if sheet.is_file:
        return [_cells(record) for record in records]
    if sheet.is_xml:
        return [record[XML] for record in records]
    sent = [sent_for(sheet.step, each) for each in records] if sheet.step.shape else records
    return [_plain(record) for record in sent]


def _cells(record: Row) -> Row:
    return {name: cell for name, cell in record.items() if cell is not None}


def _plain(record: Any) -> Any:
    """Return a record without the entries that hold nothing: they would only be in the way."""
    if not isinstance(record, dict):
        return record
    kept = {name: _plain(each) for name, each in record.items()}
    return {name: each for name, each in kept.items() if each is not None and each != {}}
