"""Templates over the settings, rendered once, when the plan is made.

Which attributes hold such templates is declared beside them (`SettingText`,
`SecretText`), so this walks the declarations, not the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
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
    annotations = hints(type(value))
    changes = {
        each.name: _apply(getattr(value, each.name), annotations[each.name], render)
        for each in fields(value)
    }
    try:
        return replace(value, **changes)
    except ValueError as error:  # a kind refuses what the settings made of it
        message = f"{type(value).__name__.lower()}: {error}. Check the settings that it names"
        raise SettingError(message) from None


def _apply(value: Any, hint: Any, render: Callable[[object], object]) -> Any:
    """Render `value` where its hint says so, whatever container it stands in."""
    deep = _has_marker(hint)
    if isinstance(value, Mapping):
        return {key: _apply(each, hint, render) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_apply(each, hint, render) for each in value)
    if is_dataclass(value):
        return _rendered(value, render)
    return render(value) if deep else value


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
