"""What a case expects beside what it gives, row by row and column by column."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from crmmap.plan import Step
from crmmap.prove.cases import Case, Row
from crmmap.prove.replay import Outcome, written

LONGEST = 200
"""Characters of a value that a difference shows."""


def differences(step: Step, case: Case, found: Outcome) -> tuple[str, ...]:
    """Return what differs, a line each; nothing where the case gives what it says."""
    expected = [written(step, row) for row in case.rows]
    return (
        *_rows(step, expected, found.rows),
        *_others("reject", case.rejects, found.rejects),
        *_others("note", case.notes, found.notes),
        *_count("duplicate", case.duplicate, found.duplicate),
        *_count("filtered", case.filtered, found.filtered),
    )


def changed(step: Step, case: Case, found: Outcome) -> tuple[str, ...]:
    """Return the words of the case whose values are not what it gives."""
    expected = [written(step, row) for row in case.rows]
    same = {
        "rows": _in_order(expected) == _in_order(found.rows),
        "rejects": _in_order(case.rejects) == _in_order(found.rejects),
        "notes": _in_order(case.notes) == _in_order(found.notes),
        "duplicate": case.duplicate == found.duplicate,
        "filtered": case.filtered == found.filtered,
    }
    return tuple(word for word, equal in same.items() if not equal)


def _in_order(rows: Sequence[Row]) -> list[str]:
    return sorted(_text(row) for row in rows)


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _rows(step: Step, expected: Sequence[Row], found: Sequence[Row]) -> Iterator[str]:
    """Yield differences of rows; those with one key are compared, column by column."""
    left, right = _without_common(expected, found)
    by_key: dict[str, list[Row]] = {}
    for row in right:
        by_key.setdefault(_key(step, row), []).append(row)
    for row in left:
        same = by_key.get(_key(step, row))
        if same:
            yield f"row {_key(step, row)}:"
            yield from (f"  {line}" for line in _cells(step, row, same.pop(0)))
        else:
            yield f"row {_key(step, row)}: expected, not there: {_shown(row)}"
    for rows in by_key.values():
        for row in rows:
            yield f"row {_key(step, row)}: not expected: {_shown(row)}"


def _key(step: Step, row: Row) -> str:
    return ", ".join(f"{name}={_shown(row.get(name))}" for name in step.target.key)


def _cells(step: Step, expected: Row, found: Row) -> Iterator[str]:
    for name in step.target.names:
        one, other = expected.get(name), found.get(name)
        if _text(one) != _text(other):
            yield f"{name}: expected {_shown(one)}, got {_shown(other)}"


def _others(what: str, expected: Sequence[Row], found: Sequence[Row]) -> Iterator[str]:
    left, right = _without_common(expected, found)
    yield from (f"{what}: expected, not there: {_shown(each)}" for each in left)
    yield from (f"{what}: not expected: {_shown(each)}" for each in right)


def _without_common(expected: Sequence[Row], found: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    left, right = list(expected), []
    for row in found:
        at = next((at for at, each in enumerate(left) if _text(each) == _text(row)), None)
        if at is None:
            right.append(row)
        else:
            del left[at]
    return left, right


def _count(what: str, expected: int, found: int) -> Iterator[str]:
    if expected != found:
        yield f"{what}: expected {expected}, got {found}"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = _text(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
