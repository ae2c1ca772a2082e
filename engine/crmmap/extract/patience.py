"""How often a request is tried, and how long to wait in between: decided here, waited elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random

from crmmap.errors import Throttled
from crmmap.extract.failure import Failure
from crmmap.kinds.retry import Retry

ASKED = 30
"""How many waits that the source asks for are granted to one request."""

MORE = 0.1
"""How much longer such a wait may be, in parts of it: lest all who were told of it come at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """We wait `seconds` because of `reason`, after attempt number `attempt` (from 1).

    Attempt 0 is none: the wait keeps to a rate, before the request is sent.
    `status` is the answer's, None if there was no answer. `turn` is the number of the
    attempt that follows; None after a wait that the source asked for, which is not counted.
    `turns` is how many there are at most. `stream` is whose request it is, if that is known.
    """

    seconds: float
    reason: str
    attempt: int
    status: int | None = None
    turn: int | None = None
    turns: int = 0
    stream: str = ""

    def __str__(self) -> str:
        pause = f"waiting {self.seconds:.{0 if self.seconds >= 1 else 1}f} s"
        if self.attempt == 0:
            return f"{pause} {self.reason}"
        if self.turn is None:
            return f"{pause}, as the source asks: {self.reason}"
        turn = f"attempt {self.turn} of {self.turns}"
        # What would read "0.0 s" is no wait worth a word.
        when = turn if self.seconds < 0.05 else f"{pause} before {turn}"
        return f"{when}: {self.reason}"


class Patience:
    """The attempts of one request. Waits that the source asks for don't use them up."""

    def __init__(
        self, retry: Retry, *, safe: bool, chance: Callable[[], float] = random
    ) -> None:  # fmt: skip
        self._chance = chance
        self._waits = retry.waits()
        self._longest = retry.max_wait
        self._turn = 1
        self._turns = retry.attempts
        self._safe = safe
        self._sent = 0
        self._asked = 0
        self._tried: set[str] = set()

    def after(self, failure: Failure, *, now: datetime) -> Wait:
        """Return the wait before the next attempt. Raises the failure's error if there is none."""
        self._sent += 1
        if not self._safe and not failure.ruled:
            raise failure.error from None
        before = self._turn
        seconds = self._seconds(failure, now)
        return Wait(
            seconds=seconds,
            reason=failure.reason,
            attempt=self._sent,
            status=failure.status,
            turn=self._turn if self._turn > before else None,
            turns=self._turns,
        )

    def _seconds(self, failure: Failure, now: datetime) -> float:
        if failure.remedy is not None:
            return self._at_once(failure, failure.remedy)
        if failure.asked is not None:
            return self._granted(failure.asked, failure, now)
        seconds = next(self._waits, None)
        if seconds is None:
            raise _exhausted(failure, self._sent) from None
        self._turn += 1
        return seconds

    def _at_once(self, failure: Failure, remedy: str) -> float:
        if remedy in self._tried:
            raise failure.error from None
        self._tried.add(remedy)
        return 0.0

    def _granted(self, seconds: float, failure: Failure, now: datetime) -> float:
        self._asked += 1
        if seconds > self._longest:
            message = (
                f"{failure.error}. It asks to wait {seconds:.0f} s, longer than max_wait "
                f"({self._longest:.0f} s): resume after {_later(now, seconds)}"
            )
            raise Throttled(message) from None
        if self._asked > ASKED:
            message = f"{failure.error}. It asked to wait {ASKED} times; resume later"
            raise Throttled(message) from None
        return seconds * (1 + MORE * self._chance())


def _exhausted(failure: Failure, sent: int) -> Exception:
    message = f"{failure.error} (gave up after {sent} attempts)" if sent > 1 else failure.error
    return Throttled(str(message)) if failure.status == 429 else type(failure.error)(str(message))


def _later(now: datetime, seconds: float) -> str:
    try:
        return (now + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    except OverflowError:
        return "the year 9999"
