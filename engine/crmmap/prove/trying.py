"""A law tried with examples, within bounds: the smallest example that breaks it is kept."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from unittest import SkipTest

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky
from hypothesis.strategies import SearchStrategy

from crmmap.errors import CrmmapError
from crmmap.prove.results import Finding

SHRINKING = 8.0
"""Seconds for making a counterexample smaller, beyond any bound."""


class Broken(Exception):
    """A law that an example breaks; `finding` tells how."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many examples, until when (by `monotonic`), of which seed: None is always the same."""

    examples: int
    until: float | None = None
    seed: int | None = None

    @property
    def over(self) -> bool:
        return self.until is not None and monotonic() >= self.until

    def share(self, parts: int) -> Bounds:
        """Return the bounds of one of so many parts that are still to come."""
        if self.until is None:
            return self
        now = monotonic()
        until = now + max(0.0, self.until - now) / max(1, parts)
        return Bounds(examples=self.examples, until=until, seed=self.seed)


@dataclass(slots=True, kw_only=True)
class Tried:
    """How it went: `finding` is None where no example broke the law."""

    examples: int = 0
    finding: Finding | None = None


def tried(strategy: SearchStrategy[Any], check: Callable[[Any], None], bounds: Bounds) -> Tried:
    """Try examples until one breaks the law, and then smaller ones.

    `check` raises Broken. Whatever else it raises is a fault of ours, and a finding too.
    """
    result = Tried()
    until = bounds.until

    def body(example: Any) -> None:
        nonlocal until
        if until is not None and monotonic() >= until:
            message = "the time is over"
            raise SkipTest(message)  # ends all at once: Hypothesis passes it on
        result.examples += result.finding is None
        try:
            _checked(check, example)
        except Broken as broken:
            if result.finding is None:
                until = monotonic() + SHRINKING
            if _size(broken.finding) <= _size(result.finding):
                result.finding = broken.finding
            raise

    test = given(strategy)(_settings(bounds)(body))
    try:
        (test if bounds.seed is None else seeded(bounds.seed)(test))()
    except Broken as smallest:
        result.finding = smallest.finding
    except (SkipTest, Flaky):
        pass  # what was found so far counts
    return result


def _settings(bounds: Bounds) -> settings:
    return settings(
        max_examples=bounds.examples, derandomize=bounds.seed is None, database=None,
        deadline=None, phases=(Phase.generate, Phase.shrink), verbosity=Verbosity.quiet,
        report_multiple_bugs=False, suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip


def _checked(check: Callable[[Any], None], example: Any) -> None:
    try:
        check(example)
    except (Broken, SkipTest):
        raise
    except Exception as error:
        raise Broken(crashed(error)) from error


def crashed(error: BaseException) -> Finding:
    """Return an exception as a finding: where it came from, and never what it says."""
    if isinstance(error, CrmmapError):  # ours never quote a record
        return Finding(where="crmmap", what=str(error))
    places = traceback.extract_tb(error.__traceback__)[-3:]
    lines = tuple(f"at {_inside(each.filename)}:{each.lineno}, in {each.name}" for each in places)
    what = f"crmmap fails ({type(error).__name__}). This is a fault of crmmap; please report it"
    return Finding(where="crmmap", what=what, lines=lines)


def _inside(file: str) -> str:
    return file.rpartition("/site-packages/")[2].rpartition("/engine/")[2]


def _size(finding: Finding | None) -> float:
    return float("inf") if finding is None else len(finding.case)


__all__: Sequence[str] = ["Bounds", "Broken", "Tried", "crashed", "tried"]
