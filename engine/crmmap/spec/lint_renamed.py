"""Whether names that things had before are free now, and belonged to one of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from crmmap.spec.faults import Fault
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.values import Path


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of every `was`."""
    streams = {name: each.was for name, each in mapping.streams.items()}
    yield from _of(streams, mapping.streams, ("streams",))
    settings = {name: each.was for name, each in mapping.settings.items()}
    yield from _of(settings, mapping.settings, ("settings",))


def _of(before: Mapping[str, tuple[str, ...]], now: Collection[str], path: Path) -> Iterator[Fault]:
    owners: dict[str, str] = {}
    for name, was in before.items():
        for old in was:
            owner = owners.setdefault(old, name)
            message = None
            if old in now:
                message = f"names '{old}', which is there now. What it was before is its own"
            elif owner != name:
                message = f"names '{old}', which '{owner}' was too. One of them was not"
            if message is not None:
                yield Fault(path=(*path, name, "was"), rule="was", message=message)
