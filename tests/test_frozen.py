"""A frozen dataclass of ours is in all that one can do with it like one of the standard library."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from crmmap import frozen

NAN = float("nan")


def kinds(dataclass: Any) -> dict[str, Any]:
    @dataclass(frozen=True, slots=True)
    class Bare:
        """Has nothing."""

    @dataclass(frozen=True, slots=True)
    class One:
        only: object

        def doubled(self) -> object:
            return [self.only, self.only]

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        first: object = 1
        second: object
        many: dict[str, object] = dataclasses.field(default_factory=dict, compare=False)
        hidden: object = dataclasses.field(default=None, repr=False, compare=False)

    @dataclass(frozen=True, slots=True)
    class Mixed:
        first: int
        second: int = 2
        third: int = dataclasses.field(default=3, kw_only=True)

        def __post_init__(self) -> None:
            if self.first > self.second:
                message = "too much"
                raise ValueError(message)

    @dataclass(frozen=True, slots=True, eq=False)
    class Itself:
        value: object = None

    return {made.__name__: made for made in (Bare, One, Named, Mixed, Itself)}


OURS, THEIRS = kinds(frozen.dataclass), kinds(dataclasses.dataclass)

MADE: list[Callable[[Any], Any]] = [
    lambda kind: kind["Bare"](),
    lambda kind: kind["Bare"](1),
    lambda kind: kind["One"](NAN),
    lambda kind: kind["One"](only=kind["Bare"]()),
    lambda kind: kind["One"]([]),
    lambda kind: kind["One"](),
    lambda kind: kind["One"](1, only=1),
    lambda kind: kind["One"](self=1),
    lambda kind: kind["One"](1).doubled(),
    lambda kind: kind["Named"](second="2"),
    lambda kind: kind["Named"](second="2", hidden=3, many={"a": 1}),
    lambda kind: kind["Named"](second=2, first=True),
    lambda kind: kind["Named"](second=2, third=3),
    lambda kind: kind["Named"](first=2),
    lambda kind: kind["Named"](2, 3),
    lambda kind: kind["Mixed"](1),
    lambda kind: kind["Mixed"](1, 1),
    lambda kind: kind["Mixed"](1, third=4, second=5),
    lambda kind: kind["Mixed"](1, 2, 3),
    lambda kind: kind["Mixed"](1, 2, first=3),
    lambda kind: kind["Mixed"](3),
    lambda kind: dataclasses.replace(kind["Mixed"](1), second=0),
    lambda kind: dataclasses.replace(kind["Mixed"](1), second=7),
    lambda kind: dataclasses.replace(kind["Itself"](), value=7).value,
    lambda kind: copy.deepcopy(kind["Named"](second=[2], hidden=3)),
    lambda kind: copy.copy(kind["One"](1)),
    lambda kind: dataclasses.asdict(kind["Named"](second=kind["One"](1))),
    lambda kind: setattr(kind["One"](1), "only", 2),
    lambda kind: delattr(kind["One"](1), "only"),
    lambda kind: kind["One"].__match_args__ + kind["Named"].__match_args__,
    lambda kind: (kind["Bare"].__doc__, kind["One"].__module__, kind["One"].__slots__),
    lambda kind: kind["Itself"]() == kind["Itself"](),
    lambda kind: hash(kind["One"](1)) == hash(kind["One"](1.0)),
]  # fmt: skip


def told(make: Callable[[Any], Any], kind: Any) -> tuple[object, object]:
    """What is made, as text and with its hash, or the error that is raised instead."""
    try:
        made = make(kind)
        return repr(made), hash(made)
    except (TypeError, ValueError, AttributeError) as error:
        # Of what the caller did wrong the standard library's words differ.
        return type(error), "" if isinstance(error, TypeError) else str(error)


@pytest.mark.parametrize("make", MADE)
def test_what_is_done_comes_to_the_same(make: Callable[[Any], Any]) -> None:
    assert told(make, OURS) == told(make, THEIRS)


def test_the_same_values_are_equal() -> None:
    def equal(kind: Any) -> list[tuple[int, int]]:
        values = [make(kind) for make in MADE if isinstance(told(make, kind)[0], str)]
        pairs = product(range(len(values)), repeat=2)
        return [(one, other) for one, other in pairs if values[one] == values[other]]

    assert equal(OURS) == equal(THEIRS)


def test_one_with_itself_inside_is_told() -> None:
    values: list[object] = []
    values.append(OURS["One"](values))

    assert repr(values[0]) == "kinds.<locals>.One(only=[...])"


def test_of_others_the_standard_library_takes_care() -> None:
    made = frozen.dataclass(slots=True)(type("Loose", (), {"__annotations__": {"value": int}}))(1)
    made.value = 2

    assert repr(made) == "Loose(value=2)"
