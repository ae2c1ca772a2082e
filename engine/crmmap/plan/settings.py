"""What the user supplies, gathered: flags before the environment before defaults."""

from __future__ import annotations

from collections.abc import Mapping

from crmmap.errors import SettingError
from crmmap.kinds.signing import Hmac
from crmmap.kinds.source import Files, Http
from crmmap.plan.absences import settings_named
from crmmap.plan.choices import settled, spare, usual
from crmmap.plan.connection import demand_askable
from crmmap.plan.steps import Plan
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.spec.model import Setting
from crmmap.template import Template
from crmmap.values import Secret

MOCK_KEY = "6d6f636b206b6579"
"""A key that is well-formed in hexadecimal as well as in base64."""


def resolve_settings(
    mapping: MappingSpec, environment: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str | Secret]:
    """Return every setting's value; secret ones are wrapped.

    Raises SettingError that lists all that are missing at once: the variable,
    where its value comes from, and the way to try the mapping without it.
    Likewise where they make an address that can't be asked, or a header that can't be sent.
    """
    given = under_new_names(mapping, given)
    unknown = [name for name in given if name not in mapping.settings]
    if unknown:
        known = ", ".join(mapping.settings) or "none"
        message = f"{mapping.name} has no setting '{unknown[0]}'. It has: {known}"
        raise SettingError(message)
    values: dict[str, str | Secret] = {}
    absent: list[str] = []
    for name, setting in mapping.settings.items():
        text = _look_up(name, setting, environment, given)
        if text is None and setting.required:
            absent.append(name)
        # A value pasted or read from a file often ends in a line break, which no header allows.
        text = (text or "").strip()
        values[name] = Secret(text) if setting.secret else text
    unneeded = spare(mapping, values) if absent else frozenset()
    mapping = settled(mapping, values)
    missing = [name for name in absent if name not in unneeded]
    if missing:
        lines = "\n".join(f"  {_describe(name, mapping.settings[name])}" for name in missing)
        count = "1 setting" if len(missing) == 1 else f"{len(missing)} settings"
        message = (
            f"{mapping.name} needs {count} that nobody gave:\n{lines}\n"
            "Or try it without: add --mock to read invented records."
        )
        raise SettingError(message)
    demand_askable(mapping, values)
    return values


def under_new_names(mapping: MappingSpec, given: Mapping[str, str]) -> dict[str, str]:
    """Return given settings by the names that they have now; a name of now counts first."""
    new = {old: name for name, each in mapping.settings.items() for old in each.was}
    renamed = {new[name]: value for name, value in given.items() if name in new}
    return {**renamed, **{name: value for name, value in given.items() if name not in new}}


def require_something(mapping: MappingSpec, plan: Plan) -> None:
    """Raise SettingError if no stream has anything to read: no file, or no source that is there."""
    if any(
        not step.absent and (step.file or not isinstance(step.source, Files)) for step in plan.steps
    ):
        return
    mapping = settled(mapping, plan.values)
    files = [Template.parse(stream.file or "") for stream in mapping.streams.values()]
    named = dict.fromkeys(name for file in files for name in sorted(file.settings))
    for source in mapping.every_source.values():
        named |= dict.fromkeys(
            name for name in settings_named(source) if not mapping.settings[name].default
        )
    lines = "\n".join(f"  {_describe(name, mapping.settings[name])}" for name in named)
    what = (
        "no file to read. Name at least one"
        if mapping.source
        else "nothing to read. Set up a source"
    )
    message = (
        f"{mapping.name} has {what}:\n{lines}\n"
        "Or try it without: add --mock to read invented records."
    )
    raise SettingError(message)


def placeholder_settings(mapping: MappingSpec, given: Mapping[str, str]) -> dict[str, str | Secret]:
    """Return a value for every setting without asking anybody: for a plan, a mock or a case."""
    values: dict[str, str | Secret] = {}
    chosen = {**_encoded_keys(mapping), **usual(mapping)}
    given = under_new_names(mapping, given)
    for name, setting in mapping.settings.items():
        invented = chosen.get(name, f"mock-{name}")
        text = given.get(name, setting.default if setting.default is not None else invented)
        values[name] = Secret(text) if setting.secret else text
    return values


def _encoded_keys(mapping: MappingSpec) -> dict[str, str]:
    """Return values for the settings that hold a key to sign with which is not plain text."""
    keys = [
        source.auth.key
        for source in mapping.every_source.values()
        if isinstance(source, Http) and isinstance(source.auth, Hmac)
        and source.auth.key_encoding != "text"
    ]  # fmt: skip
    return {name: MOCK_KEY for key in keys for name in settings_named(key)}


def _look_up(
    name: str, setting: Setting, environment: Mapping[str, str], given: Mapping[str, str]
) -> str | None:
    candidates = (given.get(name), environment.get(setting.env or ""), setting.default)
    return next((text for text in candidates if text is not None and text.strip()), None)


def _describe(name: str, setting: Setting) -> str:
    source = f"set {setting.env}" if setting.env else f"give --set {name}=VALUE"
    if setting.env and not setting.secret:
        source += f" or give --set {name}=VALUE"
    return f"{name}: {source}" + (f" ({setting.help})" if setting.help else "")
