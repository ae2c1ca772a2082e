"""One stream: pages are fetched ahead of the batch being made, batches ahead of the one written.

The channels between are bounded, so that memory does not grow with the source.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from time import monotonic

from crmmap.channels import ahead, in_thread, in_thread_of, threaded
from crmmap.errors import CrmmapError, ExitCode, Interrupted, PolicyError, Throttled
from crmmap.events import Event, StreamReport, StreamStatus
from crmmap.failpoint import fail_at
from crmmap.load import OUTCOME, Mark, Tally
from crmmap.loop.archive import archiving_of
from crmmap.loop.commit import load
from crmmap.loop.completeness import asks_for_all, gap_of
from crmmap.loop.cursors import Cursors, cursors_of, keeps_cursors, parents_of
from crmmap.loop.work import Work, by_field, by_rule, with_duplicates, with_keys
from crmmap.plan import Step, grown, unknown_types
from crmmap.select.compiled import CompiledSelector
from crmmap.select.jmespath import JmespathSelector
from crmmap.transform import apply
from crmmap.values import NOTHING, Archived, Batch, Counts, Page, Start

GO_ON = "run it again to go on from here"
AT_ONCE = 0.02
"""Seconds within which pages that come are handed on together."""


@dataclass(slots=True)
class Progress:
    """How far a stream has come; owned by the one task that runs it."""

    step: Step
    began: float = field(default_factory=monotonic)
    mark: Mark | None = None
    read: int = 0
    """Records of the pages that were read."""
    counts: Counts = NOTHING
    pages: int = 0
    batches: int = 0
    ended: bool = False
    resumed: bool = False
    fit_before: bool = False
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    keys: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    retried: Counter[str] = field(default_factory=Counter)
    archived: Archived = Archived()
    broken: tuple[str, ...] = ()
    paths: Counter[str] = field(default_factory=Counter)
    duplicates: Mapping[str, int] = field(default_factory=dict)

    def add(self, mark: Mark, tally: Tally, paths: Mapping[str, int]) -> None:
        """Take in a batch that was committed."""
        self.mark = mark
        self.counts += tally.counts
        self.pages += tally.pages
        self.batches += 1
        self.ended = tally.ended
        self.reasons.update(by_rule(tally.rejects))
        self.notes.update(by_field(tally.notes))
        self.keys = with_keys(self.keys, tally.keys)
        self.broken += tally.broken
        if tally.retried is not None:
            self.retried.update(tally.retried[OUTCOME].to_list())
        self.archived += tally.archived
        self.paths.update(paths)
        self.duplicates = with_duplicates(self.duplicates, self.step.target, tally)

    def report(
        self, status: StreamStatus, message: str = "", error: BaseException | None = None
    ) -> StreamReport:
        code = error.exit_code if isinstance(error, CrmmapError) else ExitCode.STREAM_FAILED
        return StreamReport(
            stream=self.step.name,
            table=self.step.target.table,
            status=status,
            counts=self.counts,
            pages=self.pages,
            batches=self.batches,
            seconds=monotonic() - self.began,
            message=message,
            resumed=self.resumed,
            fit_before=self.fit_before,
            exit_code=ExitCode.OK if error is None else code,
            error=error,
            reasons=dict(self.reasons),
            notes=dict(self.notes),
            keys=self.keys,
            retried=dict(self.retried),
            gap=self._gap(),
            archived=self.archived,
            broken=self.broken,
            paths=dict(self.paths),
            duplicates=self.duplicates,
        )

    def _gap(self) -> str:
        """Return why nothing could vanish or be replaced, of a read that came to its end."""
        if self.mark is None or not self.ended or self.mark.apart:
            return ""
        target = self.step.target
        matters = target.vanishing or target.next is not None
        return self.mark.read.gap if matters else ""


async def run_stream(work: Work, step: Step) -> None:
    """Run one stream once its parents have ended, and publish its report whatever happens."""
    progress = Progress(step=step)
    report = await _why_not(work, progress)
    if report is None:
        progress.began = monotonic()
        work.tell(Event(kind="begin", stream=step.name))
        report = _with_troubles(work, step, await _outcome(work, progress))
    work.tell(Event(kind="end", stream=step.name, counts=report.counts, message=report.message))
    work.reports[step.name].set_result(report)


def _with_troubles(work: Work, step: Step, report: StreamReport) -> StreamReport:
    met = work.reader.troubles(step)
    work.remarks += (met.remark,) if met.remark else ()
    return replace(
        report, retries=met.retries, waited=met.waited, skips=met.skips, unread=met.unread
    )


async def _why_not(work: Work, progress: Progress) -> StreamReport | None:
    """Return the report of a stream that can't run: not there, stopped, or a parent failed."""
    step = progress.step
    for parent in step.parents:
        if parent not in work.reports:
            continue
        report = await work.reports[parent]
        if report.status == "interrupted":
            return progress.report("interrupted", f"not begun: {parent} was interrupted")
        if report.status == "paused":
            cause = Throttled(f"not begun: {parent} was paused")
            return progress.report("paused", str(cause), cause)
        if report.exit_code != ExitCode.OK:  # failed, or skipped because its own parent failed
            failure = CrmmapError(f"its parent {parent} failed")
            return progress.report("skipped", str(failure), failure)
    absent = work.reader.absent(step)
    if absent is not None:
        return progress.report("skipped", absent)
    return progress.report("interrupted", "not begun") if work.stop.is_set() else None


async def _outcome(work: Work, progress: Progress) -> StreamReport:
    try:
        await _load_all(work, progress)
        done = progress.ended
        report = progress.report("done") if done else progress.report("interrupted", GO_ON)
    except Interrupted:
        report = progress.report("interrupted", GO_ON)
    except Throttled as error:
        report = progress.report("paused", str(error), error)
    except CrmmapError as error:
        report = progress.report("failed", str(error), error)
    except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (a fault of ours, or a panic of polars', which
        # is no `Exception`: it must cost this stream, not its siblings and their reports)
        message = f"failed unexpectedly ({type(error).__name__}); this is a fault of crmmap"
        report = progress.report("failed", message, error)
    if progress.mark is not None and report.status != "done":
        with suppress(CrmmapError):  # cosmetic: what matters was committed with the batches
            await in_thread(
                partial(
                    work.store.end_stream, run_id=work.options.run_id,
                    stream=progress.step.name, status=report.status,
                )
            )  # fmt: skip
    return report


async def _load_all(work: Work, progress: Progress) -> None:
    progress.step = step = _demanded(work, await _grown(work, progress.step))
    begin = partial(
        work.store.begin_stream,
        mapping=work.plan.mapping,
        run_id=work.options.run_id,
        stream=step.name,
        fingerprint=step.fingerprint,
        was=step.was,
        fresh=work.options.fresh or work.options.limit is not None,
        apart=work.options.apart,
    )
    progress.mark = mark = await in_thread(begin)
    progress.fit_before = mark.resumed and mark.read.rejected < mark.read.fetched
    work.begun.add(step.name)
    cursors = cursors_of(step, mark, fresh=work.options.fresh)
    if step.pages_of is not None and mark.position is None:
        cursors = replace(cursors, seen=work.reached.get(step.pages_of, {}))
    gap, whole = gap_of(work, step, cursors), asks_for_all(work, step, cursors, mark)
    archiving = archiving_of(work, step)
    start = cursors.start(mark, parents_of(work, step, cursors), work.store.distinct)
    if work.options.fresh:
        start = replace(start, state=None)
    # Closed here and now, whatever happens: nobody must go on reading for a stream that failed.
    pages = ahead(_pages(work, progress, start), room=step.batch, weigh=attrgetter("weight"))
    async with aclosing(pages), aclosing(_batches_for(work, step, pages)) as batches:
        async for batch in batches:
            if not work.options.apart:
                cursors = cursors.with_seen(step, batch)
            batch = replace(batch, gap=gap or batch.gap, whole=whole)  # noqa: PLW2901  (as the read has it)
            _demand_all(progress, batch)
            with_cursor = _with_cursor(work, step, batch, cursors)
            write = partial(load, step, with_cursor, archiving, reasons=progress.reasons)
            commit = partial(work.store.commit, mark, write)
            mark, tally = await in_thread_of(work.threads.writing, commit)
            paths = _paths(step, batch)
            del batch, with_cursor, write, commit  # its pages, while the next is waited for
            progress.add(mark, tally, paths)
            if progress.ended and keeps_cursors(step) and work.options.limit is None:
                work.reached[step.name] = cursors.reached(step)
            work.tell(
                Event(kind="batch", stream=step.name, counts=progress.counts, pages=progress.pages)
            )


def _paths(step: Step, batch: Batch) -> Mapping[str, int]:
    """Return how many records of a batch were read which way, where there are several ways."""
    if not isinstance(step.selector, CompiledSelector | JmespathSelector):
        return {}
    return {"compiled": batch.compiled, "exact": batch.fetched - batch.compiled}


def _demanded(work: Work, step: Step) -> Step:
    """Return the step with what this run demands of its records as a whole."""
    options = work.options
    return replace(
        step, max_rejects=options.max_rejects or step.max_rejects,
        expectation=step.expectation if options.expecting and options.limit is None else None,
    )  # fmt: skip


def _demand_all(progress: Progress, batch: Batch) -> None:
    """Raise PolicyError where a stream is to end, and not all that was read is accounted for."""
    accounted = progress.counts.fetched + batch.fetched
    if batch.position is None and accounted != progress.read:
        message = (
            f"{progress.read} records were read, but {accounted} are accounted for; the last batch "
            "was not written. This is a bug of crmmap"
        )
        raise PolicyError(message)


async def _grown(work: Work, step: Step) -> Step:
    """Return the step with the fields that the source lists, and its table with their columns."""
    if (shared := work.grown.get(step.pages_of or "")) is not None:
        # It asks just as the other did, whose answers are kept: for what was found, too.
        step = replace(step, selected=shared.selected)
    if step.finding is None:
        return step
    found = work.found[step.name] = await in_thread(work.reader.fields, step)
    step = work.grown[step.name] = await in_thread(grown, step, found)
    added = await in_thread(work.store.prepare, [step.target])
    # A table that this run has made itself got them with its first columns, to all but us.
    work.remarks += () if step.target.table in work.store.made else added
    work.remarks += unknown_types(step, found)
    return step


def _with_cursor(work: Work, step: Step, batch: Batch, cursors: Cursors) -> Batch:
    """Return the batch with the cursors that are to be kept with it, if the stream has any."""
    # A limited read has not seen all that its cursor would pass.
    if not keeps_cursors(step) or work.options.limit is not None or work.options.apart:
        return batch
    return replace(batch, cursor=cursors.text(step, ended=batch.position is None))


async def _pages(work: Work, progress: Progress, start: Start) -> AsyncGenerator[Page]:
    """Read pages until the source, the limit or the user ends it."""
    step, left = progress.step, work.options.limit
    within = AT_ONCE if left is None else 0  # a limited run asks for no page that it needs not
    pages = _until(work.stop, work.reader.pages(step, start))
    async for page in threaded(pages, within=within, threads=work.threads.reading):
        fail_at("loop.page_read")
        # A position that is worth nothing any more makes a reader start over, at page 1.
        progress.resumed = progress.resumed or (start.position is not None and page.number > 1)
        if page.mended:
            progress.notes["format: mended"] += page.mended
        work.tell(
            Event(
                kind="page", stream=step.name, pages=page.number,
                share=work.reader.share(step, page), counts=Counts(fetched=page.fetched),
            )
        )  # fmt: skip
        if left is not None and page.fetched >= left:
            page = _cut(page, left)  # noqa: PLW2901
            progress.read += page.fetched
            yield page
            return
        progress.read += page.fetched
        yield page
        left = None if left is None else left - page.fetched


def _until(stop: threading.Event, pages: Iterator[Page]) -> Iterator[Page]:
    """Yield pages until the user stops the run, who loses none that was read by then."""
    for page in pages:
        yield page
        if stop.is_set():
            return


def _cut(page: Page, left: int) -> Page:
    """Return the page with its first `left` records, as the last page of a limited run."""
    kept = page.records[:left]
    return replace(
        page,
        records=kept,
        refused=page.refused[: left - len(kept)],
        position=None,
        cursor=None,
        lines=None if page.lines is None else page.lines[:left],
    )


def _batches_for(work: Work, step: Step, pages: AsyncIterator[Page]) -> AsyncGenerator[Batch]:
    """Make batches ahead of the one that is written, where another process writes.

    Where this one does, there is nothing to wait for: two at once took a tenth more CPU time, and
    were no faster.
    """
    batches = _batches(work, step, pages)
    return batches if work.store.in_process else ahead(batches)


async def _batches(work: Work, step: Step, pages: AsyncIterator[Page]) -> AsyncGenerator[Batch]:
    """Gather pages until there are enough for a batch; what was read is never dropped."""

    async def made(of: Sequence[Page]) -> Batch:
        return await in_thread_of(work.threads.making, partial(apply, step, of))

    gathered: list[Page] = []
    weight = 0
    trouble: CrmmapError | None = None
    try:
        async for page in pages:
            if gathered and page.older_than != gathered[0].older_than:
                yield await made(gathered)
                gathered, weight = [], 0
            gathered.append(page)
            weight += page.weight
            if weight >= step.batch:
                yield await made(gathered)
                gathered, weight = [], 0
    except CrmmapError as error:
        trouble = error
    if gathered:
        yield await made(gathered)
    if trouble is not None:
        raise trouble
