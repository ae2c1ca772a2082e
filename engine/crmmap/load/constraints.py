"""FOREIGN KEY constraints: what makes them, and what of a live table stands in their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Inspector
from sqlalchemy.schema import AddConstraint, DropConstraint

from crmmap.load.dialects import Dialect
from crmmap.load.remedies import Misfit
from crmmap.plan.steps import ForeignKey

LONGEST_NAME = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Foreign keys that a live table lacks: `statements` give it those on `columns`."""

    statements: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    misfits: tuple[Misfit, ...] = ()


def constrain(table: sa.Table, foreign_keys: Sequence[ForeignKey]) -> None:
    """Give a table its foreign keys.

    A row that others refer to can't be deleted. Nothing else would do: a column that the
    database empties by itself no longer agrees with the digest of its row.
    """
    for each in foreign_keys:
        parent = table
        if each.table != table.name:
            kind = table.c[each.column].type
            parent = sa.Table(each.table, sa.MetaData(), sa.Column(each.key, kind))
        table.append_constraint(
            sa.ForeignKeyConstraint(
                [table.c[each.column]], [parent.c[each.key]],
                name=short_name(f"fk_{table.name}__{each.column}"),
                # Added once all tables are there, but where a database takes it at once only.
                use_alter=True,
            )
        )  # fmt: skip


def short_name(name: str) -> str:
    """Return a name that no database finds too long, different for different names."""
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


def of_new_table(table: sa.Table, inspector: Inspector) -> tuple[str, ...]:
    """Return the statements that give a table that is made now its foreign keys."""
    if not inspector.dialect.supports_alter:  # then CREATE TABLE has them
        return ()
    return tuple(_adding(each, inspector) for each in _wanted(table))


def inline(column: sa.Column[Any], inspector: Inspector) -> str:
    """Return what gives a column that is added now its foreign key, where nothing else can."""
    found = [each for each in _wanted(column.table) if each.columns[0] is column]
    if inspector.dialect.supports_alter or not found:
        return ""
    quote = inspector.dialect.identifier_preparer.quote_identifier
    parent = found[0].elements[0].column
    return (
        f" CONSTRAINT {quote(str(found[0].name))} "
        f"REFERENCES {quote(parent.table.name)} ({quote(parent.name)})"
    )


def of_live_table(
    table: sa.Table, connection: Connection, inspector: Inspector, dialect: Dialect
) -> Added:
    """Compare the foreign keys of a live table with the wanted ones."""
    wanted = _wanted(table)
    if not wanted:
        return Added()
    there = {column["name"] for column in inspector.get_columns(table.name)}
    live = {
        each["constrained_columns"][0]: each
        for each in inspector.get_foreign_keys(table.name)
        if len(each["constrained_columns"]) == 1
    }
    adding: list[sa.ForeignKeyConstraint] = []
    misfits: list[Misfit] = []
    for each in wanted:
        name, parent = each.columns[0].name, each.elements[0].column
        found = live.get(name)
        if found is not None:
            leads = (found["referred_table"], found["referred_columns"])
            if leads != (parent.table.name, [parent.name]):
                misfits.append(_elsewhere(each, inspector, str(found["name"]), leads[0]))
        elif name not in there:
            adding += [each] if inspector.dialect.supports_alter else []
        elif not inspector.dialect.supports_alter:
            misfits.append(Misfit(text=f"{_lacks(each)}. {OF_NEW_TABLES}", remade=True))
        elif count := _orphans(each, connection, inspector):
            misfits.append(_orphaned(each, inspector, count))
        else:
            adding.append(each)
    return Added(
        statements=tuple(_adding(each, inspector) for each in adding),
        columns=tuple(each.columns[0].name for each in adding),
        misfits=tuple(misfits),
    )


OF_NEW_TABLES = (
    "The database gives one to new tables only. Write `constraint: false` at this lookup, or have "
    "the table made anew, with its rows: `crmmap plan --ddl` prints the statements"
)


def _wanted(table: sa.Table) -> list[sa.ForeignKeyConstraint]:
    return sorted(table.foreign_key_constraints, key=lambda each: str(each.name))


def _adding(constraint: sa.ForeignKeyConstraint, inspector: Inspector) -> str:
    # All stores of a process share their tables, and one may make this one with its foreign keys.
    adding = AddConstraint(constraint, isolate_from_table=False)
    return str(adding.compile(dialect=inspector.dialect)).strip()


def _lacks(constraint: sa.ForeignKeyConstraint) -> str:
    column, parent = constraint.columns[0], constraint.elements[0].column
    return (
        f"'{column.table.name}', column '{column.name}': is no foreign key that leads to "
        f"'{parent.table.name}' ({parent.name}), but is one in the mapping"
    )


def _elsewhere(
    constraint: sa.ForeignKeyConstraint, inspector: Inspector, name: str, other: str
) -> Misfit:
    text = f"{_lacks(constraint)}: it leads to '{other}'"
    if not inspector.dialect.supports_alter:
        return Misfit(text=f"{text}. {OF_NEW_TABLES}", remade=True)
    column = constraint.columns[0]
    live = sa.Table(column.table.name, sa.MetaData(), sa.Column(column.name, column.type))
    old = sa.ForeignKeyConstraint([live.c[column.name]], [live.c[column.name]], name=name)
    live.append_constraint(old)
    dropping = str(DropConstraint(old).compile(dialect=inspector.dialect)).strip()
    return Misfit(
        text=f"{text}. Change it: {dropping}; {_adding(constraint, inspector)}",
        remedy=(dropping, _adding(constraint, inspector)),
    )


def _orphans(
    constraint: sa.ForeignKeyConstraint, connection: Connection, inspector: Inspector
) -> int:
    """Return how many rows refer to a row that is not there."""
    column, key = constraint.columns[0], constraint.elements[0].column
    query = sa.select(sa.func.count()).select_from(column.table).where(column.is_not(None))
    if inspector.has_table(key.table.name):
        parent = key.table.alias("parent")
        query = query.where(~sa.exists().where(parent.c[key.name] == column))
    return int(connection.execute(query).scalar_one())


def _orphaned(constraint: sa.ForeignKeyConstraint, inspector: Inspector, count: int) -> Misfit:
    column, key = constraint.columns[0], constraint.elements[0].column
    quote = inspector.dialect.identifier_preparer.quote_identifier
    table = quote(column.table.name)
    # Without its digest, the row is written again when its record comes.
    emptied = (
        f"UPDATE {table} SET {quote(column.name)} = NULL, {quote('_crmmap_row_hash')} = NULL "  # noqa: S608  (names are quoted)
        f"WHERE {quote(column.name)} NOT IN "
        # One more step, as MySQL does not let a table be read that is being changed.
        f"(SELECT * FROM (SELECT {quote(key.name)} FROM {quote(key.table.name)}) AS there)"
    )
    adding = _adding(constraint, inspector)
    rows = "1 row refers" if count == 1 else f"{count:,} rows refer"
    text = (
        f"{_lacks(constraint)}: {rows} to a row that is not there. Write `constraint: false` at "
        f"this lookup, or change the table: {emptied}; {adding}"
    )
    return Misfit(text=text, remedy=(emptied, adding))
