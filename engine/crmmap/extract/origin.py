r"""Which addresses may be asked, and so may be sent credentials.

A link from an answer is data: `http://evil.example\@api.example/` passes a naive look
at the host and is then sent elsewhere. So the raw text is judged first, and the
address that will really be dialled once more, just before it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from crmmap.errors import SourceError
from crmmap.kinds.source import Http

PORTS = {"http": 80, "https": 443}

_BLANK = re.compile(r"[\x00-\x20\x7f]|\s")
_PLAIN = re.compile(r"[A-Za-z0-9%&=+.,:;_~*'()!$/-]*")
"""A query that no reader takes for anything else: behind the same address, it changes nothing."""
_DOTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?=/|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host in lower case, and the port in effect."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(slots=True)
class Origins:
    """The origins that the mapping allows. Threads may share them."""

    allowed: tuple[Origin, ...]
    sound: str | None = None
    """What stood before the query of the address that was checked last, and found sound."""
    dialled: str | None = None
    """The same, of those that are dialled."""

    @classmethod
    def of(cls, source: Http, *others: str) -> Origins:
        """Return the origins of `base_url`, of `origins` and of other addresses.

        Raises SourceError on a bad one.
        """
        urls = (source.base_url, *source.origins, *others)
        return cls(tuple(dict.fromkeys(_permitted(url) for url in urls)))

    def check(self, url: str) -> None:
        """Raise SourceError unless the URL belongs to an allowed origin, however it is read."""
        place, _, query = url.partition("?")
        if place == self.sound and _PLAIN.fullmatch(query):
            return
        self._allow(origin_of(url))
        self.sound = place

    def check_dialled(self, url: str) -> None:
        """Like `check`, for a prepared URL: read it also with the parser that dials."""
        place, _, query = url.partition("?")
        if place == self.dialled and _PLAIN.fullmatch(query):
            return
        self._allow(origin_of(url))
        self._allow(_dialled(url))
        self.dialled = place

    def _allow(self, origin: Origin) -> None:
        if origin not in self.allowed:
            message = (
                f"a link or redirect leads to {origin}, and requests go to "
                f"{_listed(self.allowed)} only; if the other belongs to the same source, "
                "add it to the source's origins"
            )
            raise SourceError(message)


def _dialled(url: str) -> Origin:
    """Return the origin of a URL as the parser reads it that dials. Raises SourceError."""
    from urllib3.exceptions import LocationParseError
    from urllib3.util import parse_url

    try:
        dialled = parse_url(url)
    except LocationParseError:
        raise _refused("the address can't be read") from None
    scheme = (dialled.scheme or "").lower()
    host = (dialled.hostname or "").lower().strip("[]").rstrip(".")
    if scheme not in PORTS:
        raise _refused("the address has no scheme http or https")
    return Origin(scheme, host, dialled.port or PORTS[scheme])


def _listed(origins: Iterable[Origin]) -> str:
    return ", ".join(dict.fromkeys(str(each) for each in origins))


def _permitted(url: str) -> Origin:
    origin = origin_of(url)
    if origin.scheme == "http" and not origin.loopback:
        message = f"{origin}: requests would travel unencrypted; use https (http is for localhost)"
        raise SourceError(message)
    return origin


def origin_of(url: str) -> Origin:
    """Return the origin of a URL that is whole and plain.

    Raises SourceError, without the URL, for what different readers read
    differently: a backslash, white space, control characters, user-info, a
    host outside of ASCII, a path with `..`, a scheme other than http and https.
    """
    if _BLANK.search(url):
        raise _refused("the address holds white space or a control character")
    if "\\" in url:
        raise _refused("the address holds a backslash")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("the address can't be read") from None
    scheme = parts.scheme.lower()
    if scheme not in PORTS:
        raise _refused(f"the address has the scheme '{_named(scheme)}', not https or http")
    if "@" in parts.netloc:
        raise _refused("the address holds a user name or password")
    if not host or not host.isascii() or "%" in host:
        raise _refused("the address has no host, or one that is not plain ASCII")
    if _DOTS.search(parts.path):
        raise _refused("the address's path holds '.' or '..' as a part")
    return Origin(scheme, host.lower().rstrip("."), PORTS[scheme] if port is None else port)


def address(url: str) -> str:
    """Return the URL as a message may show it: no query, fragment or user-info, in one line."""
    bare = re.split(r"[?#]", url, maxsplit=1)[0]
    return printable(re.sub(r"//[^/]*@", "//", bare), 300)


def printable(text: str, length: int) -> str:
    """Return at most `length` characters of the text, control characters as escapes."""
    # Escaping also keeps terminal codes and reversed writing out of people's logs.
    escaped = text[: length + 1]
    if not escaped.isprintable():
        escaped = "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode()
            for character in escaped
        )
    return escaped if len(escaped) <= length else f"{escaped[:length]}…"


def _named(scheme: str) -> str:
    return scheme[:20] or "(none)"


def _refused(what: str) -> SourceError:
    return SourceError(f"{what}: the request was not sent; look at base_url and the next-page link")
