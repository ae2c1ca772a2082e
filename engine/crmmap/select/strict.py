"""Strict JSON from text: digits kept, doubtful objects and numbers marked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache

from crmmap.select.document import Ambiguous, Document, NotANumber

EXPONENT = 400
DIGITS = 4000
INTEGER_DIGITS = 4300
"""Python refuses to read longer integers, since that takes quadratic time."""
LARGE = 4_000_000
"""Bytes beyond which nothing is written anew to know it better: each text that is not ASCII would
keep what was written of it beside it."""


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


def read_bytes(body: bytes) -> Document:
    """Return a JSON text in UTF-8 as `read_document` does. Raises UnicodeDecodeError, too."""
    return read_sound_bytes(body) or read_document(body.decode())


def read_sound_bytes(body: bytes) -> Document | None:
    """Return a JSON text in UTF-8 as `read_document` does, in half the time; None in doubt.

    What is read so has lost a value where a key comes twice, and nothing else: then it has fewer
    names than were sent.
    """
    if len(body) > LARGE and not body.isascii():
        return None
    decode, encode = _codec()
    try:
        value = decode(body)
        again = encode(value)
        sound = again == body or _has_as_many_names(body, again)
    except (TypeError, ValueError, RecursionError):  # msgspec's own errors among them
        return None
    return Document(value) if sound else None


def written(values: Sequence[object]) -> list[bytes] | None:
    """Return each value as JSON of which `read_document` makes the same; None where one has none.

    None of the values may have a key twice.
    """
    encode = _codec()[1]
    try:
        return [encode(each) for each in values]
    except (TypeError, ValueError, RecursionError):
        return None


def _has_as_many_names(body: bytes, again: bytes) -> bool:
    """Say whether a text has as many names as when it is written anew; no, if in doubt."""
    import msgspec

    body = msgspec.json.format(body, indent=-1)  # without spaces: a colon stands behind each name
    # Within texts a quote and a colon are counted, too, unless they are written otherwise.
    escaped = b"\\u00" in body and any(each in body for each in ESCAPED)
    return body == again or (not escaped and body.count(NAMED) == again.count(NAMED))


NAMED = b'":'
ESCAPED = (b"\\u0022", b"\\u003a", b"\\u003A")


@cache
def _codec() -> tuple[Callable[[bytes], object], Callable[[object], bytes]]:
    import msgspec

    decoder = msgspec.json.Decoder(object, float_hook=_number)
    return decoder.decode, msgspec.json.Encoder(decimal_format="number").encode


def read_json(text: str) -> object:
    """Return a JSON text's value, read as an answer's is: for raw records kept earlier.

    Raises ValueError if the text is not JSON, or was cut.
    """
    return read_document(text).value


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


def _number(text: str) -> Decimal:
    number = _decimal(text)
    if isinstance(number, NotANumber):
        raise ValueError(text)
    return number


def _integer(text: str) -> int | NotANumber:
    return int(text) if len(text.lstrip("-")) <= INTEGER_DIGITS else NotANumber(text)
