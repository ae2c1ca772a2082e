"""Pages asked for smaller than the mapping says: what that means for the page after them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from crmmap.kinds.actions import Halve
from crmmap.kinds.paging import Pagination
from crmmap.kinds.responses import ResponseRule
from crmmap.values import Page, Request


def halves_of(*several: Iterable[ResponseRule]) -> tuple[Halve, ...]:
    """Return the actions of rules that make pages smaller."""
    return tuple(rule.then for rules in several for rule in rules if isinstance(rule.then, Halve))


def following(
    pagination: Pagination, request: Request, first: Request, page: Page, halves: Sequence[Halve]
) -> Request | None:
    """Return the request after one that may have been halved. Raises ValueError as `next` does.

    The number of records in a full page is then that of the request; and the next page is
    asked for larger again.
    """
    for halve in halves:
        pagination = _for_pages_of(pagination, halve, request, first)
    found = pagination.next(request, page)
    for halve in halves:
        found = halve.regrown(found, first) if found is not None else None
    return found


def _for_pages_of(
    pagination: Pagination, halve: Halve, request: Request, first: Request
) -> Pagination:
    full: int | None = getattr(pagination, "size", None)
    size, whole = halve.size(request), halve.size(first)
    if full is None or size is None or whole is None or size >= whole:
        return pagination
    kind: Any = pagination
    smaller: Pagination = replace(kind, size=min(full, size))
    return smaller
