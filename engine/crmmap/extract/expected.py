"""Messages for answers that are not what the mapping says: what was expected, what came."""

from __future__ import annotations

import html
import re

from crmmap.extract.body import BadBody
from crmmap.extract.origin import printable
from crmmap.values import Response

TITLE = re.compile(r"<title[^<>]*+>([^<]*+)</title", re.IGNORECASE)
"""A title, which holds no markup: so every place is looked at once, however many there are."""


def expected(wanted: str, response: Response, got: str, *, again: bool = True) -> BadBody:
    """Return the error for an answer that is no `wanted`; `again`: a next try may bring one."""
    message = f"{response.url}: expected {wanted}, got {got} (status {response.status})"
    return BadBody(message, again=again)


def kind_of(response: Response) -> str:
    """Return the media type that an answer says it has."""
    kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
    return printable(kind, 60)


def page_for_people(response: Response, text: str) -> str:
    """Name an answer that is markup, by its type and title."""
    found = TITLE.search(text[:65536])
    title = " ".join(html.unescape(found[1]).split()) if found else ""
    named = f", title '{printable(title, 80)}'" if title else ""
    return f"{kind_of(response) or 'markup'}{named}"
