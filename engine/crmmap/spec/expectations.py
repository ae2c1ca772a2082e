"""What a mapping says of the records that a read must bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from crmmap.declare import Limits, Shorthand
from crmmap.kinds.durations import DURATION
from crmmap.kinds.limits import PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The latest record must not be older than so: `2d`, by the database's clock."""

    within: Annotated[str, "The greatest age: 90m, 12h, 2d.", Limits(pattern=DURATION)]
    field: Annotated[
        str | None,
        "The date or datetime that tells; the field of the stream's cursor by default, or the one "
        "that tells versions apart.",
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What a read must bring, seen once it has come to its end.

    Where that is broken, the rows stay loaded, the report says so, and the command exits with 3. No
    row is deleted by a read that breaks it. A read of everything that breaks it moves no cursor
    and is nothing that a later one is compared with: the next run asks for the same again. A read
    with `--limit` is not looked at; `--no-expect` takes what comes, and compares the next read
    with that.
    """

    min_rows: Annotated[
        int | None,
        "Rows, at least. Of a read of everything: that it brought, whatever the table has beside "
        "them. Of a read of changes: that the table has, but for deleted ones.",
        Limits(minimum=1),
    ] = None
    max_drop: Annotated[
        str | None,
        "Of a read of everything: it may bring so much fewer records than the last such read that "
        "was as expected, as a share of those: `20%`.",
        Limits(pattern=PERCENT),
    ] = None
    freshness: Annotated[
        Freshness | None, Shorthand("within"), "How old the table's latest row may be: `2d`."
    ] = None
