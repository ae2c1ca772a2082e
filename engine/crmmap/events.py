"""What a run tells while it goes on, and what it reports at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from crmmap.errors import ExitCode, gravest
from crmmap.values import NOTHING, Archived, Counts

RunKind = Literal["run", "remap", "retry"]
StreamStatus = Literal["done", "failed", "skipped", "paused", "interrupted"]


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
class Troubles:
    """What a stream's requests met with on the way.

    `retries` counts requests that were sent again, and questions that a database was asked
    again; `waited` the seconds of all waits. `skips` counts, by the rule and the answer, where the
    mapping took an answer to mean that there are no records, or no more. `unread` counts files
    that were left unread, by the reason. `remark` is a sentence for the run's report, if any.
    """

    retries: int = 0
    waited: float = 0.0
    skips: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    remark: str = ""


NO_TROUBLES = Troubles()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How many records of a stream wait for the parent that a field names, and since when.

    `since` is in ISO 8601; `parent` is the stream that is looked up, empty where the mapping no
    longer looks one up by this field.
    """

    field: str
    parent: str
    count: int
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """How one stream went.

    `reasons` counts refusals by `field: rule`; `notes` counts emptied cells the
    same way; `exit_code` is that of the error, if one stopped it. `resumed` says
    that reading went on where an interrupted run had stopped, and `fit_before` that not all records
    had been rejected which the read had brought by then. `waiting` is how many
    records wait in the store for a parent, and `waits` says for which. `retries`, `waited`
    (seconds), `skips` and `unread` are as in `Troubles`. `keys` counts foreign keys by field, and
    by what became of them: `resolved`, `stubbed` (a bare parent was put there), `missing`; of the
    resolved ones, those are `ambiguous` that named several parents. `retried` counts the rejects
    that were tried again by what became of them: see `crmmap.load.accounts.RETRIED_SCHEMA`.
    `archived` tells what was kept in the archive. `gap` says, of one whose rows vanish once a
    complete read does not bring them, or are replaced by it, why its read was not complete.
    `paths` counts JSON records by how they were read: `compiled`, straight into columns, or
    `exact`, decoded to values one by one. `duplicates` counts, where records may be the same by
    other rules than the key, how many were duplicates by which: by the first that applies, the key
    before all. `broken` are sentences about what was expected of the stream, and is not so. `error`
    is what stopped it.
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
    fit_before: bool = False
    exit_code: ExitCode = ExitCode.OK
    reasons: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    retried: Mapping[str, int] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    waiting: int = 0
    waits: tuple[Waits, ...] = ()
    retries: int = 0
    waited: float = 0.0
    skips: Mapping[str, int] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)
    archived: Archived = Archived()
    gap: str = ""
    paths: Mapping[str, int] = field(default_factory=dict)
    duplicates: Mapping[str, int] = field(default_factory=dict)
    error: BaseException | None = field(default=None, repr=False, compare=False)

    @property
    def all_rejected(self) -> bool:
        """Say whether records came and not one was fit: the mapping hardly suits this source."""
        every = 0 < self.counts.fetched == self.counts.rejected
        return every and not self.retried and not self.fit_before


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run went. `store` names the database without credentials.

    `remarks` are sentences about what the run did beside its streams: the columns
    that it added to tables that were there before. `kind` is what it was: all but a `run` loaded
    records that were kept, and asked no source.
    """

    run_id: str
    mapping: str
    title: str
    store: str
    started_at: str
    seconds: float
    streams: tuple[StreamReport, ...]
    dry_run: bool = False
    remarks: tuple[str, ...] = ()
    kind: RunKind = "run"

    @property
    def counts(self) -> Counts:
        return sum((stream.counts for stream in self.streams), NOTHING)

    @property
    def exit_code(self) -> ExitCode:
        """The code for the process: interrupted first, then broken accounting, then the worst.

        That a stream's every record was rejected, or that it is not as expected, is no error of
        the stream, which is done; but whoever started the run must hear of it.
        """
        if any(stream.status == "interrupted" for stream in self.streams):
            return ExitCode.INTERRUPTED
        if not self.counts.balanced:
            return ExitCode.DATA_POLICY
        codes = [stream.exit_code for stream in self.streams]
        odd = (stream for stream in self.streams if stream.all_rejected or stream.broken)
        codes += [ExitCode.DATA_POLICY for _ in odd]
        return gravest(codes)

    @property
    def status(self) -> str:
        if self.exit_code == ExitCode.INTERRUPTED:
            return "interrupted"
        if self.exit_code == ExitCode.PAUSED:
            return "paused"
        sound = all(stream.exit_code == ExitCode.OK for stream in self.streams)
        return "done" if sound and self.counts.balanced else "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a retry would come to, by the mapping's rules and lookups; the database may refuse more.

    `tried` counts rejects and `passing` those that would pass, of which `waiting` would wait for a
    parent; `by_rule` has, by stream, field and rule, how many were refused for it, and how many of
    those would pass. `refused` counts the reasons of now.
    """

    tried: int = 0
    passing: int = 0
    waiting: int = 0
    by_rule: Mapping[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict)
    refused: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
