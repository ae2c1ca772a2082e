"""Which field tells how fresh a stream's rows are."""

from __future__ import annotations

from crmmap.spec.duplicates import Latest
from crmmap.spec.model import Stream


def dated_by(stream: Stream) -> str | None:
    """Return the field that `freshness` looks at; None where nothing says which it is."""
    fresh, keep = stream.expect.freshness, stream.dedupe.keep
    named = None if fresh is None else fresh.field
    cursor = None if stream.incremental is None else stream.incremental.field
    version = keep.latest if isinstance(keep, Latest) else None
    return named or cursor or version
