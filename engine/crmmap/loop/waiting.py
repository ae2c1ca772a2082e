"""Rows that wait for a parent: tried again at the end of the run, round after round.

Where a round settles nothing that others wait for, those are loaded that wait for each other; and
what then has waited for too long is rejected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from json import dumps

import polars as pl

from crmmap.errors import CrmmapError
from crmmap.events import StreamReport, Waits
from crmmap.failpoint import fail_at
from crmmap.load import Tally, Transaction, Waiting
from crmmap.loop.commit import write_rows
from crmmap.loop.rings import circular, load_rings
from crmmap.loop.settling import batch_of, mark_of, nothing, tally_of
from crmmap.loop.work import Work, by_field, by_rule, with_duplicates, with_keys
from crmmap.plan import LookupPlan, Step
from crmmap.values import FIELD, INDEX, REJECT_SCHEMA, Batch, Counts, Reason, cut_raw

NOT_READ = "not read; records that had waited for a parent were tried again"


def settle_waiting(work: Work, reports: Sequence[StreamReport]) -> tuple[StreamReport, ...]:
    """Try the waiting records again until a round settles none; return the reports with the result.

    Those of all streams are tried: also where nothing was to be read, and where only the parent
    was. The report of such a stream is added if something became of them.
    """
    due = held = _held(work)
    unread = {step.name: _not_read(step) for step in held}
    tried = _Tried({report.stream: report for report in reports})
    tried.reports |= {name: unread[name] for name in unread if name not in tried.reports}
    while due and not work.stop.is_set():
        changed: set[str] = set()
        for step in due:
            changed |= _round(work, step, tried)
        due = _led_to(changed, held) or _led_to(_rings(work, circular(held), tried), held)
    for step in () if work.stop.is_set() else _tried_all(work, held, tried.failing):
        _overdue(work, step, tried)
    waiting = _waiting(work)
    work.remarks += _unknown(work, waiting)
    told = {report.stream for report in reports}
    return tuple(
        _with_waits(work, report, waiting.get(report.stream, []))
        for report in tried.reports.values()
        if report.stream in told or report.batches or report.status == "failed"
    )


@dataclass(slots=True)
class _Tried:
    """The streams' reports by name, with what came of trying.

    `failing` are the tables of those of which not all that waits could be tried.
    """

    reports: dict[str, StreamReport]
    failing: set[str] = field(default_factory=set)

    def add(self, step: Step, tally: Tally) -> None:
        """Take in a batch that was committed."""
        self.reports[step.name] = _with(step, self.reports[step.name], tally)

    def fail(self, step: Step, error: CrmmapError) -> None:
        """Take in what kept a stream's records from being tried."""
        self.failing.add(step.target.table)
        self.reports[step.name] = replace(
            self.reports[step.name], status="failed", message=str(error), error=error,
            exit_code=error.exit_code,
        )  # fmt: skip


def _led_to(tables: Collection[str], steps: Sequence[Step]) -> list[Step]:
    """Return the steps with a lookup that leads to one of these tables."""
    return [step for step in steps if any(each.parent.table in tables for each in step.lookups)]


def _tried_all(work: Work, steps: Sequence[Step], failing: Collection[str]) -> Iterator[Step]:
    """Yield the steps that neither fill one of these tables nor lead there, however far.

    What the others lack may have come, or be about to.
    """
    reached = {*failing}
    while more := {step.target.table for step in _led_to(reached, steps)} - reached:
        reached |= more
    for step in steps:
        if step.target.table not in reached:
            yield step
        elif any(lookup.wait_for is not None for lookup in step.lookups):
            work.remarks.append(
                f"{step.name}: not all that waits could be tried, so nothing of it was rejected "
                "for having waited too long"
            )


def _held(work: Work) -> list[Step]:
    """Return the steps of which records wait."""
    waiting = _waiting(work)
    return [step for step in _steps(work) if step.name in waiting]


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


def _round(work: Work, step: Step, tried: _Tried) -> set[str]:
    """Take the stream's waiting records through the plan again, a batch at a time.

    Return the tables that have rows now which they had not.
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
            tried.add(step, tally)
            filled |= _filled(step, tally)
    except CrmmapError as error:
        tried.fail(step, error)
    return filled


def _filled(step: Step, tally: Tally) -> set[str]:
    counts = tally.counts
    own = {step.target.table} if counts.inserted or counts.updated else set[str]()
    stubbed = {each.parent.table for each in step.lookups if each.missing == "stub"}
    return own | (stubbed if counts.stubbed else set())


def _with(step: Step, report: StreamReport, tally: Tally) -> StreamReport:
    if not tally.counts.deferred:
        return report
    reasons, notes = Counter(report.reasons), Counter(report.notes)
    reasons.update(by_rule(tally.rejects))
    notes.update(by_field(tally.notes))
    return replace(
        report, counts=report.counts + tally.counts, batches=report.batches + 1,
        reasons=dict(reasons), notes=dict(notes), keys=with_keys(report.keys, tally.keys),
        duplicates=with_duplicates(report.duplicates, step.target, tally),
    )  # fmt: skip


def _retry(work: Work, step: Step, some: pl.DataFrame) -> Tally:
    batch = batch_of(work, step, some)
    mark = mark_of(work, step)
    fail_at("loop.before_retry")
    _, tally = work.store.commit(mark, partial(_reload, step, batch, some))
    fail_at("loop.after_retry")
    return tally


def _reload(step: Step, batch: Batch, some: pl.DataFrame, transaction: Transaction) -> Tally:
    """Write what no longer waits."""
    loaded = write_rows(step, batch, transaction)
    places = some.select("key", "digest", "field").with_row_index(INDEX)
    left = places.join(loaded.waiting, on=INDEX, how="inner", maintain_order="left")
    settled = places.join(left, on=INDEX, how="anti")
    transaction.settle(settled)
    transaction.wait_on(left.filter(pl.col(FIELD).ne_missing(pl.col("field"))))
    return tally_of(batch, loaded, len(settled))


# --- what waits for each other --------------------------------------------------------------------


def _rings(work: Work, steps: Sequence[Step], tried: _Tried) -> set[str]:
    """Load the records of these steps that lack nothing but each other.

    Return the tables that have rows now which they had not.
    """
    filled: set[str] = set()
    for step, came in load_rings(work, steps):
        if isinstance(came, CrmmapError):
            tried.fail(step, came)
        else:
            tried.add(step, came)
            filled |= _filled(step, came)
    return filled


# --- what has waited for too long -----------------------------------------------------------------


def _overdue(work: Work, step: Step, tried: _Tried) -> None:
    """Reject the records that have waited for too long for the parent of a lookup."""
    since = {each.field: each.since for each in _waiting(work).get(step.name, ())}
    try:
        for lookup in step.lookups:
            while lookup.wait_for is not None and lookup.field in since:
                mark = mark_of(work, step)
                begun = datetime.fromisoformat(mark.now) - timedelta(seconds=lookup.wait_for)
                if since[lookup.field] > begun:
                    break
                _, tally = work.store.commit(mark, partial(_give_up, step, lookup, begun))
                tried.add(step, tally)
                if tally.counts.rejected < step.batch:
                    break
    except CrmmapError as error:
        tried.fail(step, error)


def _give_up(step: Step, lookup: LookupPlan, begun: datetime, transaction: Transaction) -> Tally:
    """Reject a batch of the records that wait for the parent of a lookup, and did so by then."""
    some = transaction.overdue(lookup.field, begun, step.batch)
    transaction.settle(some)
    reasons = dumps([_reason(lookup).as_json()])
    rows = [
        (None, None, key, reasons, cut_raw(raw)) for key, raw in some.select("key", "raw").rows()
    ]
    return replace(
        nothing(step), counts=Counts(deferred=-len(rows), rejected=len(rows)),
        rejects=pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row"),
    )  # fmt: skip


def _reason(lookup: LookupPlan) -> Reason:
    message = f"no row of {lookup.stream} has come that has this value in {lookup.by}"
    return Reason(field=lookup.field, rule="lookup", message=message)
