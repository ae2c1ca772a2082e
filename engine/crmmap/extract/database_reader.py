"""Reads the streams of a database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from crmmap.events import NO_TROUBLES, Troubles
from crmmap.extract.asker import Account
from crmmap.extract.database import Database
from crmmap.extract.database_reading import Found, look, reading_of
from crmmap.extract.database_rows import read_rows
from crmmap.extract.kept import page_of_texts
from crmmap.extract.partitions import read_parts
from crmmap.extract.request import Context
from crmmap.kinds.database import Sql
from crmmap.plan import FoundField, Plan, Step
from crmmap.values import Page, Start


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
        return page_of_texts(raws)

    @property
    def clean(self) -> None:
        return None

    def halt(self) -> None:
        """End the statements under way, for the run is to stop."""
        if self._database is not None:
            self._database.halt()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
