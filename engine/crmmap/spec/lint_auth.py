"""Whether authentication leads to safe addresses, can be chosen, and names what was taken."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crmmap.kinds.auth import Auth, Choice
from crmmap.kinds.conversations import LoginStep, Steps
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.source import Http
from crmmap.spec.faults import Fault, guess, quoted
from crmmap.spec.lint_texts import address_faults
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.template import Template
from crmmap.values import Path, Secret

TAKEN = re.compile(r"\btaken\s*(?:\.\s*(\w+)|\[\s*'(\w+)'\s*\]|\[\s*\"(\w+)\"\s*\])")


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of every source's `auth`."""
    for name, source in mapping.every_source.items():
        if isinstance(source, Http):
            yield from _auth(source.auth, (*mapping.source_path(name), "auth"), mapping)


def _auth(auth: Auth, path: Path, mapping: MappingSpec) -> Iterator[Fault]:
    if isinstance(auth, Choice):
        yield from _choice(auth, path, mapping)
        for name, each in auth.of.items():
            yield from _auth(each, (*path, "of", name), mapping)
    elif isinstance(auth, OAuth2):
        yield from address_faults(auth.token_url, (*path, "token_url"), mapping)
        if auth.authorize_url is not None:
            page = auth.authorize_url.partition("?")[0]
            yield from address_faults(page, (*path, "authorize_url"), mapping)
    elif isinstance(auth, Steps):
        yield from _steps(auth, path, mapping)


def _choice(choice: Choice, path: Path, mapping: MappingSpec) -> Iterator[Fault]:
    template = Template.parse(choice.by)
    if not template.settings:
        message = "names no setting, so there is nothing to choose. Write {{ settings.NAME }}"
        yield Fault(path=(*path, "by"), rule="auth.choice", message=message)
    for name in template.settings & set(mapping.settings):
        default = mapping.settings[name].default
        whole = re.fullmatch(r"\s*\{\{[^{}]*\}\}\s*", choice.by)
        if default is not None and whole and default not in choice.of:
            message = (
                f"is none of the ways that it chooses from{guess(default, choice.of)}. "
                f"Those are: {quoted(choice.of)}"
            )
            yield Fault(path=("settings", name, "default"), rule="auth.choice", message=message)


def _steps(steps: Steps, path: Path, mapping: MappingSpec) -> Iterator[Fault]:
    known: dict[str, None] = {}
    for at, step in enumerate(steps.steps):
        if not isinstance(step, LoginStep):  # one that is spoilt is none
            return
        yield from address_faults(step.url, (*path, "steps", at, "url"), mapping)
        for place in ("headers", "json", "form"):
            texts: Mapping[str, Secret] = getattr(step, place)
            for name, text in texts.items():
                yield from _taken(text.reveal(), known, (*path, "steps", at, place, name))
        known |= dict.fromkeys(step.take)
    for place in ("headers", "params"):
        templates: Mapping[str, Template] = getattr(steps, place)
        for name, template in templates.items():
            yield from _taken(template.text, known, (*path, place, name))


def _taken(text: str, known: Mapping[str, None], path: Path) -> Iterator[Fault]:
    names = {next(filter(None, found)) for found in TAKEN.findall(text)}
    for name in sorted(names - {*known}):
        message = (
            f"names '{name}', which no step before it takes{guess(name, known)}. "
            f"Taken by then: {quoted(sorted(known))}"
        )
        yield Fault(path=path, rule="auth.taken", message=message)
