"""`crmmap mock`: the source of a mapping, pretended until Ctrl-C, or written as files."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from crmmap.cli.garbage import look_for_it
from crmmap.cli.jobs import NO_FAULTS, faultable
from crmmap.cli.mappings import (
    Found,
    given_settings,
    read_all,
    refuse_unknown_settings,
    refuse_unknown_sources,
)
from crmmap.cli.stopping import stopping
from crmmap.cli.surroundings import Surroundings
from crmmap.errors import ExitCode
from crmmap.kinds.database import Sql
from crmmap.kinds.source import Files
from crmmap.mock import Pretence, World, pretended, world_of
from crmmap.report.parts import Line, Part, rendered
from crmmap.report.wording import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class Invention:
    """What a mock invents, with what holds where nothing else is asked for."""

    records: int = 100
    seed: int = 0
    dirty: float = 1.0
    faults: float = 0.0

    @classmethod
    def asked(
        cls, records: int | None, seed: int | None, dirty: float | None, faults: float | None
    ) -> Invention:
        """Return it from options of which None was not given."""
        usual = cls()
        return cls(
            records=usual.records if records is None else records,
            seed=usual.seed if seed is None else seed,
            dirty=usual.dirty if dirty is None else dirty,
            faults=usual.faults if faults is None else faults,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MockOrder:
    """What `crmmap mock` was asked to do."""

    mapping: str
    port: int = 0
    folder: str | None = None
    records: int | None = None
    seed: int | None = None
    dirty: float | None = None
    faults: float | None = None
    sources: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def pretend(order: MockOrder, surroundings: Surroundings) -> ExitCode:
    """Serve or write a mapping's mock, and say how a run reads from it."""
    found = read_all([order.mapping])[0]
    given = given_settings(order.settings)
    refuse_unknown_settings([found.mapping], given)
    refuse_unknown_sources([found.mapping], order.sources)
    invention = Invention.asked(order.records, order.seed, order.dirty, order.faults)
    world = world_of(
        found.mapping, given, records=invention.records, seed=invention.seed,
        dirty=invention.dirty, faults=invention.faults, only=order.sources,
    )  # fmt: skip
    if invention.faults and not faultable(world.plan):
        surroundings.warn(f"{found.mapping.name}: {NO_FAULTS}")
    look_for_it()
    folder = Path(order.folder or f"{found.mapping.name}-mock")
    try:
        if any(isinstance(each, Files | Sql) for each in found.mapping.every_source.values()):
            folder.mkdir(parents=True, exist_ok=True)
        with (
            stopping(lambda: None, "stopped at once") as stop,
            pretended(found.mapping, given, world, folder=folder, port=order.port) as pretence,
        ):
            surroundings.write(rendered(_told(found, pretence, world), sys.stdout))
            if pretence.urls:
                stop.wait()
    except OSError as error:
        place = f"port {order.port} of 127.0.0.1 can't be listened on"
        if error.filename is not None:
            place = f"{folder} can't be written to"
        message = f"{place}: {error.strerror}"
        raise click.UsageError(message) from None
    return ExitCode.OK


# --- what is told ---------------------------------------------------------------------------------


def _told(found: Found, pretence: Pretence, world: World) -> Iterator[Part]:
    places = [*pretence.urls.values()]
    where = f"at {' and '.join(places)}" if places else ""
    count = len(pretence.files) + len(pretence.databases)
    files = f"by {plural(count, 'file')}" if count else ""
    yield Line(
        f"{found.mapping.name} is pretended {' and '.join(filter(None, (where, files)))}", "title"
    )
    yield Line(_invented(world), "quiet")
    yield Line()
    yield from (Line(f"  {route}") for route in pretence.routes)
    yield from (Line(f"  {stream}: {path}") for stream, path in pretence.files.items())
    yield from (Line(f"  {name}: {each.path}") for name, each in pretence.databases.items())
    yield Line()
    yield Line("To read from it, in another shell:" if places else "To read them:")
    yield from _run_command(found, pretence)
    if places:
        yield Line("Ctrl-C ends it.", "quiet")


def _invented(world: World) -> str:
    records = plural(world.records, "invented record")
    faults = f", {world.faults:.0%} of requests go wrong at first" if world.faults else ""
    return f"{records} per stream, {world.dirty:g} % of them broken, seed {world.seed}{faults}"


def _run_command(found: Found, pretence: Pretence) -> Iterator[Part]:
    yield Line()
    if pretence.reached:
        for variable, value in pretence.exports.items():
            yield Line(f"  export {variable}={shlex.quote(value)}")
        pairs = [f"{name}={value}" for name, value in pretence.settings.items()]
        words = [word for pair in pairs for word in ("--set", pair)]
        yield Line(f"  {shlex.join(['crmmap', 'run', found.word, *words])}")
    else:
        foreign = any(not each.exact for each in pretence.databases.values())
        why = (
            "The mapping has SQL of its own, which does not run there"
            if foreign
            else "The mapping names a place of its own, which no setting changes"
        )
        yield Line(f"  {why}. Instead:")
        yield Line(f"  {shlex.join(['crmmap', 'run', found.word, '--mock'])}")
    yield Line()
