"""Rows that are the same thing under several keys: one of them is kept, whichever comes when.

Where the first is kept, the table's rows never change, and so it alone tells what is a duplicate.

Where the latest is kept, a row that lost must come back once the row that it lost against is no
longer the same: so the table beside it (`Target.losing`) keeps all that lost. The two tables
together hold the latest version of each key, and where each of them stands follows from nothing
else; so the order of reading decides nothing, nor where one batch ends and the next begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from crmmap.load.accounts import OUTCOME, Mark, Written
from crmmap.load.halving import refused_rows
from crmmap.load.staging import matching
from crmmap.load.statements import Session, delete_in, move_in
from crmmap.load.storage import to_driver
from crmmap.load.tables import ROW_HASH, RUN_ID, SYNCED_AT
from crmmap.load.upsert import (
    STORED_HASH,
    STORED_VERSION,
    WRITING,
    check_keys,
    judged,
    stored_rows,
    write_by_key,
    written,
)
from crmmap.plan import Target
from crmmap.plan.content import HASH
from crmmap.plan.sameness import Rules, earlier_by, later_by
from crmmap.values import INDEX, PAGE

PLACE = [PAGE, INDEX]
BY = "#by"
"""The number of the rule by which a row is the same as another."""

# --- the first is kept --------------------------------------------------------------------------


def first_come(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write the rows that are not the same as one of the table, or as one read before them.

    One that the database refuses is nobody's first: those after it are judged anew.
    """
    check_keys(target, rows)
    rows = rows.sort(PLACE)
    stored = stored_rows(session, target, among=target.key, rows=rows)
    told = judged(target, rows, stored, mark)
    fresh = told.filter(pl.col(OUTCOME) == "inserted")
    taken = [(), *(_taken(session, target, rule, fresh) for rule in target.same_by)]
    rules = (target.key, *target.same_by)
    found = pl.Series(BY, earlier_by(fresh, rules, taken), dtype=pl.UInt32)
    second = fresh.filter(found.is_not_null()).select(PLACE)
    marked = second.with_columns(pl.lit("duplicate").alias("#second"))
    told = told.join(marked, on=PLACE, how="left", maintain_order="left")
    outcome = pl.coalesce("#second", OUTCOME).alias(OUTCOME)
    done = written(session, target, told.with_columns(outcome), mark)
    if done.refused.is_empty() or second.is_empty():
        return replace(done, same_by=_counted(found.filter(found > 0), rules))
    again = first_come(session, target, rows.join(second, on=PLACE, how="semi"), mark)
    others = done.outcomes.join(second, on=PLACE, how="anti")
    return replace(
        done, outcomes=pl.concat([others, again.outcomes]),
        refused=pl.concat([done.refused, again.refused]), same_by=again.same_by,
    )  # fmt: skip


def _counted(by: pl.Series, rules: Rules) -> Mapping[tuple[str, ...], int]:
    """Count rows by the rules whose numbers these are."""
    return {rules[each]: count for each, count in by.drop_nulls().value_counts().iter_rows()}


def _taken(
    session: Session, target: Target, rule: tuple[str, ...], rows: pl.DataFrame
) -> list[tuple[object, ...]]:
    """Return those of the rows' values by a rule that the table has."""
    columns = [target.column(name) for name in rule]
    values = rows.select(rule).drop_nulls().unique()
    return matching(session, target.table, on=columns, wanted=columns, rows=values)[rule].rows()


# --- the latest is kept -------------------------------------------------------------------------

IN_TABLE = "#in_table"
"""Whether a row stands in the table, or beside it; null where in neither."""
NEW = "#new"
NEAR = "#near"
"""Whether all rows are at hand that are the same as this one."""
WINS = "#wins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A table whose rows compete with each other, and the table of those that lose."""

    session: Session
    target: Target
    losing: Target

    def write(self, rows: pl.DataFrame, mark: Mark) -> Written:
        """Write each row into the table, or beside it where a later one is the same.

        Rows that were there change their places accordingly. The outcome of a row that takes
        the place of another key's row is `updated`.
        """
        key = list(self.target.key)
        check_keys(self.target, rows)
        own = self._stored(key, rows)
        told = judged(self.target, rows, own, mark).join(
            own.select(*key, IN_TABLE), on=key, how="left", maintain_order="left"
        )
        by_key = told.filter(pl.col(OUTCOME) == "duplicate")
        news = told.filter(pl.col(OUTCOME).is_in(WRITING))
        before = own.join(news, on=key, how="semi")
        world = self._world(news, [news, before])
        told = self._outcomes(told, world)
        left = self._leave(world)
        beside = self._write_beside(told.filter(~pl.col(WINS)), mark)
        won = written(self.session, self.target, told, mark)
        refused = pl.concat([beside, won.refused])
        well = told.join(refused, on=PLACE, how="anti", maintain_order="left")
        self._delete(self.losing, well.filter(pl.col(WINS) & ~pl.col(IN_TABLE)))
        self._return(world)
        if len(refused):  # what they would have changed stays as it was
            touched = news.join(refused, on=PLACE, how="semi")
            again = self._world(news.clear(), [touched, before])
            gone, back = self._leave(again), self._return(again)
            left = pl.concat([left.join(back, on=key, how="anti"), gone])
            well = self._moved_again(well, again)
        # One that is as it was, and whose place another of the batch takes, is a duplicate, too.
        gone = left.with_columns(pl.lit("duplicate").alias("#taken"))
        well = well.join(gone, on=key, how="left", maintain_order="left")
        outcome = pl.when(pl.col(OUTCOME) == "unchanged").then(pl.coalesce("#taken", OUTCOME))
        well = well.with_columns(outcome.otherwise(OUTCOME).alias(OUTCOME))
        lost = well.filter(pl.col(OUTCOME) == "duplicate").join(by_key, on=PLACE, how="anti")
        return Written(
            outcomes=well.select(*PLACE, OUTCOME), refused=refused, same_by=self._beaten(lost)
        )

    def _stored(self, among: Sequence[str], rows: pl.DataFrame) -> pl.DataFrame:
        """Return rows of both tables, as `stored_rows` does, with what rules look at."""
        wanted = [name for rule in self.target.same_by for name in rule]
        return pl.concat(
            stored_rows(self.session, table, among=among, rows=rows, wanted=wanted).with_columns(
                pl.lit(inside).alias(IN_TABLE)
            )
            for table, inside in ((self.target, True), (self.losing, False))
        )

    def _same(self, touched: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Return the rows of both tables that are the same as one of those given."""
        found = []
        for rule in self.target.same_by:
            values = pl.concat(each.select(rule) for each in touched)
            found.append(self._stored(rule, values.drop_nulls().unique()))
        return pl.concat(found).unique(self.target.key, maintain_order=True)

    def _world(self, news: pl.DataFrame, touched: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """Return all rows whose place may depend on what was touched, and which of them win.

        A row of the table was surpassed by none; so only of those beside it, the rows that are
        the same as they must be known too.
        """
        key, rules = self.target.key, self.target.same_by
        near = self._same(touched)
        far = self._same([near.filter(~pl.col(IN_TABLE))])
        looked_at = [*dict.fromkeys((*key, *(name for rule in rules for name in rule)))]
        fresh = news.select(
            *looked_at, pl.col(self.target.version or "").alias(STORED_VERSION), HASH, IN_TABLE,
            pl.lit(value=True).alias(NEW), pl.lit(value=True).alias(NEAR),
        )  # fmt: skip
        there = pl.concat(
            rows.select(
                *looked_at, STORED_VERSION, pl.col(STORED_HASH).alias(HASH), IN_TABLE,
                pl.lit(value=False).alias(NEW), pl.lit(value=is_near).alias(NEAR),
            )
            for rows, is_near in ((near, True), (far, False))
        ).unique(key, keep="first", maintain_order=True)  # fmt: skip
        world = pl.concat([fresh, there.join(fresh, on=list(key), how="anti")])
        wins = later_by(world, rules, STORED_VERSION, key).is_null()
        return world.with_columns(wins.alias(WINS))

    def _beaten(self, rows: pl.DataFrame) -> Mapping[tuple[str, ...], int]:
        """Count rows that have lost by the first rule that finds a later one, as all stand now."""
        rules, key = self.target.same_by, list(self.target.key)
        if rows.is_empty():
            return {}
        if len(rules) == 1:
            return {rules[0]: len(rows)}
        near = self._same([rows]).with_columns(pl.col(STORED_HASH).alias(HASH))
        by = near.select(*key, later_by(near, rules, STORED_VERSION, key).alias(BY))
        return _counted(by.join(rows, on=key, how="semi")[BY], rules)

    def _outcomes(self, told: pl.DataFrame, world: pl.DataFrame) -> pl.DataFrame:
        """Add which of the new rows win, and say what each row comes to."""
        key, taking = list(self.target.key), "#taking"
        winners = world.filter(pl.col(NEW) & pl.col(WINS))
        gone = world.filter(pl.col(IN_TABLE) & ~pl.col(WINS))
        takers = pl.concat(
            winners.join(gone, on=list(rule), how="semi") for rule in self.target.same_by
        )
        fates = world.filter(NEW).join(
            takers.select(*key, pl.lit(value=True).alias(taking)).unique(), on=key, how="left"
        )
        told = told.join(
            fates.select(*key, WINS, taking), on=key, how="left", maintain_order="left"
        )
        replaces = pl.col(IN_TABLE).fill_null(value=False) | pl.col(taking).fill_null(value=False)
        outcome = (
            pl.when(pl.col(WINS) & replaces).then(pl.lit("updated"))
            .when(pl.col(WINS)).then(pl.lit("inserted"))
            .when(~pl.col(WINS) | ~pl.col(IN_TABLE)).then(pl.lit("duplicate"))
            .otherwise(OUTCOME)
        )  # fmt: skip
        return told.with_columns(outcome.alias(OUTCOME)).drop(taking)

    def _moved_again(self, told: pl.DataFrame, world: pl.DataFrame) -> pl.DataFrame:
        """Say what new rows come to that change their places once others are refused."""
        fate, key = "#fate", list(self.target.key)
        fates = pl.when(WINS).then(pl.lit("inserted")).otherwise(pl.lit("duplicate"))
        moved = world.filter(pl.col(IN_TABLE) != pl.col(WINS), NEAR).select(*key, fates.alias(fate))
        told = told.join(moved, on=key, how="left", maintain_order="left")
        new = pl.when(pl.col(WINS).is_not_null()).then(pl.coalesce(fate, OUTCOME))
        return told.with_columns(new.otherwise(OUTCOME).alias(OUTCOME))

    def _leave(self, world: pl.DataFrame) -> pl.DataFrame:
        """Put beside the table what loses now, and return its keys."""
        leaving = world.filter(pl.col(IN_TABLE) & ~pl.col(WINS) & ~pl.col(NEW))
        self._move(self.target, self.losing, leaving)
        return leaving.select(self.target.key)

    def _return(self, world: pl.DataFrame) -> pl.DataFrame:
        """Put into the table what loses no more, and return its keys."""
        coming = world.filter(~pl.col(IN_TABLE) & pl.col(WINS) & pl.col(NEAR) & ~pl.col(NEW))
        self._move(self.losing, self.target, coming)
        return coming.select(self.target.key)

    def _write_beside(self, rows: pl.DataFrame, mark: Mark) -> pl.DataFrame:
        """Write rows that lose, and take out of the table what it has of them.

        Returns the rows that the database refuses.
        """
        lost = write_by_key(self.session, self.losing, rows, run_id=mark.run_id)
        refused = refused_rows(rows, lost)
        well = rows.join(refused, on=PLACE, how="anti")
        self._delete(self.target, well.filter(IN_TABLE))
        return refused

    def _move(self, source: Target, to: Target, rows: pl.DataFrame) -> None:
        move_in(
            self.session, source.table, to.table, columns=[*source.names, RUN_ID, ROW_HASH],
            given={SYNCED_AT: self.session.moment}, among=source.key, rows=self._keys(rows),
        )  # fmt: skip

    def _delete(self, target: Target, rows: pl.DataFrame) -> None:
        delete_in(self.session, target.table, among=target.key, rows=self._keys(rows))

    def _keys(self, rows: pl.DataFrame) -> list[tuple[object, ...]]:
        key = [self.target.column(name) for name in self.target.key]
        return rows.select(to_driver(key, self.session.connection.dialect)).rows()
