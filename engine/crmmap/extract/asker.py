"""For whom requests are sent: a stream's own rules, and the account of its troubles."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from crmmap.events import Troubles
from crmmap.kinds.responses import ResponseRule


class Account:
    """Counts what a stream's requests met with. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retries = 0
        self._waited = 0.0
        self._skips: Counter[str] = Counter()
        self._remark = ""

    def retried(self) -> None:
        with self._lock:
            self._retries += 1

    def waited(self, seconds: float) -> None:
        with self._lock:
            self._waited += seconds

    def skipped(self, why: str) -> None:
        with self._lock:
            self._skips[why] += 1

    def remark(self, text: str) -> None:
        """Have the report say something of the stream; the first such sentence is kept."""
        with self._lock:
            self._remark = self._remark or text

    def troubles(self) -> Troubles:
        """Return what was counted so far."""
        with self._lock:
            return Troubles(
                retries=self._retries, waited=self._waited, skips=dict(self._skips),
                remark=self._remark,
            )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A stream that has requests sent. `rules` are its own, which come before its source's."""

    stream: str = ""
    rules: tuple[ResponseRule, ...] = ()
    account: Account = field(default_factory=Account)
