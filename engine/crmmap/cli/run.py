"""`crmmap run`: mappings read and compiled first, then run one after the other into one store."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from crmmap.cli.failures import told
from crmmap.cli.jobs import NO_FAULTS, Job, RunOrder, command_again, faultable, jobs_of
from crmmap.cli.once import new_options, run_once
from crmmap.cli.stopping import stopping
from crmmap.cli.stores import shown_url, store_url, temporary_store
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import CrmmapError, ExitCode, gravest
from crmmap.events import Event, RunReport, StreamReport
from crmmap.loop import Options
from crmmap.plan import Plan
from crmmap.report import (
    Missed,
    Outcome,
    Progress,
    progress_on,
    rendered,
    run_document,
    summary,
    worst,
)

STOPPING = "finishing the batch in flight; press Ctrl-C again to stop at once"
STOPPED = "stopped at once; what was committed stays; run it again to go on"


def run_mappings(order: RunOrder, surroundings: Surroundings) -> ExitCode:
    """Run every mapping, print the summary or the JSON reports, and return the worst exit code.

    Nothing is attempted until all mappings, streams and settings are known to be right.
    """
    jobs = jobs_of(order, surroundings)
    with ExitStack() as stack:
        url = store_url(order.store, surroundings, mock=order.mock)
        if order.dry_run:
            url = stack.enter_context(temporary_store())
        outcomes = _run_all(_Session(order, url, surroundings), jobs)
    code = worst(outcomes)
    try:
        surroundings.write(_text(outcomes, jobs, order))
    except CrmmapError as error:
        surroundings.warn(f"error: {error}")
        return gravest((code, error.exit_code))
    return code


# --- doing it -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Session:
    """What the runs of one command share; `progress` is that of the run under way."""

    order: RunOrder
    url: str
    surroundings: Surroundings
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None

    def say(self, text: str) -> None:
        """Tell people something at once, without tearing the progress bars."""
        if self.progress is None:
            self.surroundings.warn(text)
        else:
            self.progress.say(self.surroundings.clean(text))

    def observe(self, event: Event) -> None:
        if self.progress is not None:
            clean = self.surroundings.clean(event.message) if event.message else ""
            self.progress.observe(replace(event, message=clean))

    @contextmanager
    def following(self, mapping: str) -> Iterator[None]:
        """Show the progress of a mapping's run."""
        if not self.order.quiet:
            self.progress = progress_on(sys.stderr, mapping)
        try:
            yield
        finally:
            progress, self.progress = self.progress, None
            if progress is not None:
                progress.close()


def _run_all(session: _Session, jobs: Sequence[Job]) -> tuple[Outcome, ...]:
    outcomes: list[Outcome] = []
    with stopping(lambda: session.say(STOPPING), STOPPED) as session.stop:
        for job in jobs:
            if session.stop.is_set():
                outcomes.append(_not_begun(job))
            else:
                outcomes.append(_outcome(session, job))
    return tuple(outcomes)


def _not_begun(job: Job) -> Missed:
    return Missed(
        mapping=job.name, message="the command was interrupted before its turn",
        exit_code=ExitCode.INTERRUPTED, status="not begun",
    )  # fmt: skip


def _outcome(session: _Session, job: Job) -> Outcome:
    """Run one mapping. Whatever stops it must not lose the reports of the others."""
    try:
        with session.following(job.name):
            return _cleaned(_report(session, job), session)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  (polars' panics are no `Exception`)
        message, code = told(error, session.surroundings)
        session.surroundings.warn(f"error: {job.name}: {message}")
        return Missed(mapping=job.name, message=session.surroundings.clean(message), exit_code=code)


def _report(session: _Session, job: Job) -> RunReport:
    with ExitStack() as stack:
        plan = job.plan or stack.enter_context(_mocked(job, session.order))
        if session.order.faults and not faultable(plan):
            session.say(f"{job.name}: {NO_FAULTS}")
        session.surroundings.secrets.extend(plan.secrets)
        return run_once(
            plan, session.url,
            options=_options(job, session.order), stop=session.stop, observe=session.observe,
            keep_tokens=job.plan is not None,
        )  # fmt: skip


def _mocked(job: Job, order: RunOrder) -> AbstractContextManager[Plan]:
    from crmmap.cli.mock import Invention
    from crmmap.mock import mocked

    invention = Invention.asked(order.records, order.seed, order.dirty, order.faults)
    return mocked(
        job.found.mapping, job.given, records=invention.records, seed=invention.seed,
        dirty=invention.dirty, faults=invention.faults, only=job.sources,
    )  # fmt: skip


def _options(job: Job, order: RunOrder) -> Options:
    return replace(
        new_options(), streams=job.streams, fresh=order.full, limit=order.limit,
    )  # fmt: skip


# --- what is told at the end ----------------------------------------------------------------------


def _cleaned(report: RunReport, session: _Session) -> RunReport:
    """Return the report without secrets, and with the store named as `--store` takes it."""
    clean = session.surroundings.clean
    streams = tuple(
        replace(each, message=clean(_message(each, session))) if each.message else each
        for each in report.streams
    )
    dry_run = session.order.dry_run
    store = "temporary (dry run)" if dry_run else shown_url(session.url)
    remarks = tuple(clean(each) for each in report.remarks)
    return replace(report, streams=streams, store=store, remarks=remarks, dry_run=dry_run)


def _message(stream: StreamReport, session: _Session) -> str:
    """Return a stream's message; of a fault of ours, with the file that holds its traceback."""
    if stream.error is None or isinstance(stream.error, CrmmapError):
        return stream.message
    return told(stream.error, session.surroundings)[0]


def _text(outcomes: Sequence[Outcome], jobs: Sequence[Job], order: RunOrder) -> str:
    if order.as_json:
        documents = [run_document(each) for each in outcomes]
        # One object for one mapping: of several asked for, a list, even if one was run.
        whole = documents if len(order.mappings) > 1 else documents[0]
        return json.dumps(whole, indent=2) + "\n"
    if len(outcomes) == 1 and isinstance(outcomes[0], Missed):
        return ""  # its message went to standard error, and there is nothing to sum up
    again = {job.name: command_again(job, order) for job in jobs}
    return rendered(summary(outcomes, again), sys.stdout)
