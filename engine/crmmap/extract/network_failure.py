"""What an exception from below means, in words that hold no secret.

The messages of requests and urllib3 quote addresses with their queries, where keys
may stand; so the type of an exception is read here, and its text never.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from crmmap.errors import SourceError, SourceUnreachable
from crmmap.extract.failure import Failure
from crmmap.extract.origin import Origin


def network_failure(error: Exception, *, where: str, origin: Origin) -> Failure | SourceError:
    """Return what an exception from below means: a Failure to retry, or an error to raise."""
    causes = tuple(_causes(error))
    if any(isinstance(each, requests.exceptions.InvalidHeader) for each in causes):
        return SourceError(f"{where}: a header's value holds a line break or begins with a blank")
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes):
        return SourceUnreachable(_certificate(causes, origin))
    if any(_oversized(each) for each in causes):
        return SourceError(f"{where}: the answer's headers are too many or too long to read")
    reason, advice = _told(causes, origin)
    message = f"{where}: {reason}"
    if advice:
        return Failure(SourceUnreachable(f"{message}; {advice}"), reason=reason)
    return Failure(SourceError(f"{message}; the run can be started again later"), reason=reason)


def _told(causes: tuple[BaseException, ...], origin: Origin) -> tuple[str, str]:
    """Return what happened, and what to check where the source could not be reached at all."""
    for kind, reason, advice in _WORDS:
        if any(isinstance(each, kind) for each in causes):
            return reason.format(origin=origin, host=origin.host), advice
    return "the connection broke", ""


_WORDS: tuple[tuple[type[BaseException], str, str], ...] = (
    (
        NameResolutionError,
        "the name {host} is not known (DNS)",
        "check base_url for a typing error, and this machine's network",
    ),
    (
        ConnectionRefusedError,
        "{origin} refuses connections",
        "check base_url's host and port, and that the service is running",
    ),
    (
        ConnectTimeoutError,
        "{origin} does not answer the call in time (timeout.connect)",
        "check base_url's host and port, this machine's network and firewall",
    ),
    (
        NewConnectionError,
        "no connection to {origin}",
        "check base_url's host and port, this machine's network and firewall",
    ),
    (
        ssl.SSLError,
        "no secure connection to {origin} (TLS)",
        "check that base_url's port speaks https",
    ),
    (ReadTimeoutError, "nothing came for too long (timeout.read)", ""),
    (TimeoutError, "nothing came for too long (timeout.read)", ""),
    (http.client.IncompleteRead, "the answer's body is cut short", ""),
)


def _certificate(causes: tuple[BaseException, ...], origin: Origin) -> str:
    found = next(each for each in causes if isinstance(each, ssl.SSLCertVerificationError))
    # OpenSSL's fixed words for its code ("certificate has expired"), not the exception's text.
    what = getattr(found, "verify_message", "") or "not verified"
    return (
        f"{origin} shows a certificate that can't be trusted ({what}); the request was not sent. "
        "Check base_url's host name and this machine's clock and certificates"
    )


def _oversized(error: BaseException) -> bool:
    # http.client says "more than 100 headers" with its most general exception.
    return isinstance(error, http.client.LineTooLong) or type(error) is http.client.HTTPException


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and all that it wraps, in whichever way the libraries wrap."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        waiting.extend(other for other in inner if isinstance(other, BaseException))
