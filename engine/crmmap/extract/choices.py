"""What the parts of a partition go over, as it is known when a read begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from crmmap.errors import SourceError
from crmmap.kinds.periods import periods
from crmmap.moments import moment, written
from crmmap.plan import Choice, Dates, Distinct, Step
from crmmap.values import Start

MOST_VALUES = 10_000
"""Values that one part may take: they are held at once, and multiply with the others'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of a part: the text that tells it from others, and what templates are given."""

    label: str
    given: object


Combination = Mapping[str, Value]


def combinations(step: Step, start: Start) -> Iterator[Combination]:
    """Yield every combination of the parts' values, the last part's changing fastest.

    Raises SourceError where there are too many, or a date is none.
    """
    every = [_values(name, choices, start) for name, choices in step.parts.over.items()]
    for several in product(*every):
        yield dict(zip(step.parts.over, several, strict=True))


def samples(step: Step) -> Iterator[Combination]:
    """Yield combinations for people and the mock: what only a run can know has a stand-in."""
    every = [
        [each for choice in choices for each in _samples(choice)]
        for choices in step.parts.over.values()
    ]
    for several in product(*every):
        yield dict(zip(step.parts.over, several, strict=True))


def _values(name: str, choices: tuple[Choice, ...], start: Start) -> list[Value]:
    found: dict[str, Value] = {}
    try:
        for each in (value for choice in choices for value in _of(choice, start)):
            found.setdefault(each.label, each)
            if len(found) > MOST_VALUES:
                message = f"it has more than {MOST_VALUES} values"
                raise ValueError(message)
    except (ValueError, OverflowError) as error:
        message = f"`for_each` goes over '{name}': {error}"
        raise SourceError(message) from None
    return list(found.values())


def _of(choice: Choice, start: Start) -> Iterator[Value]:
    match choice:
        case Distinct():
            for text in start.values(choice.target, choice.column, MOST_VALUES + 1):
                yield Value(label=text, given=text)
        case Dates():
            end = moment(start.began if choice.end == "now" else choice.end)
            for since, until in periods(moment(choice.start), end, choice.step):
                yield _period(written(since), written(until))
        case _:
            for text in choice:
                yield Value(label=text, given=text)


def _period(start: str, end: str) -> Value:
    return Value(label=f"{start}/{end}", given={"start": start, "end": end})


def _samples(choice: Choice) -> Iterator[Value]:
    match choice:
        case Distinct():
            text = f"{{parent.{choice.column}}}"
            yield Value(label=text, given=text)
        case Dates():
            yield _period("1970-01-01T00:00:00.000Z", "1970-01-02T00:00:00.000Z")
        case _:
            for text in choice:
                yield Value(label=text, given=text)
