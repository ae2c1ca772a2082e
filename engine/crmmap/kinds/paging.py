"""How the next page is asked for: what every kind of pagination offers.

A pagination kind keeps no state: the position is read back from the request
just sent and the page it brought. Only `None` ends a stream. Circles and
bounds are the driver's business (`extract`).

`answer` is the same protocol from the other side: what a source that speaks
it would send. The mock is built on it, so a kind describes both ends at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from crmmap.values import Expression, Page, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Records `start` to `stop` of the list, and what stands beside them.

    `document` maps an expression's text to the value that it must find; a
    value of None means that it must find nothing.
    """

    start: int
    stop: int
    document: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


class Find(Protocol):
    """Gives the index of the first record after those in which the expression finds the text.

    Without `after`, of the first of those themselves. 0 if there is none. `written` says how
    what is found is written in the text.
    """

    def __call__(
        self,
        expression: Expression,
        text: str,
        *,
        written: Callable[[str], str] | None = None,
        after: bool = True,
    ) -> int: ...


class Pagination(Protocol):
    """What every pagination kind offers."""

    def next(self, request: Request, page: Page) -> Request | None:
        """Return the request for the page after `page`, which `request` brought."""
        ...

    def answer(self, request: Request, total: int, size: int, find: Find) -> Answer:
        """Return what a source with `total` records, `size` to a page, answers."""
        ...
