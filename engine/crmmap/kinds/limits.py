"""How many records may be rejected before it is better to stop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from crmmap.declare import Limits

PERCENT = r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$"
"""What a share looks like: `5%`, `0.5%`, `100%`."""

FEWEST = 100
"""Records from which on a share says anything, before a read has ended."""


def share_of(text: str) -> float:
    """Return a share written as `5%`, from 0 to 1. Raises ValueError."""
    if not re.fullmatch(PERCENT, text):
        message = f"{text[:20]!r} is no share. Write a number and a percent sign: 5%, 0.5%"
        raise ValueError(message)
    return float(text[:-1]) / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLimit:
    """The most records of a read that may be rejected: `100`, `5%`, or both as an object.

    The batch that goes beyond it is not written, and the stream fails; what was committed before
    stays. The next run goes on there, and counts on: what an interrupted read had rejected is part
    of it. A share is judged from 100 records on, and at the end of the read. Records that are
    filtered, or wait for a parent, are not rejected. The command exits with 3.
    """

    count: Annotated[int | None, "So many at most.", Limits(minimum=0)] = None
    share: Annotated[
        str | None, "At most such a share of the records that were read.", Limits(pattern=PERCENT)
    ] = None

    def __post_init__(self) -> None:
        if self.share is not None:
            share_of(self.share)
        if self.count is None and self.share is None:
            message = "says no limit. Write a number, 100, or a share, 5%"
            raise ValueError(message)

    @classmethod
    def parsed(cls, text: str) -> RejectLimit:
        """Return the limit that `100` or `5%` is. Raises ValueError."""
        if re.fullmatch("[0-9]{1,18}", text):
            return cls(count=int(text))
        if re.fullmatch(PERCENT, text):
            return cls(share=text)
        message = f"{text[:20]!r} is no limit. Write a number, 100, or a share, 5%"
        raise ValueError(message)

    def broken(self, rejected: int, fetched: int, *, ended: bool) -> str:
        """Return which limit so many rejects are beyond, in words; empty if none."""
        if self.count is not None and rejected > self.count:
            return str(self.count)
        judged = ended or fetched >= FEWEST
        if self.share is not None and judged and rejected > share_of(self.share) * fetched:
            return self.share
        return ""
