"""How often a source may be asked: what is known before it refuses, and what its answers tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from crmmap.declare import Limits
from crmmap.kinds.durations import DURATION, seconds
from crmmap.kinds.resets import Holds, seconds_until, zone_of
from crmmap.values import Response

MOST = 100_000
"""The most requests that one rate counts."""

HEADER = Limits(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `limit` requests in any stretch of `per`, whichever stream they are for.

    We wait before a request that would be one too many. Where answers tell it, their headers
    correct what we know: others may use up the same rate. After a 429, half as many requests
    are sent; with every answer that is none, a few more again. A rate with a `path` holds for
    the requests to it, besides those without.
    """

    limit: Annotated[int, "So many requests.", Limits(1, MOST)]
    per: Annotated[str, "In so much time: 1s, 10s, 1m.", Limits(pattern=DURATION)] = "1s"
    path: Annotated[
        str | None,
        "Only for the path, after `base_url`: `*` stands for a part of it, `**` for several.",
        Limits(min_length=1),
    ] = None
    remaining: Annotated[
        str | None, "Header: how many requests are left in this stretch.", HEADER
    ] = None
    max: Annotated[str | None, "Header: how many it allows, instead of `limit`.", HEADER] = None
    reset: Annotated[str | None, "Header: when the stretch ends, if none are left.", HEADER] = None
    holds: Annotated[
        Holds,
        "What `reset` holds: `seconds` or `milliseconds` to wait; the moment to wait for, in "
        "seconds since 1970 (`epoch`), in milliseconds (`epoch_ms`), or as a `date`.",
    ] = "seconds"

    def __post_init__(self) -> None:
        if seconds(self.per) <= 0:
            message = "`per` is no time at all. Write 1s, 10s, 1m"
            raise ValueError(message)
        if self.reset is not None and self.remaining is None:
            message = "`reset` is looked at when none are left: name the header `remaining` too"
            raise ValueError(message)

    @property
    def stretch(self) -> float:
        """The seconds of `per`."""
        return seconds(self.per)

    def covers(self, path: str) -> bool:
        """Say whether a request to a path, without its query, is counted."""
        if self.path is None:
            return True
        parts = re.split(r"(\*\*|\*)", self.path)
        marks = {"**": ".*", "*": "[^/]*"}
        pattern = "".join(marks.get(part, re.escape(part)) for part in parts)
        return re.fullmatch(pattern, path, re.DOTALL) is not None

    def left(self, response: Response) -> int | None:
        """Return how many requests an answer says are left; None where it does not say."""
        return _count(response, self.remaining)

    def allowed(self, response: Response) -> int | None:
        """Return how many requests an answer says are allowed; None where it does not say."""
        found = _count(response, self.max)
        return found if found is not None and 1 <= found <= MOST else None

    def reset_in(self, response: Response, now: datetime) -> float | None:
        """Return the seconds until requests are allowed again, of an answer that says none is."""
        if self.reset is None or self.left(response) != 0:
            return None
        return seconds_until(response.headers.get(self.reset.lower()), self.holds, now)

    def pretend(self) -> Mapping[str, str]:
        """Return the headers of a source that has answered nobody else yet."""
        whole = {self.remaining: self.limit, self.max: self.limit}
        return {name: str(number) for name, number in whole.items() if name is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """At most so many requests a day. When they are used up, the run ends and can be resumed.

    `limit` counts what this run has sent; `remaining` is what the source itself counts, for
    all who ask.
    """

    limit: Annotated[int | None, "So many requests a day.", Limits(minimum=1)] = None
    remaining: Annotated[str | None, "Header: how many requests are left today.", HEADER] = None
    keep: Annotated[int, "Requests of `remaining` that are left to others.", Limits(minimum=0)] = 0
    zone: Annotated[str, "The time zone at whose midnight the day begins."] = "UTC"

    def __post_init__(self) -> None:
        if self.limit is None and self.remaining is None:
            message = "needs a `limit`, a header `remaining`, or both"
            raise ValueError(message)
        zone_of(self.zone)

    def left(self, response: Response) -> int | None:
        """Return how many requests an answer says are left; None where it does not say."""
        return _count(response, self.remaining)

    def pretend(self) -> Mapping[str, str]:
        """Return the headers of a source that has answered nobody else yet."""
        whole = self.keep + (self.limit or MOST)
        return {} if self.remaining is None else {self.remaining: str(whole)}


def _count(response: Response, header: str | None) -> int | None:
    """Return the number in a header; of several (`100, 100;w=10`), the first."""
    text = response.headers.get(header.lower(), "") if header is not None else ""
    found = re.match(r"\s*([0-9]{1,9})(?:\.0+)?\s*(?:[,;]|\Z)", text)
    return int(found[1]) if found is not None else None
