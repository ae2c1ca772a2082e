"""Records that wait for each other: which of them can become rows together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Name = tuple[str, str, Any]
"""A table, one of its columns, and a value there: what a record lacks, and others may bring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A record that waits: where it is kept, the names that it `brings`, and those that it `lacks`.

    `own` is the key of the row that it would be.
    """

    stream: str
    place: tuple[str, str]
    own: Any
    brings: tuple[Name, ...]
    lacks: tuple[Name, ...]


def together(waiters: Sequence[Waiter], there: Collection[Name] = ()) -> list[Waiter]:
    """Return as many as have all that they lack among themselves, or `there`."""
    bringing = Counter(name for each in waiters for name in each.brings)
    lacking: dict[Name, list[int]] = {}
    for at, each in enumerate(waiters):
        for name in each.lacks:
            if name not in there:
                lacking.setdefault(name, []).append(at)
    lost = set[int]()
    missing = [name for name in lacking if not bringing[name]]
    while missing:
        for at in lacking.get(missing.pop(), ()):
            if at not in lost:
                lost.add(at)
                bringing.subtract(waiters[at].brings)
                missing += [name for name in waiters[at].brings if not bringing[name]]
    return [each for at, each in enumerate(waiters) if at not in lost]


def groups(waiters: Sequence[Waiter], size: int) -> Iterator[list[Waiter]]:
    """Yield them in groups, each of which lacks nothing but what it brings, or those before it.

    A group is about as large as `size`; only what needs each other stays together beyond it.
    """
    bringing: dict[Name, list[int]] = {}
    for at, each in enumerate(waiters):
        for name in each.brings:
            bringing.setdefault(name, []).append(at)
    seen, group = set[int](), list[Waiter]()
    for start in range(len(waiters)):
        pending = [start]
        while pending:
            at = pending.pop()
            if at not in seen:
                seen.add(at)
                group.append(waiters[at])
                pending += (other for name in waiters[at].lacks for other in bringing.get(name, ()))
        if len(group) >= size:
            yield group
            group = []
    if group:
        yield group
