"""Stretches of an XML document made elements, within a root that explains their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lxml import etree

from crmmap.select.xml_records import XmlRecords
from crmmap.select.xpath import SAFE

AT_ONCE = 256
"""Records that are parsed together."""


def texts_of(tag: bytes, stretches: Sequence[bytes]) -> Iterator[str]:
    """Yield elements as texts of their own, with the namespaces that the root's tag declares."""
    for start in range(0, len(stretches), AT_ONCE):
        for element in parsed(tag, b"".join(stretches[start : start + AT_ONCE])):
            yield etree.tostring(element, encoding="unicode")


def around(records: XmlRecords) -> etree._Element:
    """Return the root of a document without its records, and without the text after each."""
    text, at, kept = records.text, len(records.tag), []
    for start, resumes in records.places.select("start", "resumes").iter_rows():
        kept.append(text[at:start])
        at = resumes
    return parsed(records.tag, b"".join([*kept, text[at : text.rindex(b"</")]]))


def parsed(tag: bytes, inner: bytes, prolog: bytes = b"") -> etree._Element:
    """Return a root element, of which the start tag and all that is in it are given."""
    name = tag[1:-1].split(maxsplit=1)[0]
    document = b"%b%b%b</%b>" % (prolog, tag, inner, name)
    root: etree._Element = etree.fromstring(document, etree.XMLParser(**SAFE))
    return root
