"""Whether texts name settings that exist, keep secrets secret, and lead to safe addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from crmmap.kinds.source import Http
from crmmap.spec.addresses import unsafe
from crmmap.spec.build import Use
from crmmap.spec.faults import Fault, guess, quoted
from crmmap.spec.lint_partitions import allowed_names
from crmmap.spec.model import Mapping
from crmmap.values import Path

BLOCKS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
BARE_SETTINGS = re.compile(
    r"""(?<![\w.'"])settings\b(?!\s*\.\s*\w)(?!\s*\[\s*(?:'\w+'|"\w+")\s*\])"""
)
WHOLE_SETTING = re.compile(r"\s*\{\{\s*settings\.(\w+)\s*\}\}")

SECRET_NAMES = re.compile(
    r"(?:^|[_-])(?:token|secret|passw(?:or)?d|api_?-?key|auth_?-?key|private_?key)$"
    r"|^authorization$",
    re.IGNORECASE,
)
PASTED = re.compile(
    r"\b(?:sk|pk|rk)_(?:live|test)_\w|\bpat-[a-z]{2}\d-\w|\bgh[pousr]_\w{16}|\bxox[abprs]-\w"
    r"|\bAKIA[0-9A-Z]{16}\b|\beyJ[\w-]{10,}\.eyJ|-----BEGIN [A-Z ]*PRIVATE KEY"
)
ASK = "Put it in an environment variable and name that in `settings`, with `secret: true`"


def faults(mapping: Mapping, uses: Iterable[Use]) -> Iterator[Fault]:
    """Yield the faults of settings, of every text that may name one, and of addresses."""
    yield from _settings(mapping)
    for use in uses:
        yield from _names(use, mapping)
        yield from _secrets(use, mapping)
    for name, source in mapping.every_source.items():
        path = mapping.source_path(name)
        if isinstance(source, Http):
            yield from address_faults(source.base_url, (*path, "base_url"), mapping)
            for at, origin in enumerate(source.origins):
                yield from address_faults(origin, (*path, "origins", at), mapping)


def _settings(mapping: Mapping) -> Iterator[Fault]:
    for name, setting in mapping.settings.items():
        path: Path = ("settings", name)
        if setting.secret and setting.default is not None:
            message = f"a secret setting has no default. {ASK}"
            yield Fault(path=(*path, "default"), rule="secret.default", message=message)
        elif setting.default is not None and _pasted(setting.default):
            message = f"looks like a secret. {ASK}"
            yield Fault(path=(*path, "default"), rule="secret.literal", message=message)
        if SECRET_NAMES.search(name) and not setting.secret:
            message = "sounds like a secret. Write `secret: true`, or give it another name"
            yield Fault(path=path, rule="secret.undeclared", message=message, on_key=True)


def _names(use: Use, mapping: Mapping) -> Iterator[Fault]:
    template = use.template
    allowed = allowed_names(use.path, mapping)
    for name in sorted(template.names - {*allowed}):
        near = guess(name, allowed)
        words = ", ".join(f"{{{{ {each} }}}}" for each in allowed.values())
        message = f"names '{name}'{near}. Allowed here: {words}"
        yield Fault(path=use.path, rule="template.name", message=message)
    if any(BARE_SETTINGS.search(block) for block in BLOCKS.findall(template.text)):
        message = "names `settings` without saying which. Write {{ settings.NAME }}"
        yield Fault(path=use.path, rule="template.name", message=message)
    for name in sorted(template.settings - set(mapping.settings)):
        message = (
            f"names the setting '{name}', which is not declared{guess(name, mapping.settings)}. "
            f"Settings: {quoted(mapping.settings)}"
        )
        yield Fault(path=use.path, rule="template.setting", message=message)


def _secrets(use: Use, mapping: Mapping) -> Iterator[Fault]:
    template = use.template
    if use.form in ("secret", "sealed"):
        if not template.settings and (use.form == "secret" or _pasted(template.text)):
            message = f"is a secret written out. {ASK}"
            yield Fault(path=use.path, rule="secret.literal", message=message)
        return
    for name in sorted(template.settings & set(mapping.settings)):
        if mapping.settings[name].secret:
            message = f"would show the secret setting '{name}'. Allowed in: `source.auth`"
            yield Fault(path=use.path, rule="secret.shown", message=message)
    if _pasted(template.text) or _by_name(use):
        message = f"looks like a secret. {ASK}, and use it in `source.auth`"
        yield Fault(path=use.path, rule="secret.literal", message=message)


def _pasted(text: str) -> bool:
    return PASTED.search(text) is not None


def _by_name(use: Use) -> bool:
    """Say whether a header or parameter called like a secret holds a text without settings."""
    inside, name = use.path[-2:] if len(use.path) > 1 else ("", "")
    if inside not in ("headers", "params") or not isinstance(name, str):
        return False
    return bool(use.template.text) and not use.template.names and bool(SECRET_NAMES.search(name))


def address_faults(text: str, path: Path, mapping: Mapping) -> Iterator[Fault]:
    """Yield what makes an address unsafe. One that a setting gives is known by its default only."""
    if whole := WHOLE_SETTING.match(text):
        setting = mapping.settings.get(whole[1])
        if setting is None or setting.default is None:
            return
        text, path = setting.default + text[whole.end() :], ("settings", whole[1], "default")
    message = unsafe(BLOCKS.sub("1", text)) if text else None
    if message is not None:
        yield Fault(path=path, rule="address", message=message)
