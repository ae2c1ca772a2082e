"""Templates: jinja2, sandboxed and strict. Text in, text out; no result is ever parsed back.

A template is parsed, its nodes are checked against a short list, and only then
compiled: jinja2 computes constants while compiling, so that `{{ 'a' * 10**10 }}`
would exhaust memory before it ever ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2 import Template as Compiled
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.exceptions import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from crmmap.moments import FILTERS, demand_arguments, moment

OUTPUT_LIMIT = 64 * 1024

ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Getattr, nodes.Getitem,
    nodes.Const, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And, nodes.Or,
    nodes.Not, nodes.CondExpr, nodes.Concat, nodes.List, nodes.Dict, nodes.Pair, nodes.Tuple,
    nodes.Add, nodes.Sub, nodes.Neg, nodes.Keyword,
)  # fmt: skip
OF_TEXT = (
    "default", "first", "join", "last", "length", "lower", "map", "replace", "trim", "upper",
)  # fmt: skip
ALLOWED_FILTERS = tuple(sorted((*OF_TEXT, *FILTERS)))
ALLOWED_TESTS = ("defined", "none", "eq", "ne", "in")


class TemplateError(ValueError):
    """A template is malformed, or can't be rendered from what it was given."""


class _Data(ImmutableSandboxedEnvironment):
    """Reads data only: `x.items` is the entry named items, never a method."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        if isinstance(obj, list | tuple) and isinstance(argument, int):
            return super().getitem(obj, argument)
        return self.undefined(obj=obj, name=argument)


@pass_context
def _no_null(_: object, value: Any) -> Any:
    """Refuse null. Asking for the context keeps jinja2 from computing constants when compiling."""
    if value is None:
        message = "a part of it is null; give it a default"
        raise TemplateError(message)
    return value


@pass_context
def _column(_: object, rows: Any, name: str) -> list[Any]:
    """Return the entry `name` of every object in a list."""
    if not isinstance(rows, list | tuple) or not all(isinstance(row, Mapping) for row in rows):
        message = "`map` is of a list of objects, such as `parents`"
        raise TemplateError(message)
    if any(row.get(name) is None for row in rows):
        message = f"`map` finds an object without '{name}' in the list"
        raise TemplateError(message)
    return [row[name] for row in rows]


def _of_moment(name: str) -> Callable[..., str]:
    """Return the filter that writes a moment, given as ISO 8601 text, in another way."""

    @pass_context
    def write(_: object, value: Any, *arguments: Any) -> str:
        if not isinstance(value, str) or not all(isinstance(each, str) for each in arguments):
            message = f"`{name}` is of a moment in ISO 8601, such as `cursor`, and takes texts"
            raise TemplateError(message)
        try:
            return FILTERS[name](moment(value), *arguments)
        except (TypeError, ValueError, OverflowError):
            # Its own message would quote the value.
            message = f"`{name}` is given what it can't take: it is of a moment in ISO 8601"
            raise TemplateError(message) from None

    return write


def _environment() -> ImmutableSandboxedEnvironment:
    environment = _Data(
        undefined=StrictUndefined,
        autoescape=False,  # these texts are requests, not HTML
        finalize=_no_null,
        optimized=False,
        keep_trailing_newline=True,
    )
    environment.globals.clear()
    own = {"map": _column} | {name: _of_moment(name) for name in FILTERS}
    environment.filters = {
        name: own.get(name) or environment.filters[name] for name in ALLOWED_FILTERS
    }
    environment.tests = {name: environment.tests[name] for name in ALLOWED_TESTS}
    return environment


ENVIRONMENT = _environment()


@dataclass(frozen=True, slots=True)
class Template:
    """A checked and compiled template. `names` are the values that it asks for at the top."""

    text: str
    names: frozenset[str]
    settings: frozenset[str]
    """The settings it reads: `{{ settings.token }}` gives `token`."""
    _compiled: Compiled | None = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str, *, functions: tuple[str, ...] = ()) -> Template:
        """Parse, check, then compile. Raises TemplateError saying what is not allowed."""
        if "{{" not in text and "{%" not in text and "{#" not in text:
            return cls(text, frozenset(), frozenset(), None)
        return _parsed(text, functions)

    def render(
        self, values: Mapping[str, object], functions: Mapping[str, Callable[..., object]] = {}
    ) -> str:
        """Return the text. Raises TemplateError where a value is missing or null."""
        if self._compiled is None:
            return self.text
        try:
            text = self._compiled.render(**values, **functions)
        except JinjaError as error:
            raise TemplateError(_missing(error)) from None
        if len(text) > OUTPUT_LIMIT:
            message = f"gives more than {OUTPUT_LIMIT} characters"
            raise TemplateError(message)
        return text


@lru_cache(maxsize=1000)  # many streams say the same
def _parsed(text: str, functions: tuple[str, ...]) -> Template:
    try:
        tree = ENVIRONMENT.parse(text)
    except TemplateSyntaxError as error:
        # jinja2's own message may quote the text, which may hold a pasted secret.
        message = f"is not a well-formed template (line {error.lineno} of its text)"
        raise TemplateError(message) from None
    calls = _check(tree, functions)
    try:
        compiled = ENVIRONMENT.from_string(tree)
    except JinjaError:
        message = "is not a template that can be compiled"
        raise TemplateError(message) from None
    # No node that is allowed gives a name its value.
    names = {each.name for each in tree.find_all(nodes.Name)}
    return Template(text, frozenset(names) - calls, frozenset(_settings(tree)), compiled)


def _check(tree: nodes.Template, functions: tuple[str, ...]) -> frozenset[str]:
    calls = set()
    for node in tree.find_all(nodes.Node):
        if isinstance(node, nodes.Call):
            name = node.node.name if isinstance(node.node, nodes.Name) else ""
            if name not in functions:
                allowed = ", ".join(functions) or "none here"
                message = (
                    f"calls something that is not a function of the language. Allowed: {allowed}"
                )
                raise TemplateError(message)
            calls.add(name)
        elif isinstance(node, nodes.Filter) and node.name not in ALLOWED_FILTERS:
            message = f"uses the filter '{node.name}'. Allowed: {', '.join(ALLOWED_FILTERS)}"
            raise TemplateError(message)
        elif isinstance(node, nodes.Filter) and node.name in FILTERS:
            _check_moment(node)
        elif isinstance(node, nodes.Test) and node.name not in ALLOWED_TESTS:
            message = f"uses the test '{node.name}'. Allowed: {', '.join(ALLOWED_TESTS)}"
            raise TemplateError(message)
        elif not isinstance(node, ALLOWED_NODES):
            what = type(node).__name__.lower()
            message = (
                f"uses '{what}', which a template may not. "
                "Allowed: names, literals, filters, tests, comparisons, if-else, ~, + and -"
            )
            raise TemplateError(message)
    return frozenset(calls)


def _check_moment(node: nodes.Filter) -> None:
    """Refuse what a filter of moments can't take, as far as it is written out."""
    if node.kwargs or node.dyn_args or node.dyn_kwargs:
        message = f"gives `{node.name}` a word by name. Write the text alone, in quotes"
        raise TemplateError(message)
    given = [each.value for each in node.args if isinstance(each, nodes.Const)]
    texts = tuple(each for each in given if isinstance(each, str))
    if len(texts) == len(node.args):
        try:
            demand_arguments(node.name, texts)
        except ValueError as error:
            message = f"uses `{node.name}` with what it can't take: {error}"
            raise TemplateError(message) from None


def _settings(tree: nodes.Template) -> set[str]:
    return {str(name) for owner, name in _entries(tree) if owner == "settings"}


def _entries(tree: nodes.Template) -> Iterator[tuple[str, object]]:
    """Yield what is read from each name at the top: `a.b` and `a['b']` give `("a", "b")`."""
    for dotted in tree.find_all(nodes.Getattr):
        if isinstance(dotted.node, nodes.Name):
            yield dotted.node.name, dotted.attr
    for indexed in tree.find_all(nodes.Getitem):
        if isinstance(indexed.node, nodes.Name) and isinstance(indexed.arg, nodes.Const):
            yield indexed.node.name, indexed.arg.value


def _missing(error: JinjaError) -> str:
    # StrictUndefined's messages name what is missing, and hold no value.
    return error.message or "can't be rendered: a value that it names is missing"
