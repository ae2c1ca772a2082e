"""Statements that make a live table what the mapping wants. They are shown, and never run by us."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect as Compiler
from sqlalchemy.engine import Inspector
from sqlalchemy.schema import CreateIndex, CreateTable, DropConstraint, DropIndex
from sqlalchemy.sql import visitors

from crmmap.load.dialects import Dialect

FILLED = "filled"
"""In a column's `info`: what rows get that are copied from a table without it: of these expressions
the first whose columns that table has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """What of a live table differs from the wanted one, and can't be mended without the user.

    `remedy` are the statements that would mend it, all rows kept; where there are none and
    `remade` is true, the table must be made anew and the rows copied.
    """

    text: str
    remedy: tuple[str, ...] = ()
    remade: bool = False


def remedies(
    misfits: Collection[Misfit], table: sa.Table, inspector: Inspector, dialect: Dialect
) -> tuple[str, ...]:
    """Return the statements that mend all misfits of a table that is there."""
    found = [statement for each in misfits for statement in each.remedy]
    if any(each.remade for each in misfits):
        found += _remade(table, inspector, dialect)
    return tuple(found)


def _remade(table: sa.Table, inspector: Inspector, dialect: Dialect) -> list[str]:
    """Set the live table aside, make it anew, and copy what both have.

    Values are not cast: the database refuses one that does not fit, and nothing is lost.
    """
    compiler = inspector.dialect
    quote = compiler.identifier_preparer.quote_identifier
    aside = quote(f"{table.name[:59]}_old")
    live = [each["name"] for each in inspector.get_columns(table.name)]
    copied = {quote(each.name): quote(each.name) for each in table.columns if each.name in live}
    for each in table.columns:
        fitting = [one for one in each.info.get(FILLED, ()) if _named(one) <= {*live}]
        if each.name not in live and fitting:
            copied[quote(each.name)] = str(fitting[0].compile(dialect=compiler))
    names, values = ", ".join(copied), ", ".join(copied.values())
    indexed = [str(CreateIndex(index).compile(dialect=compiler)) for index in indexes(table)]
    return [
        *_without_foreign_keys(table, inspector, compiler),
        *_without_indexes(table, inspector, compiler),
        f"ALTER TABLE {quote(table.name)} RENAME TO {aside}",
        created(table, dialect, compiler),
        f"INSERT INTO {quote(table.name)} ({names}) SELECT {values} FROM {aside}",  # noqa: S608  (names are quoted)
        *indexed,
        *dialect.comments(table),
    ]


def _named(expression: sa.ColumnElement[Any]) -> set[str]:
    """Return the names of the columns that an expression reads."""
    return {each.name for each in visitors.iterate(expression) if isinstance(each, sa.ColumnClause)}


def _without_foreign_keys(
    table: sa.Table, inspector: Inspector, compiler: Compiler
) -> Iterator[str]:
    """Drop the foreign keys: rows set aside bind nobody, and in MySQL a name is there once."""
    if not compiler.supports_alter:
        return
    for each in inspector.get_foreign_keys(table.name):
        live = sa.Table(table.name, sa.MetaData(), sa.Column("c"))
        held = sa.ForeignKeyConstraint([live.c.c], [live.c.c], name=each["name"])
        live.append_constraint(held)
        yield str(DropConstraint(held).compile(dialect=compiler)).strip()


def _without_indexes(table: sa.Table, inspector: Inspector, compiler: Compiler) -> list[str]:
    """Drop the indexes whose names the new ones need: in some databases they are the schema's."""
    live = {each["name"] for each in inspector.get_indexes(table.name)}
    return [
        str(DropIndex(index).compile(dialect=compiler)).strip()
        for index in indexes(table)
        if index.name in live
    ]


def created(table: sa.Table, dialect: Dialect, compiler: Compiler) -> str:
    """Return the statement that makes a table."""
    made = str(CreateTable(table).compile(dialect=compiler)).strip()
    return f"{made}{dialect.table_options(compiler)}"


def indexes(table: sa.Table) -> list[sa.Index]:
    """Return a table's indexes in the order of their names."""
    return sorted(table.indexes, key=lambda index: str(index.name))
