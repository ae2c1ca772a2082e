"""Strict JSON from an answer's bytes: digits kept, doubtful objects and numbers marked."""

from __future__ import annotations

import json

from crmmap.extract.body import BadBody
from crmmap.extract.crowded import JSON, refuse_crowded
from crmmap.extract.expected import expected, kind_of, page_for_people
from crmmap.select.document import Document
from crmmap.select.strict import read_document, read_sound_bytes
from crmmap.values import Response


def decode_json(response: Response) -> Document:
    """Return the answer's JSON document; status 204 gives None.

    Numbers with a fraction or an exponent become `Decimal`, so that `1.10` stays
    `1.10`. NaN, infinities and numbers of absurd size become `NotANumber`; an object
    that has a key twice becomes `Ambiguous`. Raises BadBody for anything else than
    one whole JSON text in UTF-8, UTF-16 or UTF-32, of no more values than can be held.
    """
    if response.status == 204:
        return Document(None)
    if not response.body.strip():
        raise expected("JSON", response, "an empty body")
    refuse_crowded(response, JSON)
    if (document := read_sound_bytes(response.body)) is not None:
        return document
    text = _text(response)
    try:
        return read_document(text)
    except json.JSONDecodeError as error:
        raise _not_json(response, text, error) from None
    except RecursionError:
        what = "lists and objects nested too deep to read"
        raise expected("JSON", response, what, again=False) from None


def _text(response: Response) -> str:
    # The declared charset is not asked: RFC 8259 allows Unicode only, and many declare wrongly.
    encoding = json.detect_encoding(response.body)
    try:
        text = response.body.decode(encoding)
    except UnicodeDecodeError:
        what = f"bytes that are not {encoding.removesuffix('-sig')} text"
        raise expected("JSON", response, what) from None
    return text.removeprefix("\ufeff")


def _not_json(response: Response, text: str, error: json.JSONDecodeError) -> BadBody:
    if text.lstrip()[:1] == "<":
        # A page for people will be there again next time.
        return expected("JSON", response, page_for_people(response, text), again=False)
    where = f"line {error.lineno} column {error.colno}"
    if error.msg == "Extra data":
        return expected("JSON", response, f"something more after its end ({where})")
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
        return expected("JSON", response, f"a document that is cut short ({where})")
    what = kind_of(response) or "a body"
    return expected("JSON", response, f"{what} that is not well formed ({where})")
