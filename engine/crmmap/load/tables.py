"""Target tables: made where there are none, compared where there are, never silently altered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.schema import CreateColumn, CreateIndex, CreateTable, DDLElement

from crmmap.load.dialects import Dialect
from crmmap.plan import Target

RUN_ID = "_crmmap_run_id"
SYNCED_AT = "_crmmap_synced_at"
ROW_HASH = "_crmmap_row_hash"
AUDIT = (RUN_ID, SYNCED_AT, ROW_HASH)
"""Columns that every target table has beside the mapping's."""

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
FLAG = sa.Boolean(create_constraint=False).with_variant(sa.Integer(), "sqlite")
LONGEST_NAME = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What separates the live tables from the wanted ones.

    `statements` can be run at once; `faults` are for the user, each with what to do.
    """

    statements: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            statements=self.statements + other.statements, faults=self.faults + other.faults
        )


def table_of(target: Target) -> sa.Table:
    """Return a target as a table. Only its key takes no null."""
    table = sa.Table(
        target.table,
        sa.MetaData(),
        *(
            sa.Column(
                column.name,
                column.type.sql(),
                nullable=column.name not in target.key,
                autoincrement=False,
                comment=column.comment or None,
            )
            for column in target.columns
        ),
        sa.PrimaryKeyConstraint(*target.key),
        sa.Column(RUN_ID, sa.Text(), comment="The run that last wrote the row."),
        sa.Column(SYNCED_AT, MOMENT, comment="When the row was last written (UTC)."),
        sa.Column(ROW_HASH, WHOLE, comment="Digest of the row's values; null for a bare parent."),
        comment=target.comment or None,
        sqlite_strict=True,
    )
    for name in target.indexed:
        if target.key[0] != name:
            sa.Index(_index_name(target.table, name), table.c[name])
    return table


def _index_name(table: str, column: str) -> str:
    name = f"ix_{table}_{column}"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


def changes(connection: Connection, dialect: Dialect, tables: Iterable[sa.Table]) -> Changes:
    """Compare tables with the live ones. Nothing is altered."""
    inspector = sa.inspect(connection)
    return sum((_change(inspector, dialect, table) for table in tables), Changes())


def _change(inspector: Inspector, dialect: Dialect, table: sa.Table) -> Changes:
    compiler = inspector.dialect
    if table.name in inspector.get_view_names():
        fault = f"'{table.name}' is a view; crmmap fills tables only: name another table"
        return Changes(faults=(fault,))
    if not inspector.has_table(table.name):
        return Changes(statements=_created(table, dialect, compiler))
    return _compared(inspector, dialect, table)


def _created(table: sa.Table, dialect: Dialect, compiler: Compiler) -> tuple[str, ...]:
    made: list[DDLElement] = [
        CreateTable(table),
        *(CreateIndex(index) for index in _indexes(table)),
    ]
    texts = [str(each.compile(dialect=compiler)).strip() for each in made]
    return (*texts, *dialect.comments(table))


def _indexes(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _compared(inspector: Inspector, dialect: Dialect, table: sa.Table) -> Changes:
    live = {column["name"]: column for column in inspector.get_columns(table.name)}
    found = Changes(faults=(*_key_faults(inspector, table), *_extra_faults(table, live)))
    for column in table.columns:
        if column.name in live:
            found += Changes(faults=_column_faults(dialect, column, live[column.name]))
        elif not column.primary_key:
            found += Changes(statements=(_added(inspector.dialect, column),))
    present = {
        index["column_names"][0] for index in inspector.get_indexes(table.name)
        if index["column_names"]
    }  # fmt: skip
    absent = [index for index in _indexes(table) if index.columns[0].name not in present]
    made = [str(CreateIndex(index).compile(dialect=inspector.dialect)) for index in absent]
    return found + Changes(statements=tuple(made))


def _added(compiler: Compiler, column: sa.Column[Any]) -> str:
    table = compiler.identifier_preparer.quote_identifier(column.table.name)
    return f"ALTER TABLE {table} ADD COLUMN {CreateColumn(column).compile(dialect=compiler)}"


def _key_faults(inspector: Inspector, table: sa.Table) -> list[str]:
    live = inspector.get_pk_constraint(table.name)["constrained_columns"]
    wanted = [column.name for column in table.primary_key.columns]
    if set(live) == set(wanted):
        return []
    fault = (
        f"'{table.name}' has the primary key ({', '.join(live)}), "
        f"but the mapping's key is ({', '.join(wanted)}). {_anew(table)}"
    )
    return [fault]


def _extra_faults(table: sa.Table, live: dict[str, ReflectedColumn]) -> list[str]:
    return [
        f"'{table.name}' has a column '{name}' that takes no null, has no default, and is not in "
        "the mapping. Add it as a field, or let it take nulls"
        for name, column in live.items()
        if name not in table.columns and not column["nullable"] and column.get("default") is None
    ]


def _column_faults(
    dialect: Dialect, wanted: sa.Column[Any], live: ReflectedColumn
) -> tuple[str, ...]:
    where = f"'{wanted.table.name}', column '{wanted.name}':"
    anew = _anew(wanted.table)
    faults = []
    if not dialect.same_type(live["type"], wanted.type):
        todo = dialect.alter_type(wanted) or anew
        faults.append(f"{where} has another type than the mapping's. {todo}")
    if not live["nullable"] and wanted.nullable:
        todo = dialect.drop_not_null(wanted) or anew
        faults.append(f"{where} takes no null, but may be empty in the mapping. {todo}")
    return tuple(faults)


def _anew(table: sa.FromClause) -> str:
    name = getattr(table, "name", "")
    return (
        f'Rename the table (ALTER TABLE "{name}" RENAME TO "{name}_old") and run again '
        "with --full, to have it made anew and filled"
    )
