"""Rows that wait for a parent: tried again at the end of the run, round after round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from json import dumps

import polars as pl

from crmmap.errors import CrmmapError
from crmmap.events import StreamReport, Waits
from crmmap.failpoint import fail_at
from crmmap.load import Mark, Tally, Transaction, Waiting
from crmmap.loop.commit import write_rows
from crmmap.loop.tallying import by_page, total
from crmmap.loop.work import Work, by_field, by_rule, with_keys
from crmmap.plan import LookupPlan, Step
from crmmap.transform import apply
from crmmap.values import AT, FIELD, INDEX, KEY, PAGE, RAW, REJECT_SCHEMA, Batch, Reason, cut_raw

NOT_READ = "not read; records that had waited for a parent were tried again"


def settle_waiting(work: Work, reports: Sequence[StreamReport]) -> tuple[StreamReport, ...]:
    """Try the waiting records again until a round settles none; return the reports with the result.

    Those of all streams are tried: also where nothing was to be read, and where only the parent
    was. The report of such a stream is added if something became of them.
    """
    by_name = {report.stream: report for report in reports}
    waiting = _waiting(work)
    due = [step for step in _steps(work) if step.name in waiting]
    while due and not work.stop.is_set():
        changed: set[str] = set()
        for step in due:
            report = by_name.get(step.name) or _not_read(step)
            by_name[step.name], filled = _round(work, step, report)
            changed |= filled
        due = [
            step for step in _steps(work)
            if step.name in waiting and any(each.parent.table in changed for each in step.lookups)
        ]  # fmt: skip
    waiting = _waiting(work)
    work.remarks += _unknown(work, waiting)
    told = {report.stream for report in reports}
    return tuple(
        _with_waits(work, report, waiting.get(report.stream, []))
        for report in by_name.values()
        if report.stream in told or report.batches or report.status == "failed"
    )


def _steps(work: Work) -> Iterator[Step]:
    """Yield the steps in their order; one whose fields were to be found, only if they are."""
    for step in work.plan.steps:
        if step.name in work.grown or step.finding is None:
            yield work.grown.get(step.name, step)


def _waiting(work: Work) -> dict[str, list[Waiting]]:
    found: dict[str, list[Waiting]] = {}
    for each in work.store.waiting(work.plan.mapping):
        found.setdefault(each.stream, []).append(each)
    return found


def _not_read(step: Step) -> StreamReport:
    return StreamReport(stream=step.name, table=step.target.table, status="done", message=NOT_READ)


def _with_waits(work: Work, report: StreamReport, found: Sequence[Waiting]) -> StreamReport:
    lookups = work.plan.step(report.stream).lookups
    parents = {lookup.field: lookup.stream for lookup in lookups}
    waits = tuple(
        Waits(
            field=each.field, parent=parents.get(each.field, ""), count=each.count,
            since=each.since.isoformat(),
        )
        for each in found
    )  # fmt: skip
    return replace(report, waiting=sum(each.count for each in waits), waits=waits)


def _unknown(work: Work, waiting: dict[str, list[Waiting]]) -> Iterator[str]:
    """Yield what waits of streams that the mapping no longer has."""
    for name in waiting.keys() - {step.name for step in work.plan.steps}:
        count = sum(each.count for each in waiting[name])
        yield (
            f"{count:,} records of '{name}' wait in crmmap_deferred, but the mapping has no such "
            f"stream any more. If it was renamed, write `was: {name}` at the one that it is now"
        )


# --- one stream -----------------------------------------------------------------------------------


def _round(work: Work, step: Step, report: StreamReport) -> tuple[StreamReport, set[str]]:
    """Take the stream's waiting records through the plan again, a batch at a time.

    Return its report, and the tables that have rows now which they had not.
    """
    filled: set[str] = set()
    place: tuple[str, str] | None = None
    try:
        while not work.stop.is_set():
            some = work.store.deferred(
                mapping=work.plan.mapping, stream=step.name, after=place, count=step.batch
            )
            if some.is_empty():
                break
            tally = _retry(work, step, some)
            place = some.select("key", "digest").row(-1)
            report = _with(report, tally)
            filled |= _filled(step, tally)
    except CrmmapError as error:
        failed = replace(
            report, status="failed", message=str(error), error=error, exit_code=error.exit_code
        )
        return failed, filled
    return report, filled


def _filled(step: Step, tally: Tally) -> set[str]:
    counts = tally.counts
    own = {step.target.table} if counts.inserted or counts.updated else set[str]()
    stubbed = {each.parent.table for each in step.lookups if each.missing == "stub"}
    return own | (stubbed if counts.stubbed else set())


def _with(report: StreamReport, tally: Tally) -> StreamReport:
    if not tally.counts.deferred:
        return report
    reasons, notes = Counter(report.reasons), Counter(report.notes)
    reasons.update(by_rule(tally.rejects))
    notes.update(by_field(tally.notes))
    return replace(
        report, counts=report.counts + tally.counts, batches=report.batches + 1,
        reasons=dict(reasons), notes=dict(notes), keys=with_keys(report.keys, tally.keys),
    )  # fmt: skip


def _retry(work: Work, step: Step, some: pl.DataFrame) -> Tally:
    batch = apply(step, [work.reader.parse(step, some["raw"].to_list())])
    mark = _mark(work, step)
    fail_at("loop.before_retry")
    _, tally = work.store.commit(mark, partial(_reload, step, batch, some))
    fail_at("loop.after_retry")
    return tally


def _mark(work: Work, step: Step) -> Mark:
    """Return how far the stream is; where its reading goes on stays as it is."""
    mapping, run_id = work.plan.mapping, work.options.run_id
    if step.name in work.begun:
        mark = work.store.mark(mapping=mapping, stream=step.name, run_id=run_id)
        return replace(mark, apart=True)
    work.begun.add(step.name)
    return work.store.begin_stream(
        mapping=mapping, stream=step.name, run_id=run_id, fingerprint=step.fingerprint, apart=True
    )


def _reload(step: Step, batch: Batch, some: pl.DataFrame, transaction: Transaction) -> Tally:
    """Write what no longer waits. Nothing was fetched, so what settles is taken off `deferred`.

    It resolves no reject: it did when it was held back, and one since then is of a newer record.
    """
    loaded = write_rows(step, batch, transaction)
    places = some.select("key", "digest", "field", "since").with_row_index(INDEX)
    still = places.join(loaded.waiting, on=INDEX, how="inner", maintain_order="left")
    overdue = pl.concat(
        [_overdue(each, still, transaction) for each in step.lookups] or [still.clear()]
    )
    left = still.join(overdue, on=INDEX, how="anti")
    settled = places.join(left, on=INDEX, how="anti")
    transaction.settle(settled)
    transaction.wait_on(left.filter(pl.col(FIELD).ne_missing(pl.col("field"))))
    rejects = pl.concat([loaded.tally.rejects, _rejects(step, overdue)])
    counts = total(by_page(batch.read, loaded.outcomes)) + loaded.tally.counts
    counts = replace(counts, fetched=0, deferred=-len(settled), rejected=len(rejects))
    # The pages on which they once stood are not known any more.
    nowhere = pl.lit(None, dtype=pl.UInt32)
    unplaced = [nowhere.alias("page"), nowhere.alias("at")]
    return replace(
        loaded.tally, counts=counts, pages=0, taken=loaded.tally.taken.clear(),
        rejects=rejects.with_columns(unplaced),
        notes=loaded.tally.notes.with_columns(unplaced),
    )  # fmt: skip


def _overdue(lookup: LookupPlan, still: pl.DataFrame, transaction: Transaction) -> pl.DataFrame:
    """Return the records that have waited for too long for the parent of a lookup."""
    if lookup.wait_for is None:
        return still.clear()
    begun = transaction.now - timedelta(seconds=lookup.wait_for)
    return still.filter(pl.col(FIELD) == lookup.field, pl.col("since") <= begun)


def _rejects(step: Step, overdue: pl.DataFrame) -> pl.DataFrame:
    reasons = {each.field: dumps([_reason(each).as_json()]) for each in step.lookups}
    rows = [
        (page, at, key, reasons[field], cut_raw(raw))
        for page, at, key, field, raw in overdue.select(PAGE, AT, KEY, FIELD, RAW).iter_rows()
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")


def _reason(lookup: LookupPlan) -> Reason:
    message = f"no row of {lookup.stream} has come that has this value in {lookup.by}"
    return Reason(field=lookup.field, rule="lookup", message=message)
