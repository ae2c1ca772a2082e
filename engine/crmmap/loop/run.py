"""A run: streams side by side as their lookups allow, then the rows that wait, then the report.

asyncio outside, threads inside: blocking work (requests, polars, drivers) runs
in worker threads. Only what two streams share is here; one stream is in `stream`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from hashlib import sha256
from time import monotonic

from crmmap.channels import in_thread
from crmmap.errors import CrmmapError, StoreError, StoreLocked
from crmmap.events import Observe, RunReport, StreamReport
from crmmap.extract.readers import Reader
from crmmap.load import Store
from crmmap.loop.stream import run_stream
from crmmap.loop.waiting import settle_waiting
from crmmap.loop.work import Options, Work
from crmmap.plan import Plan

HEARTBEAT = 20.0
"""Seconds between two renewals of the lock; a third of its lease."""


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
    as interrupted. Raises StoreUnfit where the store can't take the plan's
    tables, and StoreLocked where another run of the mapping is under way.
    """
    return asyncio.run(_run(Work(plan, store, reader, options, stop, observe)))


async def _run(work: Work) -> RunReport:
    began = monotonic()
    loop = asyncio.get_running_loop()
    # Beside the threads of the work itself, a stream may hold one, as may the run and its lock.
    loop.set_default_executor(ThreadPoolExecutor(len(work.steps) + 2))
    await in_thread(_begin, work)
    status = "failed"
    heart = asyncio.create_task(_beat(work))
    try:
        # What large tables need before they are as wanted may take longer than a lease.
        work.remarks += await in_thread(_make_ready, work)
        ended = await _run_streams(work)
        if work.lost is not None:
            raise work.lost
        streams = await in_thread(settle_waiting, work, ended)
        report = _report(work, streams, monotonic() - began)
        status = report.status
        return report
    finally:
        heart.cancel()
        # Nobody must wait for a request that a failed stream has left behind.
        work.reader.close()
        # The closing time is cosmetic: the next run repairs it.
        with suppress(CrmmapError):
            await in_thread(partial(work.store.end_run, work.options.run_id, status=status))
        await in_thread(work.threads.close)


async def _run_streams(work: Work) -> list[StreamReport]:
    loop = asyncio.get_running_loop()
    work.reports = {step.name: loop.create_future() for step in work.steps}
    async with asyncio.TaskGroup() as group:
        for step in work.steps:
            group.create_task(run_stream(work, step))
    return [report.result() for report in work.reports.values()]


def _begin(work: Work) -> None:
    """Take the mapping's lock."""
    work.store.prepare([])
    work.store.begin_run(
        mapping=work.plan.mapping,
        run_id=work.options.run_id,
        owner=work.options.owner,
        fingerprint=_fingerprint(work.plan),
        kind=work.options.kind,
    )


def _make_ready(work: Work) -> tuple[str, ...]:
    """Make the store ready; return what was added to tables that were there before.

    The lock is held by then, so that no other run finds its tables changed under it.
    """
    return (*work.store.prepare(work.plan.targets), *_expired(work))


def _expired(work: Work) -> tuple[str, ...]:
    """Drop what the archive has kept for long enough; return a sentence about it."""
    days = work.plan.archive.days
    dropped = work.store.expire_archive(work.plan.mapping, days)
    return (f"the archive dropped {dropped} pages older than {days} days",) if dropped else ()


def _fingerprint(plan: Plan) -> str:
    return sha256("".join(step.fingerprint for step in plan.steps).encode()).hexdigest()[:32]


async def _beat(work: Work) -> None:
    """Keep the lock. A beat that fails is tried again; a lock that is lost ends the run."""
    while True:
        await asyncio.sleep(HEARTBEAT)
        try:
            await in_thread(work.store.heartbeat, work.options.run_id)
        except StoreLocked as error:
            work.lost = error
            work.stop.set()
            return
        except StoreError:
            continue


def _report(work: Work, streams: tuple[StreamReport, ...], seconds: float) -> RunReport:
    return RunReport(
        run_id=work.options.run_id,
        mapping=work.plan.mapping,
        title=work.plan.title,
        store=work.store.name,
        started_at=work.options.started_at,
        seconds=seconds,
        streams=streams,
        remarks=(*work.remarks, *_ambiguous(work, streams)),
        kind=work.options.kind,
    )


def _ambiguous(work: Work, streams: Sequence[StreamReport]) -> Iterator[str]:
    """Yield the foreign keys that named several parents."""
    for report in streams:
        for lookup in work.plan.step(report.stream).lookups:
            if count := report.keys.get(lookup.field, {}).get("ambiguous"):
                yield (
                    f"{report.stream}.{lookup.field}: {count:,} found several rows of "
                    f"{lookup.stream}, where {lookup.by} is not unique; the one with the least key "
                    "was taken"
                )
