"""A database that is read: its connections, and what becomes of them when one is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from random import uniform
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from crmmap.errors import Interrupted, SourceError, SourceUnreachable
from crmmap.extract.asker import Account
from crmmap.extract.database_dialects import Diagnosis, Dialect, Trouble, dialect_for
from crmmap.kinds.database import Sql

LONGEST_WAIT = 30.0

Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class Database:
    """An open database. Safe to share between threads; it connects when it is first asked."""

    source: Sql
    engine: Engine
    dialect: Dialect
    name: str
    """For people: without user and password."""
    stop: threading.Event
    first_wait: float = 1.0
    account: Account = field(default_factory=Account)
    """Where it is counted what was asked again."""
    _busy: dict[int, Any] = field(default_factory=dict)
    _closed: threading.Event = field(default_factory=threading.Event)
    _halted: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, source: Sql, *, stop: threading.Event) -> Database:
        """Return the database of a source. Raises SourceError, without echoing the URL."""
        dialect, url = dialect_for(source.url.reveal())
        engine = dialect.connect(url, source)
        return cls(source=source, engine=engine, dialect=dialect, name=dialect.name(url), stop=stop)

    def counting(self, account: Account) -> Database:
        """Return the same database, asked for a stream that has an account of its own."""
        return replace(self, account=account)

    def rows(self, statement: Executable) -> Sequence[tuple[Any, ...]]:
        """Return all rows that a statement finds. Raises SourceError, or Interrupted."""
        return self.ask(lambda connection: [tuple(row) for row in connection.execute(statement)])

    def ask(self, question: Callable[[Connection], Result]) -> Result:
        """Return what a question finds, asked again on another connection if one is lost."""
        for attempt in range(1, self.source.attempts + 1):
            self._go_on()
            try:
                with self._connected() as connection:
                    return question(connection)
            except PoolTimeout:
                message = (
                    f"{self.name}: all {self.source.connections} connections stayed busy for "
                    f"{self.source.timeout.statement:g} s. Allow more: `connections`"
                )
                raise SourceError(message) from None
            except DBAPIError as error:
                self._go_on()
                found = self.dialect.diagnosis(error)
                if found.trouble is not Trouble.AGAIN:
                    raise found.error(f"{self.name}: {found.message}") from None
            if attempt < self.source.attempts:
                self._rest(attempt)
        raise self._given_up(found)

    def _go_on(self) -> None:
        if self._halted.is_set():
            message = f"{self.name}: stopped while it was asked"
            raise Interrupted(message) from None

    def _given_up(self, found: Diagnosis) -> SourceError:
        tried = f" (tried {self.source.attempts} times)" if self.source.attempts > 1 else ""
        return SourceUnreachable(f"{self.name}: {found.message}{tried}")

    def _rest(self, attempt: int) -> None:
        bound = min(LONGEST_WAIT, self.first_wait * 2 ** (attempt - 1))
        seconds = uniform(0, bound)  # noqa: S311  (jitter, no secret)
        self.account.retried()
        self.account.waited(seconds)
        if self._closed.is_set() or self.stop.wait(seconds):
            message = f"{self.name}: stopped while waiting for another attempt"
            raise Interrupted(message)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            self._busy[id(driver)] = driver
            try:
                yield connection
            finally:
                self._busy.pop(id(driver), None)
                if self._closed.is_set() and not connection.invalidated:
                    connection.detach()  # the pool, to which it would go back, is gone

    def halt(self) -> None:
        """End what is asked, and ask no more."""
        self._halted.set()
        self._cut()

    def _cut(self) -> None:
        for driver in [*self._busy.values()]:
            self.dialect.cut(self.engine, driver)

    def close(self) -> None:
        """End what is still asked, and close all connections."""
        self._closed.set()
        self._cut()
        with suppress(Exception):
            self.engine.dispose()
