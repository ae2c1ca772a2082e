"""A mapping's source, pretended from start to end: to be run against, or to be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from crmmap.kinds.database import Sql
from crmmap.kinds.source import Files, Http, Source
from crmmap.mock.databases import Pretended, reading_from, write_database
from crmmap.mock.files import write_files
from crmmap.mock.found import with_invented
from crmmap.mock.pools import hints_of
from crmmap.mock.records import World
from crmmap.mock.routes import based_on
from crmmap.mock.server import serve
from crmmap.plan import Plan, compile_plan, placeholder_settings
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.template import Template, TemplateError
from crmmap.values import Secret

SOON = 0.01
"""Seconds: the first wait's upper bound where a source is pretended to be down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretence:
    """Pretended sources: what a person must know to read from them, and a plan that does.

    `urls` are of HTTP sources, by their names, with their `routes`; `files` of file sources, by
    their streams; `databases` by the names of their sources. `exports` are the variables with
    which a real run reads from it: none of them is a real secret. `settings` are those to be
    given with `--set`, for they have no variable. `reached` is False where the mapping writes an
    address of its own, which no setting can change, or SQL that is not the pretended database's.
    """

    plan: Plan
    urls: Mapping[str, str] = field(default_factory=dict)
    routes: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    databases: Mapping[str, Pretended] = field(default_factory=dict)
    exports: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    reached: bool = True


def world_of(
    mapping: MappingSpec,
    given_settings: Mapping[str, str],
    *,
    records: int,
    seed: int = 0,
    dirty: float = 0.0,
    faults: float = 0.0,
    only: tuple[str, ...] = (),
) -> World:
    """Return the world that a mapping describes. Settings that nobody gave are invented.

    `only` names its sources: by default those whose streams stand for no other.
    """
    settings = placeholder_settings(mapping, given_settings)
    plan = with_invented(compile_plan(mapping, settings, only=only or _usual(mapping)))
    return World(
        plan=plan, records=records, seed=seed, dirty=dirty, faults=faults, hints=hints_of(mapping)
    )


def _usual(mapping: MappingSpec) -> tuple[str, ...]:
    """Return the sources that are pretended unless others are asked for.

    All are there in a pretended world, and those that only stand for another would replace it.
    """
    named = [each for each in mapping.streams.values() if each.instead_of is None]
    return tuple(dict.fromkeys(mapping.source_name(each) for each in named))


def ways_in(mapping: MappingSpec) -> tuple[tuple[str, ...], ...]:
    """Return the sources that are pretended together: the usual ones, then each other by itself."""
    usual = _usual(mapping)
    return (usual, *((name,) for name in mapping.every_source if name not in usual))


@contextmanager
def mocked(
    mapping: MappingSpec,
    given_settings: Mapping[str, str],
    *,
    records: int = 100,
    seed: int = 0,
    dirty: float = 0.0,
    faults: float = 0.0,
    only: tuple[str, ...] = (),
) -> Iterator[Plan]:
    """Give a plan that reads invented records, `records` of every stream; needs no setting.

    `dirty` is the share of broken records, in percent; `only` names the sources to read from,
    by default those whose streams stand for no other. HTTP sources are served on 127.0.0.1,
    files stand in a temporary folder, until the end. `faults`, of HTTP sources, is the share of
    requests that go wrong at first, of 0 to 1; then the plan does not wait long before it tries
    again.
    """
    world = world_of(
        mapping, given_settings, records=records, seed=seed, dirty=dirty, faults=faults, only=only
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="crmmap-mock-")))
        plan = _staged(world, stack, folder=folder, port=0).plan
        yield _impatient(plan) if faults else plan


@contextmanager
def pretended(
    mapping: MappingSpec,
    given_settings: Mapping[str, str],
    world: World,
    *,
    folder: Path,
    port: int = 0,
) -> Iterator[Pretence]:
    """Pretend every source until the end, and say how to read from them.

    Files are written into the folder, where they stay. Raises OSError if the port is taken, or
    the folder can't be written.
    """
    with ExitStack() as stack:
        stage = _staged(world, stack, folder=folder, port=port)
        values = _invented(mapping, given_settings)
        reached = all(each.exact for each in stage.databases.values())
        for text, targets in (*_addresses(mapping, stage), *_paths(mapping, stage)):
            pointed = _pointed(mapping, {**given_settings, **values}, text, targets)
            reached = reached and pointed is not None
            values.update(pointed or {})
        exports, settings = _split(mapping, values)
        yield replace(stage, exports=exports, settings=settings, reached=reached)


def _staged(world: World, stack: ExitStack, *, folder: Path, port: int) -> Pretence:
    """Serve and write what the world's plan reads; the stack ends it."""
    plan = world.plan
    urls: dict[str, str] = {}
    routes: list[str] = []
    files: dict[str, Path] = {}
    databases: dict[str, Pretended] = {}
    for name, source in plan.sources.items():
        if isinstance(source, Http):
            server = stack.enter_context(serve(world, name, port=port if not urls else 0))
            plan, urls[name] = based_on(plan, name, server.url), server.url
            routes += server.routes
        elif isinstance(source, Files):
            written = write_files(world, name, folder)
            plan, files = _reading(plan, written), {**files, **written}
        elif isinstance(source, Sql):
            databases[name] = write_database(world, name, folder)
            plan = reading_from(plan, name, databases[name])
    return Pretence(plan=plan, urls=urls, routes=tuple(routes), files=files, databases=databases)


def _impatient(plan: Plan) -> Plan:
    """Return the plan with short waits: what is pretended to be down is back at once."""
    hurried = {
        name: replace(source, retry=replace(
            source.retry, base=min(source.retry.base, SOON), longest=10 * SOON
        ))
        for name, source in plan.sources.items() if isinstance(source, Http)
    }  # fmt: skip
    steps = tuple(
        replace(step, source=hurried.get(step.source_name, step.source)) for step in plan.steps
    )
    return replace(plan, steps=steps)


def _reading(plan: Plan, files: Mapping[str, Path]) -> Plan:
    steps = tuple(
        replace(step, file=str(files[step.name]), source=_at_once(step.source))
        if step.name in files
        else step
        for step in plan.steps
    )
    return replace(plan, steps=steps)


def _at_once(source: Source) -> Source:
    # They were written a moment ago, and lie where no `root` of the mapping leads.
    return replace(source, settle="0s", root=None) if isinstance(source, Files) else source


Places = Iterator[tuple[str, tuple[str | Path, ...]]]
"""The templates that name where records are read from, with the places to lead them to."""


def _addresses(mapping: MappingSpec, stage: Pretence) -> Places:
    for name, url in stage.urls.items():
        source = mapping.every_source[name]
        if isinstance(source, Http):
            yield source.base_url, (url,)
    for name, database in stage.databases.items():
        source = mapping.every_source[name]
        if isinstance(source, Sql):
            yield source.url.reveal(), (database.url,)


def _paths(mapping: MappingSpec, stage: Pretence) -> Places:
    for name, path in stage.files.items():
        yield mapping.streams[name].file or "", (path, path.parent)


# --- which settings lead a real run here --------------------------------------------------------


def _invented(mapping: MappingSpec, given_settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that were given or had to be invented: a run must have the same."""
    values = placeholder_settings(mapping, given_settings)
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in values.items()
        if name in given_settings or mapping.settings[name].default is None
    }


def _pointed(
    mapping: MappingSpec,
    given_settings: Mapping[str, str],
    text: str,
    targets: tuple[str | Path, ...],
) -> dict[str, str] | None:
    """Return a setting, and its value, with which the template leads to the first target.

    The setting may hold the target, or a later one in which it lies. Returns
    None where no setting can, and nothing where the text leads there anyway.
    """
    goal = str(targets[0])
    values = {
        name: each.reveal() if isinstance(each, Secret) else each
        for name, each in placeholder_settings(mapping, given_settings).items()
    }  # fmt: skip
    template = Template.parse(text)
    if _leads(template, values, goal):
        return {}
    for name in sorted(template.settings):
        for value in map(str, targets):
            if _leads(template, {**values, name: value}, goal):
                return {name: value}
    return None


def _leads(template: Template, values: Mapping[str, str], goal: str) -> bool:
    try:
        text = template.render({"settings": values})
    except TemplateError:
        return False
    # A server takes any path before its own; a file is one or is not.
    return text == goal or (goal.startswith("http") and text.startswith(f"{goal}/"))


def _split(
    mapping: MappingSpec, values: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    exports, others = {}, {}
    for name, value in values.items():
        variable = mapping.settings[name].env
        if variable is None:
            others[name] = value
        else:
            exports[variable] = value
    return exports, others
