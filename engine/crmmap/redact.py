"""Secrets taken out of text, in every form in which a server or a library may echo them.

A plain `str.replace` is not enough: a token comes back URL-quoted in an address,
escaped in a JSON error, or inside the base64 of a Basic header.
"""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from urllib.parse import quote, quote_plus

from crmmap.declare import inside
from crmmap.values import Secret

Clean = Callable[[str], str]
"""Returns a text without secrets."""

MASK = "***"
SHORTEST = 6
"""Shorter secrets are not searched for: they would mask half of every text."""


class Redactor:
    """Replaces known secrets by `***`."""

    __slots__ = ("_forms",)

    def __init__(self, secrets: Iterable[Secret]) -> None:
        texts = {secret.reveal() for secret in secrets}
        found = {form for text in texts if len(text) >= SHORTEST for form in _forms(text)}
        self._forms = tuple(sorted(found, key=len, reverse=True))

    def __bool__(self) -> bool:
        """Say whether there is any secret to look for."""
        return bool(self._forms)

    def clean(self, text: str) -> str:
        """Return the text without any secret of six characters or more, however encoded."""
        # All forms are looked for in the untouched text and their places merged:
        # replacing one after the other would leave the tail of an overlap.
        spans = sorted(span for form in self._forms for span in _spans(form, text))
        if not spans:
            return text
        parts, end = [], 0
        for start, stop in spans:
            if start >= end:
                parts += [text[end:start], MASK]
            end = max(end, stop)
        return "".join([*parts, text[end:]])


def _spans(form: str, text: str) -> Iterator[tuple[int, int]]:
    start = text.find(form)
    while start >= 0:
        yield start, start + len(form)
        start = text.find(form, start + 1)


def tells(clean: Clean | None, text: str) -> bool:
    """Say whether a text has a secret in it, however it is written."""
    return clean is not None and clean(text) != text


def in_succession(cleaners: Iterable[Clean | None]) -> Clean | None:
    """Return what takes out the secrets of all; None where none knows any."""
    known = [each for each in cleaners if each is not None]
    if not known:
        return None
    return lambda text: reduce(lambda cleaned, clean: clean(cleaned), known, text)


def secrets_in(value: object) -> Iterator[Secret]:
    """Yield every `Secret` inside dataclasses, mappings, tuples and lists."""
    yield from (each for each in inside(value) if isinstance(each, Secret))


def _forms(text: str) -> set[str]:
    data = text.encode("utf-8", "surrogatepass")
    ascii_json, plain_json = (
        json.dumps(text, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)
    )
    markup = html.escape(text)
    forms = {
        text, data.decode("latin-1"),  # the second is what a wrong charset makes of it
        repr(text)[1:-1], repr(data)[2:-1],
        ascii_json, plain_json, ascii_json.replace("/", "\\/"), plain_json.replace("/", "\\/"),
        markup, markup.replace("&#x27;", "&#39;"), html.escape(text, quote=False),
    }  # fmt: skip
    for quoted in (quote(data, safe=""), quote(data), quote_plus(data), quote_plus(data, safe="/")):
        forms |= {quoted, re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)}
    return forms | set(_base64_forms(data))


def _base64_forms(data: bytes) -> Iterator[str]:
    """Yield the characters that depend on the secret alone, at each of the three alignments."""
    for shift, first in ((0, 0), (1, 2), (2, 3)):
        whole = b64encode(b"\0" * shift + data).decode()
        # Padding means that the last character also depends on what follows the secret.
        core = (whole[: whole.index("=") - 1] if "=" in whole else whole)[first:]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))
