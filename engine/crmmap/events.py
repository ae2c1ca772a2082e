"""What a run tells while it goes on, and what it reports at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from crmmap.errors import ExitCode
from crmmap.values import NOTHING, Counts

StreamStatus = Literal["done", "failed", "skipped", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened in a stream: it began, read a page, wrote a batch, waits, or ended.

    `counts` are the stream's so far; of a `page`, that page's. `share` is the
    part of the source that was read, from 0 to 1, where that is known (a file).
    `message` is for people.
    """

    kind: Literal["begin", "page", "batch", "wait", "end"]
    stream: str
    counts: Counts = NOTHING
    pages: int = 0
    share: float | None = None
    message: str = ""


Observe = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """How one stream went.

    `reasons` counts refusals by `field: rule`; `notes` counts emptied cells the
    same way; `exit_code` is that of the error, if one stopped it. `resumed` says
    that reading went on where an interrupted run had stopped. `waiting` is how many
    records wait in the store for a parent. `error` is what stopped the stream.
    """

    stream: str
    table: str
    status: StreamStatus
    counts: Counts = NOTHING
    pages: int = 0
    batches: int = 0
    seconds: float = 0.0
    message: str = ""
    resumed: bool = False
    exit_code: ExitCode = ExitCode.OK
    reasons: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    error: BaseException | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run went. `store` names the database without credentials."""

    run_id: str
    mapping: str
    title: str
    store: str
    started_at: str
    seconds: float
    streams: tuple[StreamReport, ...]
    dry_run: bool = False

    @property
    def counts(self) -> Counts:
        return sum((stream.counts for stream in self.streams), NOTHING)

    @property
    def exit_code(self) -> ExitCode:
        """The code for the process: interrupted first, then broken accounting, then errors."""
        if any(stream.status == "interrupted" for stream in self.streams):
            return ExitCode.INTERRUPTED
        if not self.counts.balanced:
            return ExitCode.DATA_POLICY
        codes = [stream.exit_code for stream in self.streams if stream.exit_code != ExitCode.OK]
        return max(codes, default=ExitCode.OK)

    @property
    def status(self) -> str:
        words = {
            ExitCode.OK: "done",
            ExitCode.INTERRUPTED: "interrupted",
        }
        return words.get(self.exit_code, "failed")
