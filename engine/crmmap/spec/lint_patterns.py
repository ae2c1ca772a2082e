r"""Whether regular expressions are ones that polars (Rust) takes, and not too large to compile.

Rust's matching is linear, but compiling is not free: `\w{200}` takes 80 ms and
8 MB. So patterns are weighed before they are compiled, and a mapping has a
budget for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import polars as pl
from polars.exceptions import PolarsError

from crmmap.kinds.checks import Check, Pattern
from crmmap.kinds.clean import Clean, Replace
from crmmap.kinds.naming import Collect, Pivot, Rename
from crmmap.kinds.shaping import Shape
from crmmap.spec.faults import Fault
from crmmap.spec.model import Mapping
from crmmap.values import Path

BUDGET = 30_000
LONGEST = 2000
CLASS = 20
"""The weight of a class of Unicode characters, such as `\\w`; a plain character weighs 1."""

TOKENS = re.compile(r"\\[A-Za-z]|\\.|\{(\d{1,9})?(?:,(\d{1,9})?)?\}|.", re.DOTALL)

Found = Iterator[tuple[str, Path]]


def faults(mapping: Mapping) -> Iterator[Fault]:
    """Yield the patterns that can't be compiled, and the first one that passes the budget."""
    weighed = 0
    for text, path in _patterns(mapping):
        weighed += weight(text)
        if len(text) > LONGEST or weighed > BUDGET:
            message = "makes the patterns of this mapping too large to compile. Write simpler ones"
            yield Fault(path=path, rule="pattern.size", message=message)
            return
        try:
            pl.Series([""]).str.contains(text, strict=True)
        except PolarsError:
            message = (
                "is not a regular expression of Rust's dialect, which polars uses: "
                "no look-around, no back-references, every bracket closed"
            )
            yield Fault(path=path, rule="pattern", message=message)


def weight(text: str) -> int:
    """Return about how large a pattern is once its repetitions are written out."""
    groups, last = [0], 0
    for token in TOKENS.finditer(text):
        word = token[0]
        if word == "(":
            groups.append(0)
            last = 0
        elif word == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif token[1] or token[2]:
            times = max(int(token[1] or 0), int(token[2] or 0), 1)
            groups[-1] += last * (times - 1)
            last *= times
        else:
            last = CLASS if len(word) > 1 and word[1].isalpha() else 1
            groups[-1] += last
    return sum(groups) + 10


def _patterns(mapping: Mapping) -> Found:
    yield from _of_steps(mapping.defaults.clean, ("defaults", "clean"))
    for name, stream in mapping.streams.items():
        path: Path = ("streams", name)
        yield from _of_shape(stream.shape, (*path, "shape"))
        for field, each in stream.fields.items():
            place: Path = (*path, "fields", field)
            yield from _of_steps(each.clean, (*place, "clean"))
            yield from _of_checks(each.check, (*place, "check"))
        yield from chain.from_iterable(
            _of_checks(checks, (*path, word, field))
            for word, several in (("where", stream.where), ("deleted", stream.deleted))
            for field, checks in several.items()
        )


def _of_steps(steps: tuple[Clean, ...], path: Path) -> Found:
    for at, step in enumerate(steps):
        if isinstance(step, Replace) and step.regex:
            yield step.find, (*path, at, "replace", "find")


def _of_shape(steps: tuple[Shape, ...], path: Path) -> Found:
    for at, step in enumerate(steps):
        if isinstance(step, Rename):
            yield step.match, (*path, at, "rename", "match")
        elif isinstance(step, Collect):
            yield step.match, (*path, at, "collect", "match")
        elif isinstance(step, Pivot):
            yield from _of_steps(step.clean, (*path, at, "pivot", "clean"))


def _of_checks(checks: tuple[Check, ...], path: Path) -> Found:
    for check in checks:
        if isinstance(check, Pattern):
            yield check.value, (*path, "pattern")
