"""Which store is meant, and how its URL may be shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from crmmap.cli.surroundings import Surroundings
from crmmap.errors import StoreUnfit
from crmmap.values import Secret

if TYPE_CHECKING:
    from crmmap.load import Store

DEFAULT = "sqlite:///crmmap.db"
MOCK_DEFAULT = "sqlite:///crmmap-mock.db"
SQLITE = "sqlite:///"
HARMLESS = re.compile(
    r"(timeout|lock_timeout|statement_timeout|connect_timeout|options|service|unix_socket|host|port"
    r"|sslmode|sslrootcert|sslcert|sslkey|ssl_\w+)=[\w./:%+-]*"
)
"""An option of a store's URL that holds no secret."""


def store_url(given: str | None, surroundings: Surroundings, *, mock: bool = False) -> str:
    """Return the store's URL: the option's, the environment's, or a file in this folder.

    Invented records have a file of their own, lest they mingle with real ones.

    A password in it is a secret from here on.
    """
    usual = MOCK_DEFAULT if mock else DEFAULT
    url = given or surroundings.environment.get("CRMMAP_STORE") or usual
    surroundings.secrets.extend(Secret(text) for text in _passwords(url))
    return url


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return set()
    return {text for text in (password, unquote(password)) if text}


def shown_url(url: str) -> str:
    """Return a store's URL without its password, and without options that may hold one."""
    head, mark, options = url.partition("?")
    scheme, slashes, rest = head.partition("://")
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{name}:***@{place}" if at and colon else rest
    kept = options if all(map(HARMLESS.fullmatch, options.split("&"))) else "***"
    return f"{scheme}{slashes}{shown}{mark}{kept if mark else ''}"


@contextmanager
def temporary_store() -> Iterator[str]:
    """Give the URL of an empty SQLite store that is thrown away at the end."""
    with TemporaryDirectory(prefix="crmmap-", ignore_cleanup_errors=True) as folder:
        yield f"{SQLITE}{Path(folder, 'temporary.db')}"


@contextmanager
def kept_store(given: str | None, surroundings: Surroundings) -> Iterator[Store]:
    """Give the open store that runs were made into before. Raises StoreUnfit where none was."""
    from crmmap.load import Store

    url = store_url(given, surroundings)
    if is_missing_file(url):
        message = f"{shown_url(url)}: there is no such file. Name the store of the runs: --store"
        raise StoreUnfit(message)
    with closing(Store.open(url, application="crmmap")) as store:
        if not store.knows_ledger():
            message = f"{store.name}: nothing was ever run into this store. Name another: --store"
            raise StoreUnfit(message)
        store.prepare([])
        yield store


def is_missing_file(url: str) -> bool:
    """Say whether the URL names a SQLite file that does not exist yet."""
    return url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists()
