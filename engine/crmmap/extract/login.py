"""A person's login to a source, by OAuth 2.0 with PKCE (RFC 7636): the first token, kept."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import datetime

from crmmap.extract.client import Client
from crmmap.extract.landing import Landing
from crmmap.extract.vault import Keeper
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.source import Http
from crmmap.values import Secret


def log_in(
    source: Http,
    *,
    show: Callable[[str], None],
    clock: Callable[[], datetime],
    vault: Keeper,
    seconds: float,
    port: int | None = None,
) -> None:
    """Have a person log in, and keep the token that this gains.

    `show` is given the address to open in a browser, which must come back within `seconds`.
    `port` is in place of the one in `redirect_url`. Raises SourceError and SourceUnreachable;
    OSError where the port is taken.
    """
    auth = source.auth
    assert isinstance(auth, OAuth2)  # noqa: S101  (its caller saw to it)
    verifier = Secret(secrets.token_urlsafe(48))
    client = Client(source, stop=threading.Event(), clock=clock, vault=vault)
    try:
        with Landing(auth.redirect_url, port=port) as landing:
            show(auth.page(landing.url, state=landing.state, verifier=verifier))
            code = landing.wait(seconds)
        client.gain(
            lambda tokens: auth.exchange(code, landing.url, verifier=verifier, tokens=tokens)
        )
    finally:
        client.close()
