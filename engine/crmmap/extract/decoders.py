"""An answer's bytes made into records, whatever the format: one decoder for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from crmmap.extract.body import BadBody
from crmmap.extract.decode import decode_json
from crmmap.extract.json_quick import Way, way_of
from crmmap.extract.unpack import unpacked
from crmmap.kinds.formats import Csv, Format, Json, Xml
from crmmap.plan import Step
from crmmap.select.document import Document, Found
from crmmap.values import Response

Decoder = Callable[[Response], Document]
"""Raises BadBody for an answer that may be asked for again, SourceError for one that is whole
and holds no records where the mapping says."""


def decoder_of(step: Step) -> Decoder:
    """Return the decoder for a stream's answers."""
    form, way = step.format or Json(), way_of(step)

    def decode(response: Response) -> Document:
        return _decoded(step, form, way, _unpacked(step, form, response))

    return decode


def _decoded(step: Step, form: Format, way: Way | None, response: Response) -> Document:
    # What reads the other formats is imported where a stream has one of them.
    if isinstance(form, Json):
        return decoded_json(way, response)
    if isinstance(form, Xml):
        from crmmap.extract.xml_answer import decode_xml

        return decode_xml(step, form, response)
    from crmmap.extract.lines_body import demand_length, read_csv, read_ndjson

    if response.status == 204:
        return Document(None, found=Found())
    demand_length(response, form.unpack)
    if isinstance(form, Csv):
        return read_csv(step, form, response)
    return read_ndjson(response, raw=way is not None)


def decoded_json(way: Way | None, response: Response) -> Document:
    """Return an answer with its records as bytes, where it may be; else decoded whole."""
    taken = None if way is None or response.status == 204 else way.decode(response)
    return decode_json(response) if taken is None else taken


def _unpacked(step: Step, form: Format, response: Response) -> Response:
    if form.unpack == "none" or response.status == 204:
        return response
    limit: int = getattr(step.source, "max_body", MAX_BODY)
    try:
        return replace(response, body=unpacked(response.body, form.unpack, limit=limit))
    except BadBody as error:
        raise BadBody(f"{response.url}: {error}", again=error.again) from None


MAX_BODY = 256 * 1024 * 1024
