"""A page of XML records as a table of Parquet, and back, with their texts as they were sent.

To write each anew, as it is kept in JSON, takes longer than to load it. So that is done when the
table is read. Its first column is each record's place; the other has their texts, and the start tag
of their document for a name, without which their namespaces are not known.
"""

from __future__ import annotations

import polars as pl

from crmmap.loop.packed_texts import ESCAPED
from crmmap.redact import Clean, tells
from crmmap.select.xml_records import XmlRecords
from crmmap.values import Page, each_as_json

KNOWN = (b"amp;", b"lt;", b"gt;")
"""References in which a secret is looked for."""


def plain_elements(page: Page, clean: Clean | None, *, longest: int) -> pl.DataFrame | None:
    """Return a page's records if no secret stands in them, and none may be too long.

    `longest` is in characters of JSON.
    """
    records = page.records
    if not isinstance(records, XmlRecords) or not len(records):
        return None
    sent = [*records.stretches()]
    if ESCAPED * (max(map(len, sent)) + 2 * len(records.tag)) > longest:
        return None
    if clean is not None and _may_tell(clean, [records.tag, *sent]):
        return None
    tag = records.tag.decode()
    return pl.DataFrame([pl.Series(tag, sent, dtype=pl.Binary).cast(pl.String)])


def _may_tell(clean: Clean, sent: list[bytes]) -> bool:
    """Say whether a secret stands in a text, or might in another spelling than is looked for."""
    whole = b"\n".join(sent)
    if not all(each.startswith(KNOWN) for each in whole.split(b"&")[1:]):
        return True
    if tells(clean, whole.decode()):
        return True
    # Some write `&lt;` and a bare `>` in one text; a secret is looked for with all references.
    mixed = b"&" in whole and whole.count(b">") > whole.count(b"<")
    return mixed and tells(clean, whole.replace(b">", b"&gt;").decode())


def raws_of(table: pl.DataFrame) -> list[str]:
    """Return the records of a table without places, as JSON."""
    # lxml is imported where a stream is of XML.
    from crmmap.select.xml_parsing import texts_of
    from crmmap.select.xpath import XML

    (column,) = table.get_columns()
    sent = column.cast(pl.Binary).to_list()
    return each_as_json({XML: text} for text in texts_of(column.name.encode(), sent))
