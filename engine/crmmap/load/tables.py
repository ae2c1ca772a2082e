"""Target tables: made where there are none, compared where there are, never silently altered."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.exc import SAWarning
from sqlalchemy.schema import CreateColumn, CreateIndex
from sqlalchemy.types import TypeEngine

from crmmap.kinds.stored import MOMENT, NAME, WHOLE, first_part, keyed
from crmmap.kinds.types import Boolean, Datetime
from crmmap.kinds.writes import Append, History, Write
from crmmap.load import constraints
from crmmap.load.aside import emptied, is_aside
from crmmap.load.constraints import constrain, short_name
from crmmap.load.dialects import Dialect
from crmmap.load.remedies import FILLED, Misfit, created, indexes, remedies
from crmmap.plan import Column, Target

RUN_ID = "_crmmap_run_id"
SYNCED_AT = "_crmmap_synced_at"
ROW_HASH = "_crmmap_row_hash"
DELETED_AT = "_crmmap_deleted_at"
"""Only of tables whose rows can be marked as deleted."""

LONGEST_KEY = 512
"""Characters of a key, all its text columns together, where the store must bound them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What separates the live tables from the wanted ones.

    `statements` can be run at once, `relating` once all tables are there; `remarks` tell what
    they add to live tables, and `made` are the tables that they make. `refilled` are live tables
    to which they add columns: before that, no digest of their rows must count any more. `faults`
    are for the user, each with what to do; `remedies` are statements that do it, where there are
    any.
    """

    statements: tuple[str, ...] = ()
    relating: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    refilled: tuple[sa.Table, ...] = ()
    faults: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            statements=self.statements + other.statements,
            relating=self.relating + other.relating,
            made=self.made + other.made,
            refilled=self.refilled + other.refilled,
            faults=self.faults + other.faults,
            remedies=self.remedies + other.remedies,
            remarks=self.remarks + other.remarks,
        )


VALID_FROM = "_crmmap_valid_from"
VALID_TO = "_crmmap_valid_to"
CURRENT = "_crmmap_current"
TIMES = (
    Column(name=VALID_FROM, type=Datetime(), comment="When this version began to hold (UTC)."),
    Column(name=VALID_TO, type=Datetime(), comment="When it ended; null while it holds."),
    Column(name=CURRENT, type=Boolean(), comment="Whether it is the one that holds."),
)
"""What every version of a record has in a table that keeps them all."""

TOLD_BY: Mapping[type[Write], tuple[str, ...]] = {Append: (ROW_HASH,), History: (VALID_FROM,)}
"""What tells rows with one key apart, where there may be several."""


def primary_key(target: Target) -> tuple[str, ...]:
    """Return the columns of a target's primary key."""
    return (*target.key, *TOLD_BY.get(type(target.write), ()))


def timed(target: Target) -> Target:
    """Return a target with the columns that tell when its rows hold, if it has them."""
    times = TIMES if isinstance(target.write, History) else ()
    return replace(target, columns=(*target.columns, *times))


def holding(target: Target) -> dict[str, object]:
    """Return what, of the rows of a target, those that hold now have in which columns."""
    return {CURRENT: True} if isinstance(target.write, History) else {}


@lru_cache(maxsize=128)
def table_of(target: Target) -> sa.Table:
    """Return a target as a table. Only its primary key takes no null."""
    key = primary_key(target)
    table = sa.Table(
        target.table,
        sa.MetaData(),
        *(
            sa.Column(
                column.name,
                _type_of(target, column),
                nullable=column.name not in (*key, CURRENT),
                autoincrement=False,
                comment=column.comment or None,
                info=_filled(target, column),
            )
            for column in timed(target).columns
        ),
        sa.Column(RUN_ID, NAME, comment="The run that last wrote the row."),
        sa.Column(SYNCED_AT, MOMENT, comment="When the row was last written (UTC)."),
        sa.Column(
            ROW_HASH,
            WHOLE,
            nullable=ROW_HASH not in key,
            autoincrement=False,
            comment="Digest of the row's values; null for a bare parent.",
        ),
        *_deleted_at(target),
        sa.PrimaryKeyConstraint(*key),
        comment=target.comment or None,
        sqlite_strict=True,
    )
    for names in target.indexed:
        if target.key[: len(names)] != names:
            name = short_name("_".join(("ix", target.table, *names)))
            sa.Index(name, *(table.c[each] for each in names), mysql_length=_parts(table, names))
    constrain(table, target.foreign_keys)
    return table


def _filled(target: Target, column: Column) -> dict[str, object]:
    """Return what a column is given for rows that were there without it: they hold since then.

    One that was marked as deleted held until then.
    """
    gone: sa.ColumnClause[Any] = sa.column(DELETED_AT)
    filled: dict[str, tuple[sa.ColumnElement[Any], ...]] = {
        VALID_FROM: (sa.column(target.version or SYNCED_AT),),
        VALID_TO: (gone,),
        CURRENT: (gone.is_(None), sa.true()),
    }
    return {FILLED: filled[column.name]} if column.name in filled else {}


def _deleted_at(target: Target) -> list[sa.Column[Any]]:
    said = "Since when the row is deleted at the source (UTC); null while it is there."
    return [sa.Column(DELETED_AT, MOMENT, comment=said)] if target.marks else []


def _parts(table: sa.Table, names: Sequence[str]) -> dict[str, int]:
    """Return the columns of which an index holds the first characters only, and how many."""
    found = {name: first_part(table.c[name].type) for name in names}
    return {name: length for name, length in found.items() if length is not None}


def _type_of(target: Target, column: Column) -> TypeEngine[Any]:
    """Return a column's type; a text that is a key has a bound where the store needs one."""
    kind = column.type.sql()
    if column.name in target.key:
        parts = [target.column(name).type.sql() for name in target.key]
        texts = sum(isinstance(part, sa.String) for part in parts)
        return keyed(kind, LONGEST_KEY // max(1, texts))
    refers = column.refers or any(each.column == column.name for each in target.foreign_keys)
    return keyed(kind, LONGEST_KEY) if refers else kind


def changes(
    connection: Connection,
    dialect: Dialect,
    tables: Sequence[sa.Table],
    *,
    taken: Sequence[str] = (),
) -> Changes:
    """Compare tables with the live ones, and their names with those `taken`. Nothing is altered."""
    inspector = sa.inspect(connection)
    folded = partial(dialect.folded_table, connection=connection)
    alike = _alike(folded, (*taken, *(table.name for table in tables)))
    if alike:
        return Changes(faults=alike)
    # What reflection warns of (a type it does not know) is told by the comparison, if it matters.
    with warnings.catch_warnings(action="ignore", category=SAWarning):
        each = (_change(connection, inspector, dialect, table) for table in tables)
        found = sum(each, Changes())
    return replace(found, statements=found.statements + found.relating, relating=())


def _alike(folded: Callable[[str], str], names: Iterable[str]) -> tuple[str, ...]:
    """Return a fault for each two names of the mapping that are one to the database."""
    found: dict[str, str] = {}
    pairs = [(name, found.setdefault(folded(name), name)) for name in names]
    return tuple(
        f"'{first}' and '{name}' are one name to the database; rename one of them in the mapping"
        for name, first in pairs
        if name != first
    )


def _change(
    connection: Connection, inspector: Inspector, dialect: Dialect, table: sa.Table
) -> Changes:
    alike = _alike(dialect.folded, (column.name for column in table.columns))
    if alike:
        return Changes(faults=tuple(f"'{table.name}', columns {fault}" for fault in alike))
    live = _live_name(connection, inspector, dialect, table.name)
    if live in inspector.get_view_names():
        fault = f"'{live}' is a view; crmmap fills tables only. {_another(table)}"
        return Changes(faults=(fault,))
    if live != table.name:
        fault = (
            f"'{table.name}' is there as '{live}', which is one name to the database. "
            f"Write it so in the mapping, too. {_another(table)}"
        )
        return Changes(faults=(fault,))
    if not inspector.has_table(table.name):
        return Changes(
            statements=_created(table, dialect, inspector.dialect),
            relating=constraints.of_new_table(table, inspector),
            made=(table.name,),
        )
    return _compared(connection, inspector, dialect, table)


def _live_name(connection: Connection, inspector: Inspector, dialect: Dialect, name: str) -> str:
    """Return how a table or view of this name is written that is there already."""
    names = [*inspector.get_table_names(), *inspector.get_view_names()]
    folded = partial(dialect.folded_table, connection=connection)
    return {folded(each): each for each in names}.get(folded(name), name)


def _created(table: sa.Table, dialect: Dialect, compiler: Compiler) -> tuple[str, ...]:
    indexed = [str(CreateIndex(index).compile(dialect=compiler)) for index in indexes(table)]
    return (created(table, dialect, compiler), *indexed, *dialect.comments(table))


def _compared(
    connection: Connection, inspector: Inspector, dialect: Dialect, table: sa.Table
) -> Changes:
    live = {column["name"]: column for column in inspector.get_columns(table.name)}
    respelled = _spelling_faults(dialect, table, live)
    if respelled:  # what else is wrong can be told once the names are the same
        return Changes(faults=respelled)
    misfits = [
        *_key_misfits(inspector, table),
        *_extra_misfits(dialect, table, live),
        *(
            _mended(f"{text}. ", statement, table)
            for text, statement in dialect.unsafe(inspector, table)
        ),
    ]
    for column in table.columns:
        if column.name in live:
            misfits += _column_misfits(dialect, column, live[column.name])
    related = constraints.of_live_table(table, connection, inspector, dialect)
    misfits += related.misfits
    if misfits and is_aside(table):
        quote = inspector.dialect.identifier_preparer.quote_identifier
        anew = _created(table, dialect, inspector.dialect)
        return Changes(statements=(*emptied(table, quote), *anew))
    if not misfits:
        misfits += _marked_misfits(inspector, table, live)
    found = Changes(
        faults=tuple(misfit.text for misfit in misfits),
        remedies=remedies(misfits, table, inspector, dialect),
    )
    if misfits:  # what it lacks beside is added once it fits
        return found
    added = [
        column for column in table.columns if column.name not in live and not column.primary_key
    ]
    found += Changes(
        statements=tuple(_added(inspector, column) for column in added),
        refilled=(table,) if _digests_lack(table, added, live) else (),
        remarks=_remarks("column", [column.name for column in added], table),
    )
    present = [index["column_names"] for index in inspector.get_indexes(table.name)]
    absent = [index for index in indexes(table) if not _covered(_names(index), present)]
    made = [str(CreateIndex(index).compile(dialect=inspector.dialect)) for index in absent]
    indexed = [" and ".join(_names(index)) for index in absent]
    remarks = (
        *_remarks("index on column", indexed, table),
        *_remarks("foreign key of column", related.columns, table),
    )
    return found + Changes(statements=tuple(made), relating=related.statements, remarks=remarks)


def _names(index: sa.Index) -> list[str]:
    return [column.name for column in index.columns]


def _covered(names: list[str], indexes: Iterable[Sequence[str | None]]) -> bool:
    """Say whether one of the indexes begins with these columns, and so serves for them."""
    return any(list(each[: len(names)]) == names for each in indexes)


def _remarks(what: str, names: Sequence[str], table: sa.Table) -> tuple[str, ...]:
    """Return a sentence about what is added to a table that was there before, if anything is."""
    if not names:
        return ()
    plural = {
        "column": "columns",
        "index on column": "indexes on columns",
        "foreign key of column": "foreign keys of columns",
    }
    added = f"{what if len(names) == 1 else plural[what]} {', '.join(names)}"
    return (f"added the {added} to the existing table '{table.name}'",)


def _spelling_faults(
    dialect: Dialect, table: sa.Table, live: dict[str, ReflectedColumn]
) -> tuple[str, ...]:
    found = {dialect.folded(name): name for name in live}
    names = [column.name for column in table.columns]
    spelled = {name: found.get(dialect.folded(name), name) for name in names}
    return tuple(
        f"'{table.name}', column '{name}': is there as '{other}', which is one name to the "
        f"database. Write it so in the mapping, too. {_another(table)}"
        for name, other in spelled.items()
        if name != other
    )


def _added(inspector: Inspector, column: sa.Column[Any]) -> str:
    compiler = inspector.dialect
    table = compiler.identifier_preparer.quote_identifier(column.table.name)
    spec = f"{CreateColumn(column).compile(dialect=compiler)}"
    return f"ALTER TABLE {table} ADD COLUMN {spec}{constraints.inline(column, inspector)}"


def _digests_lack(table: sa.Table, added: Sequence[sa.Column[Any]], live: Collection[str]) -> bool:
    """Say whether a row may lack what a column that is added would hold, and its digest may not.

    Where rows are known by their digests, they are never written again.
    """
    written = any(column.name != DELETED_AT for column in added)
    return written and ROW_HASH in live and not table.c[ROW_HASH].primary_key


def _key_misfits(inspector: Inspector, table: sa.Table) -> list[Misfit]:
    live = inspector.get_pk_constraint(table.name)["constrained_columns"]
    wanted = [column.name for column in table.primary_key.columns]
    if set(live) == set(wanted):
        return []
    has = f"the primary key ({', '.join(live)})" if live else "no primary key"
    text = (
        f"'{table.name}' has {has}, but the mapping's key is ({', '.join(wanted)}). {_anew(table)}"
    )
    return [Misfit(text=text, remade=True)]


def _extra_misfits(
    dialect: Dialect, table: sa.Table, live: dict[str, ReflectedColumn]
) -> list[Misfit]:
    found = []
    for name, column in live.items():
        if name not in table.columns and not column["nullable"] and column.get("default") is None:
            text = (
                f"'{table.name}' has a column '{name}' that takes no null, has no default, and is "
                "not in the mapping. Add it as a field, or let it take nulls. "
            )
            alone = sa.Table(table.name, sa.MetaData(), sa.Column(name, column["type"]))
            statement = dialect.drop_not_null(alone.c[name])
            found.append(_mended(text, statement, table, remade=False))
    return found


def _marked_misfits(
    inspector: Inspector, table: sa.Table, live: dict[str, ReflectedColumn]
) -> list[Misfit]:
    """Return what is wrong where rows are marked as deleted, and nothing of the mapping deletes."""
    if DELETED_AT not in live or DELETED_AT in table.columns:
        return []
    quote = inspector.dialect.identifier_preparer.quote_identifier
    name, column = quote(table.name), quote(DELETED_AT)
    text = (
        f"'{table.name}' has rows that may be marked as deleted ('{DELETED_AT}'), but nothing in "
        "the mapping deletes its rows any more, so one that comes back would stay marked. Have it "
        "written as before, or remove the marked rows and the column: `crmmap plan --ddl` prints "
        "the statements"
    )
    remedy = (
        f"DELETE FROM {name} WHERE {column} IS NOT NULL",  # noqa: S608  (names are quoted)
        f"ALTER TABLE {name} DROP COLUMN {column}",
    )
    return [Misfit(text=text, remedy=remedy)]


def _column_misfits(
    dialect: Dialect, wanted: sa.Column[Any], live: ReflectedColumn
) -> Iterator[Misfit]:
    where = f"'{wanted.table.name}', column '{wanted.name}':"
    has, wants = dialect.spelled(live["type"]), dialect.spelled(wanted.type)
    if has != wants:
        text = f"{where} has the type {has}, but the mapping's is {wants}. "
        yield _mended(text, dialect.alter_type(wanted), wanted.table)
    if not live["nullable"] and wanted.nullable:
        text = f"{where} takes no null, but may be empty in the mapping. "
        yield _mended(text, dialect.drop_not_null(wanted), wanted.table)


def _mended(text: str, statement: str | None, table: sa.Table, *, remade: bool = True) -> Misfit:
    """Return a misfit that a statement mends; without one, the table may have to be made anew."""
    if statement is None:
        return Misfit(text=text + (_anew(table) if remade else _another(table)), remade=remade)
    return Misfit(text=f"{text}{_another(table)}, or change it: {statement}", remedy=(statement,))


def _anew(table: sa.Table) -> str:
    return (
        f"{_another(table)}, or have this one made anew, with its rows: `crmmap plan --ddl` "
        "prints the statements"
    )


def _another(table: sa.Table) -> str:
    return f"Name another table in the mapping (table: {{name: my_{table.name}}})"
