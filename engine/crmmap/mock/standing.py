"""Records of a pretended stream that stand below other records of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from crmmap.extract.descent import marked
from crmmap.mock.records import Stream
from crmmap.mock.streams import decoded
from crmmap.values import Page

DEEP = 2
"""Levels below the first request, where the mapping asks for as many."""


@cache
def standing_below(stream: Stream, shares: int) -> Sequence[int | None]:
    """Return for each record the one that it stands below; None for those at the top.

    Every third begins anew at the top, and so does one whose record above is not asked for: a
    read has them all. Those of a partition stand below those of the same.
    """
    step = stream.step
    how = step.parts.recursion
    assert how is not None  # noqa: S101  (its caller saw to it)
    records = [decoded(stream, line) for line in stream.lines(0, stream.world.records)]
    asked = marked(step, Page(number=1, records=records))[0].to_list()
    deep = min(DEEP, how.depth or DEEP) + 1
    return [
        at - shares if (at // shares) % deep and asked[at - shares] else None
        for at in range(len(records))
    ]
