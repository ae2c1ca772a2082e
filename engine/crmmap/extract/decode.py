"""Strict JSON from an answer's bytes: digits kept, doubtful objects and numbers marked."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation

from crmmap.extract.body import BadBody
from crmmap.extract.crowded import JSON, refuse_crowded
from crmmap.extract.expected import expected, kind_of, page_for_people
from crmmap.select.document import Ambiguous, Document, NotANumber
from crmmap.values import Response

EXPONENT = 400
DIGITS = 4000
INTEGER_DIGITS = 4300
"""Python refuses to read longer integers, since that takes quadratic time."""


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
    text = _text(response)
    try:
        return _document(text)
    except json.JSONDecodeError as error:
        raise _not_json(response, text, error) from None
    except RecursionError:
        what = "lists and objects nested too deep to read"
        raise expected("JSON", response, what, again=False) from None


def read_json(text: str) -> object:
    """Return a JSON text's value, read as an answer's is: for raw records kept earlier.

    Raises ValueError if the text is not JSON, or was cut.
    """
    return _document(text).value


def read_whole(text: str) -> object:
    """Return the value of a JSON text that stands in a record. Raises ValueError.

    An object with the same key twice is none: it could not be told from a sound one later.
    """
    try:
        document = _document(text)
    except RecursionError:
        message = "is nested too deep to read"
        raise ValueError(message) from None
    if document.has_ambiguous:
        message = "has an object with the same key twice"
        raise ValueError(message)
    return document.value


def _text(response: Response) -> str:
    # The declared charset is not asked: RFC 8259 allows Unicode only, and many declare wrongly.
    encoding = json.detect_encoding(response.body)
    try:
        text = response.body.decode(encoding)
    except UnicodeDecodeError:
        what = f"bytes that are not {encoding.removesuffix('-sig')} text"
        raise expected("JSON", response, what) from None
    return text.removeprefix("\ufeff")


def _document(text: str) -> Document:
    try:
        return _parsed(text, {})
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer longer than Python reads; looking at each costs time, so only now.
        return _parsed(text, {"parse_int": _integer})


def _parsed(text: str, integers: dict[str, object]) -> Document:
    doubtful = False

    def as_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal doubtful
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        doubtful = True
        return Ambiguous(pairs)

    value = json.loads(
        text,
        object_pairs_hook=as_object,
        parse_float=_decimal,
        parse_constant=NotANumber,
        **integers,  # type: ignore[arg-type]
    )
    return Document(value, doubtful)


def _decimal(text: str) -> Decimal | NotANumber:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return NotANumber(text)
    if len(text) > DIGITS or abs(number.adjusted()) > EXPONENT:
        return NotANumber(text)
    return number


def _integer(text: str) -> int | NotANumber:
    return int(text) if len(text.lstrip("-")) <= INTEGER_DIGITS else NotANumber(text)


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
