"""What a run tells while it goes on: bars on a terminal, a few lines elsewhere, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TextIO

from crmmap.events import Event
from crmmap.report.wording import duration, number, plural, printable, rate
from crmmap.report.writing import write
from crmmap.values import Counts

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PAUSE = 5.0
"""Seconds between two plain lines about one stream."""

Clock = Callable[[], float]


class Progress(Protocol):
    """Shows what a run tells. May be told from any thread; never fails the run."""

    def observe(self, event: Event) -> None: ...

    def say(self, text: str) -> None:
        """Show one line of text for people."""
        ...

    def close(self) -> None: ...


def progress_on(stream: TextIO, mapping: str, *, clock: Clock = monotonic) -> Progress:
    """Return the progress fit for `stream`: bars if it is a terminal, else lines."""
    if stream.isatty():
        return _Bars.on(stream, mapping, clock=clock)
    return _Lines(stream, mapping, clock)


# --- plain lines ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Lines:
    """One line when a stream begins and ends, and at most one every few seconds between."""

    stream: TextIO
    mapping: str
    clock: Clock
    began: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def observe(self, event: Event) -> None:
        with self.lock:
            now = self.clock()
            self.began.setdefault(event.stream, now)
            if self._due(event, now):
                if event.kind != "begin":
                    self.told[event.stream] = now
                seconds = now - self.began[event.stream]
                self.say(f"{_named(self.mapping, event)}: {_told(event, seconds)}")

    def say(self, text: str) -> None:
        with self.lock:
            write(self.stream, f"{printable(text)}\n")

    def close(self) -> None:
        pass

    def _due(self, event: Event, now: float) -> bool:
        if event.kind in ("begin", "end"):
            return True
        # Pages are read ahead of what is written; only what is written counts as progress here.
        # A first wait is told at once: else nobody knows why nothing happens.
        before = self.told.get(event.stream)
        since = self.began[event.stream] if before is None else before
        first_wait = event.kind == "wait" and before is None
        return event.kind != "page" and (first_wait or now - since >= PAUSE)


def _named(mapping: str, event: Event) -> str:
    """Return whom the event is about; a wait may be about the source, whatever the stream."""
    return f"{mapping}.{event.stream}" if event.stream else mapping


def _told(event: Event, seconds: float) -> str:
    written = plural(event.counts.fetched, "record")
    match event.kind:
        case "begin":
            return "begins"
        case "wait":
            return event.message
        case "end":
            why = f"; {event.message}" if event.message else ""
            return f"ends after {written} in {duration(seconds)}{why}"
        case _:
            speed = rate(event.counts.fetched, seconds)
            return f"{written} from {plural(event.pages, 'page')}, {speed} records/s"


# --- bars on a terminal ---------------------------------------------------------------------------


@dataclass(slots=True)
class _Bars:
    """One line per stream: how far, how many, how fast, and what it does or waits for."""

    progress: RichProgress
    mapping: str
    clock: Clock
    tasks: dict[str, _Bar] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @classmethod
    def on(cls, stream: TextIO, mapping: str, *, clock: Clock) -> _Bars:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Rich

        columns = (
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[note]}", markup=False),
        )
        progress = Rich(*columns, console=Console(file=stream, highlight=False), transient=True)
        progress.start()
        return cls(progress, mapping, clock)

    def observe(self, event: Event) -> None:
        # A terminal that has gone away must not stop the run.
        with self.lock, suppress(OSError, ValueError):
            if event.stream and "" in self.tasks:  # the source's wait is over
                self.progress.remove_task(self.tasks.pop("").task)
            bar = self._bar(event)
            share = 1.0 if event.kind == "end" else event.share
            if share is not None:
                self.progress.update(bar.task, total=1.0, completed=share)
            note = bar.note(event, self.clock())
            self.progress.update(bar.task, note=printable(note))

    def say(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self.progress.console.print(printable(text), markup=False)

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self.progress.stop()

    def _bar(self, event: Event) -> _Bar:
        if event.stream not in self.tasks:
            # Without a total the bar pulses: the source has not said how much there is.
            task = self.progress.add_task(_named(self.mapping, event), total=None, note="")
            self.tasks[event.stream] = _Bar(task, self.clock())
        return self.tasks[event.stream]


@dataclass(slots=True)
class _Bar:
    """What one stream's line remembers."""

    task: TaskID
    began: float
    written: Counts = field(default_factory=Counts)

    def note(self, event: Event, now: float) -> str:
        """Return the text beside the bar: what is written, how fast, and what happens now."""
        if event.kind == "wait" and not event.stream:
            return event.message
        if event.kind in ("batch", "end"):
            self.written = event.counts
        records = self.written.fetched
        parts = [plural(records, "record")]
        if records:
            parts.append(f"{rate(records, now - self.began)}/s")
        if event.kind == "page":
            parts.append(f"reads page {number(event.pages)}")
        elif event.message:
            parts.append(event.message)
        return " · ".join(parts)
