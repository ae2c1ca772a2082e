"""Rows that wait for a parent: tried again at the end of the run, round after round."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

import polars as pl

from crmmap.errors import CrmmapError
from crmmap.events import StreamReport
from crmmap.load import Tally, Transaction
from crmmap.loop.commit import load_rows
from crmmap.loop.work import Work, by_field, by_rule, waits
from crmmap.plan import Step
from crmmap.transform import apply
from crmmap.values import Batch


def settle_waiting(work: Work, reports: list[StreamReport]) -> tuple[StreamReport, ...]:
    """Try the waiting rows again until a round settles none; return the reports with the result."""
    by_name = {report.stream: report for report in reports}
    steps = [step for step in work.steps if waits(step) and by_name[step.name].status == "done"]
    settled = True
    while settled and not work.stop.is_set():
        settled = False
        for step in steps:
            report, any_settled = _round(work, step, by_name[step.name])
            by_name[step.name] = report
            settled = settled or any_settled
    return tuple(by_name[report.stream] for report in reports)


def _round(work: Work, step: Step, report: StreamReport) -> tuple[StreamReport, bool]:
    """Take the stream's waiting records through the plan again, a batch at a time.

    All versions of a record go together: trying one lets all of its key go.
    """
    try:
        raws = work.store.deferred(work.plan.mapping, step.name)
        keys = raws["key"].unique(maintain_order=True).to_list()
        before = waiting = len(raws)
        for start in range(0, len(keys), step.batch):
            chosen = pl.col("key").is_in(keys[start : start + step.batch])
            tally = _retry(work, step, raws.filter(chosen))
            report = _with(report, tally)
            waiting += tally.counts.deferred
    except CrmmapError as error:
        failed = replace(
            report, status="failed", message=str(error), error=error, exit_code=error.exit_code
        )
        return failed, False
    return replace(report, waiting=waiting), waiting < before


def _with(report: StreamReport, tally: Tally) -> StreamReport:
    reasons, notes = Counter(report.reasons), Counter(report.notes)
    reasons.update(by_rule(tally.rejects))
    notes.update(by_field(tally.notes))
    keys = Counter(report.keys)
    keys.update(tally.keys)
    return replace(
        report, counts=report.counts + tally.counts, batches=report.batches + 1,
        reasons=dict(reasons), notes=dict(notes), keys=dict(keys),
    )  # fmt: skip


def _retry(work: Work, step: Step, raws: pl.DataFrame) -> Tally:
    mark = work.store.mark(mapping=work.plan.mapping, stream=step.name, run_id=work.options.run_id)
    mark = replace(mark, apart=work.options.apart)
    batch = apply(step, [work.reader.parse(step, raws["raw"].to_list())])
    _, tally = work.store.commit(mark, partial(_reload, step, batch, raws["key"]))
    return tally


def _reload(step: Step, batch: Batch, keys: pl.Series, transaction: Transaction) -> Tally:
    """Write what no longer waits. Nothing was fetched, so what settles is taken off `deferred`.

    It resolves no reject: it did when it was held back, and one since then is of a newer record.
    """
    transaction.settle(step.name, keys)
    tally = load_rows(step, batch, transaction)
    counts = replace(tally.counts, fetched=0, deferred=tally.counts.deferred - batch.fetched)
    # The pages on which they once stood are not known any more.
    nowhere = pl.lit(None, dtype=pl.UInt32)
    unplaced = [nowhere.alias("page"), nowhere.alias("at")]
    return replace(
        tally, counts=counts, by_page=None, pages=0, position=None, ended=True,
        taken=tally.taken.clear(),
        rejects=tally.rejects.with_columns(unplaced), notes=tally.notes.with_columns(unplaced),
    )  # fmt: skip
