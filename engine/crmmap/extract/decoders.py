"""An answer's bytes made into records, whatever the format: one decoder for each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from crmmap.errors import SourceError
from crmmap.extract.body import BadBody
from crmmap.extract.crowded import XML, refuse_crowded
from crmmap.extract.decode import decode_json
from crmmap.extract.expected import expected, kind_of, page_for_people
from crmmap.extract.json_quick import Way, way_of
from crmmap.extract.lines_body import demand_length, read_csv, read_ndjson
from crmmap.extract.unpack import unpacked
from crmmap.extract.xml_body import NotXml, astray, whole
from crmmap.extract.xml_mend import mended
from crmmap.kinds.formats import Csv, Format, Json, Xml
from crmmap.plan import Step
from crmmap.select.document import Document, Found
from crmmap.select.xpath import RecordPath
from crmmap.values import Response

Decoder = Callable[[Response], Document]
"""Raises BadBody for an answer that may be asked for again, SourceError for one that is whole
and holds no records where the mapping says."""


def decoder_of(step: Step) -> Decoder:
    """Return the decoder for a stream's answers."""
    form = step.format
    if form is None or form == Json():
        way = way_of(step)
        return decode_json if way is None else partial(_quickly, way)

    def decode(response: Response) -> Document:
        return _decoded(step, form, _unpacked(step, form, response))

    return decode


def _quickly(way: Way, response: Response) -> Document:
    """Return an answer with its records as bytes, or decoded whole."""
    document = way.decode(response) if response.status != 204 else None
    return decode_json(response) if document is None else document


def _decoded(step: Step, form: Format, response: Response) -> Document:
    if isinstance(form, Xml):
        return decode_xml(step, form, response)
    if isinstance(form, Json):
        return decode_json(response)
    if response.status == 204:
        return Document(None, found=Found())
    demand_length(response, form.unpack)
    return read_csv(step, form, response) if isinstance(form, Csv) else read_ndjson(response)


def _unpacked(step: Step, form: Format, response: Response) -> Response:
    if form.unpack == "none" or response.status == 204:
        return response
    limit: int = getattr(step.source, "max_body", MAX_BODY)
    try:
        return replace(response, body=unpacked(response.body, form.unpack, limit=limit))
    except BadBody as error:
        raise BadBody(f"{response.url}: {error}", again=error.again) from None


MAX_BODY = 256 * 1024 * 1024


# --- XML ----------------------------------------------------------------------------------------


def decode_xml(step: Step, form: Xml, response: Response) -> Document:
    """Return the records of an XML answer; status 204 has none."""
    assert isinstance(step.records, RecordPath)  # noqa: S101  (a plan pairs it with the format)
    if response.status == 204:
        return Document(None, found=Found())
    _demand_markup(response)
    refuse_crowded(response, XML)
    body, count = mended(response.body) if form.sanitize else (response.body, 0)
    try:
        found, root = whole(body, step.records, step.walk)
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
    if not response.body.strip():
        raise expected("XML", response, "an empty body")
    if HTML.match(start):
        # A page for people will be there again next time.
        raise expected("XML", response, page_for_people(response, start), again=False)
    if "<" not in start.replace("\0", "").lstrip()[:4]:
        raise expected("XML", response, kind_of(response) or "something else", again=False)
