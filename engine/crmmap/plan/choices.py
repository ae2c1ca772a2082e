"""Which way of authentication a setting chooses; the settings of the other ways are not needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from crmmap.errors import SettingError
from crmmap.kinds.auth import Choice, NoAuth
from crmmap.kinds.source import Http, Source
from crmmap.plan.absences import settings_named
from crmmap.plan.rendering import Settings, render_text
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.template import Template


def settled(mapping: MappingSpec, settings: Settings) -> MappingSpec:
    """Return the mapping with the chosen way in the place of every choice. Raises SettingError."""
    sources = {name: _settled(each, settings) for name, each in mapping.every_source.items()}
    if mapping.source is not None:
        return replace(mapping, source=sources["source"])
    return replace(mapping, sources=sources)


def spare(mapping: MappingSpec, settings: Settings) -> frozenset[str]:
    """Return the settings that nothing names but ways that are not chosen. Raises SettingError."""
    needed = {*settings_named(settled(mapping, settings))}
    for source in mapping.every_source.values():
        if isinstance(source, Http) and isinstance(source.auth, Choice):
            needed |= {*settings_named(source.auth.by)}
    # What differs from the settled mapping stands in the sources.
    named = frozenset(
        name for source in mapping.every_source.values() for name in settings_named(source)
    )
    return named - needed


def usual(mapping: MappingSpec) -> dict[str, str]:
    """Return the settings that choose → the first of the ways."""
    return {
        name: next(iter(each.of))
        for each in _choices(mapping)
        for name in Template.parse(each.by).settings
        if mapping.settings[name].default is None
    }


def _settled(source: Source, settings: Settings) -> Source:
    if not isinstance(source, Http) or not isinstance(source.auth, Choice):
        return source
    choice, word = source.auth, render_text(source.auth.by, settings).strip()
    if word not in choice.of and word:
        names = ", ".join(sorted(Template.parse(choice.by).settings))
        message = f"setting {names}: {word!r} is no way to authenticate. Write {_ways(choice)}"
        raise SettingError(message)
    # Of a setting that nobody gave it is said elsewhere that it is missing.
    chosen = choice.of.get(word, NoAuth())
    return _settled(replace(source, auth=chosen), settings)


def _ways(choice: Choice) -> str:
    *some, last = map(repr, choice.of)
    return f"{', '.join(some)} or {last}"


def _choices(mapping: MappingSpec) -> Iterator[Choice]:
    for source in mapping.every_source.values():
        if isinstance(source, Http):
            pending: list[object] = [source.auth]
            while pending:
                each = pending.pop()
                if isinstance(each, Choice):
                    yield each
                    pending += each.of.values()
