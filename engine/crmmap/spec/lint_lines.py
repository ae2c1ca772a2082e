"""Whether the pages of answers that are lines can be found: there is nothing around the records."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crmmap.kinds.formats import Csv, Ndjson
from crmmap.kinds.paging import Pagination
from crmmap.kinds.source import Http
from crmmap.spec.faults import Fault
from crmmap.spec.languages import format_of
from crmmap.spec.model import Mapping
from crmmap.values import Expression, Path

OF_THE_ANSWER = ("token", "url", "pages", "more", "total")
"""Words of pagination whose expressions are asked of the whole answer, not of a record."""

OF_AN_OBJECT = re.compile(r'\s*(?:"|[A-Za-z_]\w*+(?!\s*\())')
"""How an expression begins that asks an object for a name: a list of lines has none."""


def faults(mapping: Mapping) -> Iterator[Fault]:
    """Yield the expressions of pagination that would find nothing, page after page."""
    for name, stream in mapping.streams.items():
        source = mapping.source_of(stream)
        form = format_of(stream, source)
        if not isinstance(source, Http) or stream.pages_of is not None:
            continue
        if isinstance(form, Csv | Ndjson):
            path: Path = ("streams", name)
            yield from _of(stream.pagination, form, (*path, "pagination"))
            changes = stream.changes
            if changes is not None and changes.pagination is not None:
                yield from _of(changes.pagination, form, (*path, "changes", "pagination"))


def _of(pagination: Pagination, form: Csv | Ndjson, path: Path) -> Iterator[Fault]:
    for word in OF_THE_ANSWER:
        found: Expression | None = getattr(pagination, word, None)
        if found is None or (isinstance(form, Ndjson) and not OF_AN_OBJECT.match(found.text)):
            continue
        what = "CSV" if isinstance(form, Csv) else "JSON Lines"
        message = (
            f"finds nothing: {what} has no place around its records. Pages of it can be asked for "
            "by `link`, by `token` with `token_header`, or by `page`, `offset` or `keyset` without "
            "such words"
        )
        yield Fault(path=(*path, word), rule="pagination.lines", message=message)
