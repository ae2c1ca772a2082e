"""The language in which a stream's expressions are written: its format decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crmmap.kinds.formats import FORMATS, Csv, Format, Xml
from crmmap.select.jmespath import Jmespath, compile_expression
from crmmap.spec.model import Stream
from crmmap.values import Expression

if TYPE_CHECKING:
    from crmmap.select.xpath import RecordPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """How a format's expressions are compiled; each raises ValueError that says what is wrong.

    `answer` is of those that look into an answer (pagination's), `record` of those that look
    into a record (`from`), `records` of the way to the records.
    """

    answer: Callable[[str], Expression]
    record: Callable[[str], Expression]
    records: Callable[[str], Jmespath | RecordPath]


JMESPATH = Language(
    answer=compile_expression, record=compile_expression, records=compile_expression
)


def _header(text: str) -> Jmespath:
    """Return the expression for the cell under a header, which may be any text."""
    return compile_expression(json.dumps(text, ensure_ascii=False))


HEADERS = Language(answer=compile_expression, record=_header, records=compile_expression)


def language_of(form: Format | None) -> Language:
    """Return the language of a format's expressions."""
    if isinstance(form, Csv):
        return HEADERS
    if not isinstance(form, Xml):
        return JMESPATH
    from crmmap.select.xpath import (
        Dialect,
        compile_record_path,
        compile_relative,
        compile_xpath,
    )

    dialect = Dialect(namespaces=form.namespaces, null_attribute=form.null_attribute)
    return Language(
        answer=lambda text: compile_xpath(text, dialect),
        record=lambda text: compile_relative(text, dialect),
        records=lambda text: compile_record_path(text, dialect, form.container),
    )


def format_of(stream: Stream, source: object) -> Format | None:
    """Return the format of a stream: its own, or else its source's; None if that has none."""
    found: Format | None = stream.format or getattr(source, "format", None)
    return found


def language_written(stream: Mapping[str, object], mapping: object) -> Language:
    """Return the language of a stream that is not built yet, from plain values.

    What is wrong with the format or the source itself is left for others to say.
    """
    source = _source_written(stream, mapping)
    shared = source.get("format") if isinstance(source, Mapping) else None
    written = stream.get("format") or shared
    if written == "xml":
        return language_of(Xml())
    if not isinstance(written, Mapping) or FORMATS.get(str(written.get("kind"))) is not Xml:
        return JMESPATH
    names = written.get("namespaces")
    known = names.items() if isinstance(names, Mapping) else ()
    namespaces = {str(name): uri for name, uri in known if isinstance(uri, str)}
    return language_of(Xml(namespaces=namespaces))


def _source_written(stream: Mapping[str, object], mapping: object) -> object:
    if not isinstance(mapping, Mapping) or "source" in mapping:
        return mapping.get("source") if isinstance(mapping, Mapping) else None
    sources = mapping.get("sources")
    if not isinstance(sources, Mapping) or not sources:
        return None
    return sources.get(stream.get("source") or next(iter(sources)))


def by_columns(form: Format | None) -> bool:
    """Say whether records of the format are rows of a table, whose `from` names columns.

    A source without any format is a database.
    """
    return form is None or isinstance(form, Csv)
