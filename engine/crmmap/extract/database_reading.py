"""What a stream asks a database for: its columns, their order, and where a page begins.

Pages are parted by keys, not by counting: each asks for the rows after the last one of the page
before. Nulls come first, and rows that share all of the keys stay on one page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, FromClause, Select
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.sql.elements import quoted_name

from crmmap.errors import SourceError
from crmmap.extract.database import Database
from crmmap.extract.database_dialects import Dialect, Family
from crmmap.extract.request import Context
from crmmap.kinds.database import Query
from crmmap.kinds.incremental import Sequence as Numbers
from crmmap.kinds.incremental import Timestamp
from crmmap.kinds.times import EPOCHS, Datetime
from crmmap.moments import epoch, epoch_ms, moment
from crmmap.plan import Plan, Step
from crmmap.spec.faults import guess, quoted
from crmmap.values import GIVEN

Column = ColumnElement[Any]
Condition = ColumnElement[bool]
UNTYPED = sa.types.NullType()
"""Values are sent as they are: what they are compared with decides what they mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A part of what pages are ordered by: the value itself, and how it is compared."""

    value: Column
    family: Family
    nullable: bool
    exact: bool

    def compared(self, dialect: Dialect, column: Column) -> Column:
        return dialect.exactly(column, self.family) if self.exact else column


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A query whose columns are known to be there.

    `columns` are the names that fields are read from, with what they hold; `keys` are what pages
    are ordered by; `conditions` hold for every page.
    """

    dialect: Dialect
    origin: FromClause
    columns: Mapping[str, Family]
    values: tuple[Column, ...]
    keys: tuple[Key, ...]
    conditions: tuple[Condition, ...]

    def page(self, after: Sequence[Any] | None, size: int) -> Select[Any]:
        """Return the statement for so many rows after a place: its columns, and then its keys."""
        keys = [key.value.label(f"#{at}") for at, key in enumerate(self.keys)]
        found = sa.select(*self.values, *keys).select_from(self.origin).where(*self.conditions)
        if after is not None:
            found = found.where(self._after(after))
        return found.order_by(*self._order()).limit(size)

    def _order(self) -> Iterator[Column]:
        for key in self.keys:
            column = key.compared(self.dialect, key.value)
            yield column.nulls_first() if key.nullable and self.dialect.nulls_first else column

    def _after(self, place: Sequence[Any]) -> Condition:
        """Return `a > x OR (a = x AND (b > y OR …))`, which every database understands."""
        beyond: Condition = sa.false()
        for key, value in reversed([*zip(self.keys, place, strict=True)]):
            column = key.compared(self.dialect, key.value)
            if value is None:
                beyond = sa.or_(column.is_not(None), sa.and_(column.is_(None), beyond))
                continue
            bound = key.compared(self.dialect, sa.bindparam(None, value, type_=UNTYPED))
            beyond = sa.or_(column > bound, sa.and_(column == bound, beyond))
        first, value = self.keys[0], place[0]
        if value is None:
            return beyond
        # Says nothing more, but says it so that an index is used.
        bound = first.compared(self.dialect, sa.bindparam(None, value, type_=UNTYPED))
        return sa.and_(first.compared(self.dialect, first.value) >= bound, beyond)


# --- what is there --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a query gives: column names → what they hold, and what is known of its rows.

    `filled` are the columns that are never null, `unique` the sets of columns of which no two
    rows have the same.
    """

    columns: Mapping[str, Family]
    filled: frozenset[str] = frozenset()
    unique: tuple[frozenset[str], ...] = ()

    def name(self, wanted: str) -> str | None:
        """Return a column's name as the database writes it."""
        if wanted in self.columns:
            return wanted
        near = [name for name in self.columns if name.casefold() == wanted.casefold()]
        return near[0] if len(near) == 1 else None


def look(database: Database, plan: Plan, step: Step, context: Context) -> Found:
    """Return what a step's query gives, asked for without any row. Raises SourceError."""
    query = _query(step)
    origin = _origin(plan, step, {**context, "cursor": None})
    whole: Select[Any] = sa.select(sa.literal_column("*")).select_from(origin).limit(0)
    if query.table is not None:
        return database.ask(lambda connection: _table(database, connection, query, whole))
    return Found(columns=database.ask(lambda connection: _described(database, connection, whole)))


def _described(database: Database, connection: Connection, whole: Select[Any]) -> dict[str, Family]:
    result = connection.execute(whole)
    description = result.cursor.description if result.cursor is not None else ()
    return {str(each[0]): database.dialect.family(each[1]) for each in description or ()}


def _table(database: Database, connection: Connection, query: Query, whole: Select[Any]) -> Found:
    name, schema = _table_name(query)
    inspector = sa.inspect(connection)
    try:
        columns = inspector.get_columns(name, schema=schema)
        unique = _unique(inspector, name, schema)
    except NoSuchTableError:
        tables = [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
        message = f"{database.name}: there is no table '{name}'{guess(name, tables)}"
        raise SourceError(message) from None
    return Found(
        columns=_described(database, connection, whole),
        filled=frozenset(each["name"] for each in columns if not each["nullable"]),
        unique=unique,
    )


def _unique(inspector: sa.Inspector, name: str, schema: str | None) -> tuple[frozenset[str], ...]:
    sets: list[Sequence[str | None]] = [
        inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
    ]
    sets += [
        each["column_names"]
        for each in inspector.get_indexes(name, schema=schema)
        if each["unique"] and not each.get("dialect_options", {}).get("postgresql_where")
    ]
    sets += [each["column_names"] for each in inspector.get_unique_constraints(name, schema=schema)]
    return tuple(frozenset(map(str, each)) for each in sets if each and None not in each)


# --- what is asked --------------------------------------------------------------------------------


def reading_of(
    database: Database, plan: Plan, step: Step, context: Context, found: Found
) -> Reading:
    """Return how a step's rows are read. Raises SourceError where a column is not there."""
    query = _query(step)
    wanted = _wanted(database, step, found)
    by = query.order or tuple(_key_columns(step))
    keys = [_key(database, found, name) for name in by]
    names = frozenset(str(key.value.key) for key in keys)
    told_apart = any(each <= names and each <= found.filled for each in found.unique)
    keys = [replace(key, exact=not told_apart) for key in keys]
    conditions = [_condition(query.where, _values(plan, step, context, found))] * bool(query.where)
    cursor = context.get("cursor")
    if cursor is not None:
        since = _cursor_key(database, step, found)
        conditions.append(_since(database, step, since, str(cursor)))
        keys.insert(0, since)
    return Reading(
        dialect=database.dialect,
        origin=_origin(plan, step, context, found),
        columns={name: found.columns[actual] for name, actual in wanted.items()},
        values=tuple(_column(actual) for actual in wanted.values()),
        keys=tuple(keys),
        conditions=tuple(conditions),
    )


def _query(step: Step) -> Query:
    assert step.query is not None  # noqa: S101  (lint pairs it with the source)
    return step.query


def _column(name: str) -> Column:
    return sa.column(quoted_name(name, quote=True))


def _columns_of(step: Step, field: str) -> tuple[str, ...]:
    at = next(at for at, each in enumerate(step.fields) if each.name == field)
    return tuple(name for name in step.headers[at] if not name.startswith(f"{GIVEN}."))


def _key_columns(step: Step) -> Iterator[str]:
    for field in step.target.key:
        yield from _columns_of(step, field)[:1]


def _wanted(database: Database, step: Step, found: Found) -> dict[str, str]:
    """Return the columns that fields are read from → their names in the database."""
    wanted: dict[str, str] = {}
    missing: dict[str, None] = {}
    for at, field in enumerate(step.fields):
        names = _columns_of(step, field.name)
        there = {name: actual for name in names if (actual := found.name(name)) is not None}
        wanted |= there
        if not there and at not in step.optional:
            missing |= dict.fromkeys(names)
    _refuse_missing(database, found, missing)
    return wanted


def _refuse_missing(database: Database, found: Found, missing: Mapping[str, None]) -> None:
    if not missing:
        return
    told = [f"'{name}'{guess(name, found.columns)}" for name in missing]
    what = "column" if len(told) == 1 else "columns"
    message = (
        f"{database.name}: the query has no {what} {', '.join(told)}. It has: "
        f"{quoted(found.columns)}"
    )
    raise SourceError(message)


def _key(database: Database, found: Found, name: str) -> Key:
    actual = found.name(name)
    if actual is None:
        _refuse_missing(database, found, {name: None})
        raise AssertionError
    return Key(
        value=_column(actual), family=found.columns[actual],
        nullable=actual not in found.filled, exact=True,
    )  # fmt: skip


def _table_name(query: Query) -> tuple[str, str | None]:
    *schema, name = str(query.table).split(".")
    return name, ".".join(schema) or None


def _origin(plan: Plan, step: Step, context: Context, found: Found | None = None) -> FromClause:
    query = _query(step)
    if query.select is None:
        name, schema = _table_name(query)
        return sa.table(
            quoted_name(name, quote=True),
            schema=None if schema is None else quoted_name(schema, quote=True),
        )
    values = _values(plan, step, context, found)
    return _text(query.select, values).columns().subquery("found")


def _condition(where: str | None, values: Mapping[str, object]) -> Condition:
    return _text(f"({where})", values)  # type: ignore[return-value]


def _text(sql: str, values: Mapping[str, object]) -> sa.TextClause:
    """Return the author's SQL with the values of the parameters that it names."""
    text = sa.text(sql)
    named = [name for name in values if name in text._bindparams]
    return text.bindparams(
        *(
            sa.bindparam(name, values[name], type_=UNTYPED,
                         expanding=isinstance(values[name], list))
            for name in named
        )
    )  # fmt: skip


def _values(plan: Plan, step: Step, context: Context, found: Found | None) -> dict[str, object]:
    """Return what the parameters of the author's SQL stand for."""
    named = _query(step).parameters
    values: dict[str, object] = {f"setting_{name}": text for name, text in plan.values.items()}
    for name, value in _mapping(context.get("partition")).items():
        if isinstance(value, Mapping):  # a period, which has a start and an end
            values |= {f"partition_{name}_{part}": text for part, text in value.items()}
        else:
            values[f"partition_{name}"] = value
    for name in step.parts.columns:
        whole = step.parts.parent is not None and _is_whole(step, name)
        values[f"parent_{name}"] = _number(_mapping(context.get("parent")).get(name), whole=whole)
        rows = context.get("parents")
        several = rows if isinstance(rows, list) else []
        values[f"parents_{name}"] = [_number(row[name], whole=whole) for row in several]
    values["cursor"] = None
    if context.get("cursor") is not None and found is not None and "cursor" in named:
        columns = _columns_of(step, step.incremental.field or "") if step.incremental else ()
        actual = next(filter(None, map(found.name, columns)), None)
        family: Family = found.columns[actual] if actual is not None else "other"
        values["cursor"] = asked_from(step, family, str(context["cursor"]))
    return {name: value for name, value in values.items() if name in named}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_whole(step: Step, name: str) -> bool:
    assert step.parts.parent is not None  # noqa: S101  (its caller saw to it)
    return step.parts.parent.column(name).type.dtype.is_integer()


def _number(text: str | None, *, whole: bool) -> int | str | None:
    return int(text) if whole and text is not None else text


# --- cursors --------------------------------------------------------------------------------------


def _cursor_key(database: Database, step: Step, found: Found) -> Key:
    assert step.incremental is not None  # noqa: S101  (there is a cursor)
    names = _columns_of(step, step.incremental.field or "")
    there = [name for name in names if found.name(name) is not None] or names[:1]
    keys = [_key(database, found, name) for name in there]
    if len(keys) == 1:
        return keys[0]
    first = sa.func.coalesce(*(database.dialect.filled(key.value, key.family) for key in keys))
    return replace(keys[0], value=first, nullable=True)


def _since(database: Database, step: Step, key: Key, cursor: str) -> Condition:
    bound = asked_from(step, key.family, cursor)
    if isinstance(step.incremental, Numbers):
        reached: Condition = key.value > sa.bindparam(None, bound, type_=UNTYPED)
    elif isinstance(bound, int):
        reached = key.value >= sa.bindparam(None, bound, type_=UNTYPED)
    else:
        reached = database.dialect.not_before(key.value, key.family, bound)
    # Of a row without a value there, nothing tells whether it is new.
    return sa.or_(reached, key.value.is_(None)) if key.nullable else reached


def asked_from(step: Step, family: Family, cursor: str) -> int | str:
    """Return a cursor as a column of this family is compared with it. Raises SourceError."""
    assert step.incremental is not None  # noqa: S101  (there is a cursor)
    name = step.incremental.field
    kind = next(each.type for each in step.fields if each.name == name)
    if family == "text" or (isinstance(step.incremental, Numbers) and family not in COUNTED):
        wanted = "a number" if isinstance(step.incremental, Numbers) else "a date or a time"
        message = (
            f"the cursor's field '{name}' is read from a column that does not hold {wanted}. "
            "Take another column, or CAST it in a `select`"
        )
        raise SourceError(message)
    if isinstance(step.incremental, Numbers):
        return int(cursor)
    assert isinstance(step.incremental, Timestamp)  # noqa: S101  (lint refuses others)
    formats = kind.formats if isinstance(kind, Datetime) else ()
    if counted := [each for each in formats if each in EPOCHS]:
        return int(epoch(moment(cursor)) if counted[0] == "epoch_s" else epoch_ms(moment(cursor)))
    zone = kind.zone if isinstance(kind, Datetime) else "UTC"
    return _written(cursor, family, zone)


COUNTED = ("number", "loose", "other")


def _written(cursor: str, family: Family, zone: str) -> str:
    at = moment(cursor)
    local = at
    if zone != "UTC" and family != "moment":
        # In the hour that comes twice as clocks go back, what is later may read as earlier.
        local = at.astimezone(ZoneInfo(zone)) - timedelta(hours=1)
    bare = local.replace(tzinfo=None)
    if family == "loose":
        bare = min(bare, at.astimezone(UTC).replace(tzinfo=None))
    if family == "day":
        return bare.date().isoformat()
    return bare.isoformat(" ", "seconds" if family == "loose" else "microseconds")
