"""An attempt that failed in a way that another may not."""

from __future__ import annotations

from http import HTTPStatus

from crmmap.errors import SourceError
from crmmap.values import Request


class Failure(Exception):
    """An attempt failed in a way that another may not. `error` is raised if none is left.

    `asked` is the wait in seconds that the source, or a rule for its answer, asks for.
    `remedy` names what the next attempt changes, at once and only once for a request: it asks
    `instead`, or (`plain`) for an answer that is not compressed. `ruled` says that the mapping
    itself wants another attempt.
    """

    def __init__(
        self,
        error: SourceError,
        *,
        reason: str,
        status: int | None = None,
        asked: float | None = None,
        remedy: str | None = None,
        instead: Request | None = None,
        plain: bool = False,
        ruled: bool = False,
    ) -> None:
        super().__init__(reason)
        self.error = error
        self.reason = reason
        self.status = status
        self.asked = asked
        self.remedy = remedy
        self.instead = instead
        self.plain = plain
        self.ruled = ruled


def phrase(status: int) -> str:
    """Return the status with its standard words: `503 Service Unavailable`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
