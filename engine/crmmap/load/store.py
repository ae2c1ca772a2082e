"""The store: the target database, and the one way in which anything is committed to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import uniform
from time import sleep
from typing import TypeVar

import polars as pl
import sqlalchemy as sa
from sqlalchemy import Engine, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from crmmap.errors import PolicyError, StoreError, StoreUnfit, StoreUnreachable
from crmmap.failpoint import fail_at
from crmmap.load import archive, books, deferred, ledger, rejects
from crmmap.load.accounts import OUTCOME, Mark, Tally
from crmmap.load.balance import write_accounts
from crmmap.load.deferred import Waiting
from crmmap.load.dialects import Dialect, Fault, dialect_for
from crmmap.load.parents import distinct_values, rows_after
from crmmap.load.refilling import undo_some, undoing
from crmmap.load.staging import staged
from crmmap.load.statements import Row, Session
from crmmap.load.tables import Changes, changes
from crmmap.load.transaction import Transaction, known_parents
from crmmap.load.upsert import judged, stored_rows
from crmmap.load.writing import tables_of
from crmmap.plan import Target

ATTEMPTS = 5
LONGEST_WAIT = 5.0

Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True)
class Store:
    """An open target database. Safe to share between threads."""

    engine: Engine
    dialect: Dialect
    name: str
    """For people: without user and password."""
    pause: Callable[[float], None] = sleep
    """Waits so many seconds between two attempts."""
    _writer: threading.Lock = field(default_factory=threading.Lock)
    made: set[str] = field(default_factory=set)
    """The tables that were not there before."""
    _has_ledger: bool = False
    """Whether its ledger was made or compared: a run prepares tables several times."""

    @classmethod
    def open(cls, url: str, *, application: str, pause: Callable[[float], None] = sleep) -> Store:
        """Open a store by its URL. `application` is the name that the server shows for us.

        Raises StoreUnreachable where it can't be reached or lets us not in, and
        StoreUnfit where the URL is wrong or a driver is missing; neither echoes the URL.
        """
        dialect, parsed = dialect_for(url)
        engine = dialect.connect(parsed, application)
        store = cls(engine=engine, dialect=dialect, name=dialect.name(parsed), pause=pause)
        try:
            store._reach()
        except StoreError:
            engine.dispose()
            raise
        return store

    def _reach(self) -> None:
        """Connect once. Nothing is asked: opening must not wait for the transactions of others.

        Only a new SQLite file waits for them, to be given its mode.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.engine.connect().close()
            except DBAPIError as error:
                fault = self.dialect.fault(error)
                if fault is not Fault.AGAIN or attempt == ATTEMPTS:
                    message = f"{self.name}: {self.dialect.explain(error)}"
                    tried = f" (tried {attempt} times)" if attempt > 1 else ""
                    raise self.dialect.failure(error)(message + tried) from None
            self._rest(attempt)
        raise AssertionError  # the last attempt returns or raises

    @property
    def in_process(self) -> bool:
        """Whether this process itself writes the tables, and not a server that it waits for."""
        return self.dialect.single_writer

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # --- tables -----------------------------------------------------------------------------

    def prepare(self, targets: Sequence[Target]) -> tuple[str, ...]:
        """Make the ledger's and the targets' tables where there are none, and compare the others.

        Columns that are missing are added, as they may be null, and the next read writes the rows
        to fill them; the sentences returned tell which, and to which tables. Raises StoreUnfit,
        saying all of what is wrong and what to do, where a live table differs in any other way.
        """
        tables, undone = tables_of(targets), set[str]()
        while True:
            found = self._transact(partial(self._prepare, tables, undone), early=True)
            left = [table for table in found.refilled if table.name not in undone]
            if not left:
                break
            for table in left:
                self._undo_digests(table)
                undone.add(table.name)
        self._has_ledger = True
        fail_at("load.prepared")
        return found.remarks

    def _undo_digests(self, table: Table) -> None:
        last: Row | None = None
        while True:
            last = self._transact(partial(undo_some, table=table, after=last), early=True)
            if last is None:
                return

    def _prepare(self, tables: list[Table], undone: Collection[str], session: Session) -> Changes:
        """Do what `prepare` does, unless digests are to be undone first; return what was found."""
        self.dialect.serialize(session.connection)
        if not self._has_ledger:
            self._run(session, changes(session.connection, self.dialect, [ledger.SCHEMA_VERSION]))
            tables = [*ledger.TABLES, *tables]
        books.check_version(session)
        names = [table.name for table in ledger.TABLES]
        found = changes(session.connection, self.dialect, tables, taken=names)
        if {table.name for table in found.refilled} <= {*undone} or found.faults:
            self._run(session, found)
            if not self._has_ledger:
                self._try_staging(session)
            self.made.update(found.made)
        return found

    def _try_staging(self, session: Session) -> None:
        """Raise StoreUnfit where no temporary table can be made: every batch needs one."""
        try:
            with staged(session, ledger.RUNS.name, [], pl.DataFrame()):
                pass
        except DBAPIError as error:
            if self.dialect.fault(error) is not Fault.FINAL:
                raise
            message = (
                f"{self.name}: the user can't make temporary tables, which every batch needs; "
                "grant that on the database (PostgreSQL: TEMPORARY, MySQL: CREATE TEMPORARY TABLES)"
            )
            raise StoreUnfit(message) from None

    def _run(self, session: Session, found: Changes) -> None:
        self._check(found)
        for statement in found.statements:
            session.connection.exec_driver_sql(statement)
            fail_at("load.table_made")

    def _check(self, found: Changes) -> None:
        if found.faults:
            raise StoreUnfit("\n".join(f"{self.name}: {fault}" for fault in found.faults))

    def ddl(self, targets: Sequence[Target]) -> str:
        """Return the statements that `prepare` would run now, ledger included.

        After them stand, under a comment that says why, those that it would never run: they
        make a table what the mapping wants that is there and differs.
        """
        tables = [*ledger.TABLES, *tables_of(targets)]

        def compare(session: Session) -> Changes:
            return changes(session.connection, self.dialect, tables)

        found = self._transact(compare, early=True)
        quote = self.engine.dialect.identifier_preparer.quote_identifier
        undone = (undoing(table, quote) for table in found.refilled)
        return "".join(
            (
                *(f"{self._plain(each)};\n" for each in undone),
                *(f"{self._plain(each)};\n" for each in found.statements),
                *(f"-- {fault}\n" for fault in found.faults),
                *(f"{self._plain(each)};\n" for each in found.remedies),
            )
        )

    def _plain(self, statement: str) -> str:
        """Return a statement as it is typed: for the driver, each % in it is doubled."""
        return statement.replace("%%", "%") if self.dialect.placeholder[:1] == "%" else statement

    # --- runs and streams -------------------------------------------------------------------

    def begin_run(
        self, *, mapping: str, run_id: str, owner: str, fingerprint: str = "", kind: str = "run"
    ) -> None:
        """Take the mapping's lock for a run, and note what an earlier run left open.

        `owner` is `host:pid`. The lock lasts for 60 seconds by the database's clock,
        and must be renewed by `heartbeat`. Raises StoreLocked, naming the holder,
        where another run holds it; one whose process on this host is gone, or whose
        time is up, is taken over.
        """
        fail_at("load.before_lock")
        self._transact(
            partial(
                self._serially, books.open_run,
                mapping=mapping, run_id=run_id, fingerprint=fingerprint, owner=owner, kind=kind,
            ),
            early=True,
        )  # fmt: skip
        fail_at("load.locked")

    def _serially(
        self, action: Callable[..., Result], session: Session, **given: str | bool | tuple[str, ...]
    ) -> Result:
        # A row that is not there yet can't be locked; two beginnings might both insert it.
        self.dialect.serialize(session.connection)
        return action(session, **given)

    def heartbeat(self, run_id: str) -> None:
        """Renew the run's lock. Raises StoreLocked where another run has taken it over."""
        self._transact(lambda session: books.renew_lock(session, run_id))

    def end_run(self, run_id: str, *, status: str) -> None:
        """Note the run's end (`done`, `failed`, `interrupted`) and release its lock.

        Nothing depends on it: the next run repairs what is missing.
        """
        fail_at("load.before_release")
        self._transact(lambda session: books.close_run(session, run_id, status))
        fail_at("load.released")

    def begin_stream(
        self, *, mapping: str, run_id: str, stream: str, fingerprint: str, fresh: bool = False,
        was: tuple[str, ...] = (), apart: bool = False,
    ) -> Mark:  # fmt: skip
        """Begin a stream, shutting out every earlier run of it, and tell where to go on reading.

        That is the position that an interrupted run left, if the stream had the same
        `fingerprint` and `fresh` is false; otherwise None: from the start. What the ledger knows
        of it under a name that it had before (`was`) is its own from now on. `apart`: what is
        loaded was kept, not read from the source, whose position and cursors stay as they are.
        """
        fail_at("load.before_stream")
        mark = self._transact(
            partial(
                self._serially, books.open_stream,
                mapping=mapping, run_id=run_id, stream=stream, fingerprint=fingerprint, fresh=fresh,
                was=was, apart=apart,
            )
        )  # fmt: skip
        fail_at("load.stream_begun")
        return mark

    def end_stream(self, *, run_id: str, stream: str, status: str) -> None:
        """Note a stream's end, for those whose last batch did not (a failed one)."""
        self._transact(partial(books.close_stream, run_id=run_id, stream=stream, status=status))

    def mark(self, *, mapping: str, stream: str, run_id: str) -> Mark:
        """Return how far this run has committed a stream that it began."""
        return self._transact(
            partial(books.current_mark, mapping=mapping, stream=stream, run_id=run_id)
        )

    def runs(self, mapping: str) -> list[tuple[str, str]]:
        """Return the mapping's runs, oldest first: each with its kind."""
        return self._transact(partial(books.runs_of, mapping=mapping))

    def expire_archive(self, mapping: str, days: int) -> int:
        """Drop a mapping's archived pages older than so many days; return how many."""
        return self._transact(partial(archive.expire, mapping=mapping, days=days))

    def deferred(
        self, *, mapping: str, stream: str, after: tuple[str, str] | None, count: int
    ) -> pl.DataFrame:
        """Return records of a stream that wait for a parent, in the order of their places.

        At most `count`, those after the place `after`: `key`, `digest` (which are the place),
        `field`, `raw`, `run_id` and `since`.
        """
        return self._transact(
            partial(deferred.after, mapping=mapping, stream=stream, place=after, count=count)
        )

    def waiting(self, mapping: str) -> list[Waiting]:
        """Return what of a mapping waits: by stream, and by the field whose parent is missing."""
        return self._transact(partial(deferred.summary, mapping=mapping))

    def parents(
        self,
        target: Target,
        names: Sequence[str],
        *,
        after: Sequence[str] | None,
        count: int,
        since: str | None = None,
    ) -> list[dict[str, str | None]]:
        """Return rows of a table in the order of their keys, the columns `names` as texts.

        At most `count` of them, those after the key `after` (its parts as texts), and, with
        `since` (ISO 8601), only those that were written then or later.
        """
        return self._transact(
            partial(rows_after, target=target, names=names, after=after, count=count, since=since)
        )

    def known(self, target: Target, by: str, values: pl.Series) -> pl.DataFrame:
        """Return what a batch would find in the target's table: see `Transaction.known`."""
        return self._transact(lambda session: known_parents(session, target, by, values))

    def foresee(
        self, target: Target, rows: pl.DataFrame, *, older_than: frozenset[str]
    ) -> pl.DataFrame:
        """Return rows, as `Transaction.write` takes them, with what writing them would come to."""
        if rows.is_empty():
            return rows.with_columns(pl.lit("").alias(OUTCOME))
        mark = Mark(
            mapping="", stream="", run_id="", epoch=0, batch_seq=0, position=None, resumed=False,
            older_than=older_than,
        )  # fmt: skip

        def compare(session: Session) -> pl.DataFrame:
            stored = stored_rows(session, target, among=target.key, rows=rows)
            return judged(target, rows, stored, mark)

        return self._transact(compare)

    def distinct(self, target: Target, column: str, count: int) -> list[str]:
        """Return the values of a table's column, each once, as texts in their order.

        At most `count` of them; null is none.
        """
        return self._transact(partial(distinct_values, target=target, column=column, count=count))

    # --- batches ----------------------------------------------------------------------------

    def commit(self, mark: Mark, work: Callable[[Transaction], Tally]) -> tuple[Mark, Tally]:
        """Do a batch's work and commit it with its rejects, accounts and position, or not at all.

        `work` may be called again, after a rollback: it must do the same again.
        Raises PolicyError where the counts do not add up, and StoreError where another run
        has taken the stream over; then nothing of the batch is in the store.
        """
        (done,) = self.commit_together([mark], lambda transactions: [work(transactions[0])])
        return done

    def commit_together(
        self, marks: Sequence[Mark], work: Callable[[Sequence[Transaction]], Sequence[Tally]]
    ) -> list[tuple[Mark, Tally]]:
        """Do the work of batches of several streams in one transaction: see `commit`.

        `work` gets a transaction for each mark, and returns a tally for each.
        """
        reached: list[tuple[Mark, Tally]] = []

        def attempt(session: Session) -> list[tuple[Mark, Tally]]:
            tallies = work([Transaction(session=session, mark=mark) for mark in marks])
            fail_at("load.after_rows")
            reached.clear()
            for mark, tally in zip(marks, tallies, strict=True):
                self._account(session, mark, tally)
                reached.append((books.after(mark, tally), tally))
            fail_at("load.before_commit")
            return reached

        def recall(session: Session) -> list[tuple[Mark, Tally]] | None:
            # Before and after a COMMIT that was lost, the client sees the same error.
            return reached if all(books.committed(session, mark) for mark in marks) else None

        done = self._transact(attempt, recall)
        fail_at("load.after_commit")
        return done

    def _account(self, session: Session, mark: Mark, tally: Tally) -> None:
        rejects.keep(session, mark, tally)
        fail_at("load.after_rejects")
        books.move_cursor(session, mark, tally)
        self._write_accounts(session, mark, tally)
        fail_at("load.after_ledger")

    def _write_accounts(self, session: Session, mark: Mark, tally: Tally) -> None:
        try:
            write_accounts(session, mark, tally)
        except DBAPIError as error:
            refusal = self.dialect.refusal(error)
            if refusal is None or refusal.kind != "check":
                raise
            message = (
                f"stream '{mark.stream}': the counts of a batch, or of one of its pages, do not "
                f"add up ({tally.counts}); the database refuses it, and nothing of it was written. "
                "This is a bug of crmmap"
            )
            raise PolicyError(message) from None

    def ask(self, action: Callable[[Session], Result]) -> Result:
        """Do what people ask of the ledger, in one transaction, and return what it gives.

        `action` may be called again, after a rollback: it must do the same again.
        """
        return self._transact(action)

    def alone(self, action: Callable[[Session], Result], *, mapping: str, owner: str) -> Result:
        """Do what people ask of the ledger while nobody runs the mapping; see `ask`.

        `owner` is `host:pid`. Raises StoreLocked, naming the holder, where a run is under way.
        """

        def locked(session: Session) -> Result:
            self.dialect.serialize(session.connection)
            return books.alone(session, action, mapping=mapping, owner=owner)

        return self._transact(locked, early=True)

    def knows_ledger(self) -> bool:
        """Say whether a run has ever made its tables here."""
        return self._transact(
            lambda session: sa.inspect(session.connection).has_table(ledger.RUNS.name), early=True
        )

    # --- transactions -----------------------------------------------------------------------

    def _transact(
        self,
        action: Callable[[Session], Result],
        recall: Callable[[Session], Result | None] = lambda _: None,
        *,
        early: bool = False,
    ) -> Result:
        """Do `action` in a transaction, and again after a fault that passes.

        Once a connection is lost, nobody knows whether the transaction was
        committed: `recall` looks, and gives its result if it was. `early`: nothing
        was attempted yet, so a store that does not suit is StoreUnfit.
        """
        lost = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._transaction() as session:
                    done = recall(session) if lost else None
                    return action(session) if done is None else done
            except DBAPIError as error:
                fault = self.dialect.fault(error)
                if fault is Fault.FINAL or attempt == ATTEMPTS:
                    raise self._error(error, fault, early=early) from None
                lost = lost or fault is Fault.LOST
            self._rest(attempt)
        raise AssertionError  # the last attempt returns or raises

    def _rest(self, attempt: int) -> None:
        self.pause(uniform(0, min(LONGEST_WAIT, 0.1 * 4**attempt)))  # noqa: S311  (jitter)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with self._writer if self.dialect.single_writer else nullcontext():
            try:
                connected = self.engine.connect()
            except PoolTimeout:
                message = f"{self.name}: no connection became free within 30 seconds"
                raise StoreError(message) from None
            with connected as connection, connection.begin():
                now = connection.exec_driver_sql(self.dialect.now).scalar()
                yield Session(
                    connection=connection, dialect=self.dialect, now=self.dialect.read_time(now)
                )

    def _error(self, error: DBAPIError, fault: Fault, *, early: bool) -> StoreError:
        kind = StoreUnreachable if fault is Fault.LOST else StoreError
        if early and fault is Fault.FINAL:
            kind = self.dialect.failure(error)
        tried = "" if fault is Fault.FINAL else f" (tried {ATTEMPTS} times)"
        return kind(f"{self.name}: {self.dialect.explain(error)}{tried}")


__all__ = ["Mark", "Store", "Tally", "Transaction"]
