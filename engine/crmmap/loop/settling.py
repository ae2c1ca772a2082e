"""Records that waited, tried again within a transaction, and the account of it."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from crmmap.load import Mark, Tally
from crmmap.loop.commit import Loaded, keeps_versions
from crmmap.loop.tallying import by_page, total
from crmmap.loop.work import Work
from crmmap.plan import Step
from crmmap.transform import apply
from crmmap.values import NOTHING, Batch


def batch_of(work: Work, step: Step, some: pl.DataFrame) -> Batch:
    """Return records that wait, as the store gives them, as a batch of one page."""
    return apply(step, [work.reader.parse(step, some["raw"].to_list())])


def mark_of(work: Work, step: Step) -> Mark:
    """Return how far the stream is; where its reading goes on stays as it is."""
    mapping, run_id = work.plan.mapping, work.options.run_id
    if step.name in work.begun:
        mark = work.store.mark(mapping=mapping, stream=step.name, run_id=run_id)
        return replace(mark, apart=True)
    mark = work.store.begin_stream(
        mapping=mapping, stream=step.name, run_id=run_id, fingerprint=step.fingerprint, apart=True
    )
    work.begun.add(step.name)
    return mark


def tally_of(batch: Batch, loaded: Loaded, settled: int) -> Tally:
    """Return the account of a batch of which so many wait no longer.

    Nothing was fetched, so what settles is taken off `deferred`. It resolves no reject: it did when
    it was held back, and one since then is of a newer record.
    """
    counts = total(by_page(batch.read, loaded.outcomes)) + loaded.tally.counts
    return replace(
        loaded.tally, counts=replace(counts, fetched=0, deferred=-settled), pages=0,
        taken=loaded.tally.taken.clear(), rejects=unplaced(loaded.tally.rejects),
        notes=unplaced(loaded.tally.notes),
    )  # fmt: skip


def nothing(step: Step) -> Tally:
    """Return the account of no records of a stream that has been read."""
    return Tally(
        counts=NOTHING, ended=True, versioned=step.target.version is not None,
        keeping=keeps_versions(step),
    )  # fmt: skip


def unplaced(told: pl.DataFrame) -> pl.DataFrame:
    """Return rejects or notes without the pages on which the records once stood: nobody knows."""
    nowhere = pl.lit(None, dtype=pl.UInt32)
    return told.with_columns(nowhere.alias("page"), nowhere.alias("at"))
