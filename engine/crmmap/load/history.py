"""Rows that keep their past: each version of a record is a row, with the time in which it held.

The rows of a key follow each other without gap or overlap, and the last one is current. Only where
a record was deleted in between, nothing held for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import polars as pl

from crmmap.load.accounts import OUTCOME, REFUSED_SCHEMA, Mark, Written
from crmmap.load.family import parents_first
from crmmap.load.halving import refused_rows
from crmmap.load.statements import Session, update_statement, write
from crmmap.load.storage import to_driver
from crmmap.load.tables import CURRENT, SYNCED_AT, TIMES, VALID_FROM, VALID_TO, timed
from crmmap.load.upsert import (
    STORED_HASH,
    STORED_RUN,
    WRITING,
    check_keys,
    stored_rows,
    write_by_key,
)
from crmmap.plan import Target
from crmmap.plan.content import HASH, content_hashes
from crmmap.values import DELETED, INDEX, PAGE

TICK = timedelta(microseconds=1)
PLACE = [PAGE, INDEX]

_LAST = "#last"
_THERE = "#there"
_UNTIL = "#until"
_WAS_CURRENT = "#was_current"
_AGAIN = "#again"


def write_history(session: Session, target: Target, rows: pl.DataFrame, mark: Mark) -> Written:
    """Write each row as a version of its record; what held before it ends where it begins.

    A version begins at the value of the target's version column, and finds its place in time
    whenever it comes; of two that begin at the same time, the one read later replaces the other,
    within a run the one with the greater digest. Without such a column it begins when the read
    began, and one read takes at most one version of a record: the last.
    """
    check_keys(target, rows)
    history = History(session=session, target=target, mark=mark)
    if DELETED not in rows.columns:
        return history.write(rows)
    last = pl.lit(value=True)
    if target.version is None:  # then the order of reading tells what is true at its end
        last = pl.struct(target.key).is_last_distinct()
    rows = rows.sort(PLACE).with_columns(last.alias(_LAST))
    overtaken = rows.filter(~pl.col(_LAST)).select(*PLACE, pl.lit("duplicate").alias(OUTCOME))
    rows = rows.filter(_LAST).drop(_LAST)
    written = history.write(rows.filter(~pl.col(DELETED)).drop(DELETED))
    ended = history.end(rows.filter(DELETED))
    outcomes = pl.concat([written.outcomes, ended.outcomes, overtaken])
    return replace(written, outcomes=outcomes, deleted=ended.deleted)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A table with the versions of its records, and who writes into it."""

    session: Session
    target: Target
    mark: Mark

    @property
    def key(self) -> list[str]:
        return list(self.target.key)

    def write(self, rows: pl.DataFrame) -> Written:
        """See `write_history`."""
        hashed = rows.sort(PLACE).with_columns(
            content_hashes(rows.sort(PLACE), self.target.columns)
        )
        unlike = self._unlike_current(hashed)
        keys = unlike.filter(pl.col(OUTCOME).is_null()).select(self.key).unique()
        stored = self._stored(self.key, keys)
        told = self._judged(unlike, stored)
        new = told.filter(pl.col(OUTCOME).is_in(WRITING))
        line = self._line(stored, new)
        self._set(line.filter(_THERE, _moved(_UNTIL, _WAS_CURRENT)))
        refused = self._insert(new.join(line, on=[*self.key, VALID_FROM], how="left",
                                        maintain_order="left"))  # fmt: skip
        if len(refused):  # then others hold longer
            accepted = new.join(refused, on=PLACE, how="anti")
            again = self._line(stored, accepted).join(
                line.select(*self.key, VALID_FROM, pl.col(VALID_TO).alias("#to"),
                            pl.col(CURRENT).alias("#is")),
                on=[*self.key, VALID_FROM],
            )  # fmt: skip
            self._set(again.filter(_moved("#to", "#is")))
        outcomes = told.join(refused, on=PLACE, how="anti", maintain_order="left")
        return Written(outcomes=outcomes.select(*PLACE, OUTCOME), refused=refused)

    def end(self, rows: pl.DataFrame) -> Written:
        """End the versions that hold at the time of these rows, which say that they are gone.

        A row is `unchanged` where nothing holds then, and a `duplicate` where all that is there
        is newer.
        """
        stored = self._stored(self.key, rows.select(self.key).unique()).sort(VALID_FROM)
        there = stored.group_by(self.key).agg(pl.col(VALID_FROM).max().alias(_LAST))
        rows = rows.join(there, on=self.key, how="left", maintain_order="left")
        version = pl.lit(None) if self.target.version is None else pl.col(self.target.version)
        at = version.cast(TIMES[0].type.dtype).fill_null(pl.max_horizontal(self._began(), _LAST))
        versions = stored.select(*self.key, VALID_FROM, VALID_TO, CURRENT)
        rows = rows.with_columns(at.alias(_UNTIL)).sort(_UNTIL, *PLACE).join_asof(
            versions, left_on=_UNTIL, right_on=VALID_FROM, by=self.key, check_sortedness=False
        )  # fmt: skip
        holds = pl.col(VALID_FROM).is_not_null() & (
            pl.col(VALID_TO).is_null() | (pl.col(VALID_TO) > pl.col(_UNTIL))
        )
        first = pl.struct(*self.key, VALID_FROM).is_first_distinct()
        newer = pl.col(_LAST).is_not_null() & pl.col(VALID_FROM).is_null()
        outcome = (
            pl.when(holds & first).then(pl.lit("updated"))
            .when(holds | newer).then(pl.lit("duplicate"))
            .otherwise(pl.lit("unchanged"))
        )  # fmt: skip
        told = rows.with_columns(outcome.alias(OUTCOME))
        ending = told.filter(pl.col(OUTCOME) == "updated")
        self._set(
            ending.with_columns(pl.col(_UNTIL).alias(VALID_TO), pl.lit(value=False).alias(CURRENT))
        )
        return Written(
            outcomes=told.select(*PLACE, OUTCOME), refused=pl.DataFrame(schema=REFUSED_SCHEMA),
            deleted=int(ending[CURRENT].sum()),
        )  # fmt: skip

    # --- what rows come to ----------------------------------------------------------------------

    def _unlike_current(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows with when they begin, and the outcome of those that need no writing.

        They are in the batch twice, or like what is current: most rows of most reads.
        """
        moment = pl.lit(None) if self.target.version is None else pl.col(self.target.version)
        rows = rows.with_columns(moment.cast(TIMES[0].type.dtype).alias(VALID_FROM))
        known = self.key if self.target.version is None else [*self.key, VALID_FROM]
        order = [PAGE, INDEX] if self.target.version is None else [HASH, PAGE, INDEX]
        rows = rows.sort(order).with_columns(pl.struct(known).is_last_distinct().alias(_LAST))
        now = self._stored([*self.key, CURRENT], rows.select(self.key).unique().with_columns(
            pl.lit(value=True).alias(CURRENT)))  # fmt: skip
        rows = rows.join(now.select(*self.key, STORED_HASH, STORED_RUN), on=self.key, how="left",
                         maintain_order="left")  # fmt: skip
        outcome = (
            pl.when(~pl.col(_LAST)).then(pl.lit("duplicate"))
            .when(pl.col(HASH) == pl.col(STORED_HASH)).then(self._same())
        )  # fmt: skip
        return rows.with_columns(outcome.alias(OUTCOME)).drop(_LAST, STORED_HASH, STORED_RUN)

    def _same(self) -> pl.Expr:
        own = pl.col(STORED_RUN) == self.mark.run_id
        return pl.when(own).then(pl.lit("duplicate")).otherwise(pl.lit("unchanged"))

    def _judged(self, rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
        """Give the other rows their outcomes, and those without a version their beginning."""
        known = self.key if self.target.version is None else [*self.key, VALID_FROM]
        if self.target.version is None:
            stored = stored.sort(VALID_FROM).unique(self.key, keep="last")
        newest = pl.col(VALID_FROM) == pl.col(VALID_FROM).max().over(self.key)
        there = stored.select(
            *known, STORED_HASH, STORED_RUN, pl.col(VALID_FROM).alias("#from"),
            pl.col(VALID_TO).alias("#to"), CURRENT, newest.alias(_LAST),
        )  # fmt: skip
        rows = rows.join(there, on=known, how="left", maintain_order="left")
        own = pl.col(STORED_RUN) == self.mark.run_id
        if self.target.version is None:
            rows = rows.with_columns(self._beginning(own).alias(VALID_FROM))
            left_alone = pl.col(STORED_RUN).is_in(list(self.mark.older_than))
        else:
            left_alone = own & (pl.col(HASH) <= pl.col(STORED_HASH))
        known_keys = stored.select(self.key).unique().with_columns(pl.lit(value=True).alias(_THERE))
        rows = rows.join(known_keys, on=self.key, how="left", maintain_order="left")
        new = pl.col(OUTCOME).is_null()
        first = pl.col(VALID_FROM) == pl.col(VALID_FROM).filter(new).min().over(self.key)
        same = pl.lit(self.target.version is not None) & (pl.col(HASH) == pl.col(STORED_HASH))
        back = pl.lit(self.target.vanishing) & pl.col(_LAST) & ~pl.col(CURRENT)
        outcome = (
            pl.when(pl.col(OUTCOME).is_not_null()).then(OUTCOME)
            .when(same & back).then(pl.lit("updated"))
            .when(same).then(self._same())
            .when(left_alone).then(pl.lit("duplicate"))
            .when(pl.col(_THERE).is_null() & first).then(pl.lit("inserted"))
            .otherwise(pl.lit("updated"))
        )  # fmt: skip
        return rows.with_columns(outcome.alias(OUTCOME)).drop(
            _THERE, "#from", "#to", STORED_HASH, STORED_RUN, CURRENT, _LAST
        )

    def _beginning(self, own: pl.Expr) -> pl.Expr:
        """Return when a row without a version begins: after all that is there of its record.

        What this run has written it replaces.
        """
        after = pl.max_horizontal(self._began(), pl.col("#from") + TICK, pl.col("#to"))
        return pl.when(own & pl.col("#to").is_null()).then("#from").otherwise(after)

    def _began(self) -> pl.Expr:
        read = self.mark.read
        return pl.lit(read.began if read.name else self.session.now).cast(TIMES[0].type.dtype)

    # --- when they hold -------------------------------------------------------------------------

    def _line(self, stored: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
        """Return all versions of the records, with the time until which each holds.

        A row that is there holds as long as it did, or until the next one begins, as does one that
        is written again; a row that comes between takes what is left of the time of the one before
        it.
        """
        moments = [*self.key, VALID_FROM]
        there = stored.select(
            *moments, pl.col(VALID_TO).alias(_UNTIL), pl.col(CURRENT).alias(_WAS_CURRENT),
            pl.lit(value=True).alias(_THERE),
        )  # fmt: skip
        again = new.select(*moments, pl.lit(value=True).alias(_AGAIN))
        there = there.join(again, on=moments, how="left", maintain_order="left")
        added = new.select(moments).join(there, on=moments, how="anti").with_columns(
            pl.lit(value=False).alias(_THERE)
        )  # fmt: skip
        line = pl.concat([there, added], how="diagonal").sort(moments)
        left = pl.col(_UNTIL).forward_fill().over(self.key)
        ended = pl.when(pl.col(_AGAIN).is_null()).then(_UNTIL)
        until = pl.when(_THERE).then(ended).when(left > pl.col(VALID_FROM)).then(left)
        following = pl.col(VALID_FROM).shift(-1).over(self.key)
        line = line.with_columns(pl.min_horizontal(until, following).alias(VALID_TO))
        return line.with_columns(pl.col(VALID_TO).is_null().alias(CURRENT))

    # --- the table ------------------------------------------------------------------------------

    def _stored(self, among: Sequence[str], rows: pl.DataFrame) -> pl.DataFrame:
        wanted = [each.name for each in TIMES]
        return stored_rows(self.session, timed(self.target), among=among, rows=rows, wanted=wanted)

    def _insert(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Write versions, with their times, and return those that the database refuses."""
        insert = partial(
            write_by_key, self.session, self.target, run_id=self.mark.run_id, beside=TIMES,
            new=pl.col(OUTCOME) == "inserted",
        )  # fmt: skip
        return refused_rows(rows, parents_first(self.session, self.target, rows, insert))

    def _set(self, rows: pl.DataFrame) -> None:
        """Give versions that are there the times that they hold now."""
        known = [*self.key, VALID_FROM]
        statement = update_statement(
            self.session, self.target.table, columns=[VALID_TO, CURRENT, SYNCED_AT], among=known
        )
        compiler = self.session.connection.dialect
        columns = [timed(self.target).column(name) for name in (VALID_TO, CURRENT, *known)]
        moment = self.session.moment
        cells = rows.select(to_driver(columns, compiler)).rows()
        write(self.session, statement, [(*row[:2], moment, *row[2:]) for row in cells])


def _moved(until: str, current: str) -> pl.Expr:
    return pl.col(VALID_TO).ne_missing(pl.col(until)) | (pl.col(CURRENT) != pl.col(current))
