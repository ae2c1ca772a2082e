"""`crmmap remap`: tables made again from the archive, through the mapping as it is now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import click

from crmmap.cli.jobs import Job, plan_of
from crmmap.cli.mappings import (
    given_settings,
    read_all,
    refuse_unknown_settings,
    refuse_unknown_streams,
    settings_for,
)
from crmmap.cli.once import new_options, utc_now, vault_of
from crmmap.cli.stores import kept_store, shown_url, store_url
from crmmap.cli.surroundings import Surroundings
from crmmap.cli.watching import Watch, named, run_all, tell
from crmmap.errors import ExitCode
from crmmap.events import RunReport
from crmmap.extract.readers import Reader, open_reader
from crmmap.load import Store
from crmmap.load.archive_queries import began
from crmmap.loop.remap import Archive, foresee, remap
from crmmap.moments import moment
from crmmap.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class RemapOrder:
    """What `crmmap remap` was asked to do. None is not given."""

    mappings: tuple[str, ...]
    since: str | None = None
    streams: tuple[str, ...] = ()
    store: str | None = None
    dry_run: bool = False
    settings: tuple[str, ...] = ()
    as_json: bool = False
    quiet: bool = False


def remap_mappings(order: RemapOrder, surroundings: Surroundings) -> ExitCode:
    """Load each mapping's archive again, and print what came of it, as of runs.

    Nothing is attempted until all mappings, streams and settings are known to be right.
    """
    plans = _plans(order, surroundings)
    watch = Watch(order.quiet, surroundings)
    with kept_store(order.store, surroundings) as store:
        archives = {
            name: Archive(
                plan=plan, store=store, since=_since(order, store, name),
                streams=tuple(each.name for each in plan.steps if each.name in order.streams),
            )
            for name, plan in plans.items()
        }  # fmt: skip
        outcomes = run_all(
            watch, {name: partial(_remap, order, archives[name], watch) for name in plans}
        )
    url = shown_url(store_url(order.store, surroundings))
    return tell(
        named(outcomes, url, dry_run=order.dry_run), order.mappings, surroundings,
        as_json=order.as_json, again={},
    )  # fmt: skip


def _plans(order: RemapOrder, surroundings: Surroundings) -> dict[str, Plan]:
    """Return the plans of the mappings that have one of the streams asked for."""
    every = read_all(order.mappings)
    given = given_settings(order.settings)
    mappings = [found.mapping for found in every]
    refuse_unknown_settings(mappings, given)
    refuse_unknown_streams(mappings, order.streams)
    jobs = [
        Job(found=found, given=settings_for(found.mapping, given), streams=())
        for found in every
        if not order.streams or found.mapping.streams.keys() & set(order.streams)
    ]
    return {job.name: plan_of(job, surroundings) for job in jobs}


def _since(order: RemapOrder, store: Store, mapping: str) -> datetime | None:
    """Return when the first run began that is meant. Raises UsageError."""
    if order.since is None:
        return None
    name = order.since
    found = store.ask(lambda session: began(session, mapping, name))
    if found is not None:
        return found
    try:
        return moment(name)
    except ValueError as error:
        message = f"--since: {error}; or the name of a run of {mapping}"
        raise click.UsageError(message) from None


def _remap(order: RemapOrder, archive: Archive, watch: Watch) -> RunReport:
    options = new_options()
    with _reader(archive.plan, watch) as reader:
        if order.dry_run:
            return foresee(archive, reader, options=options)
        return remap(archive, reader, options=options, stop=watch.stop, observe=watch.observe)


@contextmanager
def _reader(plan: Plan, watch: Watch) -> Iterator[Reader]:
    """Give the reader of the plan's sources, which takes raw records for pages; it asks none."""
    vault = vault_of(os.environ, watch.stop)
    with open_reader(
        plan, stop=watch.stop, clock=utc_now, observe=watch.observe, vault=vault
    ) as reader:
        yield reader
