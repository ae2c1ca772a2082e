"""What is done about an answer that fits a rule of `responses`.

An action is a function of the request and of its answer: it gives a verdict, and the
client carries that out. So it is tested by hand, without a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, Protocol

from crmmap.declare import Limits
from crmmap.kinds.places import DIGITS, put, taken, taken_as_it_is
from crmmap.kinds.resets import Holds, midnight, seconds_until, zone_of
from crmmap.kinds.verdicts import (
    Accept,
    Again,
    Answered,
    Instead,
    Leave,
    Renew,
    Stop,
    Verdict,
)
from crmmap.values import Expression, Request

DAY = 86_400.0


class Action(Protocol):
    """What every action offers."""

    def decide(self, request: Request, answered: Answered) -> Verdict:
        """Return what follows from the answer to a request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeed:
    """Take the answer for what was asked for, whatever its status: records are read from it.

    Of an answer about many inputs some of which failed (207), `rejects` finds what it says
    about those: each becomes a reject with that text as its raw record, so that none is lost.
    Leave out by a filter what is no failure, like an input that has nothing to give:
    `errors[?code != 'NONE']`. Where a source counts more failures than it lists, let a rule
    before this one fail: `{status: 207, body: "count > length(errors)", then: {kind: fail, …}}`.
    """

    rejects: Annotated[
        Expression | None, "JMESPath to what the answer says of inputs that failed."
    ] = None

    def decide(self, request: Request, answered: Answered) -> Verdict:
        if self.rejects is None:
            return Accept()
        try:
            found = self.rejects.find(answered.document)
        except ValueError as error:
            return Stop(message=f"what failed can't be read from the answer: {error}")
        if found is None:
            return Accept()
        return Accept(refused=tuple(found) if isinstance(found, list) else (found,))


@dataclass(frozen=True, slots=True, kw_only=True)
class TryAgain:
    """Send the request again, as often and after such waits as the source's `retry` says."""

    def decide(self, request: Request, answered: Answered) -> Verdict:
        return Again()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Wait as long as is said here, then send the request again; this is not counted as an attempt.

    The wait is a constant (`seconds`), or stands in the answer's `body` or in a `header`, or
    lasts `until: midnight`. Where the answer does not say it, `retry` decides. Longer than the
    `max_wait` of `retry`, the stream ends and can be resumed.
    """

    seconds: Annotated[float | None, "So many seconds.", Limits(0.0, DAY)] = None
    body: Annotated[Expression | None, "JMESPath to the wait in the answer."] = None
    header: Annotated[str | None, "Header that holds the wait.", Limits(min_length=1)] = None
    holds: Annotated[
        Holds,
        "What stands there: `seconds` or `milliseconds` to wait; the moment to wait for, in "
        "seconds since 1970 (`epoch`), in milliseconds (`epoch_ms`), or as a `date`.",
    ] = "seconds"
    until: Annotated[Literal["midnight"] | None, "Until the next midnight in `zone`."] = None
    zone: Annotated[str, "Of `until`: the time zone whose midnight it is."] = "UTC"

    def __post_init__(self) -> None:
        if (
            sum(each is not None for each in (self.seconds, self.body, self.header, self.until))
            != 1
        ):
            message = "needs one of `seconds`, `body`, `header` and `until`"
            raise ValueError(message)
        zone_of(self.zone)

    def decide(self, request: Request, answered: Answered) -> Verdict:
        if self.seconds is not None:
            return Again(seconds=self.seconds)
        if self.until is not None:
            span = midnight(self.zone, answered.now) - answered.now
            return Again(seconds=span.total_seconds())
        return Again(seconds=seconds_until(self._said(answered), self.holds, answered.now))

    def _said(self, answered: Answered) -> object:
        if self.header is not None:
            return answered.response.headers.get(self.header.lower())
        try:
            return None if self.body is None else self.body.find(answered.document)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Here are no records, or no more: go on with the next partition, or end the stream well.

    What was read stays. The report counts every skip by its rule, for a stream that may not
    be read any more must not look like one that is empty.
    """

    message: Annotated[str, "Why that is no error: the report shows it."] = ""

    def decide(self, request: Request, answered: Answered) -> Verdict:
        return Leave(message=self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """Gain a new token and send the request again, once. Of `auth` kinds that gain tokens."""

    def decide(self, request: Request, answered: Answered) -> Verdict:
        return Renew()


@dataclass(frozen=True, slots=True, kw_only=True)
class Halve:
    """Ask for half as many records, down to a single one; if that fails, the stream fails.

    Later pages ask for twice as many again, until they are as large as the request says.
    For pagination by page numbers it does not suit: their meaning would change.
    """

    param: Annotated[
        str | None, "The request's query parameter that says how many.", Limits(min_length=1)
    ] = None
    body: Annotated[
        str | None, "Or the entry of its JSON body: `limit`, `page.size`.", Limits(min_length=1)
    ] = None

    def __post_init__(self) -> None:
        if (self.param is None) == (self.body is None):
            message = "needs the place of the number to halve: `param` or `body`"
            raise ValueError(message)

    @property
    def header(self) -> None:
        """Return None: no header says how many. With it this is one of `kinds.places.Place`."""
        return

    @property
    def place(self) -> str:
        """The place's name."""
        return self.param or self.body or ""

    def size(self, request: Request) -> int | None:
        """Return how many records a request asks for; None where it does not say."""
        text = taken(self, request)
        return int(text) if DIGITS.fullmatch(text) else None

    def decide(self, request: Request, answered: Answered) -> Verdict:
        size = self.size(request)
        if size is None:
            return Stop(message=f"the request has no number in '{self.place}' to halve")
        if size <= 1:
            return Stop(message="even a single record can't be had")
        return Instead(request=self._asking(request, size // 2), remedy=f"{self.place} {size // 2}")

    def regrown(self, request: Request, first: Request) -> Request:
        """Return the next page's request, for twice as many records but no more than the first."""
        size, whole = self.size(request), self.size(first)
        if size is None or whole is None or size >= whole:
            return request
        return self._asking(request, min(2 * size, whole))

    def _asking(self, request: Request, size: int) -> Request:
        # A number stays a number, and a text a text.
        written = taken_as_it_is(self, request)
        return put(self, request, str(size) if isinstance(written, str) else size)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryWith:
    """Ask with other query parameters instead, once, and go on so to the following pages."""

    params: Annotated[Mapping[str, str], "Parameters to set."] = field(default_factory=dict)
    drop: Annotated[tuple[str, ...], "Parameters to leave out."] = ()

    def __post_init__(self) -> None:
        if not self.params and not self.drop:
            message = "needs `params` to set, or names of parameters to `drop`"
            raise ValueError(message)

    def decide(self, request: Request, answered: Answered) -> Verdict:
        changed = replace(
            request, params=tuple(each for each in request.params if each[0] not in self.drop)
        )
        for name, value in self.params.items():
            changed = changed.with_param(name, value)
        return Instead(request=changed, remedy=repr((self.params, self.drop)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """End the stream with an error. What it has committed stays; its siblings go on."""

    message: Annotated[str, "What is wrong and what to do about it.", Limits(min_length=1)]

    def decide(self, request: Request, answered: Answered) -> Verdict:
        return Stop(message=self.message)


ACTIONS: dict[str, type] = {
    "succeed": Succeed,
    "retry": TryAgain,
    "wait": Wait,
    "skip": Skip,
    "refresh": Refresh,
    "halve": Halve,
    "retry_with": RetryWith,
    "fail": Fail,
}
