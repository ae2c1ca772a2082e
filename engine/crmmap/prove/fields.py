"""The law of fields: each can hold a value, whatever its type, its cleaning and its checks ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from crmmap.kinds.checks import (
    After,
    Before,
    Check,
    Max,
    MaxLength,
    Min,
    MinLength,
    Pattern,
    rule_name,
)
from crmmap.kinds.times import Date, Datetime
from crmmap.mock.chance import generator
from crmmap.mock.pools import Hints, Reading, fits, pool_of
from crmmap.plan import FieldPlan, Step
from crmmap.prove.exhibits import exhibit
from crmmap.prove.replay import outcome_of
from crmmap.prove.results import Finding, Proof
from crmmap.prove.sheets import PREPARED, Draft, Sheet
from crmmap.transform import apply

LAW_HOLDS = "every field can hold a value"


def fields_hold(sheet: Sheet, hints: Hints, names: Sequence[str]) -> Iterator[Proof]:
    """Yield a proof for each field that nothing can fill, else one for them all."""
    tried = 0
    for field in sheet.step.fields:
        if field.name in sheet.step.given or field.name not in names:
            continue
        reading = _reading(sheet.step, field, hints)
        tried += 1
        known = _fills(sheet, reading)
        if known is None:
            why = f"no text is known that matches the pattern of '{field.name}'"
            yield Proof(law=LAW_HOLDS, stream=sheet.step.name, unproven=why)
        elif not known:
            finding = _unfillable(sheet, reading)
            yield Proof(law=LAW_HOLDS, stream=sheet.step.name, examples=1, finding=finding)
            return
    yield Proof(law=LAW_HOLDS, stream=sheet.step.name, examples=tried)


def _reading(step: Step, field: FieldPlan, hints: Hints) -> Reading:
    return Reading(
        field=field,
        filters=tuple(each for each in step.filters if each.field == field.name),
        checks=hints.get((step.name, field.name), ()),
    )


def _fills(sheet: Sheet, reading: Reading) -> bool | None:
    """Say whether some value fills the field; None where that is not known."""
    number = sheet.column(reading.field.name)
    prepared = [] if number is None else [sheet.value(number, at) for at in range(PREPARED)]
    if number is None or any(fits(reading, [each for each in prepared if each is not None])):
        return True  # what several places make of it was tried when the sheet was made
    random = generator(0, sheet.step.name, reading.field.name)
    if pool_of([reading], random).values or any(fits(reading, [*_bounds(reading, random)])):
        return True
    patterns = [each.value for each in reading.checks if isinstance(each, Pattern)]
    matching = _matching(patterns[0]) if patterns else []
    if patterns and not matching:
        return None
    return bool(matching) and any(fits(reading, matching))


def _bounds(reading: Reading, random: Random) -> Iterator[object]:
    """Yield values at, and next to, what the checks name."""
    for check in reading.checks:
        yield from _near(check, reading)
    yield from (reading.field.type.sample(random) for _ in range(50))


def _near(check: Check, reading: Reading) -> Iterator[object]:
    match check:
        case Min() | Max():
            yield from (
                str(check.value),
                int(check.value),
                int(check.value) + 1,
                int(check.value) - 1,
            )
        case MinLength() | MaxLength():
            yield from ("x" * check.value, "7" * check.value)
        case After() | Before():
            at = datetime.fromisoformat(check.value)
            for days in (-1, 1, 400, -400):
                when = at + timedelta(days=days)
                yield from _as_written(when if when.tzinfo else when.replace(tzinfo=UTC), reading)


def _as_written(when: datetime, reading: Reading) -> Iterator[str]:
    kind = reading.field.type
    forms = kind.formats if isinstance(kind, Date | Datetime) else ()
    yield from (when.strftime(form) for form in forms if "%" in form)
    yield from (when.strftime("%Y-%m-%dT%H:%M:%SZ"), when.strftime("%Y-%m-%d"))


def _matching(pattern: str) -> list[object]:
    """Return texts that match a pattern, as far as Python reads it as Rust does."""
    import hypothesis.strategies as st
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis.errors import HypothesisException

    found: list[object] = []

    def keep(text: str) -> None:
        found.append(text)

    try:
        given(st.from_regex(pattern, fullmatch=True, alphabet=st.characters(max_codepoint=126)))(
            settings(
                max_examples=40, database=None, deadline=None, derandomize=True,
                phases=(Phase.generate,), suppress_health_check=list(HealthCheck),
            )(keep)
        )()  # fmt: skip
    except (HypothesisException, ValueError, TypeError):  # re.error is a ValueError of old
        return found
    return found


def _unfillable(sheet: Sheet, reading: Reading) -> Finding:
    step, field = sheet.step, reading.field
    checks = ", ".join(_said(check) for check in reading.checks) or "its type and cleaning alone"
    bare = replace(reading, field=replace(field, rules=()), filters=())
    likely = [*_bounds(reading, generator(0, field.name))]
    value = next((each for each in likely if fits(bare, [each])[0]), "text")
    number = sheet.column(field.name)
    record = sheet.record(Draft(who=0, changes={} if number is None else {number: value}))
    free = replace(
        step,
        fields=tuple(replace(each, rules=()) if each is field else each for each in step.fields),
        filters=tuple(each for each in step.filters if each.field != field.name),
    )
    rows = outcome_of(free, apply(free, [sheet.page([record])])).rows
    return Finding(
        where=step.name,
        what=f"no value of '{field.name}' can be stored: nothing suits {checks}",
        lines=("Every record is refused, or its cell left empty. Correct the check or the type.",),
        case=exhibit(f"'{field.name}' holds a value", sheet, [record], rows),
    )


def _said(check: Check) -> str:
    value: Any = getattr(check, "value", "")
    return f"{rule_name(check)} {', '.join(value) if isinstance(value, tuple) else value}"
