"""`Retry-After` (RFC 9110, 10.2.3), read leniently where that is harmless.

urllib3's own parser refuses decimals, counts dates against this machine's clock and
silently cuts long waits; each of these turns a polite answer into a wrong wait.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

SOONEST = 1.0
"""Seconds to wait where the date asked for is already past."""

_SECONDS = re.compile(r"\d{1,30}(\.\d{1,30})?", re.ASCII)


def retry_after(text: str | None, *, date: str | None, now: datetime) -> float | None:
    """Return the seconds that the source asks to wait, or None if it asks nothing readable.

    `date` is the same answer's `Date` header: a date is counted from the source's
    own clock, and only without one from `now`. Zero asks for nothing, so that the
    caller's own backoff decides.
    """
    text = (text or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text) or None
    moment = _moment(text)
    if moment is None:
        return None
    seconds = (moment - (_moment(date or "") or now)).total_seconds()
    return max(seconds, SOONEST)


def _moment(text: str) -> datetime | None:
    # Python's parser raises various errors on what it does not expect, and
    # overflows on absurd years; all of them mean: not a date.
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
