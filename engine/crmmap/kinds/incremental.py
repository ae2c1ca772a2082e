"""What of a source need not be read again: the cursors that streams keep between runs.

A cursor is the text of a value that a field held. It moves only when a read has come
to its end, so that an interrupted run never leaves records behind it; and it moves no
further than the moment when that read began, so that what changed meanwhile is asked
for the next time. A record that comes again is found unchanged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from crmmap.declare import Limits, SettingText
from crmmap.kinds.durations import DURATION, seconds
from crmmap.moments import moment, written
from crmmap.template import Template
from crmmap.values import Expression

Choice = Literal["greatest", "last"]
Params = Annotated[
    Mapping[str, Template],
    "Query parameters that are added once a cursor is known, like "
    '`{updated_since: "{{ cursor }}"}`.',
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """Ask for what changed since the greatest time that was seen.

    `cursor` in the request's templates is that time, in ISO 8601 and UTC. A filter writes it
    in another way: `{{ cursor | epoch }}`, `epoch_ms`, `iso('seconds', 'America/New_York')`,
    `date`, `sql`, `rfc2822`, `http_date`, `odata`, or `format('%Y-%m-%dT%H:%M:%S')`. Where a
    source has nothing to ask with, leave `params` out: all is read, and what did not
    change is found unchanged.
    """

    field: Annotated[
        str | None,
        "The field that tells when a record changed: a date or datetime. Without it, the cursor is "
        "the moment when the last read began, for a source whose records don't say when.",
    ] = None
    lookback: Annotated[
        str, "Ask from so long before, for records that arrive late.", Limits(pattern=DURATION)
    ] = "0s"
    start: Annotated[
        SettingText | None, "Where the first read begins, in ISO 8601; without it, with everything."
    ] = None
    window: Annotated[
        str | None,
        "Read in windows of so long, one after the other: templates have `window.start` and "
        "`window.end`, which is the next one's start. It needs `start`.",
        Limits(pattern=DURATION),
    ] = None
    most: Annotated[
        int | None,
        "Records that the source gives of one window at most. One that has more, by `total`, is "
        "read in pieces: halves, and halves of those.",
        Limits(minimum=1),
    ] = None
    total: Annotated[
        Expression | None, "JMESPath to the number of records that a window has, in its answer."
    ] = None
    params: Params = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.window is not None and self.start is None:
            message = '`window` needs `start`: the first window must begin somewhere, "2020-01-01"'
            raise ValueError(message)
        if self.window is not None and seconds(self.window) < 1:
            message = "`window` must be a second at least"
            raise ValueError(message)
        if (self.most is None) != (self.total is None):
            message = (
                "`most` and `total` go together: how many may be, and where it says how many are"
            )
            raise ValueError(message)
        if self.most is not None and self.window is None:
            message = "`most` is of one window: write how long that is, `window: 30d`"
            raise ValueError(message)

    @property
    def choice(self) -> Choice:
        return "greatest"

    @property
    def sample(self) -> str:
        """What a cursor looks like."""
        return "1970-01-01T00:00:00.000Z"

    def cursor(self, seen: str | None) -> str | None:
        """Return the cursor to ask with, from the one that was kept. Raises ValueError."""
        if seen is None:
            return None if self.start is None else written(moment(self.start))
        return written(moment(seen) - timedelta(seconds=seconds(self.lookback)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Ask for what has a number beyond the greatest that was seen: an id that only grows.

    Read for each row of another stream, it needs `own_cursors`, or a `lookback` at least.
    """

    field: Annotated[str, "The field that holds the number."]
    lookback: Annotated[int, "Ask from so many numbers before.", Limits(minimum=0)] = 0
    start: Annotated[SettingText | None, "The number that the first read begins after."] = None
    params: Params = dataclasses.field(default_factory=dict)

    @property
    def choice(self) -> Choice:
        return "greatest"

    @property
    def sample(self) -> str:
        """What a cursor looks like."""
        return "0"

    def cursor(self, seen: str | None) -> str | None:
        """Return the cursor to ask with, from the one that was kept."""
        return self.start if seen is None else str(int(seen) - self.lookback)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventId:
    """Ask for what comes after the last record that was read, by an id that says nothing else.

    The source must list records in the order in which they came to be. Read for each row of
    another stream, it needs `own_cursors`.
    """

    field: Annotated[str, "The field that holds the id."]
    start: Annotated[SettingText | None, "The id that the first read begins after."] = None
    params: Params = dataclasses.field(default_factory=dict)

    @property
    def choice(self) -> Choice:
        return "last"

    @property
    def sample(self) -> str:
        """What a cursor looks like."""
        return "id"

    def cursor(self, seen: str | None) -> str | None:
        """Return the cursor to ask with, from the one that was kept."""
        return self.start if seen is None else seen


@dataclass(frozen=True, slots=True, kw_only=True)
class RowHash:
    """Ask for everything each time, of a source that has nothing to ask with.

    Rows whose contents are the same, by a hash that is kept beside each of them, are not
    written again and count as unchanged. It is so without `incremental`, too: this says that the
    source was looked at, and offers nothing better. No cursor is kept.
    """

    @property
    def field(self) -> None:
        """No field tells what changed."""
        return

    @property
    def start(self) -> None:
        """There is nothing to begin after."""
        return

    @property
    def params(self) -> Mapping[str, Template]:
        """Nothing is added to the request."""
        return {}

    @property
    def choice(self) -> Choice:
        return "last"

    @property
    def sample(self) -> str:
        """What a cursor looks like: there is none."""
        return ""

    def cursor(self, seen: str | None) -> str | None:
        """Return no cursor."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIdentity:
    """Of a source of files: read each file once, and again only when it has changed.

    A file that was read to its end is remembered by its path, size, time of change, and a digest
    of its first MiB. One with the same size and time is not opened again; where only the time
    differs, a file of at most 1 MiB is told by its digest, and a larger one is read again.
    `--full` reads all. Files that are gone are forgotten.
    """

    most: Annotated[
        int,
        "How many files may be remembered; a stream that finds more fails, so that the memory "
        "stays bounded. Move files away that have been read.",
        Limits(1, 1_000_000),
    ] = 100_000

    @property
    def field(self) -> None:
        """No field tells what changed."""
        return

    @property
    def start(self) -> None:
        """There is nothing to begin after."""
        return

    @property
    def params(self) -> Mapping[str, Template]:
        """Nothing is added to the request."""
        return {}

    @property
    def choice(self) -> Choice:
        return "last"

    @property
    def sample(self) -> str:
        """What a cursor looks like: there is none."""
        return ""

    def cursor(self, seen: str | None) -> str | None:
        """Return no cursor: what is remembered are files."""
        return None


Incremental = Timestamp | Sequence | EventId | RowHash | FileIdentity

Cursorless = RowHash | FileIdentity
"""Those of which no field of the records tells anything."""

INCREMENTAL: dict[str, type] = {
    "timestamp": Timestamp,
    "sequence": Sequence,
    "event_id": EventId,
    "hash": RowHash,
    "file": FileIdentity,
}
