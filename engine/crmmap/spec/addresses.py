"""Which texts are addresses that requests, and so credentials, may be sent to."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

HIGHEST_PORT = 65535
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,19}\Z")
HOST = re.compile(r"(?!.{254})[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z")
PORT = re.compile(r":([0-9]{1,9})\Z")
DOTS = re.compile(r"/(?:\.|%2e){1,2}(?=/|$)", re.IGNORECASE)
WRITE = "Write https://HOST"


def unsafe(address: str) -> str | None:
    """Return why no request may go to an address, and what to write instead; None if one may.

    Whatever passes here is an address for the reader that dials, too. Of the
    address the message shows its scheme or port at most.
    """
    scheme, mark, rest = address.partition("://")
    if not mark or not SCHEME.match(scheme):
        return f"is not an address: it has no scheme. {WRITE}"
    if scheme.lower() not in ("http", "https"):
        return f"has the scheme '{scheme}'. {WRITE}"
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        return "holds a user or a password. Credentials belong in `source.auth`"
    if re.search(r"[?#]", rest):
        return "holds a query or a fragment. Parameters belong in `request.params`"
    if re.search(r"[\\\s\x00-\x20\x7f]", address):
        return f"holds a blank, a control character or a backslash. {WRITE}"
    return _unreachable(address, encrypted=scheme.lower() == "https")


def _unreachable(address: str, *, encrypted: bool) -> str | None:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return f"is not an address. {WRITE}"
    if message := _bad_host(host) or _bad_port(parts.netloc):
        return message
    if DOTS.search(parts.path):
        return "holds '.' or '..' as a part of its path. Write the path out"
    if not encrypted and not loopback(host):
        return "would send credentials in the clear. Write https; http leads to this machine only"
    return None


def _bad_host(host: str) -> str | None:
    if not host:
        return f"names no host. {WRITE}"
    if not HOST.match(host) and not _numeric(host):
        return f"names a host that can't exist: letters, digits, '-' and '.' are allowed. {WRITE}"
    return None


def _bad_port(netloc: str) -> str | None:
    _, bracket, after = netloc.rpartition("]")
    if ":" not in after:
        return (
            f"has something between its host and its path. {WRITE}" if bracket and after else None
        )
    found = PORT.search(after)
    if found is None:
        return "names a port that is not a number. Write https://HOST:PORT, or leave it out"
    port = int(found[1])
    if port > HIGHEST_PORT:
        return f"port {port} is above {HIGHEST_PORT}"
    return None if port else "port 0 can't be asked. Write another one, or leave it out"


def _numeric(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone means something else on every machine


def loopback(host: str) -> bool:
    """Say whether a host, without brackets, is this machine."""
    return host == "localhost" or (_numeric(host) and ip_address(host).is_loopback)
