"""Templates over the settings, rendered once, when the plan is made.

Which attributes hold such templates is declared beside them (`SettingText`,
`SecretText`), so this walks the declarations, not the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from crmmap.declare import Rendered, hints
from crmmap.errors import SettingError
from crmmap.kinds.conversations import taken_later
from crmmap.template import Template, TemplateError
from crmmap.values import Secret

Settings = Mapping[str, str | Secret]


def shown(settings: Settings) -> dict[str, str]:
    """Return the settings that are not secret."""
    return {name: value for name, value in settings.items() if not isinstance(value, Secret)}


def render_text(text: str, settings: Settings) -> str:
    """Render a template over the settings that are not secret. Raises SettingError."""
    return _render(text, {"settings": shown(settings)})


class _Later(dict[str, str]):
    """Gives back what a login will only take later, as it is written."""

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> str:
        return taken_later(name)


LATER = _Later()

T = TypeVar("T")


def render_declared(value: T, settings: Settings) -> T:
    """Return the dataclass with every `SettingText` and `SecretText` in it rendered."""
    revealed = {
        name: each.reveal() if isinstance(each, Secret) else each for name, each in settings.items()
    }

    def render(each: object) -> object:
        if isinstance(each, Secret):
            return Secret(_render(each.reveal(), {"settings": revealed, "taken": LATER}))
        return render_text(each, settings) if isinstance(each, str) else each

    rendered: T = _rendered(value, render)
    return rendered


def _rendered(value: Any, render: Callable[[object], object]) -> Any:
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes = {}
    for name, marked in _markers(type(value)):
        part = getattr(value, name)
        rendered = _apply(part, render, marked=marked)
        if rendered is not part:
            changes[name] = rendered
    try:
        return replace(value, **changes) if changes else value
    except ValueError as error:  # a kind refuses what the settings made of it
        message = f"{type(value).__name__.lower()}: {error}. Check the settings that it names"
        raise SettingError(message) from None


def _apply(value: Any, render: Callable[[object], object], *, marked: bool) -> Any:
    """Render `value` if it is marked for that, whatever container it stands in."""
    if isinstance(value, Mapping):
        return {key: _apply(each, render, marked=marked) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_apply(each, render, marked=marked) for each in value)
    if is_dataclass(value):
        return _rendered(value, render)
    return render(value) if marked else value


@cache
def _markers(made: type) -> tuple[tuple[str, bool], ...]:
    """Return which of a dataclass's attributes are rendered."""
    return tuple((each.name, _has_marker(hints(made)[each.name])) for each in fields(made))


def _has_marker(hint: Any) -> bool:
    if get_origin(hint) is Annotated:
        inner, *markers = get_args(hint)
        return any(isinstance(marker, Rendered) for marker in markers) or _has_marker(inner)
    return any(_has_marker(each) for each in get_args(hint))


def _render(text: str, values: Mapping[str, object]) -> str:
    try:
        return Template.parse(text).render(values)
    except TemplateError as error:
        message = f"a template over the settings can't be rendered: it {error}"
        raise SettingError(message) from None
