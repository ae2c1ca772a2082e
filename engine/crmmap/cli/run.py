"""`crmmap run`: mappings read and compiled first, then run one after the other into one store."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial

from crmmap.cli.jobs import (
    NO_FAULTS,
    Job,
    RunOrder,
    as_asked,
    command_again,
    faultable,
    jobs_of,
    reject_limit,
)
from crmmap.cli.once import new_options, run_once
from crmmap.cli.stores import shown_url, store_url, temporary_store
from crmmap.cli.surroundings import Surroundings
from crmmap.cli.watching import Watch, named, run_all, tell
from crmmap.errors import ExitCode
from crmmap.events import RunReport
from crmmap.loop import Options
from crmmap.plan import Plan


def run_mappings(order: RunOrder, surroundings: Surroundings) -> ExitCode:
    """Run every mapping, print the summary or the JSON reports, and return the worst exit code.

    Nothing is attempted until all mappings, streams and settings are known to be right.
    """
    jobs = jobs_of(order, surroundings)
    with ExitStack() as stack:
        url = store_url(order.store, surroundings, mock=order.mock)
        if order.dry_run:
            url = stack.enter_context(temporary_store())
        watch = Watch(order.quiet, surroundings)
        outcomes = run_all(
            watch, {job.name: partial(_report, order, url, watch, job) for job in jobs}
        )
    store = "temporary (dry run)" if order.dry_run else shown_url(url)
    outcomes = named(outcomes, store, dry_run=order.dry_run)
    again = {job.name: command_again(job, order) for job in jobs}
    return tell(outcomes, order.mappings, surroundings, as_json=order.as_json, again=again)


# --- doing it -------------------------------------------------------------------------------------


def _report(order: RunOrder, url: str, watch: Watch, job: Job) -> RunReport:
    with ExitStack() as stack:
        plan = job.plan or stack.enter_context(_mocked(job, order))
        plan = as_asked(plan, watch.surroundings)
        if order.faults and not faultable(plan):
            watch.say(f"{job.name}: {NO_FAULTS}")
        watch.surroundings.secrets.extend(plan.secrets)
        return run_once(
            plan, url, options=_options(job, order), stop=watch.stop, observe=watch.observe,
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
        max_rejects=reject_limit(order), expecting=not order.no_expect,
    )  # fmt: skip
