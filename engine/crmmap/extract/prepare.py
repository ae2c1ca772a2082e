"""A request as it goes over the wire: headers, parameters and body written out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crmmap.errors import SourceError
from crmmap.extract.body import ACCEPTED
from crmmap.extract.origin import printable
from crmmap.kinds.formats import Csv, Json, Ndjson, Xml
from crmmap.kinds.source import Http
from crmmap.values import Request, Secret

if TYPE_CHECKING:
    import requests

_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""What HTTP/1.1 allows in a header's value (RFC 9110, 5.5), as http.client encodes it."""


def prepare(request: Request, source: Http, *, where: str, plain: bool) -> requests.PreparedRequest:
    """Return the request with the source's headers, ready to be sent.

    `where` names it in messages. With `plain`, no compressed answer is asked for.
    Raises SourceError for what can't be written as HTTP.
    """
    import requests

    try:
        return requests.Request(
            request.method,
            request.url,
            params=request.query,
            headers=_headers(request, source, where=where, plain=plain),
            data=request.payload,
        ).prepare()
    except (requests.RequestException, UnicodeError):
        # The exception's own message would quote the header or the address.
        message = f"{where}: the request can't be written as HTTP; look at its path and parameters"
        raise SourceError(message) from None


def accepted(form: object) -> str:
    """Return what to ask for where answers are written in a format."""
    match form:
        case Json():
            return "application/json"
        case Ndjson():
            return "application/x-ndjson, application/json, */*;q=0.1"
        case Csv():
            return "text/csv, */*;q=0.1"
        case Xml():
            return "application/atom+xml, application/xml, text/xml, */*;q=0.1"
    return "*/*"


def _headers(request: Request, source: Http, *, where: str, plain: bool) -> dict[str, str]:
    headers = {"user-agent": "crmmap", "accept": accepted(source.format)}
    if request.form:
        headers["content-type"] = "application/x-www-form-urlencoded"
    elif request.body is not None:
        headers["content-type"] = "application/json"
    for name, value in (*source.headers.items(), *request.headers):
        text = value.reveal() if isinstance(value, Secret) else value
        if not _FIELD_VALUE.fullmatch(text) or text != text.strip():
            message = (
                f"{where}: the header '{printable(name, 60)}' holds a line break, a blank at an "
                "end or a character that HTTP can't carry; look at the setting it is made from"
            )
            raise SourceError(message)
        headers[name.lower()] = text
    return {**headers, "accept-encoding": "identity" if plain else ACCEPTED}
