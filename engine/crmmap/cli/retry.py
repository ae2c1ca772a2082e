"""`crmmap rejects retry`: refused records, taken through the mapping as it is now."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from crmmap.cli.garbage import look_for_it
from crmmap.cli.jobs import Job, plan_of
from crmmap.cli.mappings import (
    given_settings,
    read_all,
    refuse_unknown_settings,
    settings_for,
)
from crmmap.cli.once import new_options, utc_now, vault_of
from crmmap.cli.rejects import RejectsOrder, demand_ids, meant
from crmmap.cli.stores import kept_store, shown_url, store_url
from crmmap.cli.surroundings import Surroundings
from crmmap.cli.watching import Watch, named, run_all, tell
from crmmap.errors import ExitCode
from crmmap.events import Rehearsal, RunReport
from crmmap.extract.readers import Reader, open_reader
from crmmap.load import Store
from crmmap.load.reject_queries import Which
from crmmap.loop.retry import Tries, rehearse, retry
from crmmap.plan import Plan
from crmmap.report.document import plain
from crmmap.report.parts import rendered
from crmmap.report.rejects import rehearsal_document, rehearsal_parts
from crmmap.report.wording import plural


def retry_rejects(order: RejectsOrder, surroundings: Surroundings) -> ExitCode:
    """Try the rejects again, mapping by mapping, and print what came of them.

    Nothing is attempted until all mappings and settings are known to be right.
    """
    which = meant(order, surroundings, "open")
    plans = _plans(order, surroundings)
    watch = Watch(order.quiet, surroundings)
    with kept_store(order.store, surroundings) as store:
        demand_ids(store, which)
        mine = {name: replace(which, mappings=[name]) for name in plans}
        if order.dry_run:
            return _rehearse(order, store, plans, mine, watch)
        runs = {
            name: partial(_retry, store, plan, mine[name], watch, force=order.force)
            for name, plan in plans.items()
        }
        outcomes = run_all(watch, runs)
    url = shown_url(store_url(order.store, surroundings))
    return tell(named(outcomes, url), order.mappings, surroundings, as_json=order.as_json, again={})


def _plans(order: RejectsOrder, surroundings: Surroundings) -> dict[str, Plan]:
    every = read_all(order.mappings)
    given = given_settings(order.settings)
    refuse_unknown_settings([found.mapping for found in every], given)
    jobs = [
        Job(found=found, given=settings_for(found.mapping, given), streams=()) for found in every
    ]
    return {job.name: plan_of(job, surroundings) for job in jobs}


@contextmanager
def _reader(plan: Plan, watch: Watch) -> Iterator[Reader]:
    vault = vault_of(os.environ, watch.stop)
    with open_reader(
        plan, stop=watch.stop, clock=utc_now, observe=watch.observe, vault=vault
    ) as reader:
        yield reader


def _retry(store: Store, plan: Plan, which: Which, watch: Watch, *, force: bool) -> RunReport:
    options = new_options()
    with _reader(plan, watch) as reader:
        tries = Tries.of(plan, store, reader, which)
        if tries.streams:
            report = retry(
                plan, tries, options=options, stop=watch.stop, observe=watch.observe, force=force
            )
        else:
            report = RunReport(
                run_id=options.run_id, mapping=plan.mapping, title=plan.title, store=store.name,
                started_at=options.started_at, seconds=0.0, streams=(),
                remarks=("there is no open reject to try again",),
            )  # fmt: skip
    return replace(report, remarks=(*report.remarks, *_untried(tries.untried)))


def _untried(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield sentences about the rejects that can't be tried again."""
    for why, count in counts.items():
        yield f"{plural(count, 'reject')} can't be tried again: {why}"


# --- as a rehearsal -------------------------------------------------------------------------------


def _rehearse(
    order: RejectsOrder,
    store: Store,
    plans: Mapping[str, Plan],
    which: Mapping[str, Which],
    watch: Watch,
) -> ExitCode:
    look_for_it()
    told: dict[str, tuple[Rehearsal, Mapping[str, int]]] = {}
    for name, plan in plans.items():
        with _reader(plan, watch) as reader:
            tries = Tries.of(plan, store, reader, which[name])
            told[name] = rehearse(plan, tries), tries.untried
    if order.as_json:
        documents = [
            {"mapping": name, **rehearsal_document(found), "untried": plain(untried)}
            for name, (found, untried) in told.items()
        ]
        whole = documents if order.several else documents[0]
        text = json.dumps(whole, indent=2) + "\n"
    else:
        text = "".join(
            rendered(rehearsal_parts(name, found, tuple(_untried(untried))), sys.stdout)
            for name, (found, untried) in told.items()
        )
    watch.surroundings.write(text)
    return ExitCode.OK
