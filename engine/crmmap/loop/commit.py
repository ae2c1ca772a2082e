"""What a batch does within its transaction: look up, choose, write, hold back, and tally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from json import dumps
from types import MappingProxyType

import polars as pl

from crmmap.kinds.writes import Append, History
from crmmap.load import OUTCOME, TAKEN_SCHEMA, Arrivals, Tally, Transaction, Written
from crmmap.loop.archive import Archiving, archive
from crmmap.loop.policy import demand_few_rejects, judged
from crmmap.loop.tallying import by_page, told, total
from crmmap.loop.tried import told_of_rejects
from crmmap.plan import Step
from crmmap.transform import Known, Resolved, dedupe, keys_of, met_keys, resolve
from crmmap.values import AT, INDEX, KEY, PAGE, REJECT_SCHEMA, Batch, Counts, cut_raw, without

PLACE = [PAGE, INDEX]
REFUSED = [*PLACE, AT, KEY]
"""What tells which row the database has refused, beside the reasons."""

FOREIGN_KEY = '"rule": "store.foreign_key"'
"""In the reasons of a row that refers to one that is not there, where the database looks, too."""

NO_REASONS: Mapping[str, int] = MappingProxyType({})


def load(
    step: Step,
    batch: Batch,
    archiving: Archiving,
    transaction: Transaction,
    *,
    reasons: Mapping[str, int] = NO_REASONS,
) -> Tally:
    """Write one batch of a read, keep its pages, and with its last one end the read.

    `reasons` counts why records of earlier batches were rejected. Raises PolicyError.
    """
    loaded = write_rows(step, batch, transaction)
    tally = _hold(step, batch, loaded, transaction)
    if transaction.mark.apart:
        return told_of_rejects(batch, tally) if batch.tried else tally
    demand_few_rejects(step, transaction.mark.read, tally, reasons)
    tally = replace(tally, archived=archive(archiving, batch, tally, transaction))
    if step.target.vanishing and not tally.gap:
        tally = _meet(step, loaded, tally, transaction)
    if not tally.ended:
        return tally
    tally = judged(step, batch, tally, transaction)
    if not (transaction.mark.read.gap or tally.gap):
        tally = replace(tally, counts=tally.counts + _let_go(step, transaction))
    return replace(tally, counts=tally.counts + transaction.finish(step.target, tally.gap))


def _meet(step: Step, loaded: Loaded, tally: Tally, transaction: Transaction) -> Tally:
    """Have the store remember which records came; the tally says where it can't know."""
    batch = loaded.batch
    keys, gap = met_keys(step, batch, loaded.resolved)
    asked = dict.fromkeys(batch.asked, False) if gap else batch.asked
    unnoted = transaction.meet(step.target, keys, asked)
    return tally if step.target.per is not None else replace(tally, gap=gap or unnoted)


def _let_go(step: Step, transaction: Transaction) -> Counts:
    """Let no record wait any longer that a complete read has not met: its source has it no more.

    Return what that is of those that this run has counted as waiting.
    """
    own = 0
    for stream in step.vouches:
        for places in transaction.unmet_waiting(step.target, partial(keys_of, step), stream):
            transaction.settle(places, stream)
            own += len(places.filter(pl.col("run_id") == transaction.mark.run_id))
    return Counts(duplicate=own, deferred=-own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A batch that is written, but for what waits.

    `batch` has as rejects those whose parents the database refused, and as rows the others, which
    `resolved` has after their lookups. `outcomes` (see `tallying`) say what became of all but those
    that wait; of the counts, `tally` has only what is no record's. `kept` are the rows that the
    store did not `refuse`.
    """

    batch: Batch
    resolved: Resolved
    tally: Tally
    outcomes: tuple[pl.DataFrame, ...]
    kept: pl.DataFrame
    refused: pl.DataFrame

    @property
    def waiting(self) -> pl.DataFrame:
        """See `Resolved.waiting`."""
        return self.resolved.waiting


def write_rows(
    step: Step, batch: Batch, transaction: Transaction, known: Known | None = None
) -> Loaded:
    """Write those of a batch's records whose parents are there; `known` tells which are.

    Which of several records with one key is kept is decided after the lookups,
    so that it does not depend on where one batch ends and the next begins. What the database
    refuses is nobody's parent: where it was taken for one, all is done again without it.
    """
    while True:
        savepoint = transaction.savepoint()
        resolved = resolve(step, batch, known or transaction.known)
        stubbed, refused = _stub(step, resolved, transaction)
        if refused.is_empty():
            loaded = _write(step, batch, resolved, transaction, stubbed=stubbed)
            refused = _at_fault(step, loaded, transaction)
            if refused.is_empty():
                savepoint.commit()
                return loaded
        savepoint.rollback()
        batch = replace(
            batch, rows=batch.rows.join(refused, on=PLACE, how="anti", maintain_order="left"),
            rejects=pl.concat([batch.rejects, _refused(refused, batch.raw)]),
        )  # fmt: skip


def _stub(step: Step, resolved: Resolved, transaction: Transaction) -> tuple[int, pl.DataFrame]:
    """Insert bare parents; return how many, and the rows whose parents the database refuses."""
    count, reasons = 0, pl.Series("reasons", [], dtype=pl.String)
    lost = [resolved.rows.clear().select(*REFUSED, reasons)]
    for parent, keys in resolved.stubs:
        made, refused = transaction.stub(parent, keys)
        count += made
        for each in step.lookups if refused else ():
            if (each.missing, each.parent.table) == ("stub", parent.table):
                rows = resolved.rows.filter(pl.col(each.field).is_in([*refused]))
                told = (replace(refused[key], field=each.field) for key in rows[each.field])
                reasons = pl.Series("reasons", [dumps([one.as_json()]) for one in told])
                lost.append(rows.select(*REFUSED, reasons))
    return count, pl.concat(lost).unique(PLACE, keep="first", maintain_order=True)


def _at_fault(step: Step, loaded: Loaded, transaction: Transaction) -> pl.DataFrame:
    """Return the rows that the database has refused, where others of the batch refer to them.

    Not those that it refused because they refer to one (where it holds the foreign key, too): what
    becomes of them, their lookups say.
    """
    refused, own = loaded.refused, [e for e in step.lookups if e.parent.table == step.target.table]
    if not own or refused.is_empty():
        return refused.clear()
    (key,) = step.target.key
    rows = loaded.resolved.rows.join(refused, on=PLACE, how="semi")
    there = transaction.known(step.target, key, rows[key])[key]
    gone = rows[key].filter(~rows[key].is_in(there.implode()))
    named = pl.any_horizontal(pl.col(each.field).is_in(gone.implode()) for each in own)
    held = refused.filter(pl.col("reasons").str.contains(FOREIGN_KEY, literal=True))
    hurt = rows.filter(named).join(held, on=PLACE, how="semi")
    guilty = refused.join(hurt, on=PLACE, how="anti", maintain_order="left")
    alone = len(guilty) == len(refused) and loaded.kept.filter(named).is_empty()
    return guilty.clear() if alone else guilty


def _write(
    step: Step, batch: Batch, resolved: Resolved, transaction: Transaction, *, stubbed: int
) -> Loaded:
    """Write the rows, and say where each went."""
    rows, written = _written(step, resolved.rows, transaction, batch.older_than)
    rejects = pl.concat([batch.rejects, resolved.rejects, _refused(written.refused, batch.raw)])
    waiting = resolved.waiting.select(pl.col(PAGE).alias("page"), pl.col(AT).alias("at"))
    notes = without(batch.notes, waiting, ["page", "at"])
    every = resolved.rows
    lost = without(every, rows) if len(rows) < len(every) else every.clear()
    known = None if batch.tried else transaction.mark.refused
    # What is to wait may yet be refused, too.
    among = None if known is None else {*known, *rejects["key"], *resolved.waiting[KEY]}
    tally = Tally(
        counts=Counts(stubbed=stubbed, deleted=written.deleted),
        rejects=rejects,
        notes=notes,
        pages=batch.pages,
        position=batch.position,
        ended=batch.position is None,
        cursor=batch.cursor,
        keys=resolved.keys,
        gap=batch.gap,
        taken=_taken(rows, lost, resolved.waiting, written, among),
        versioned=step.target.version is not None,
        keeping=keeps_versions(step),
        same_by=written.same_by,
    )
    outcomes = (
        written.outcomes.select(pl.col(PAGE).alias("page"), OUTCOME),
        told(lost[PAGE], "duplicate"),
        told(rejects["page"], "rejected"),
        told(notes["page"], "noted"),
    )
    return Loaded(
        batch=batch, resolved=resolved, tally=tally, outcomes=outcomes, refused=written.refused,
        kept=without(rows, written.refused),
    )  # fmt: skip


def _written(
    step: Step, every: pl.DataFrame, transaction: Transaction, older_than: frozenset[str]
) -> tuple[pl.DataFrame, Written]:
    """Write of the records with one key the one that is kept; return those, and what they came to.

    Where the database refuses it, it is none, as in a batch of its own: the next best is kept.
    """
    place, key = [PAGE, INDEX], list(step.target.key)
    rows = dedupe(every, step.target)
    written = transaction.write(step.target, rows, older_than=older_than)
    if written.refused.is_empty() or len(rows) == len(every):
        return rows, written
    refused, left = written.refused, every.join(rows, on=place, how="anti")
    while not (refused.is_empty() or left.is_empty()):
        keys = rows.join(refused, on=place, how="semi").select(key)
        more = dedupe(left.join(keys, on=key, how="semi").sort(place), step.target)
        if more.is_empty():
            break
        then = transaction.write(step.target, more, older_than=older_than)
        refused, left = then.refused, left.join(more, on=place, how="anti")
        rows = pl.concat([rows, more])
        written = Written(
            outcomes=pl.concat([written.outcomes, then.outcomes]),
            refused=pl.concat([written.refused, then.refused]),
            deleted=written.deleted + then.deleted,
            same_by=Counter(written.same_by) + Counter(then.same_by),
        )
    return rows.sort(place), written


def _hold(step: Step, batch: Batch, loaded: Loaded, transaction: Transaction) -> Tally:
    """Keep back what waits, and can; the tally says where each of the batch's records went."""
    arrivals = Arrivals(
        target=step.target, streams=step.filling, kept=loaded.kept,
        waiting=loaded.waiting, older_than=batch.older_than,
    )  # fmt: skip
    held = transaction.hold(arrivals)
    left = loaded.waiting.filter(~held.outdone)
    waiting = without(left, held.refused)
    pages = by_page(
        batch.read,
        [
            *loaded.outcomes,
            told(loaded.waiting.filter(held.outdone)[PAGE], "duplicate"),
            told(waiting[PAGE], "deferred"),
            told(held.refused[PAGE], "rejected"),
        ],
    )
    # What an earlier batch held back, and what is made beside the records, belongs to no page.
    apart = replace(loaded.tally.counts, duplicate=held.released, deferred=-held.released)
    rejects = pl.concat([loaded.tally.rejects, _refused(held.refused, batch.raw)])
    taken = loaded.tally.taken
    lost = (pl.col(OUTCOME) == "deferred") & pl.col("key").is_in(held.refused[KEY].implode())
    return replace(
        loaded.tally, counts=total(pages) + apart, by_page=pages, rejects=rejects,
        taken=taken.filter(~lost) if len(held.refused) else taken,
    )  # fmt: skip


def _taken(
    rows: pl.DataFrame,
    lost: pl.DataFrame,
    waiting: pl.DataFrame,
    written: Written,
    among: Collection[str | None] | None,
) -> pl.DataFrame:
    """Return the records that were written, those that lost to one of them, and those that wait.

    With `among`, only those with such a key: no other has a reject that is open.
    """
    if among is not None:
        if not among:
            return pl.DataFrame(schema=TAKEN_SCHEMA)
        asked = pl.col(KEY).is_in([*among])
        rows, lost = rows.filter(asked), lost.filter(asked)
        if rows.is_empty() and lost.is_empty() and waiting.is_empty():
            return pl.DataFrame(schema=TAKEN_SCHEMA)
    place = (pl.col(PAGE).alias("page"), pl.col(AT).alias("at"), pl.col(KEY).alias("key"))
    taken = rows.join(written.outcomes, on=[PAGE, INDEX], how="inner").select(*place, OUTCOME)
    held = waiting.select(pl.col(KEY).alias("key"), pl.lit("deferred").alias(OUTCOME))
    beaten = lost.select(*place, pl.lit("superseded").alias(OUTCOME))
    return pl.concat([taken, beaten, held], how="diagonal")


def keeps_versions(step: Step) -> bool:
    """Say whether a version of a record can be written whatever came after it."""
    dated = isinstance(step.target.write, History) and step.target.version is not None
    return dated or isinstance(step.target.write, Append)


def _refused(refused: pl.DataFrame, raw: Callable[[int, int], str]) -> pl.DataFrame:
    """Return rows that the database refused as rejects, with their raw records."""
    rows = [
        (row[PAGE], row[AT], row[KEY], row["reasons"], cut_raw(raw(row[PAGE], row[INDEX])))
        for row in refused.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")
