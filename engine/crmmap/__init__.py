"""crmmap: any CRM into SQL tables, as one YAML mapping says, with every record accounted for.

    mapping = crmmap.read("mapping.yaml")
    plan = crmmap.compile(mapping, {"token": "…"})
    report = crmmap.run(plan, "sqlite:///crm.db")

All is imported when it is first used, so that `import crmmap` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    import threading
    from collections.abc import Mapping as MappingOf

    from crmmap.errors import CrmmapError
    from crmmap.events import Observe, RunReport
    from crmmap.loop import Options
    from crmmap.plan import Plan
    from crmmap.spec import Mapping

__version__ = "0.1.0"

__all__ = ["CrmmapError", "Mapping", "Plan", "RunReport", "__version__", "compile", "read", "run"]

_HOMES = {
    "CrmmapError": "crmmap.errors",
    "Mapping": "crmmap.spec",
    "Plan": "crmmap.plan",
    "RunReport": "crmmap.events",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        message = f"module 'crmmap' has no attribute '{name}'"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def read(path: str | os.PathLike[str]) -> Mapping:
    """Read a mapping's file. Raises MappingError with every problem that it has."""
    from pathlib import Path

    from crmmap.spec import read_file

    return read_file(Path(path))


def compile(  # noqa: A001  (the word of the house: a mapping is read, compiled, run)
    mapping: Mapping,
    settings: MappingOf[str, str] | None = None,
    *,
    environment: MappingOf[str, str] | None = None,
) -> Plan:
    """Compile a mapping into a plan, with its settings by name, or from an environment.

    Raises SettingError that lists every setting that is missing, or that no file is named.
    """
    from crmmap.plan import compile_plan, require_something, resolve_settings

    plan = compile_plan(mapping, resolve_settings(mapping, environment or {}, settings or {}))
    require_something(mapping, plan)
    return plan


def run(
    plan: Plan,
    store: str = "sqlite:///crmmap.db",
    *,
    options: Options | None = None,
    stop: threading.Event | None = None,
    observe: Observe = lambda _: None,
) -> RunReport:
    """Run a plan into the store of this URL, and report.

    `options` (of `crmmap.loop`) choose streams, limits and the run's name; `stop`
    may be set by another thread to end the run after the batch in flight;
    `observe` is told of progress. Raises StoreError where the store does not
    suit, SourceError where the source's address does not; a stream that fails
    is told in the report.
    """
    from crmmap.cli.once import run_once

    return run_once(plan, store, options=options, stop=stop, observe=observe)
