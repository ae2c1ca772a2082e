"""The loop: for each stream, for each page, make a batch, load it, remember the position.

asyncio outside, threads inside: streams run side by side as their lookups
allow; within one, pages are fetched ahead of the batch that is being made, and
batches are made ahead of the one that is being written, through bounded
channels, so that memory does not grow with the source.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

import polars as pl

from crmmap.channels import ahead, in_thread, threaded
from crmmap.errors import CrmmapError, ExitCode, Interrupted
from crmmap.events import Event, Observe, RunReport, StreamReport, StreamStatus
from crmmap.extract import Reader
from crmmap.load import Mark, Store, Tally, Transaction
from crmmap.plan import Plan, Step
from crmmap.transform import Resolved, apply, resolve
from crmmap.values import AT, INDEX, KEY, NOTHING, PAGE, REJECT_SCHEMA, Batch, Counts, Page, cut_raw

HEARTBEAT = 20.0
"""Seconds between two renewals of the lock; a third of its lease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What one run is asked to do.

    `streams` are the ones to run (all by default); `fresh` reads from the start
    even where an interrupted run could be resumed; `limit` is the most records
    to read per stream.
    """

    run_id: str
    owner: str
    started_at: str
    streams: tuple[str, ...] = ()
    fresh: bool = False
    limit: int | None = None
    dry_run: bool = False


def run(
    plan: Plan,
    store: Store,
    reader: Reader,
    *,
    options: Options,
    stop: threading.Event,
    observe: Observe = lambda _: None,
) -> RunReport:
    """Run a plan into a store and report. A stream that fails does not end its siblings.

    Setting `stop` finishes the batch in flight, commits it, and reports the run
    as interrupted. Raises StoreError where the store can't take the plan's
    tables, and StoreLocked where another run of the mapping is under way.
    """
    return asyncio.run(_run(_Run(plan, store, reader, options, stop, observe)))


@dataclass(slots=True)
class _Run:
    """What the streams of one run share."""

    plan: Plan
    store: Store
    reader: Reader
    options: Options
    stop: threading.Event
    observe: Observe
    reports: dict[str, asyncio.Future[StreamReport]] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        chosen = self.options.streams
        return tuple(step for step in self.plan.steps if not chosen or step.name in chosen)


async def _run(work: _Run) -> RunReport:
    began = monotonic()
    loop = asyncio.get_running_loop()
    # Each stream may hold a thread for its fetch and one for its batch.
    loop.set_default_executor(ThreadPoolExecutor(2 * len(work.steps) + 2))
    await in_thread(_begin, work)
    status = "failed"
    try:
        work.reports = {step.name: loop.create_future() for step in work.steps}
        heart = asyncio.create_task(_beat(work))
        async with asyncio.TaskGroup() as group:
            for step in work.steps:
                group.create_task(_stream(work, step))
        heart.cancel()
        done = [report.result() for report in work.reports.values()]
        streams = await in_thread(_settle_waiting, work, done)
        report = _report(work, streams, monotonic() - began)
        status = report.status
        return report
    finally:
        await in_thread(partial(work.store.end_run, work.options.run_id, status=status))


def _begin(work: _Run) -> None:
    work.store.prepare([step.target for step in work.plan.steps])
    work.store.begin_run(
        mapping=work.plan.mapping, run_id=work.options.run_id, owner=work.options.owner
    )


async def _beat(work: _Run) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        await in_thread(work.store.heartbeat, work.options.run_id)


def _report(work: _Run, streams: tuple[StreamReport, ...], seconds: float) -> RunReport:
    return RunReport(
        run_id=work.options.run_id,
        mapping=work.plan.mapping,
        title=work.plan.title,
        store=work.store.name,
        started_at=work.options.started_at,
        seconds=seconds,
        streams=streams,
        dry_run=work.options.dry_run,
    )


# --- one stream ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Progress:
    """How far a stream has come; owned by the one task that runs it."""

    step: Step
    began: float
    mark: Mark | None = None
    counts: Counts = NOTHING
    pages: int = 0
    batches: int = 0
    ended: bool = False
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def report(
        self, status: StreamStatus, message: str = "", code: ExitCode = ExitCode.OK
    ) -> StreamReport:
        return StreamReport(
            stream=self.step.name,
            table=self.step.target.table,
            status=status,
            counts=self.counts,
            pages=self.pages,
            batches=self.batches,
            seconds=monotonic() - self.began,
            message=message,
            resumed=self.mark is not None and self.mark.resumed,
            exit_code=code,
            reasons=dict(self.reasons),
            notes=dict(self.notes),
        )


async def _stream(work: _Run, step: Step) -> None:
    """Run one stream once its parents have ended, and publish its report whatever happens."""
    idle = await _why_not(work, step)
    progress = _Progress(step=step, began=monotonic())
    if idle is not None:
        report = progress.report(*idle)
    else:
        work.observe(Event(kind="begin", stream=step.name))
        report = await _outcome(work, step, progress)
    work.observe(Event(kind="end", stream=step.name, counts=report.counts, message=report.message))
    work.reports[step.name].set_result(report)


async def _why_not(work: _Run, step: Step) -> tuple[StreamStatus, str, ExitCode] | None:
    """Return status, reason and code of a stream that can't run: no file, or a parent failed."""
    for parent in step.parents:
        if parent in work.reports:
            status = (await work.reports[parent]).status
            if status == "interrupted":
                return "interrupted", f"not begun: {parent} was interrupted", ExitCode.OK
            if status == "failed":
                return "skipped", f"its parent {parent} failed", ExitCode.STREAM_FAILED
    absent = work.reader.absent(step)
    if absent is not None:
        return "skipped", absent, ExitCode.OK
    if work.stop.is_set():
        return "interrupted", "not begun", ExitCode.OK
    return None


async def _outcome(work: _Run, step: Step, progress: _Progress) -> StreamReport:
    try:
        await _load_all(work, step, progress)
    except Interrupted:
        return progress.report("interrupted", "run it again to go on from here")
    except CrmmapError as error:
        return progress.report("failed", str(error), error.exit_code)
    if progress.ended:
        return progress.report("done")
    return progress.report("interrupted", "run it again to go on from here")


async def _load_all(work: _Run, step: Step, progress: _Progress) -> None:
    begin = partial(
        work.store.begin_stream,
        mapping=work.plan.mapping,
        run_id=work.options.run_id,
        stream=step.name,
        fingerprint=step.fingerprint,
        fresh=work.options.fresh or work.options.limit is not None,
    )
    progress.mark = mark = await in_thread(begin)
    # Closed here and now, whatever happens: nobody must go on reading for a stream that failed.
    async with (
        aclosing(ahead(_pages(work, step, mark.position), depth=2)) as pages,
        aclosing(ahead(_batches(step, pages), depth=1)) as batches,
    ):
        async for batch in batches:
            mark, tally = await in_thread(work.store.commit, mark, partial(_load, step, batch))
            _note(progress, mark, batch, tally)
            work.observe(
                Event(kind="batch", stream=step.name, counts=progress.counts, pages=progress.pages)
            )


def _note(progress: _Progress, mark: Mark, batch: Batch, tally: Tally) -> None:
    progress.mark = mark
    progress.counts += tally.counts
    progress.pages += batch.pages
    progress.batches += 1
    progress.ended = tally.ended
    progress.reasons.update(_by_rule(tally.rejects))
    progress.notes.update(
        f"{field}: {rule}" for field, rule in tally.notes.select("field", "rule").iter_rows()
    )


def _by_rule(rejects: pl.DataFrame) -> Iterator[str]:
    for text in rejects["reasons"]:
        for reason in json.loads(text):
            yield f"{reason['field']}: {reason['rule']}" if reason["field"] else reason["rule"]


async def _pages(work: _Run, step: Step, position: str | None) -> AsyncGenerator[Page]:
    """Read pages until the source, the limit or the user ends it."""
    left = work.options.limit
    async for page in threaded(work.reader.pages(step, position)):
        share = work.reader.share(step, page)
        work.observe(
            Event(
                kind="page",
                stream=step.name,
                pages=page.number,
                share=share,
                counts=Counts(fetched=page.fetched),
            )
        )
        if left is not None and page.fetched >= left:
            yield _cut(page, left)
            return
        yield page
        left = None if left is None else left - page.fetched
        if work.stop.is_set():
            return


def _cut(page: Page, left: int) -> Page:
    """Return the page with its first `left` records, as the last page of a limited run."""
    kept = page.records[:left]
    refused = page.refused[: left - len(kept)]
    return replace(
        page,
        records=kept,
        refused=refused,
        position=None,
        lines=None if page.lines is None else page.lines[:left],
    )


async def _batches(step: Step, pages: AsyncIterator[Page]) -> AsyncGenerator[Batch]:
    """Gather pages until there are enough records for a batch; what was read is never dropped."""
    gathered: list[Page] = []
    trouble: CrmmapError | None = None
    try:
        async for page in pages:
            gathered.append(page)
            if sum(each.fetched for each in gathered) >= step.batch:
                yield await in_thread(apply, step, gathered)
                gathered = []
    except CrmmapError as error:
        trouble = error
    if gathered:
        yield await in_thread(apply, step, gathered)
    if trouble is not None:
        raise trouble


def _load(step: Step, batch: Batch, transaction: Transaction) -> Tally:
    """Write one batch within a transaction; say where each of its records went."""
    resolved = resolve(step, batch, transaction.known)
    stubbed = sum(transaction.stub(parent, keys) for parent, keys in resolved.stubs)
    written = transaction.upsert(step.target, resolved.rows)
    waiting = _wait(step, resolved, transaction)
    refused = _refused(written.refused, batch.raw)
    rejects = pl.concat([batch.rejects, resolved.rejects, refused])
    counts = replace(
        written.counts,
        fetched=batch.fetched,
        duplicate=written.counts.duplicate + batch.duplicate + waiting.superseded,
        unchanged=written.counts.unchanged + waiting.again,
        filtered=batch.filtered,
        deferred=waiting.fresh - waiting.superseded,
        rejected=len(rejects),
        noted=len(batch.notes),
        stubbed=stubbed,
    )
    return Tally(
        counts=counts,
        rejects=rejects,
        notes=batch.notes,
        pages=batch.pages,
        position=batch.position,
        ended=batch.position is None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """Of a batch: how many records wait that did not, that did already, and that do no longer."""

    fresh: int = 0
    again: int = 0
    superseded: int = 0


def _wait(step: Step, resolved: Resolved, transaction: Transaction) -> _Waiting:
    """Keep what waits for a parent; drop what a later record of the same key supersedes.

    Where versions decide, nothing is dropped here: which record is newest shows when
    those that wait are tried again.
    """
    if not any(lookup.missing == "wait" for lookup in step.lookups):
        return _Waiting()
    superseded = 0
    if step.target.version is None:
        superseded = transaction.settle(step.name, resolved.rows[KEY])
    fresh = transaction.defer(step.name, resolved.waiting)
    return _Waiting(fresh=fresh, again=len(resolved.waiting) - fresh, superseded=superseded)


def _refused(refused: pl.DataFrame, raw: Callable[[int, int], str]) -> pl.DataFrame:
    """Return rows that the database refused as rejects, with their raw records."""
    rows = [
        (row[PAGE], row[AT], row[KEY], row["reasons"], cut_raw(raw(row[PAGE], row[INDEX])))
        for row in refused.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")


# --- rows that wait for a parent ----------------------------------------------------------------


def _settle_waiting(work: _Run, reports: list[StreamReport]) -> tuple[StreamReport, ...]:
    """Try the waiting rows again, round after round, until a round settles none."""
    by_name = {report.stream: report for report in reports}
    waiting = [
        step for step in work.steps
        if any(lookup.missing == "wait" for lookup in step.lookups)
        and by_name[step.name].status == "done"
    ]  # fmt: skip
    settled = True
    while settled and waiting:
        settled = False
        for step in waiting:
            tally = _retry(work, step)
            if tally is not None:
                by_name[step.name] = _with(by_name[step.name], tally)
                settled = settled or tally.counts.deferred < 0
    return tuple(by_name[report.stream] for report in reports)


def _with(report: StreamReport, tally: Tally) -> StreamReport:
    reasons = Counter(report.reasons)
    reasons.update(_by_rule(tally.rejects))
    return replace(
        report, counts=report.counts + tally.counts, batches=report.batches + 1,
        reasons=dict(reasons),
    )  # fmt: skip


def _retry(work: _Run, step: Step) -> Tally | None:
    """Take the stream's waiting records through the plan again; None if there are none."""
    raws = work.store.deferred(work.plan.mapping, step.name)
    if raws.is_empty():
        return None
    mark = work.store.mark(mapping=work.plan.mapping, stream=step.name, run_id=work.options.run_id)
    batch = apply(step, [work.reader.parse(step, raws["raw"].to_list())])
    _, tally = work.store.commit(mark, partial(_reload, step, batch, raws["key"]))
    return tally


def _reload(step: Step, batch: Batch, keys: pl.Series, transaction: Transaction) -> Tally:
    """Write what no longer waits. Nothing was fetched, so what settles is taken off `deferred`."""
    transaction.settle(step.name, keys)
    tally = _load(step, batch, transaction)
    counts = replace(tally.counts, fetched=0, deferred=tally.counts.deferred - batch.fetched)
    return replace(tally, counts=counts, position=None, ended=True)
