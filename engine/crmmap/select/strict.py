"""Strict JSON from text: digits kept, doubtful objects and numbers marked."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation

from crmmap.select.document import Ambiguous, Document, NotANumber

EXPONENT = 400
DIGITS = 4000
INTEGER_DIGITS = 4300
"""Python refuses to read longer integers, since that takes quadratic time."""


def read_document(text: str) -> Document:
    """Return a JSON text as a document.

    Numbers with a fraction or an exponent become `Decimal`, so that `1.10` stays
    `1.10`. NaN, infinities and numbers of absurd size become `NotANumber`; an object
    that has a key twice becomes `Ambiguous`. Raises JSONDecodeError if the text is not
    JSON, RecursionError if it is nested too deep to read.
    """
    try:
        return _parsed(text, {})
    except json.JSONDecodeError:
        raise
    except ValueError:
        # An integer longer than Python reads; looking at each costs time, so only now.
        return _parsed(text, {"parse_int": _integer})


def read_json(text: str) -> object:
    """Return a JSON text's value, read as an answer's is: for raw records kept earlier.

    Raises ValueError if the text is not JSON, or was cut.
    """
    return read_document(text).value


def read_sound(text: str) -> Document:
    """Return a JSON text as `read_document` does, sooner, if no object in it has a key twice."""
    try:
        return Document(json.loads(text, parse_float=_decimal))
    except ValueError:
        return read_document(text)


def read_whole(text: str) -> object:
    """Return the value of a JSON text that stands in a record. Raises ValueError.

    An object with the same key twice is none: it could not be told from a sound one later.
    """
    try:
        document = read_document(text)
    except RecursionError:
        message = "is nested too deep to read"
        raise ValueError(message) from None
    if document.has_ambiguous:
        message = "has an object with the same key twice"
        raise ValueError(message)
    return document.value


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
