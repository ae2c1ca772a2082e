"""Cursors that somebody gives by hand: checked, and written as a read would have left them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl

from crmmap.kinds.incremental import EventId, Incremental, Timestamp
from crmmap.kinds.types import Date
from crmmap.moments import moment
from crmmap.plan import Step

MOST_NAMED = 10


def kept_cursors(text: str | None) -> Mapping[str, str]:
    """Return the cursors that the next read asks with, by partition; none of a reader's own."""
    kept = json.loads(text) if text else {}
    return kept.get("at", {}) if isinstance(kept, dict) else {}


def with_cursor(step: Step, kept: str | None, value: str, partition: str | None) -> str:
    """Return what the ledger is to keep, with a cursor for all, or for one partition.

    Raises ValueError where the stream has no cursor like that.
    """
    how = step.incremental
    if how is None:
        message = "keeps no cursor: it reads everything, or remembers the files that it has read"
        raise ValueError(message)
    known = json.loads(kept) if kept else {}
    if known.get("of") != step.cursor_of:
        known = {}
    at = dict(known.get("at", {}))
    at[_label(step, at, partition)] = _canonical(step, how, value)
    new = {"at": at, "began": known.get("began"), "of": step.cursor_of}
    return json.dumps(new, sort_keys=True, separators=(",", ":"))


def _label(step: Step, at: Mapping[str, str], partition: str | None) -> str:
    """Return the partition that is meant. Raises ValueError."""
    labels = [label for label in at if label]
    several = bool(step.parts.over) or step.parts.own_cursors is not None
    if not several:
        if partition is not None:
            message = "has one cursor, and no partitions"
            raise ValueError(message)
        return ""
    if partition is None or (labels and partition not in labels):
        said = "has a cursor for each partition" if partition is None else "has no such partition"
        more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
        named = f": {'; '.join(labels[:MOST_NAMED])}{more}" if labels else ""
        message = f"{said}. Say which with --partition{named}"
        raise ValueError(message)
    return partition


def _canonical(step: Step, how: Incremental, value: str) -> str:
    """Return a value's text as a read would keep it. Raises ValueError where it is none."""
    if isinstance(how, Timestamp):
        when = moment(value)
        if how.field is None:
            return when.isoformat()
        kind = step.target.column(how.field).type
        typed = pl.Series([when.date() if isinstance(kind, Date) else when], dtype=kind.dtype)
        return str(typed.to_frame("value").select(kind.show(pl.col("value"))).item())
    if isinstance(how, EventId):
        return value
    try:
        return str(int(value))
    except ValueError:
        message = f"{value[:40]!r} is no whole number, which the stream's cursor is"
        raise ValueError(message) from None
