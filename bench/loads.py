"""`python -m bench.loads WHO STORE TURN COUNT REPORT`: load rows into a store, and time it.

Only the loading is timed: rows are made, files written and tables created before, or in between.
WHO is `crmmap` (`Store` and `Transaction`, as its loop uses them) or `limit` (the database's own
bulk path, all rows in one transaction). TURN is `first`, `again` (the same rows) or `tenth` (of
which a tenth has changed).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from uuid import uuid4

import polars as pl
from sqlalchemy.engine import make_url

from bench.measure import served
from bench.rows import TARGET, batches
from bench.scripts.into import connected
from bench.stores import mysql_connection
from crmmap.load import Store, Tally, Transaction
from crmmap.load.storage import to_driver
from crmmap.load.upsert import AUDIT
from crmmap.plan.content import content_hashes

SIZE = 5000
"""Rows of a batch: what mappings have where they say nothing."""
COLUMNS = (*TARGET.columns, *AUDIT)
NAMES = [column.name for column in COLUMNS]
COUNTS = ("inserted", "updated", "unchanged", "duplicate", "rejected")


@dataclass(slots=True)
class Watch:
    """Adds up the time that is spent within it."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = perf_counter(), process_time()
        yield
        self.wall += perf_counter() - wall
        self.cpu += process_time() - cpu


# --- crmmap -------------------------------------------------------------------------------------


def load(url: str, turn: str, count: int, watch: Watch) -> dict[str, int]:
    """Load by a run of its own; return what the rows came to."""
    store = _prepared(url)
    run = uuid4().hex
    store.begin_run(mapping="bench", run_id=run, owner="bench:1")
    mark = store.begin_stream(mapping="bench", run_id=run, stream="people", fingerprint="")
    totals = dict.fromkeys(COUNTS, 0)
    for rows in batches(count, SIZE, changed=turn == "tenth"):
        with watch.running():
            mark, tally = store.commit(mark, _writing(rows))
        for name in COUNTS:
            totals[name] += getattr(tally.counts, name)
    store.end_run(run, status="done")
    store.close()
    return totals


def _prepared(url: str) -> Store:
    store = Store.open(url, application="crmmap:bench")
    store.prepare([TARGET])
    return store


def _writing(rows: pl.DataFrame) -> Callable[[Transaction], Tally]:
    def work(transaction: Transaction) -> Tally:
        written = transaction.write(TARGET, rows)
        return Tally(counts=replace(written.counts, fetched=len(rows)))

    return work


# --- the limits ---------------------------------------------------------------------------------


def bulk(url: str, turn: str, count: int, watch: Watch) -> None:
    """Write all rows as the database best can; those that are there are overwritten."""
    _prepared(url).close()
    parts = (_complete(rows) for rows in batches(count, SIZE, changed=turn == "tenth"))
    kind = make_url(url).get_backend_name()
    LIMITS[kind](url, parts, watch, again=turn != "first")


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the columns that every table of crmmap's has."""
    return rows.with_columns(
        content_hashes(rows, TARGET.columns).alias(AUDIT[2].name),
        pl.lit("0" * 32).alias(AUDIT[0].name),
        pl.col("created_at").alias(AUDIT[1].name),
    ).select(NAMES)


def _excluded(row: str) -> str:
    return ", ".join(f"{name} = {row.format(name)}" for name in NAMES if name not in TARGET.key)


def _sqlite(url: str, parts: Iterator[pl.DataFrame], watch: Watch, *, again: bool) -> None:
    from sqlalchemy.dialects.sqlite import dialect

    driven = to_driver(COLUMNS, dialect())
    statement = f"INSERT INTO people ({', '.join(NAMES)}) VALUES ({', '.join('?' * len(NAMES))})"
    if again:
        statement += f" ON CONFLICT (id) DO UPDATE SET {_excluded('excluded.{}')}"
    with connected(url) as connection:
        for part in parts:
            tuples = part.select(driven).rows()
            with watch.running():
                connection.executemany(statement, tuples)
        with watch.running():
            connection.commit()


def _postgres(url: str, parts: Iterator[pl.DataFrame], watch: Watch, *, again: bool) -> None:
    with connected(url) as connection, tempfile.TemporaryFile() as file:
        for part in parts:
            part.write_csv(
                file, include_header=False, quote_style="non_numeric",
                datetime_format="%Y-%m-%d %H:%M:%S%.6f+00",
            )  # fmt: skip
        file.seek(0)
        names, table = ", ".join(NAMES), "staged" if again else "people"
        with watch.running():
            cursor = connection.cursor()
            if again:
                cursor.execute("CREATE TEMPORARY TABLE staged (LIKE people) ON COMMIT DROP")
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)") as copy:
                while chunk := file.read(1 << 20):
                    copy.write(chunk)
            if again:
                cursor.execute(
                    f"INSERT INTO people ({names}) SELECT {names} FROM staged "
                    f"ON CONFLICT (id) DO UPDATE SET {_excluded('excluded.{}')}"
                )
            connection.commit()


def _mysql(url: str, parts: Iterator[pl.DataFrame], watch: Watch, *, again: bool) -> None:
    import polars.selectors as cs

    names = ", ".join(f"`{name}`" for name in NAMES)
    opened = mysql_connection(url, autocommit=False, local_infile=True)
    with opened as connection, tempfile.NamedTemporaryFile() as file:
        for part in parts:
            told = part.with_columns(cs.boolean().cast(pl.Int8)).with_columns(
                cs.string().str.replace_all("\\", "\\\\", literal=True)
            )
            told.write_csv(
                file, include_header=False, quote_style="non_numeric", null_value="\\N",
                datetime_format="%Y-%m-%d %H:%M:%S%.6f",
            )  # fmt: skip
        file.flush()
        table = "staged" if again else "people"
        with watch.running(), connection.cursor() as cursor:
            if again:
                cursor.execute("CREATE TEMPORARY TABLE staged AS SELECT * FROM people LIMIT 0")
            cursor.execute(
                f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE {table} CHARACTER SET utf8mb4 "
                f"FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ({names})"
            )
            if again:
                cursor.execute(
                    f"INSERT INTO people ({names}) SELECT {names} FROM staged "
                    f"ON DUPLICATE KEY UPDATE {_excluded('VALUES({})')}"
                )
            connection.commit()


LIMITS: dict[str, Callable[..., None]] = {
    "sqlite": _sqlite, "postgresql": _postgres, "mysql": _mysql,
}  # fmt: skip


def main(who: str, url: str, turn: str, count: str, report: str) -> None:
    watch, before = Watch(), served()
    told = {"crmmap": load, "limit": bulk}[who](url, turn, int(count), watch)
    found = {
        "wall": watch.wall, "cpu": watch.cpu, "served": served() - before, "counts": told,
    }  # fmt: skip
    Path(report).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
