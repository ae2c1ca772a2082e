"""The pretended source as a database: an SQLite file with the tables that the streams read."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from crmmap.kinds.database import Query, Sql
from crmmap.mock.records import Stream, World
from crmmap.mock.streams import streams_of
from crmmap.plan import Plan, Step
from crmmap.values import GIVEN, Secret

CHUNK = 20_000
"""Rows held in memory at a time."""
NO_TEXT = b"\xff\xfe no text"
"""Stands in rows that are broken as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretended:
    """A database that stands for a source. `exact` says whether the mapping's own SQL runs there.

    A SELECT of the author's, or a condition, may name what no field reads, and is not SQLite's.
    """

    path: Path
    exact: bool

    @property
    def url(self) -> str:
        """Its address, as a setting holds it."""
        return f"sqlite:///{self.path}"


def write_database(world: World, source: str, folder: Path) -> Pretended:
    """Write the streams of a database, by its name, into a file of the folder.

    Streams of one table share it, with the columns of them all. Raises OSError if the folder
    can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / f"{source}.db").absolute()
    path.unlink(missing_ok=True)
    path.touch()  # raises what SQLite would say less well
    steps = _steps(world.plan, source)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for pragma in ("journal_mode=OFF", "synchronous=OFF"):
            database.execute(f"PRAGMA {pragma}")
        database.execute("BEGIN")
        streams = streams_of(world)
        for table in dict.fromkeys(map(_table, steps)):
            _write(database, table, [streams[each.name] for each in steps if _table(each) == table])
        database.execute("COMMIT")
    return Pretended(path=path, exact=all(map(_as_it_is, steps)))


def reading_from(plan: Plan, source: str, database: Pretended) -> Plan:
    """Return the plan with the streams of a source reading from a pretended database."""
    steps = tuple(
        _reading(step, database) if step.source_name == source else step for step in plan.steps
    )
    return replace(plan, steps=steps)


def _reading(step: Step, database: Pretended) -> Step:
    assert isinstance(step.source, Sql)  # noqa: S101  (its caller saw to it)
    # What tells rows apart is invented, so that the key does; columns for nothing else are not.
    return replace(
        step,
        source=replace(step.source, url=Secret(database.url)),
        query=Query(table=_table(step), order=() if _keys(step) else tuple(_every_column(step))),
    )


def _steps(plan: Plan, source: str) -> list[Step]:
    return [step for step in plan.steps if step.source_name == source and step.query is not None]


def _table(step: Step) -> str:
    """Return the table that stands for what the step reads."""
    whole = step.query.table if step.query is not None else None
    return f"select_{step.name}" if whole is None else whole.rpartition(".")[2]


def _as_it_is(step: Step) -> bool:
    return step.query is not None and step.query == Query(table=_table(step))


def _columns(step: Step, field: str) -> tuple[str, ...]:
    at = next(at for at, each in enumerate(step.fields) if each.name == field)
    return tuple(name for name in step.headers[at] if not name.startswith(f"{GIVEN}."))


def _keys(step: Step) -> list[str]:
    return [name for field in step.target.key for name in _columns(step, field)[:1]]


def _every_column(step: Step) -> list[str]:
    every = (name for field in step.fields for name in _columns(step, field.name))
    return [*dict.fromkeys(every)]


# --- tables ---------------------------------------------------------------------------------------


def _write(database: sqlite3.Connection, table: str, streams: Sequence[Stream]) -> None:
    kinds = _kinds(streams)
    columns = ", ".join(f"{_quoted(name)} {kind}" for name, kind in kinds.items())
    database.execute(f"CREATE TABLE {_quoted(table)} ({columns})")
    places = ", ".join("?" * len(kinds))
    total = streams[0].world.records
    for start in range(0, total, CHUNK):
        rows = _rows(streams, [*kinds], start, min(start + CHUNK, total))
        database.executemany(f"INSERT INTO {_quoted(table)} VALUES ({places})", rows)  # noqa: S608
    for at, stream in enumerate(streams):
        if keys := _keys(stream.step):
            name, by = _quoted(f"{table}_{at}"), ", ".join(map(_quoted, keys))
            database.execute(f"CREATE INDEX {name} ON {_quoted(table)} ({by})")


def _kinds(streams: Sequence[Stream]) -> dict[str, str]:
    """Return the columns, and what they hold: whole numbers, or anything as text."""
    kinds: dict[str, str] = {}
    for stream in streams:
        for field in stream.step.fields:
            whole = field.type.dtype.is_integer()
            for name in _columns(stream.step, field.name):
                kinds.setdefault(name, "INTEGER" if whole else "TEXT")
    return kinds


def _rows(
    streams: Sequence[Stream], names: Sequence[str], start: int, stop: int
) -> Iterator[tuple[str | bytes | None, ...]]:
    columns: dict[str, pl.Series] = {}
    broken = pl.Series([None] * (stop - start))
    for stream in reversed(streams):
        texts, broken = stream.cells(start, stop)
        columns.update(zip(stream.headers, texts, strict=True))
    # Of several columns from which a field takes the first that has a value, the others are empty.
    none = pl.Series([None] * (stop - start), dtype=pl.String)
    rows = zip(*(columns.get(name, none).to_list() for name in names), strict=True)
    for row, shape in zip(rows, broken.to_list(), strict=True):
        yield row if shape is None else (*row[:-1], NO_TEXT)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
