"""The pace at which one source is asked, kept by all threads and streams that ask it."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from urllib.parse import urlsplit

from crmmap.errors import Throttled
from crmmap.kinds.rate import Daily, Rate
from crmmap.kinds.resets import midnight
from crmmap.kinds.source import Http
from crmmap.values import Response

Timer = Callable[[], float]
"""Gives seconds, from any moment on, that only grow."""

RECOVERY = 0.1
"""The part of a rate that comes back with as many good answers as it allows requests."""

THROTTLED = 429
GLANCE = 0.2
"""Seconds after which somebody who waits for a turn looks up."""


class Pace:
    """Says how long to wait before a request, and learns from the answers. Threads share it."""

    def __init__(self, source: Http, *, clock: Callable[[], datetime], timer: Timer) -> None:
        self._base = urlsplit(source.base_url).path.rstrip("/")
        self._longest = source.retry.max_wait
        self._clock = clock
        self._timer = timer
        self._lock = threading.Lock()
        self._buckets = tuple(Bucket(rate) for rate in source.rate)
        self._quota = Quota(source.daily) if source.daily is not None else None
        self._turns = Turns(source.concurrency) if source.concurrency is not None else None

    def take(self, url: str) -> float:
        """Take one request's place; return the seconds until it may be sent.

        Raises Throttled where that is longer than the source's `max_wait`, or another day.
        """
        with self._lock:
            if self._quota is not None:
                self._quota.take(self._clock())
            now = self._timer()
            fitting = self._fitting(url)
            at = max((bucket.free_at(now) for bucket in fitting), default=now)
            # A long queue of our own requests is waited for; a source that is shut is not.
            shut = any(bucket.shut_for(now) > self._longest for bucket in fitting)
            if shut and at - now > self._longest:
                message = (
                    f"the source's rate is used up for {at - now:.0f} s, longer than max_wait "
                    f"({self._longest:.0f} s): resume later"
                )
                raise Throttled(message)
            for bucket in fitting:
                bucket.take(at)
            return at - now

    def learn(self, url: str, response: Response, *, sent: float) -> None:
        """Take in what an answer tells about the rate. `sent` is when it was asked for."""
        with self._lock:
            if self._quota is not None:
                self._quota.learn(response)
            for bucket in self._fitting(url):
                bucket.learn(response, sent=sent, now=self._timer(), clock=self._clock())

    def slow(self, url: str, *, sent: float) -> None:
        """Take in that a request was too much for the source. `sent` is when it was asked."""
        with self._lock:
            for bucket in self._fitting(url):
                bucket.slow(sent=sent, now=self._timer())

    def moment(self) -> float:
        """Return the timer's seconds."""
        return self._timer()

    @contextmanager
    def turn(self, url: str, go_on: Callable[[], None]) -> Iterator[None]:
        """Hold one of the places that a host has. `go_on` raises where waiting must end."""
        if self._turns is None:
            yield
            return
        places = self._turns.of(url)
        while not places.acquire(timeout=GLANCE):
            go_on()
        try:
            yield
        finally:
            places.release()

    def _fitting(self, url: str) -> list[Bucket]:
        path = urlsplit(url).path.removeprefix(self._base)
        return [bucket for bucket in self._buckets if bucket.rate.covers(path)]


class Bucket:
    """One rate: the moments of the requests that still count, and how much of it is used.

    Requests that others have sent, as the headers tell, stand among the moments too.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._stretch = rate.stretch
        self._limit = rate.limit
        self._share = 1.0
        self._slowed = float("-inf")
        self._shut = float("-inf")
        self._moments: list[float] = []

    @property
    def allowed(self) -> int:
        """How many requests are sent in one stretch now."""
        return max(1, int(self._limit * self._share))

    def free_at(self, now: float) -> float:
        """Return when the next request may be sent."""
        self._forget(now)
        at = max(now, self._shut)
        if len(self._moments) >= self.allowed:
            at = max(at, self._moments[-self.allowed] + self._stretch)
        return at

    def shut_for(self, now: float) -> float:
        """Return for how long, at worst, the source takes nothing at all."""
        return max(self._shut - now, self._stretch)

    def take(self, at: float) -> None:
        insort(self._moments, at)

    def slow(self, *, sent: float, now: float) -> None:
        """Halve the rate; of requests that were under way together, only for the first."""
        if sent > self._slowed:
            self._share = max(self._share / 2, 1 / self._limit)
            self._slowed = now

    def learn(self, response: Response, *, sent: float, now: float, clock: datetime) -> None:
        self._limit = self.rate.allowed(response) or self._limit
        if response.status == THROTTLED:
            self.slow(sent=sent, now=now)
        else:
            self._share = min(1.0, self._share + RECOVERY / self._limit)
        left = self.rate.left(response)
        if left is not None:
            self._forget(now)
            free = self.allowed - len(self._moments)
            self._moments[:] = sorted([*self._moments, *[now] * min(free - left, self.allowed)])
        reset = self.rate.reset_in(response, clock)
        if reset is not None:
            self._shut = max(self._shut, now + reset)

    def _forget(self, now: float) -> None:
        """Take away what does not count any more."""
        del self._moments[: bisect_right(self._moments, now - self._stretch)]


class Quota:
    """The requests of a day: how many were sent, and how many the source says are left."""

    def __init__(self, daily: Daily) -> None:
        self._daily = daily
        self._ends: datetime | None = None
        self._sent = 0
        self._left: int | None = None

    def take(self, now: datetime) -> None:
        """Count a request. Raises Throttled where the day has none left."""
        if self._ends is None or now >= self._ends:
            self._ends, self._sent, self._left = midnight(self._daily.zone, now), 0, None
        limit, keep = self._daily.limit, self._daily.keep
        if (limit is not None and self._sent >= limit) or (
            self._left is not None and self._left <= keep
        ):
            kept = f", but for {keep} that are kept for others" if keep else ""
            message = (
                f"the source's requests for this day are used up{kept} (daily): "
                f"resume after {self._ends.isoformat(timespec='seconds')}"
            )
            raise Throttled(message)
        self._sent += 1

    def learn(self, response: Response) -> None:
        left = self._daily.left(response)
        self._left = self._left if left is None else left


class Turns:
    """The places of each host."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._places: dict[str, threading.Semaphore] = {}

    def of(self, url: str) -> threading.Semaphore:
        host = urlsplit(url).netloc.lower()
        with self._lock:
            return self._places.setdefault(host, threading.Semaphore(self._count))
