"""Where comma-separated text begins: its encoding, its header row, and the shape of its records."""

from __future__ import annotations

from dataclasses import replace

from crmmap.errors import SourceError
from crmmap.extract.csv_chunks import Shape, Stretch
from crmmap.extract.csv_exact import Heading, heading
from crmmap.extract.csv_header import Wanted, column_names, looks_like_html
from crmmap.extract.text_files import Bytes, Lookahead, Text, decoded
from crmmap.kinds.formats import Csv


def csv_start(source: Bytes, form: Csv, wanted: Wanted, where: str) -> tuple[Text, Shape, int, int]:
    """Read the header row; return the text, the shape of its records, and where they start.

    That is an offset in the UTF-8 text, and the number of a line. `where` names the source in
    messages. Raises SourceError if the header row is not what is wanted.
    """
    text, encoding, start = decoded(source, form.encoding)
    shape = _shape(form, encoding)
    text.seek(start)
    head, ended = Lookahead(text).peek(shape.max_record + 1)
    found = heading(Stretch(text=head, ended=ended), shape)
    fault = _unlike_csv(head, found) or _header_fault(found)
    if found.cells is None or fault:
        raise SourceError(f"{where}: {fault}")
    names = column_names(found.cells, wanted, delimiter=shape.delimiter, where=where)
    return text, replace(shape, columns=names), start + found.consumed, 1 + found.passed


def _unlike_csv(head: bytes, found: Heading) -> str:
    if not head:
        return "the file is empty. A file without records has a header row still."
    if looks_like_html(head):
        return "the file is an HTML page, not CSV. Is it a log-in page? Export it again."
    if b"\0" in head[: found.consumed]:
        return "the header row is not text. If it is UTF-16, set the format's `encoding`."
    return ""


def _header_fault(found: Heading) -> str:
    if found.fault is not None:
        return f"header row: {found.fault.message}"
    if found.cells is None:
        return "the file has only blank lines. Add a header row."
    return ""


def _shape(form: Csv, encoding: str) -> Shape:
    return Shape(
        columns=(),
        delimiter=form.delimiter,
        quote=form.quote,
        max_record=form.max_record,
        encoding=encoding,
    )
