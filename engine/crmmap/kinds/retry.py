"""When to send a request again, and how long to wait before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from crmmap.declare import Limits

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Send a failed request again, waiting longer each time with full jitter.

    A wait that the source itself asks for (`Retry-After`) is kept, never shorter and up to
    a tenth longer, and is not counted as an attempt.
    """

    attempts: Annotated[int, "How often a request is sent at most.", Limits(1, 20)] = 6
    statuses: Annotated[tuple[int, ...], "Answers worth another attempt."] = (
        408, 425, 429, 500, 502, 503, 504,
    )  # fmt: skip
    backoff: Annotated[Literal["exponential", "constant"], "How waits grow."] = "exponential"
    base: Annotated[float, "Seconds: the first wait's upper bound.", Limits(0.0, DAY)] = 1.0
    longest: Annotated[float, "Seconds: no single backoff wait is longer.", Limits(0.0, DAY)] = 60.0
    honour: Annotated[str, "Header in which the source says how long to wait."] = "Retry-After"
    max_wait: Annotated[
        float,
        "Seconds: asked to wait longer, the run ends and can be resumed.",
        Limits(0.0, DAY),
    ] = 600.0

    def waits(self) -> Iterator[float]:
        """Yield the seconds to wait before attempt 2, 3, …, jittered; `attempts - 1` of them."""
        import backoff

        if self.backoff == "exponential":
            bounds = backoff.expo(base=2, factor=self.base, max_value=self.longest)
        else:
            bounds = backoff.constant(interval=[min(self.base, self.longest)] * self.attempts)
        next(bounds)  # backoff's generators are primed with one empty value
        for _ in range(self.attempts - 1):
            yield backoff.full_jitter(float(next(bounds)))
