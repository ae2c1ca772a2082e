"""Values as JSON documents: every field, under its own name, in the order of its declaration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum

from crmmap.events import RunReport, StreamReport
from crmmap.report.summary import Missed, Outcome

Document = dict[str, object]


def run_document(outcome: Outcome) -> Document:
    """Return a run's report, whole, as JSON values. `status` and `exit_code` come first."""
    head: Document = {"status": outcome.status, "exit_code": int(outcome.exit_code)}
    if isinstance(outcome, Missed):
        return {**head, "mapping": outcome.mapping, "message": outcome.message}
    streams = [_stream(each) for each in outcome.streams]
    return {**head, **_fields(outcome), **_counts(outcome), "streams": streams}


def _stream(stream: StreamReport) -> Document:
    return {**_fields(stream), **_counts(stream)}


def _counts(report: RunReport | StreamReport) -> Document:
    return {"counts": plain(report.counts), "balanced": report.counts.balanced}


def _fields(value: RunReport | StreamReport) -> Document:
    # An exception is for the program that runs us; its message is there already.
    names = [each.name for each in fields(value) if each.name != "error"]
    return {name: plain(getattr(value, name)) for name in names}


def plain(value: object) -> object:
    """Return dataclasses, mappings, tuples and enums as what `json` can write."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    if isinstance(value, IntEnum):
        return int(value)
    return round(value, 6) if isinstance(value, float) else value
