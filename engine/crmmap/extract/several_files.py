"""Several files read as one stream: each to its end, by name, going on wherever a read stopped."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import polars as pl

from crmmap.extract.file_memory import Memory
from crmmap.extract.listing import Listing
from crmmap.extract.stored import HEAD, Status, Stored, digest_of, shown
from crmmap.kinds.durations import seconds
from crmmap.kinds.formats import Csv
from crmmap.kinds.source import Files
from crmmap.plan import Step
from crmmap.values import Page, Records, Start

ReadFile = Callable[[Stored, str | None], Iterator[Page]]
"""Reads one file from a position within it, each page as the stream has it."""

COPY = "the same content as another file"
UNREAD = "files were left unread"
NO_FILE = "no file was there"
"""Why records may be missing."""

OFTEN = 500
"""After so many files what was read is written down, however few records they had."""


@dataclass(slots=True)
class Reading:
    """What is known of a stream's files beside their pages."""

    unread: Counter[str] = field(default_factory=Counter)
    total: int = 0
    """The bytes of all files that this read, with what it goes on from, has to read."""

    @property
    def gap(self) -> str:
        """Why records may be missing; empty where none is."""
        return UNREAD if set(self.unread) - {COPY} else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that is there, as it was when the files were listed."""

    file: Stored
    status: Status


def read_files(
    step: Step, start: Start, found: Listing, now: datetime, reading: Reading, read: ReadFile
) -> Iterator[Page]:
    """Yield the pages of all files of a stream, numbered through.

    A page's position names its file, where reading stands in that, and the bytes of the files
    before it. Raises SourceError.
    """
    whole = json.loads(start.position) if start.position is not None else {}
    whole = whole if "file" in whole else {}
    memory = None
    if step.remembered:
        memory = Memory.of_step(step, start.state, whole.get("fresh", {}))
        memory.keep_only({each.name for each in found.files})
    files = _to_read(step, found, memory, now, reading, str(whole.get("file", "")))
    place = _Place(done=int(whole.get("done", 0)), number=int(whole.get("number", 0)))
    reading.total = place.done + sum(each.status.size for each in files)
    if not files:
        cursor = None if memory is None else memory.written()
        records: Records = pl.DataFrame() if isinstance(step.format, Csv) else []
        gap = reading.gap or NO_FILE
        yield Page(number=place.number + 1, records=records, cursor=cursor, gap=gap)
    due = _Due(step.batch, memory)
    for at, each in enumerate(files):
        inner = whole.get("inner") if each.file.name == whole.get("file") else None
        following = files[at + 1].file.name if at + 1 < len(files) else None
        for page in read(each.file, inner):
            # Of a stream that is one file, a read that had to start over shows as page 1.
            again = page.number == 1 and inner is not None and not found.several
            place.number = 1 if again else place.number + 1
            ended = page.position is None
            if ended:
                place.done += each.status.size
                due.ended(each)
            cursor = due.cursor(page, last=ended and following is None)
            position = place.position(each.file.name, page.position, following, memory)
            placed = replace(
                page, number=place.number, position=position, cursor=cursor, gap=reading.gap
            )
            yield _with_name(placed, each.file) if found.several else placed


def share_of(page: Page, reading: Reading, progress: Callable[[str], int]) -> float:
    """Return the part of all files that is read once a page is done."""
    if page.position is None:
        return 1.0
    place = json.loads(page.position)
    within = progress(place["inner"]) if place["inner"] is not None else 0
    return min(1.0, (int(place["done"]) + within) / max(1, reading.total))


@dataclass(slots=True)
class _Place:
    done: int
    number: int

    def position(
        self, name: str, inner: str | None, following: str | None, memory: Memory | None
    ) -> str | None:
        """Return where reading goes on: in the same file, or with the one that follows."""
        if inner is None and following is None:
            return None
        where = {"file": following if inner is None else name, "inner": inner}
        fresh = {} if memory is None else memory.fresh
        return json.dumps({**where, "done": self.done, "number": self.number, "fresh": fresh})


class _Due:
    """When what was read is to be written down: with the first page, and about once a batch."""

    def __init__(self, batch: int, memory: Memory | None) -> None:
        self._batch = batch
        self._memory = memory
        self._records = batch

    def ended(self, each: Candidate) -> None:
        if self._memory is not None:
            self._memory.add(each.file, each.status, digest_of(each.file, whole=False))

    def cursor(self, page: Page, *, last: bool) -> str | None:
        """Return the state that goes with a page, where it is time for it."""
        self._records += page.fetched
        memory = self._memory
        if memory is None:
            return None
        if not last and self._records < self._batch and len(memory.fresh) < OFTEN:
            return None
        self._records = 0
        return memory.written()


# --- which of the files that are there -----------------------------------------------------------


def _to_read(
    step: Step, found: Listing, memory: Memory | None, now: datetime, reading: Reading, first: str
) -> Sequence[Candidate]:
    """Return the files to read; the others are counted, but for those a read has behind it."""
    files = [Candidate(file=each, status=each.status()) for each in found.files]
    reading.unread.clear()
    files = _settled(step, files, now, reading)
    if found.several and not any("file" in template.names for template in step.given.values()):
        files = _without_copies(files, reading)
    if memory is not None:
        known = {each.file.name for each in files if memory.knows(each.file, each.status)}
        if known:
            reading.unread["read before, and not changed since"] += len(known)
        return [each for each in files if each.file.name not in known]
    return [each for each in files if each.file.name >= first]


def _settled(
    step: Step, files: Sequence[Candidate], now: datetime, reading: Reading
) -> list[Candidate]:
    assert isinstance(step.source, Files)  # noqa: S101  (its reader was chosen by that)
    if seconds(step.source.settle) == 0:
        return [*files]
    latest = (now.timestamp() - seconds(step.source.settle)) * 1e9
    still = [each for each in files if each.status.mtime_ns <= latest]
    if count := len(files) - len(still):
        reading.unread[f"changed less than {step.source.settle} ago"] += count
    return still


def _without_copies(files: Sequence[Candidate], reading: Reading) -> list[Candidate]:
    """Return the files, each content once: only those of one size are looked into."""
    by_size: Mapping[int, list[Candidate]] = defaultdict(list)
    for each in files:
        by_size[each.status.size].append(each)
    copies: set[str] = set()
    for size, alike in by_size.items():
        seen: set[tuple[str, str]] = set()
        for each in alike if len(alike) > 1 else ():
            head = digest_of(each.file, whole=False)
            whole = digest_of(each.file, whole=True) if size > HEAD else ""
            if (head, whole) in seen:
                copies.add(each.file.name)
            seen.add((head, whole))
    if copies:
        reading.unread[COPY] += len(copies)
    return [each for each in files if each.file.name not in copies]


def _with_name(page: Page, file: Stored) -> Page:
    """Return the page with its file named in what it refuses: a line's number tells too little."""
    where = f" (in {shown(file.name)})"
    return replace(
        page,
        refused=tuple(
            replace(each, reasons=tuple(
                replace(reason, message=reason.message + where) for reason in each.reasons
            ))
            for each in page.refused
        ),
    )  # fmt: skip
