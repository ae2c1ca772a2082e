"""Windows of time, one after the other; in pieces where one holds more than a query may have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from crmmap.errors import SourceError
from crmmap.kinds.durations import seconds
from crmmap.kinds.incremental import Timestamp
from crmmap.kinds.places import number, scalar
from crmmap.moments import moment, written
from crmmap.plan import Step
from crmmap.values import Page

LEAST = timedelta(milliseconds=1)
"""The shortest window: what is written of its ends knows nothing shorter."""


class TooMany(Exception):
    """A window's first answer says that the window has more records than a query may have."""

    def __init__(self, declared: int) -> None:
        super().__init__("a window has too many records")
        self.declared = declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A piece, from `start` to `end`, of a window that goes on `until`."""

    start: datetime
    end: datetime
    until: datetime

    @property
    def named(self) -> Mapping[str, str]:
        """What templates call `window`."""
        return {"start": written(self.start), "end": written(self.end)}

    def piece(self, span: Sequence[str]) -> Window:
        """Return the piece that a position names."""
        start, end = map(moment, span)
        return replace(self, start=start, end=end)

    def rest(self) -> Window | None:
        """Return the piece after this one: twice as long, as far as the window goes."""
        if self.end >= self.until:
            return None
        end = min(self.end + 2 * (self.end - self.start), self.until)
        return replace(self, start=self.end, end=end)

    def halved(self, step: Step, declared: int) -> Window:
        """Return the first half. Raises SourceError where there is no shorter window."""
        span = self.end - self.start
        if span <= LEAST:
            assert isinstance(step.incremental, Timestamp)  # noqa: S101  (others have no window)
            message = (
                f"the source says that it has {declared} records between {written(self.start)} "
                f"and {written(self.end)}. It gives {step.incremental.most} of a window at most, "
                "and there is no shorter one to ask for"
            )
            raise SourceError(message)
        unit = timedelta(seconds=1) if span >= timedelta(seconds=2) else LEAST
        return replace(self, end=self.start + max(span / 2 // unit, 1) * unit)


def windows(how: Timestamp, cursor: str, began: str) -> Iterator[Window]:
    """Yield the windows from the cursor to the moment when the read began."""
    at, end = moment(cursor), moment(began)
    span = timedelta(seconds=seconds(how.window or ""))
    while at < end:
        until = min(at + span, end)
        yield Window(start=at, end=until, until=until)
        at = until


def refuse_too_many(step: Step, page: Page) -> None:
    """Raise TooMany if a window's first page says that the window has more than it may have."""
    how = step.incremental
    if not isinstance(how, Timestamp) or how.total is None or how.most is None:
        return
    try:
        declared = scalar(how.total, page.document, "number of records in a window")
        if declared is None:
            message = f"the answer has nothing at '{how.total.text}'"
            raise ValueError(message)
    except ValueError as error:
        message = f"incremental: {error}, and so it is not known whether the window is too long"
        raise SourceError(message) from None
    if number(str(declared)) > how.most:
        raise TooMany(number(str(declared)))
