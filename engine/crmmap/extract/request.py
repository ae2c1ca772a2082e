"""A stream's first request, made from what the mapping says of it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from crmmap.errors import SourceError
from crmmap.kinds.source import Http
from crmmap.plan import Plan, Step
from crmmap.spec.model import RequestSpec
from crmmap.template import Template, TemplateError
from crmmap.values import Request


def first_request(plan: Plan, step: Step) -> Request:
    """Return the request for the first page. Raises SourceError if a template can't be rendered."""
    spec, source = step.request, plan.source
    assert spec is not None and isinstance(source, Http)  # noqa: S101, PT018  (lint pairs them)
    render = _Renderer(plan, step)
    headers = {**source.headers, **render.each(spec.headers)}
    return Request(
        method=spec.method,
        url=source.base_url.rstrip("/") + render.path(spec),
        params=tuple(render.each(spec.params).items()),
        headers=tuple(headers.items()),
        body=render.json(spec.body),
        safe=spec.method == "GET" or spec.safe,
    )


class _Renderer:
    """Renders a step's templates over the settings and what its fields read."""

    def __init__(self, plan: Plan, step: Step) -> None:
        self._values: dict[str, object] = {"settings": plan.values}
        self._functions = {"selected": lambda name: step.selected.get(name, ())}

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
        settings = self._values["settings"]
        assert isinstance(settings, Mapping)  # noqa: S101  (set so above)
        quoted = {name: _segment(value) for name, value in settings.items()}
        path = self.text(spec.path, {"settings": quoted})
        return path if path.startswith("/") or not path else f"/{path}"

    def json(self, value: object) -> object:
        """Render a JSON document's texts leaf by leaf, so that no value can change its form."""
        if isinstance(value, str):
            return self.text(Template.parse(value, functions=("selected",)))
        if isinstance(value, Mapping):
            return {key: self.json(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(each) for each in value]
        return value


def _segment(value: str) -> str:
    if value in (".", ".."):
        # requests would resolve it, and the path would name another endpoint.
        message = "a setting used in a path is '.' or '..'; give a name or an id"
        raise SourceError(message)
    return quote(value, safe="")
