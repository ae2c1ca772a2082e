"""How a stream's values are taken out of its records, and what templates may say of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crmmap.kinds.formats import Format, Xml
from crmmap.kinds.types import Type
from crmmap.select.column import ColumnSelector
from crmmap.select.columnar import hints_of
from crmmap.select.compiled import CompiledSelector, Selector
from crmmap.select.jmespath import (
    Cell,
    Jmespath,
    compile_expression,
    leaves,
    names_under,
)
from crmmap.spec.languages import Language
from crmmap.spec.model import Field, Stream
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.values import GIVEN, Expression


def expressions_of(stream: Stream, language: Language) -> dict[str, tuple[Expression, ...]]:
    """Return the expressions of each field, of a stream whose records are no columns."""
    return {
        field: (_of_given(field),)
        if each.value is not None
        else tuple(language.record(text) for text in each.from_)
        for field, each in stream.fields.items()
    }


def _of_given(field: str) -> Jmespath:
    return compile_expression(f'"{GIVEN}".{field}')


def sources_of(name: str, field: Field) -> tuple[str, ...]:
    """Return the headers, or columns, that a field is read from."""
    return field.from_ if field.value is None else (f"{GIVEN}.{name}",)


def selector_of(
    stream: Stream,
    types: Mapping[str, Type],
    expressions: Mapping[str, tuple[Expression, ...]],
    form: Format | None,
    *,
    plain: Iterable[str] = (),
    trimmed: Iterable[str] = (),
) -> Selector:
    """Return what makes the raw frame of a page; without `expressions`, of columns.

    `plain` are the fields whose texts nothing tidies; of those, a number may come as it is.
    `trimmed` are those of which a text of white space is no value, whoever takes it out.
    """
    if not expressions:
        return ColumnSelector(
            fields=tuple((field, sources_of(field, each)) for field, each in stream.fields.items()),
            trimmed=frozenset(trimmed),
        )
    if isinstance(form, Xml):
        from crmmap.select.elements import ElementCell, XPathSelector, walk_through

        elements = tuple(
            ElementCell(field=field, expressions=each, whole="container" in types[field].accepts)
            for field, each in expressions.items()
        )
        return XPathSelector(cells=elements, walk=walk_through(elements))
    cells = tuple(
        Cell(
            field=field,
            expressions=_jmespath(each),
            # `true` and `false` are readable as text, but identify nothing.
            accepts=types[field].accepts - ({"boolean"} if field in stream.table.key else set()),
        )
        for field, each in expressions.items()
    )
    dtypes = {field: types[field].dtype for field in plain}
    # What Arrow calls decimal it reads from texts, too.
    own = {field: dtype for field, dtype in dtypes.items() if not dtype.is_decimal()}
    return CompiledSelector(cells=cells, dtypes=own, hints=hints_of(cells, own))


def _jmespath(expressions: Iterable[Expression]) -> tuple[Jmespath, ...]:
    return tuple(each for each in expressions if isinstance(each, Jmespath))


def selected_of(mapping: MappingSpec, name: str, language: Language) -> dict[str, tuple[str, ...]]:
    """Return what a stream's fields read, and those of streams that read the same pages."""
    first = mapping.streams[name].pages_of or name
    every = [
        each
        for other, stream in mapping.streams.items()
        if first in (other, stream.pages_of)
        for several in expressions_of(stream, language).values()
        for each in _jmespath(several)
    ]
    objects = {str(leaf[0]) for each in every for leaf in leaves(each) if len(leaf) > 1} - {GIVEN}
    return {name: names_under(every, name) for name in sorted(objects)}


def selection_of(stream: Stream, expressions: Mapping[str, Sequence[Expression]]) -> str:
    """Return what a stream's fields read of its records, as GraphQL asks for it."""
    elsewhere = {GIVEN, *stream.enrich}
    tree: dict[str, Any] = {}
    for several in expressions.values():
        for each in _jmespath(several):
            for leaf in leaves(each):
                names = [step for step in leaf if isinstance(step, str)]
                at = tree
                for name in names if names and names[0] not in elsewhere else ():
                    at = at.setdefault(name, {})
    return _asked_for(tree)


def _asked_for(tree: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name} {{ {_asked_for(inner)} }}" if inner else name for name, inner in tree.items()
    )
