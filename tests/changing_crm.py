"""A CRM whose records change between reads, over real HTTP: pages, cursors, and every untidiness.

It gives the records that changed since the time that it is asked for, or those that belong to
records of another stream (`{"of": ["a", "b"], "by": "parent"}`), in an order of its own, some of
them twice, and now and then an older version of one. A read is fixed when its first page is asked
for, so that a later run can go on with it: the token of the next page names the read and how far
it has come.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fault_server import Seen, answer

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Manner:
    """How reads are given: records to a page, and the seed of all disorder, if there is any."""

    size: int = 3
    disorder: int | None = None


@dataclass(frozen=True, eq=False)
class Read:
    """What one read gives, from its first page to its last."""

    stream: str
    asked: datetime | None
    records: Sequence[Record]
    size: int
    of: frozenset[str] | None = None
    """The records of another stream for whose it was asked, if for some."""

    def batches(self, start: int, end: int, least: int) -> Iterator[Sequence[Record]]:
        """Yield the records from `start` to `end` in batches: whole pages, with `least` records."""
        gathered: list[Record] = []
        for page in range(start, max(end, start + 1), self.size):
            gathered += self.records[page : min(page + self.size, end)]
            if len(gathered) >= least:
                yield gathered
                gathered = []
        yield gathered


@dataclass
class Crm:
    """The records of each stream by id, with all their versions, the newest last."""

    streams: Mapping[str, dict[str, list[Record]]]
    manner: Manner = Manner()
    reads: list[Read] = field(default_factory=list)
    last: datetime = datetime.min.replace(tzinfo=UTC)
    observe: Callable[[], None] = lambda: None
    """Called for each page that is asked for."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """For streams that are read at the same time: each gets a read of its own."""

    def now(self) -> datetime:
        """Return a time that it has not returned before."""
        self.last = max(datetime.now(UTC), self.last + timedelta(microseconds=1))
        return self.last

    def put(self, stream: str, key: str, changed: datetime, **cells: object) -> Record:
        """Create a record, or give it a new version."""
        record = {"id": key, "changed": changed.isoformat(), **cells}
        self.streams[stream].setdefault(key, []).append(record)
        return record

    def __call__(self, seen: Seen) -> bytes:
        self.observe()
        with self.lock:
            return self._answer(seen)

    def _answer(self, seen: Seen) -> bytes:
        parts = urlsplit(seen.target)
        asked = dict(parse_qsl(parts.query))
        number, start = map(int, asked.get("from", "-1:0").split(":"))
        if number < 0:
            number = len(self.reads)
            body = json.loads(seen.body or b"{}")
            self.reads.append(self._read(parts.path.strip("/"), asked.get("since"), **body))
        read = self.reads[number]
        end = start + read.size
        following = f"{number}:{end}" if end < len(read.records) else None
        page = {"items": read.records[start:end], "next": following}
        return answer(json.dumps(page).encode())

    def _read(self, stream: str, since: str | None, of: Sequence[str] = (), by: str = "") -> Read:
        asked = None if since is None else datetime.fromisoformat(since)
        histories = self.streams[stream].values()
        given = [each[-1] for each in histories if asked is None or changed(each[-1]) >= asked]
        if self.manner.disorder is not None:
            random = Random(f"{self.manner.disorder} {stream}")
            given += [each for each in given if random.random() < 0.2]
            given += [random.choice(each) for each in histories if random.random() < 0.5]
            random.shuffle(given)
        given = [each for each in given if not by or each[by] in of]
        size = self.manner.size
        return Read(stream, asked, _distinct(given, size), size, frozenset(of) if by else None)


def _distinct(records: Sequence[Record], size: int) -> list[Record]:
    """Return the records without pages that equal an earlier one: that is taken for a circle."""
    pages = [records[start : start + size] for start in range(0, len(records), size)]
    return [each for at, page in enumerate(pages) if page not in pages[:at] for each in page]


def changed(record: Record) -> datetime:
    return datetime.fromisoformat(record["changed"])
