"""An XML answer's bytes made into records."""

from __future__ import annotations

import re
from functools import partial

from crmmap.errors import SourceError
from crmmap.extract.crowded import XML, refuse_crowded
from crmmap.extract.expected import expected, kind_of, page_for_people
from crmmap.extract.xml_body import NotXml, astray, whole
from crmmap.extract.xml_mend import mended
from crmmap.extract.xml_quick import by_columns
from crmmap.kinds.formats import Xml
from crmmap.plan import Step
from crmmap.select.document import Document, Found
from crmmap.select.elements import walk_for
from crmmap.select.xml_parsing import around
from crmmap.select.xml_records import xml_records
from crmmap.select.xpath import RecordPath, Unparsed
from crmmap.values import Response


def decode_xml(step: Step, form: Xml, response: Response) -> Document:
    """Return the records of an XML answer; status 204 has none."""
    assert isinstance(step.records, RecordPath)  # noqa: S101  (a plan pairs it with the format)
    if response.status == 204:
        return Document(None, found=Found())
    _demand_markup(response)
    refuse_crowded(response, XML)
    body, count = response.body, 0
    if form.sanitize and b"#" in body and b"&#" in body:  # some are mended though well formed
        body, count = mended(body)
    walk = walk_for(step.selector)
    records = None if walk is None else by_columns(body, step.records, walk)
    if records is not None:
        lines = range(len(records))
        read = Found(records=xml_records(records), lines=lines, mended=count)
        return Document(Unparsed(partial(around, records)), found=read)
    return _element_by_element(step, form, response)


def _element_by_element(step: Step, form: Xml, response: Response) -> Document:
    assert isinstance(step.records, RecordPath)  # noqa: S101  (a plan pairs it with the format)
    body, count = mended(response.body) if form.sanitize else (response.body, 0)
    try:
        found, root = whole(body, step.records, walk_for(step.selector))
    except NotXml as error:
        mend = "; the format's `sanitize: true` mends such" if error.unclean else ""
        what = str(error) if form.sanitize else f"{error}{mend}"
        raise expected("XML", response, what, again=error.again) from None
    if not found and (lacking := astray(root, step.records)):
        message = f"records: {lacking} of the answer of {response.url}"
        raise SourceError(message)
    read = Found(
        records=[each.record for each in found], lines=[each.at for each in found], mended=count
    )
    return Document(root, found=read)


HTML = re.compile(
    r"\s*+(?:(?><!--.*?-->\s*))*+<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)


def _demand_markup(response: Response) -> None:
    """Raise BadBody for an answer that is not even meant to be XML."""
    start = response.body[:65536].decode("utf-8", "replace").lstrip("\ufeff")
    if not response.body or response.body.isspace():
        raise expected("XML", response, "an empty body")
    if HTML.match(start):
        # A page for people will be there again next time.
        raise expected("XML", response, page_for_people(response, start), again=False)
    if "<" not in start.replace("\0", "").lstrip()[:4]:
        raise expected("XML", response, kind_of(response) or "something else", again=False)
