"""The readers: where a plan's pages come from, an HTTP API, files or a database."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import PurePath
from typing import Protocol

import polars as pl

from crmmap.events import NO_TROUBLES, Event, Observe, Troubles
from crmmap.extract.asker import Account, Asker
from crmmap.extract.client import Client
from crmmap.extract.database import Database
from crmmap.extract.database_reading import Found, look, reading_of
from crmmap.extract.database_rows import read_rows
from crmmap.extract.file_documents import read_documents
from crmmap.extract.files import CsvFile, Wanted, progress_of, read_pages
from crmmap.extract.found import find_fields
from crmmap.extract.halting import halting
from crmmap.extract.listing import listed
from crmmap.extract.partitions import read_parts, with_given
from crmmap.extract.patience import Wait
from crmmap.extract.request import Context, given_values
from crmmap.extract.responses import read_responses
from crmmap.extract.several_files import Reading, read_files, share_of
from crmmap.extract.spool import Asked, Spool, Spooled
from crmmap.extract.standard_input import StandardInput
from crmmap.extract.stored import Stored
from crmmap.extract.vault import Keeper
from crmmap.kinds.database import Sql
from crmmap.kinds.formats import Csv
from crmmap.kinds.source import Files
from crmmap.plan import FoundField, Plan, Step
from crmmap.select.strict import read_json
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

    def clean(self, text: str) -> str:
        """Return a text without the secrets that reading has gained, however they are written."""
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

    def halt() -> None:
        for reader in tuple(readers.values()):
            if isinstance(reader, HttpReader | DatabaseReader):
                reader.halt()

    try:
        for name, source in plan.sources.items():
            if isinstance(source, Files):
                readers[name] = FileReader(plan, clock)
            elif all(step.absent for step in plan.steps if step.source_name == name):
                continue
            elif isinstance(source, Sql):
                readers[name] = DatabaseReader(plan, source, stop)
            else:
                client = Client(source, stop=stop, clock=clock, observe=_told(observe), vault=vault)
                readers[name] = HttpReader(plan, client)
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

    def clean(self, text: str) -> str:
        for reader in self.by_source.values():
            text = reader.clean(text)
        return text

    def close(self) -> None:
        for reader in self.by_source.values():
            reader.close()

    def _of(self, step: Step) -> Reader:
        return self.by_source[step.source_name]


@dataclass(frozen=True, slots=True)
class HttpReader:
    """Reads the streams of an HTTP API."""

    plan: Plan
    client: Client
    accounts: dict[str, Account] = field(default_factory=dict)
    spool: Spool = field(default_factory=Spool)

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        return read_parts(self.plan, step, start, self._part)

    def _part(self, step: Step, context: Context, position: str | None) -> Iterator[Page]:
        asked, asker = self._asked(step), self._asker(step)
        return read_responses(self.plan, step, asked, position, context, asker)

    def _asker(self, step: Step) -> Asker:
        account = self.accounts.setdefault(step.name, Account())
        return Asker(stream=step.name, rules=step.responses, account=account)

    def _asked(self, step: Step) -> Asked:
        keeps = any(other.pages_of == step.name for other in self.plan.steps)
        if not keeps and step.pages_of is None:
            return self.client
        return Spooled(self.client, self.spool, keeps)

    def troubles(self, step: Step) -> Troubles:
        account = self.accounts.get(step.name)
        return account.troubles() if account is not None else NO_TROUBLES

    def absent(self, step: Step) -> str | None:
        return None

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return find_fields(self.plan, step, self.client, self._asker(step))

    def share(self, step: Step, page: Page) -> float | None:
        return None

    def parse(self, step: Step, raws: list[str]) -> Page:
        return Page(number=1, records=[read_json(raw) for raw in raws])

    def clean(self, text: str) -> str:
        return self.client.clean(text)

    def halt(self) -> None:
        """Cut what is asked, for the run is to stop."""
        self.client.halt()

    def close(self) -> None:
        self.client.close()
        self.spool.close()


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reads the streams of files."""

    plan: Plan
    clock: Clock
    readings: dict[str, Reading] = field(default_factory=dict)
    standard_input: StandardInput = field(default_factory=StandardInput)

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        reading = self.readings[step.name] = Reading()
        found = listed(step, self.standard_input)
        yield from read_files(step, start, found, self.clock(), reading, partial(self._read, step))

    def _read(self, step: Step, file: Stored, position: str | None) -> Iterator[Page]:
        named = {"name": PurePath(file.name).name, "path": file.name}
        given = given_values(self.plan, step, {"file": named}) if step.given else {}
        for page in self._of(step, file, position):
            yield with_given(page, given) if given else page

    def absent(self, step: Step) -> str | None:
        return None if step.file else "no file is named for it"

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return ()

    def share(self, step: Step, page: Page) -> float | None:
        return share_of(page, self.readings[step.name], progress_of)

    def troubles(self, step: Step) -> Troubles:
        reading = self.readings.get(step.name)
        return NO_TROUBLES if reading is None else Troubles(unread=dict(reading.unread))

    def parse(self, step: Step, raws: list[str]) -> Page:
        if isinstance(step.format, Csv):
            return _page_of_texts(raws)
        return Page(number=1, records=[read_json(raw) for raw in raws])

    def clean(self, text: str) -> str:
        return text

    def close(self) -> None:
        """Let go of standard input; other files are open only while they are read."""
        self.standard_input.close()

    def _of(self, step: Step, file: Stored, position: str | None) -> Iterator[Page]:
        if not isinstance(step.format, Csv):
            return read_documents(step, file, position)
        return read_pages(self._csv(step, file), position, chunk_rows=step.batch)

    def _csv(self, step: Step, file: Stored) -> CsvFile:
        form = step.format
        assert isinstance(form, Csv)  # noqa: S101  (lint pairs the format with the source)
        wanted = Wanted(headers=step.headers, optional=step.optional)
        return CsvFile(file=file, format=form, wanted=wanted)


@dataclass(slots=True)
class DatabaseReader:
    """Reads the streams of a database, which is opened when the first of them is read."""

    plan: Plan
    source: Sql
    stop: threading.Event
    found: dict[str, Found] = field(default_factory=dict)
    """What is known of each stream's query: asked once, whatever its partitions."""
    accounts: dict[str, Account] = field(default_factory=dict)
    _database: Database | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def pages(self, step: Step, start: Start) -> Iterator[Page]:
        return read_parts(self.plan, step, start, self._part)

    def _part(self, step: Step, context: Context, position: str | None) -> Iterator[Page]:
        database = self._opened().counting(self.accounts.setdefault(step.name, Account()))
        if step.name not in self.found:
            self.found[step.name] = look(database, self.plan, step, context)
        reading = reading_of(database, self.plan, step, context, self.found[step.name])
        return read_rows(database, reading, position)

    def _opened(self) -> Database:
        with self._opening:
            if self._database is None:
                self._database = Database.open(self.source, stop=self.stop)
            return self._database

    def absent(self, step: Step) -> str | None:
        return None

    def fields(self, step: Step) -> tuple[FoundField, ...]:
        return ()

    def troubles(self, step: Step) -> Troubles:
        account = self.accounts.get(step.name)
        return account.troubles() if account is not None else NO_TROUBLES

    def share(self, step: Step, page: Page) -> float | None:
        return None

    def parse(self, step: Step, raws: list[str]) -> Page:
        return _page_of_texts(raws)

    def clean(self, text: str) -> str:
        return text

    def halt(self) -> None:
        """End the statements under way, for the run is to stop."""
        if self._database is not None:
            self._database.halt()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()


def _page_of_texts(raws: list[str]) -> Page:
    """Return raw records that are texts by column as a page again."""
    records = [json.loads(raw) for raw in raws]
    names = dict.fromkeys(name for record in records for name in record)
    return Page(number=1, records=pl.DataFrame(records, schema=dict.fromkeys(names, pl.String)))
