"""Sources that give no more than so many records to one query: where to ask anew, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from crmmap.declare import Limits
from crmmap.kinds.paging import Answer, Find
from crmmap.kinds.places import BODY, DIGITS, HEADER, PARAM, demand_one_place, put, scalar, taken
from crmmap.moments import moment
from crmmap.template import Template
from crmmap.values import Expression, Page, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """How many records the source gives to one query, and how to ask for what lies beyond.

    Before a page could pass the cap, paging begins anew with what comes after the last record,
    by a value that it holds. The source must list records in the order of that value. One that
    is `unique`, such as an id, is asked for by *greater than*. One that several records may have,
    such as a time of change, is asked for by *not less than*: what comes again is found
    unchanged. Where more records than the cap have one value, the read stops and says which.
    """

    records: Annotated[int, "Records that one query gives at most.", Limits(minimum=1)]
    from_: Annotated[Expression, "JMESPath to the value in a record."]
    param: PARAM = None
    header: HEADER = None
    body: BODY = None
    unique: Annotated[bool, "No two records have the same value."] = True
    write: Annotated[
        Template | None, "How the value is sent, if not as it stands: `{{ value | epoch_ms }}`."
    ] = None

    def __post_init__(self) -> None:
        demand_one_place(self)

    def within(
        self, request: Request, page: Page, following: Request | None, anew: Request
    ) -> Request | None:
        """Return what is asked for next: `following` within the cap, else `anew` from the last.

        `anew` is the request as it was before any page. Raises ValueError.
        """
        passed = request.passed + page.fetched
        if following is None and passed < self.records:
            return None
        # The next page may be as long as this one, and sources refuse one that leads past the cap.
        if following is not None and passed + page.fetched <= self.records:
            return replace(following, passed=passed)
        return put(self, replace(anew, passed=0), self._last(request, page))

    def _last(self, request: Request, page: Page) -> str | int:
        values = [scalar(self.from_, each, "value to go on from") for each in page.records]
        # One without a value is no bound: it came, and no query for more brings it again.
        last = next((each for each in reversed(values) if each is not None), None)
        if last is None:
            message = f"no record of the page before the cap has anything at '{self.from_.text}'"
            raise ValueError(message)
        if not in_order(values):
            message = (
                f"the records do not come in the order of '{self.from_.text}', so what lies beyond "
                f"the cap of {self.records} records can't be asked for. Ask for that order"
            )
            raise ValueError(message)
        sent = last if self.write is None else self.write.render({"value": last})
        if str(sent) == taken(self, request):
            message = (
                f"more than {self.records} records have '{str(sent)[:80]}' at '{self.from_.text}', "
                "and the source gives no more to one query. Go on from a value that is unique"
            )
            raise ValueError(message)
        return sent


CAP = Annotated[Cap | None, "Of a source that gives no more than so many records to one query."]


def in_order(values: Sequence[str | int | None]) -> bool:
    """Say whether values rise or fall throughout; texts whose order is not known are taken to."""
    texts = [str(each) for each in values if each is not None]
    try:
        ranks = [int(each) if DIGITS.fullmatch(each) else moment(each) for each in texts]
        return ranks in (sorted(ranks), sorted(ranks, reverse=True))
    except (ValueError, TypeError):
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a source has for one query: `there` records after the `before` first, `most` to have."""

    before: int
    there: int
    most: int

    def answer(self, start: int, size: int) -> Answer:
        """Return records from `start` of the query's: none, and a refusal, past what it may have.

        An answer that has everything shows in its `stop`.
        """
        start = min(start, self.there)
        if start >= self.most:
            return Answer(start=self.before, stop=self.before, status=400)
        stop = min(start + size, self.there, self.most)
        return Answer(start=self.before + start, stop=self.before + stop)

    def more(self, answer: Answer) -> bool:
        """Say whether the query has records after those of an answer."""
        return answer.stop < self.before + self.there

    def passed(self, answer: Answer) -> int:
        """Return how many of the query's records came with an answer and before it."""
        return answer.stop - self.before


def query_of(cap: Cap | None, request: Request, total: int, find: Find) -> Query:
    """Return what a source with `total` records has for a request."""
    if cap is None:
        return Query(before=0, there=total, most=total + 1)
    value, write = taken(cap, request), cap.write
    written = (lambda text: write.render({"value": text})) if write is not None else None
    at = find(cap.from_, value, written=written, after=cap.unique) if value else 0
    before = min(at, total)
    return Query(before=before, there=total - before, most=cap.records)
