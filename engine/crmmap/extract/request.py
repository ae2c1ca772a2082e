"""A stream's first request, made from what the mapping says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import quote

from crmmap.errors import SourceError
from crmmap.extract.prepare import accepted
from crmmap.kinds.bodies import Each, Typed, special
from crmmap.kinds.source import Files, Http
from crmmap.plan import Plan, Step
from crmmap.spec.model import RequestSpec
from crmmap.template import Template, TemplateError
from crmmap.values import Request

Context = Mapping[str, object]
"""What templates may name beside the settings: `parent`, `parents`, `partition`, `window`, and
`cursor`, each only where there is one."""

BARE: Context = MappingProxyType({})
"""Nothing but the settings."""

NO_FILE = MappingProxyType({"name": "export", "path": "export"})
"""The file of records that are in none."""

SAMPLE = "#sample"
"""Marks a context that is for people to look at: its texts need not be what real ones are."""


def first_request(plan: Plan, step: Step, context: Context = BARE) -> Request:
    """Return the request for the first page. Raises SourceError if a template can't be rendered."""
    spec, source = step.request, step.source
    assert spec is not None and isinstance(source, Http)  # noqa: S101, PT018  (lint pairs them)
    render = _Renderer(plan, step, context)
    headers = {**source.headers, **_kept(spec, render.each(spec.headers))}
    if step.format != source.format and "accept" not in {name.lower() for name in headers}:
        headers["Accept"] = accepted(step.format)
    params = {**render.each(spec.params), **render.each(_more(step, context))}
    return Request(
        method=spec.method,
        url=source.base_url.rstrip("/") + render.path(spec),
        params=tuple(_kept(spec, params).items()),
        headers=tuple(headers.items()),
        body=render.json(spec.body),
        safe=spec.method == "GET" or spec.safe,
        unescaped=spec.unescaped,
    )


def _kept(spec: RequestSpec, texts: Mapping[str, str]) -> dict[str, str]:
    """Return parameters or headers without those that the mapping has left out."""
    return {name: text for name, text in texts.items() if text or not spec.omit_empty}


def _more(step: Step, context: Context) -> Mapping[str, Template]:
    """Return the parameters that a cursor adds."""
    known = "cursor" in context or "window" in context
    return step.incremental.params if step.incremental is not None and known else {}


def given_values(plan: Plan, step: Step, context: Context) -> dict[str, str]:
    """Return the texts of the fields that have a `value`. Raises SourceError.

    Records that are in no file, those of a case or invented ones, are taken to be in one.
    """
    if isinstance(step.source, Files):
        context = {"file": NO_FILE, **context}
    return _Renderer(plan, step, context).each(step.given)


class _Renderer:
    """Renders a step's templates over the settings and what its fields read."""

    def __init__(self, plan: Plan, step: Step, context: Context) -> None:
        self._step = step
        self._values: dict[str, object] = {"settings": plan.values, **context}
        self._functions: dict[str, Callable[..., object]] = {
            "selected": lambda name: step.selected.get(name, ()),
            "graphql": lambda: step.selection,
        }

    def text(self, template: Template, values: Mapping[str, object] | None = None) -> str:
        try:
            return template.render(values or self._values, self._functions)
        except TemplateError as error:
            message = f"a template of the request can't be rendered: it {error}"
            raise SourceError(message) from None

    def each(self, templates: Mapping[str, Template]) -> dict[str, str]:
        return {name: self.text(template) for name, template in templates.items()}

    def path(self, spec: RequestSpec) -> str:
        """Render the path; every value put into it is one segment and can't become more."""
        path = self.text(spec.path, _quoted(self._values))
        return path if path.startswith("/") or not path else f"/{path}"

    def json(self, value: object, item: Context = BARE) -> object:
        """Render a JSON document's texts leaf by leaf, so that no value can change its form."""
        if isinstance(value, str):
            return self.text(_parsed(value), {**self._values, **item})
        match special(value):
            case Each() as each:
                return [self.json(each.give, {"item": one}) for one in self._several(each)]
            case Typed() as leaf:
                return self._typed(leaf, item)
        if isinstance(value, Mapping):
            return {key: self.json(each, item) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(each, item) for each in value]
        return value

    def _several(self, each: Each) -> Sequence[object]:
        """Return what a list of the body is made of: rows, or texts."""
        owner, _, name = str(each.of).partition(".")
        if owner == "selected":
            return self._step.selected.get(name, ())
        found = self._values.get(owner, ())
        if owner == "settings" and isinstance(found, Mapping):
            return [part for part in map(str.strip, str(found.get(name, "")).split(",")) if part]
        return found if isinstance(found, list | tuple) else ()

    def _typed(self, leaf: Typed, item: Context) -> object:
        text = self.text(_parsed(leaf.text), {**self._values, **item})
        try:
            return leaf.value(text)
        except ValueError as error:
            if SAMPLE in self._values:
                return text
            message = f"the request's body can't be made: {error}"
            raise SourceError(message) from None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Template:
    """Return a text of a body as a template; a list's items have it rendered again and again."""
    return Template.parse(text, functions=("selected", "graphql"))


def _quoted(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values with every text in them quoted as one segment of a path."""
    return {name: _quoted_value(value) for name, value in values.items()}


def _quoted_value(value: object) -> object:
    if isinstance(value, Mapping):
        return _quoted(value)
    if isinstance(value, list | tuple):
        return [_quoted_value(each) for each in value]
    return _segment(value) if isinstance(value, str) else value


def _segment(value: str) -> str:
    if value in (".", ".."):
        # requests would resolve it, and the path would name another endpoint.
        message = "a value used in a path is '.' or '..'; give a name or an id"
        raise SourceError(message)
    return quote(value, safe="")
