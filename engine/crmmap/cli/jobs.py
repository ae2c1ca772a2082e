"""What `crmmap run` is to do, known to be right before any of it is done."""

from __future__ import annotations

import os.path
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from crmmap.cli.mappings import (
    Found,
    given_settings,
    read_all,
    refuse_unknown_settings,
    refuse_unknown_sources,
    refuse_unknown_streams,
    settings_for,
)
from crmmap.cli.stores import shown_url
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import SettingError
from crmmap.kinds.limits import RejectLimit
from crmmap.kinds.source import Http
from crmmap.plan import Plan, compile_plan, require_something, resolve_settings

INVENTED = ("records", "seed", "dirty", "faults")
"""The options that say what a mock invents."""

NO_FAULTS = "--faults changes nothing: only requests to an HTTP source go wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What `crmmap run` was asked to do. None is not given."""

    mappings: tuple[str, ...]
    streams: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    full: bool = False
    limit: int | None = None
    max_rejects: str | None = None
    no_expect: bool = False
    store: str | None = None
    dry_run: bool = False
    mock: bool = False
    records: int | None = None
    seed: int | None = None
    dirty: float | None = None
    faults: float | None = None
    settings: tuple[str, ...] = ()
    as_json: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One mapping to run. `plan` is None where a mock makes it, once that serves."""

    found: Found
    given: dict[str, str]
    streams: tuple[str, ...]
    sources: tuple[str, ...] = ()
    plan: Plan | None = None

    @property
    def name(self) -> str:
        return self.found.mapping.name


def jobs_of(order: RunOrder, surroundings: Surroundings) -> tuple[Job, ...]:
    """Return what is to be run, compiled where no mock is needed.

    Raises MappingError, SettingError (with all that is missing) or UsageError.
    """
    _refuse_stray_mock_options(order)
    reject_limit(order)
    every = read_all(order.mappings)
    given = given_settings(order.settings)
    mappings = [found.mapping for found in every]
    refuse_unknown_settings(mappings, given)
    refuse_unknown_streams(mappings, order.streams)
    refuse_unknown_sources(mappings, order.sources)
    jobs = [_job(found, given, order) for found in every]
    # Of several mappings, those that have none of the streams or sources asked for are left out.
    chosen = [
        job
        for job in jobs
        if (job.streams or not order.streams) and (job.sources or not order.sources)
    ]
    return tuple(chosen) if order.mock else _compiled(chosen, surroundings)


def reject_limit(order: RunOrder) -> RejectLimit | None:
    """Return the limit that was asked for. Raises UsageError."""
    try:
        return None if order.max_rejects is None else RejectLimit.parsed(order.max_rejects)
    except ValueError as error:
        message = f"--max-rejects: {error}"
        raise click.UsageError(message) from None


def _job(found: Found, given: dict[str, str], order: RunOrder) -> Job:
    streams = tuple(name for name in order.streams if name in found.mapping.streams)
    sources = tuple(name for name in order.sources if name in found.mapping.every_source)
    return Job(
        found=found, given=settings_for(found.mapping, given), streams=streams, sources=sources
    )


def _compiled(jobs: Sequence[Job], surroundings: Surroundings) -> tuple[Job, ...]:
    """Return the jobs with their plans. Raises SettingError with what any of them is missing."""
    done: list[Job] = []
    missing: list[str] = []
    for job in jobs:
        try:
            plan = plan_of(job, surroundings)
            require_something(job.found.mapping, plan)
        except SettingError as error:
            missing.append(str(error))
            continue
        done.append(replace(job, plan=plan))
    if missing:
        raise SettingError(_under_each_other(missing))
    return tuple(done)


def plan_of(job: Job, surroundings: Surroundings) -> Plan:
    """Return a job's plan; its secrets are hidden from here on. Raises SettingError."""
    mapping = job.found.mapping
    settings = resolve_settings(mapping, surroundings.environment, job.given)
    plan = _at_home(compile_plan(mapping, settings, only=job.sources))
    plan = as_asked(plan, surroundings)
    surroundings.secrets.extend(plan.secrets)
    return plan


def as_asked(plan: Plan, surroundings: Surroundings) -> Plan:
    """Return the plan with every record decoded, if `CRMMAP_EXACT=1` asks for that."""
    return plan.exact if surroundings.environment.get("CRMMAP_EXACT") == "1" else plan


def _at_home(plan: Plan) -> Plan:
    """Return the plan with `~` in its files' paths replaced, as the shell has not in `--set`."""
    steps = tuple(
        replace(step, file=os.path.expanduser(step.file)) if step.file else step
        for step in plan.steps
    )
    return replace(plan, steps=steps)


def _under_each_other(messages: Sequence[str]) -> str:
    """Return the messages as one; a last line that several share, what to do, is told once."""
    told: list[str] = []
    for message in reversed(messages):
        rest, _, last = message.rpartition("\n")
        repeated = rest and any(each.endswith(f"\n{last}") for each in told)
        told.insert(0, rest if repeated else message)
    return "\n".join(told)


def faultable(plan: Plan) -> bool:
    """Say whether any of the plan's sources is asked by requests, which can go wrong."""
    return any(isinstance(each, Http) for each in plan.sources.values())


def _refuse_stray_mock_options(order: RunOrder) -> None:
    for name in INVENTED:
        if getattr(order, name) is not None and not order.mock:
            message = f"--{name} says what a mock invents. Add --mock, or leave it out"
            raise click.UsageError(message)


def command_again(job: Job, order: RunOrder) -> str:
    """Return the command that goes on where this one stopped; empty where none can."""
    if order.dry_run or order.limit is not None:
        return ""
    words = ["crmmap", "run", job.found.word]
    secret = {name for name in job.given if job.found.mapping.settings[name].secret}
    words += [word for name in job.streams for word in ("--stream", name)]
    words += [word for name in job.sources for word in ("--source", name)]
    words += ["--max-rejects", order.max_rejects] if order.max_rejects else []
    words += ["--no-expect"] if order.no_expect else []
    words += ["--store", shown_url(order.store)] if order.store else []
    words += ["--mock"] if order.mock else []
    for name in INVENTED:
        value = getattr(order, name)
        words += [f"--{name}", f"{value:g}"] if value is not None else []
    for name, value in job.given.items():
        words += [] if name in secret else ["--set", f"{name}={value}"]
    # A secret is left to be filled in, and its place is not quoted: it is no value.
    return " ".join([shlex.join(words), *(f"--set {name}=…" for name in sorted(secret))])
