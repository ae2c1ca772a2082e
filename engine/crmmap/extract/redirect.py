"""Redirects, followed by hand: a GET, within its origin, a few times."""

from __future__ import annotations

from urllib.parse import parse_qsl, urljoin, urlsplit

from crmmap.errors import SourceError
from crmmap.extract.failure import phrase
from crmmap.extract.origin import origin_of
from crmmap.values import Request, Response

REDIRECTS = 3
"""How many redirects of one request are followed."""

REDIRECT = (301, 302, 303, 307, 308)


def redirected(request: Request, response: Response, *, where: str) -> Request:
    """Return the request, unsigned as before, for the place to which the response points.

    Raises SourceError where that is another origin, or the request is not a GET.
    """
    location = response.headers.get("location", "")
    if request.method != "GET" or not location:
        message = (
            f"{where}: answered {phrase(response.status)}, "
            "and only a GET is redirected, to a Location"
        )
        raise SourceError(message)
    target = urljoin(request.url, location)
    _refuse_foreign(request.url, target, where)
    parts = urlsplit(target)
    return Request(
        method=request.method,
        url=parts._replace(query="", fragment="").geturl(),
        params=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        headers=request.headers,
        safe=request.safe,
    )


def _refuse_foreign(url: str, target: str, where: str) -> None:
    asked = origin_of(url)
    try:
        leads = origin_of(target)
    except SourceError as error:
        message = f"{where}: {asked} redirects, but {error}"
        raise SourceError(message) from None
    if leads != asked:
        message = f"{where}: {asked} redirects to {leads}; a redirect must stay where it began"
        raise SourceError(message)
