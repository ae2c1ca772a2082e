"""Which streams are not read, and why: no source, no file, off by a setting, or replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from crmmap.declare import inside
from crmmap.kinds.source import Source
from crmmap.plan.rendering import Settings, render_text
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.template import Template, TemplateError
from crmmap.values import Secret


def absences(mapping: MappingSpec, settings: Settings, only: tuple[str, ...]) -> dict[str, str]:
    """Return the streams that are not read → why, in words. `only` names the sources asked for."""
    missing = {
        name: _missing(mapping, name, source, settings, only)
        for name, source in mapping.every_source.items()
    }
    found: dict[str, str] = {}
    for name, stream in mapping.streams.items():
        if reason := missing[mapping.source_name(stream)]:
            found[name] = reason
        elif stream.when is not None and not render_text(stream.when, settings).strip():
            found[name] = _off(mapping, stream.when)
        elif stream.file is not None and not render_text(stream.file, settings):
            found[name] = "no file is named for it"
    for name, stream in mapping.streams.items():
        if stream.instead_of is not None and name not in found:
            # The first of several that are there: the others, and the one they name, are not read.
            beside = (
                each for each, it in mapping.streams.items() if it.instead_of == stream.instead_of
            )
            for other in (stream.instead_of, *beside):
                if other != name:
                    found.setdefault(other, f"{name} is read instead")
    return found


def _missing(
    mapping: MappingSpec, name: str, source: Source, settings: Settings, only: tuple[str, ...]
) -> str:
    if only and name not in only:
        return f"its source {name} was not asked for"
    if mapping.source is not None:
        return ""
    unset = sorted(each for each in set(settings_named(source)) if _empty(settings.get(each)))
    if not unset:
        return ""
    given = ", ".join(mapping.settings[each].env or f"--set {each}=VALUE" for each in unset)
    return f"its source {name} is not set up: {given}"


def _off(mapping: MappingSpec, when: str) -> str:
    named = ", ".join(
        mapping.settings[each].env or f"--set {each}=VALUE" for each in sorted(settings_named(when))
    )
    return f"it is off unless it is asked for: {named}" if named else "it is off"


def _empty(value: str | Secret | None) -> bool:
    text = value.reveal() if isinstance(value, Secret) else value
    return not text


def settings_named(value: object) -> Iterator[str]:
    """Yield the settings that the templates in a declared value name."""
    for each in inside(value, whole=(Template,)):
        if isinstance(each, Template):
            yield from each.settings
        elif isinstance(each, str | Secret):
            with suppress(TemplateError):  # a text that is no template names none
                text = each.reveal() if isinstance(each, Secret) else each
                yield from Template.parse(text).settings
