"""What a batch does within its transaction: look up, choose, write, hold back, and tally."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import polars as pl

from crmmap.kinds.writes import Append, Snapshot, Sweep
from crmmap.load import OUTCOME, Tally, Transaction, Written
from crmmap.loop.archive import Archiving, archive
from crmmap.loop.policy import demand_few_rejects, judged
from crmmap.loop.tallying import by_page, told, total
from crmmap.loop.tried import told_of_rejects
from crmmap.loop.work import waits
from crmmap.plan import Step
from crmmap.transform import Resolved, dedupe, met_keys, resolve
from crmmap.values import AT, INDEX, KEY, PAGE, REJECT_SCHEMA, Batch, cut_raw

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
    resolved = resolve(step, batch, transaction.known)
    tally = _load(step, batch, resolved, transaction)
    if transaction.mark.apart:
        return told_of_rejects(batch, tally) if batch.tried else tally
    demand_few_rejects(step, transaction.mark.read, tally, reasons)
    tally = replace(tally, archived=archive(archiving, batch, tally, transaction))
    if isinstance(step.target.write, Snapshot | Sweep) and not tally.gap:
        tally = _meet(step, batch, resolved, tally, transaction)
    if not tally.ended:
        return tally
    tally = judged(step, batch, tally, transaction)
    return replace(tally, counts=tally.counts + transaction.finish(step.target, tally.gap))


def load_rows(step: Step, batch: Batch, transaction: Transaction) -> Tally:
    """Write one batch of records that no read is of, such as those that waited."""
    return _load(step, batch, resolve(step, batch, transaction.known), transaction)


def _meet(
    step: Step, batch: Batch, resolved: Resolved, tally: Tally, transaction: Transaction
) -> Tally:
    """Have the store remember which records came; the tally says where it can't know."""
    keys, gap = met_keys(step, batch, resolved)
    asked = dict.fromkeys(batch.asked, False) if gap else batch.asked
    transaction.meet(step.target, keys, asked)
    return tally if step.target.per is not None else replace(tally, gap=gap)


def _load(step: Step, batch: Batch, resolved: Resolved, transaction: Transaction) -> Tally:
    """Write a batch's rows; the tally says where each of its records went.

    Which of several records with one key is kept is decided after the lookups,
    so that it does not depend on where one batch ends and the next begins.
    """
    rows = dedupe(resolved.rows, step.target)
    stubbed = sum(transaction.stub(parent, keys) for parent, keys in resolved.stubs)
    written = transaction.write(step.target, rows, older_than=batch.older_than)
    kept = rows.join(written.refused.select(PAGE, INDEX), on=[PAGE, INDEX], how="anti")
    held = _hold_back(step, kept, resolved, transaction)
    for stream in step.deletes_from:
        transaction.settle(stream, kept[KEY])
    rejects = pl.concat([batch.rejects, resolved.rejects, _refused(written.refused, batch.raw)])
    notes = batch.notes.join(resolved.waiting.select("key"), on="key", how="anti", nulls_equal=True)
    pages = by_page(
        batch.read,
        [
            written.outcomes.select(pl.col(PAGE).alias("page"), OUTCOME),
            told(_dropped(resolved.rows, rows), "duplicate"),
            told(held.repeated, "duplicate"),
            told(held.waiting, "deferred"),
            told(rejects["page"], "rejected"),
            told(notes["page"], "noted"),
        ],
    )
    counts = total(pages)
    # What an earlier batch held back, and what is made beside the records, belongs to no page.
    counts = replace(
        counts, duplicate=counts.duplicate + held.superseded,
        deferred=counts.deferred - held.superseded, stubbed=stubbed, deleted=written.deleted,
    )  # fmt: skip
    return Tally(
        counts=counts,
        by_page=pages,
        rejects=rejects,
        notes=notes,
        pages=batch.pages,
        position=batch.position,
        ended=batch.position is None,
        cursor=batch.cursor,
        keys=resolved.keys,
        gap=batch.gap,
        taken=_taken(resolved, rows, written),
        versioned=step.target.version is not None,
    )


def _taken(resolved: Resolved, rows: pl.DataFrame, written: Written) -> pl.DataFrame:
    """Return the records that were written, those that lost to one of them, and those that wait."""
    place = (pl.col(PAGE).alias("page"), pl.col(AT).alias("at"), pl.col(KEY).alias("key"))
    taken = rows.join(written.outcomes, on=[PAGE, INDEX], how="inner").select(*place, OUTCOME)
    lost = resolved.rows.join(rows, on=[PAGE, INDEX], how="anti")
    waiting = resolved.waiting.select("key", pl.lit("deferred").alias(OUTCOME))
    beaten = lost.select(*place, pl.lit("superseded").alias(OUTCOME))
    return pl.concat([taken, beaten, waiting], how="diagonal")


def _dropped(rows: pl.DataFrame, kept: pl.DataFrame) -> pl.Series:
    """Return the pages of the rows that are not among those kept."""
    if len(rows) == len(kept):
        return rows[PAGE].clear()
    return rows.join(kept, on=[PAGE, INDEX], how="anti")[PAGE]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What became of the records that wait for a parent.

    `waiting` holds the pages of those that wait from now on; `repeated` of those that need not:
    this run held them back already, or the batch has a later record of theirs. `superseded`
    counts those that earlier batches of this run held back, and that wait no more.
    """

    waiting: pl.Series
    repeated: pl.Series
    superseded: int = 0


def _hold_back(
    step: Step, kept: pl.DataFrame, resolved: Resolved, transaction: Transaction
) -> Held:
    """Keep what waits for a parent; drop what a row just written supersedes.

    Where versions decide, nothing is dropped here: which record is newest shows when
    those that wait are tried again. In a log, none supersedes another.
    """
    waiting, superseded = resolved.waiting, 0
    if not waits(step):
        return Held(waiting=waiting["page"], repeated=waiting["page"])
    if step.target.version is None and not isinstance(step.target.write, Append):
        superseded = transaction.settle(step.name, kept[KEY])
        waiting = _without_earlier(waiting, kept)
    again = transaction.defer(step.name, waiting)
    left = waiting.filter(~again)
    repeated = resolved.waiting.join(left, on=["page", "index"], how="anti")
    return Held(waiting=left["page"], repeated=repeated["page"], superseded=superseded)


def _without_earlier(waiting: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Return what waits without the records that were read before a kept row of theirs."""
    later = kept.select(pl.col(KEY).alias("key"), PAGE, INDEX)
    told = waiting.join(later, on="key", how="left", maintain_order="left")
    before = (pl.col("page") < pl.col(PAGE)) | (
        (pl.col("page") == pl.col(PAGE)) & (pl.col("index") < pl.col(INDEX))
    )
    return told.filter(~before.fill_null(value=False)).select(waiting.columns)


def _refused(refused: pl.DataFrame, raw: Callable[[int, int], str]) -> pl.DataFrame:
    """Return rows that the database refused as rejects, with their raw records."""
    rows = [
        (row[PAGE], row[AT], row[KEY], row["reasons"], cut_raw(raw(row[PAGE], row[INDEX])))
        for row in refused.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")
