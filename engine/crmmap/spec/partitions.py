"""What a mapping says of partitions: what a stream is read for, part by part."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Annotated

from crmmap.declare import Limits, SettingText
from crmmap.kinds.periods import STEP

NAME = "^[A-Za-z_][A-Za-z0-9_]{0,62}$"
Name = Annotated[str, Limits(pattern=NAME)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """Periods of time from one date to another, the last one as long as is left."""

    from_: Annotated[SettingText, "Where the first one begins, in ISO 8601."]
    to: Annotated[SettingText, "Where the last one ends; `now`: when the read begins."] = "now"
    step: Annotated[
        str, "How long each is: `30d`, or `month` or `year` of the calendar.", Limits(pattern=STEP)
    ] = "month"


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """The values that one part of a partition takes.

    They are a list, a split text, a range of numbers or of dates, the values of another stream's
    column, or the union of several such. Of values that are equal, one is taken.
    """

    list: Annotated[tuple[SettingText, ...], "The values themselves."] = ()
    split: Annotated[
        SettingText | None, "A text with a comma between two values: a setting, mostly."
    ] = None
    from_: Annotated[int | None, "The first number of a range."] = None
    to: Annotated[int | None, "The last number of a range, itself included."] = None
    step: Annotated[int, "From one number of a range to the next.", Limits(minimum=1)] = 1
    dates: Annotated[
        DateRange | None,
        "Periods of time: templates have `{{ partition.NAME.start }}` and "
        "`{{ partition.NAME.end }}`, in ISO 8601.",
    ] = None
    stream: Annotated[
        str | None, "The stream of whose table a column is taken, each value once."
    ] = None
    field: Annotated[str | None, "The column; the key by default."] = None
    union: Annotated[tuple[Over, ...], "The values of each of these."] = ()
    when: Annotated[
        SettingText | None,
        "The values are taken only where this is neither empty nor `false`: a setting, mostly.",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurse:
    """A stream whose rows have further rows of the same stream below them: folders, blocks.

    It asks for a row of `stream`, then for each row that this brought, and so on. Without
    `stream` the first request is for no row: every column of `parent` is empty text then, as in
    `{{ parent.id or 'root' }}`. Templates may name the columns of both streams; one that a row
    does not have is empty.

    A row is not asked for twice below one row of `stream`, so that a circle ends. Asked for is
    what passes the stream's filters and has a key, be it rejected for another field.
    """

    where: Annotated[
        str | None, "A boolean field: only rows in which it is true are asked for."
    ] = None
    depth: Annotated[
        int | None,
        "How far below the first request: with 1 its rows are asked for, and theirs are not. "
        "No limit by default.",
        Limits(1, 1000),
    ] = None
    most: Annotated[
        int,
        "Rows asked for below one row of `stream`. Which they are is kept with every batch; "
        "where there are more the stream fails.",
        Limits(1, 1_000_000),
    ] = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ForEach:
    """The partitions that a stream is read in, one after the other: each combination of its parts.

    `stream` asks once for every row of another stream's table: `{{ parent.id }}` in the
    request, and in a field's `value`, is that row's column. With `batch`, it asks for so many
    rows at a time: `{{ parents | map('id') }}`. `over` names values of the mapping's own:
    `{{ partition.region }}`.
    """

    stream: Annotated[str | None, "The stream for whose rows it asks."] = None
    batch: Annotated[int | None, "How many rows one request asks for.", Limits(1, 10_000)] = None
    changed: Annotated[
        bool,
        "Only for rows that were written since this stream was last read to its end. The others "
        "are not asked for again.",
    ] = False
    own_cursors: Annotated[
        int | None,
        "Of an `incremental` stream: each row keeps a cursor of its own, and one that is new is "
        "read from the start. So many rows at most, for all cursors are kept with every batch.",
        Limits(1, 100_000),
    ] = None
    recurse: Annotated[
        Recurse | None, "Then for every row that it brought itself, and the rows of those."
    ] = None
    over: Annotated[MappingOf[Name, Over], "Name → the values that it takes."] = field(
        default_factory=dict
    )

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that must have ended before this one is read."""
        pending, found = list(self.over.values()), [self.stream]
        while pending:
            each = pending.pop()
            found.append(each.stream)
            pending += each.union
        return tuple(dict.fromkeys(name for name in found if name))
