"""The readers: where a plan's pages come from, an HTTP API, files or a database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from crmmap.events import Event, Observe, Troubles
from crmmap.extract.halting import halting
from crmmap.extract.patience import Wait
from crmmap.extract.vault import Keeper
from crmmap.kinds.database import Sql
from crmmap.kinds.source import Files
from crmmap.plan import FoundField, Plan, Step
from crmmap.redact import Clean, in_succession
from crmmap.values import Page, Start

Clock = Callable[[], datetime]


class Reader(Protocol):
    """Where the pages of a plan's streams come from."""

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        """Yield the stream's pages in order, from where `start` says."""
        ...

    def absent(self, step: Step) -> str | None:
        """Return why the stream has nothing to read from, in words; None if it has."""
        ...

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        """Return the fields that the source lists, of a stream that asks for them."""
        ...

    def share(self, step: Step, page: Page) -> float | None:
        """Return the part of the source read once `page` is done, if that can be known."""
        ...

    def troubles(self, step: Step) -> Troubles:
        """Return what the stream's requests met with so far."""
        ...

    def parse(self, step: Step, raws: list[str]) -> Page:
        """Return raw records, as `Page.raw` gave them, as a page again."""
        ...

    @property
    def clean(self) -> Clean | None:
        """Return what takes out of a text the secrets that are known by now; None where none is."""
        ...

    def close(self) -> None:
        """End what is still under way; a request that somebody waits for is cut."""
        ...


@contextmanager
def open_reader(
    plan: Plan,
    *,
    stop: threading.Event,
    clock: Clock,
    observe: Observe = lambda _: None,
    vault: Keeper | None = None,
) -> Iterator[Reader]:
    """Give the reader for a plan's sources, and close their connections at the end.

    `vault` is where tokens outlive the run. What is under way when `stop` is set is given a few
    seconds, then it is cut.
    """
    readers: dict[str, Reader] = {}
    halts: list[Callable[[], None]] = []

    def halt() -> None:
        for each in tuple(halts):
            each()

    # What a reader is made of is imported where a source needs it: its libraries take long.
    try:
        for name, source in plan.sources.items():
            if isinstance(source, Files):
                from crmmap.extract.file_reader import FileReader

                readers[name] = FileReader(plan, clock)
            elif all(step.absent for step in plan.steps if step.source_name == name):
                continue
            elif isinstance(source, Sql):
                from crmmap.extract.database_reader import DatabaseReader

                readers[name] = database = DatabaseReader(plan, source, stop)
                halts.append(database.halt)
            else:
                from crmmap.extract.client import Client
                from crmmap.extract.http_reader import HttpReader

                client = Client(source, stop=stop, clock=clock, observe=_told(observe), vault=vault)
                readers[name] = HttpReader(plan, client)
                halts.append(client.halt)
        with halting(stop, halt):
            yield Readers(readers)
    finally:
        for reader in readers.values():
            reader.close()


def _told(observe: Observe) -> Callable[[Wait], None]:
    def tell(wait: Wait) -> None:
        observe(Event(kind="wait", stream=wait.stream, message=str(wait)))

    return tell


@dataclass(frozen=True, slots=True)
class Readers:
    """Reads each stream with the reader of its source."""

    by_source: Mapping[str, Reader]

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        return self._of(step).pages(step, start)

    def absent(self, step: Step) -> str | None:
        return step.absent or self._of(step).absent(step)

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return self._of(step).fields(step)

    def share(self, step: Step, page: Page) -> float | None:
        return self._of(step).share(step, page)

    def troubles(self, step: Step) -> Troubles:
        return self._of(step).troubles(step)

    def parse(self, step: Step, raws: list[str]) -> Page:
        return self._of(step).parse(step, raws)

    @property
    def clean(self) -> Clean | None:
        return in_succession(reader.clean for reader in self.by_source.values())

    def close(self) -> None:
        for reader in self.by_source.values():
            reader.close()

    def _of(self, step: Step) -> Reader:
        return self.by_source[step.source_name]
