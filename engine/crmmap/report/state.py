"""How far streams have been read, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from crmmap.load.state import StreamState
from crmmap.report.parts import Grid, Heading, Line, Part

Document = dict[str, object]
VERSION = 1
LONGEST = 60
MOST = 20
"""Partitions of a stream that are shown as text; JSON has them all."""
UNREAD = "not read yet"


def state_parts(states: Mapping[str, StreamState | None], known: Sequence[str]) -> Iterator[Part]:
    """Yield a table of streams, a row per cursor; None is a stream that was never begun.

    `known` are the mapping's streams.
    """
    titles = ("stream", "partition", "cursor", "reading", "since (UTC)", "by")
    rows = tuple(row for name, state in states.items() for row in _rows(name, state, name in known))
    if rows:
        yield Grid(headings=tuple(map(Heading, titles)), rows=rows)
    else:
        yield Line("no stream", "quiet")


def _rows(name: str, state: StreamState | None, known: bool) -> Iterator[tuple[str, ...]]:  # noqa: FBT001
    shown = name if known else f"{name} (not in the mapping)"
    if state is None:
        yield (shown, "", "-", UNREAD, "", "")
        return
    when = "" if state.moved_at is None else f"{state.moved_at:%Y-%m-%d %H:%M}"
    told = (_reading(state), when, state.moved_by or state.run_id or "")
    cursors = list(_cursors(state.cursor))
    for place, (partition, cursor) in enumerate(cursors[:MOST]):
        yield (shown if place == 0 else "", partition, cursor, *(told if place == 0 else ("",) * 3))
    if len(cursors) > MOST:
        yield ("", f"and {len(cursors) - MOST} more", *[""] * 4)


def _reading(state: StreamState) -> str:
    """Return where reading goes on, in short."""
    if state.position is not None:
        return f"interrupted at {_short(state.position)}"
    return "from the start" if state.cursor is None else "ended" if state.ended else "begun"


def _cursors(text: str | None) -> Iterator[tuple[str, str]]:
    kept = json.loads(text) if text else {}
    if "files" in kept:
        count = len(kept["files"])
        yield "", f"{count} file{'' if count == 1 else 's'} remembered"
        return
    at = kept.get("at", {})
    yield from ((label, _short(cursor)) for label, cursor in at.items())
    if not at:
        yield "", "-"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def state_document(mapping: str, states: Mapping[str, StreamState | None]) -> Document:
    """Return the state as `state import` takes it back."""
    return {
        "crmmap_state": VERSION,
        "mapping": mapping,
        "streams": {name: _document(each) for name, each in states.items() if each is not None},
    }


def _document(state: StreamState) -> Document:
    return {
        "cursor": None if state.cursor is None else json.loads(state.cursor),
        "position": state.position,
        "fingerprint": state.fingerprint,
        "ended": state.ended,
        "run_id": state.run_id,
        "moved_at": None if state.moved_at is None else state.moved_at.isoformat(),
        "moved_by": state.moved_by,
    }
