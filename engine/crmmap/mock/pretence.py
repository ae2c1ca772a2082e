"""A mapping's source, pretended from start to end: to be run against, or to be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from crmmap.kinds.source import Files, Http
from crmmap.mock.files import write_files
from crmmap.mock.pools import hints_of
from crmmap.mock.records import World
from crmmap.mock.routes import based_on
from crmmap.mock.server import serve
from crmmap.plan import Plan, compile_plan, placeholder_settings
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.template import Template, TemplateError
from crmmap.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretence:
    """A pretended source: what a person must know to read from it, and a plan that does.

    `url` and `routes` are of an HTTP source, `files` of a file source.
    `exports` are the variables with which a real run reads from it: none of
    them is a real secret. `settings` are those to be given with `--set`, for
    they have no variable. `reached` is False where the mapping writes an
    address of its own, which no setting can change.
    """

    plan: Plan
    url: str | None = None
    routes: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
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
) -> World:
    """Return the world that a mapping describes. Settings that nobody gave are invented."""
    plan = compile_plan(mapping, placeholder_settings(mapping, given_settings))
    return World(plan=plan, records=records, seed=seed, dirty=dirty, hints=hints_of(mapping))


@contextmanager
def mocked(
    mapping: MappingSpec,
    given_settings: Mapping[str, str],
    *,
    records: int = 100,
    seed: int = 0,
    dirty: float = 0.0,
) -> Iterator[Plan]:
    """Give a plan that reads invented records, `records` of every stream; needs no setting.

    `dirty` is the share of broken records, in percent. An HTTP source is
    served on 127.0.0.1, files stand in a temporary folder, until the end.
    """
    world = world_of(mapping, given_settings, records=records, seed=seed, dirty=dirty)
    if isinstance(world.plan.source, Http):
        with serve(world) as server:
            yield based_on(world.plan, server.url)
        return
    with TemporaryDirectory(prefix="crmmap-mock-") as folder:
        yield _reading(world.plan, write_files(world, Path(folder)))


@contextmanager
def served(
    mapping: MappingSpec, given_settings: Mapping[str, str], world: World, *, port: int = 0
) -> Iterator[Pretence]:
    """Serve an HTTP source until the end, and say how to read from it.

    Raises OSError if the port is taken.
    """
    assert isinstance(mapping.source, Http)  # noqa: S101  (its caller saw to it)
    with serve(world, port=port) as server:
        pointed = _pointed(mapping, given_settings, mapping.source.base_url, (server.url,))
        values = {**_invented(mapping, given_settings), **(pointed or {})}
        exports, settings = _split(mapping, values)
        yield Pretence(
            plan=based_on(world.plan, server.url), url=server.url, routes=server.routes,
            exports=exports, settings=settings, reached=pointed is not None,
        )  # fmt: skip


def written(
    mapping: MappingSpec, given_settings: Mapping[str, str], world: World, *, folder: Path
) -> Pretence:
    """Write a file source's files into a folder, and say how to read them. Raises OSError."""
    assert isinstance(mapping.source, Files)  # noqa: S101  (its caller saw to it)
    files = write_files(world, folder)
    values, reached = _invented(mapping, given_settings), True
    for name, path in files.items():
        text = mapping.streams[name].file or ""
        pointed = _pointed(mapping, {**given_settings, **values}, text, (path, path.parent))
        reached = reached and pointed is not None
        values.update(pointed or {})
    exports, settings = _split(mapping, values)
    return Pretence(
        plan=_reading(world.plan, files), files=files,
        exports=exports, settings=settings, reached=reached,
    )  # fmt: skip


def _reading(plan: Plan, files: Mapping[str, Path]) -> Plan:
    steps = tuple(replace(step, file=str(files[step.name])) for step in plan.steps)
    return replace(plan, steps=steps)


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
        name: each for name, each in placeholder_settings(mapping, given_settings).items()
        if isinstance(each, str)
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
