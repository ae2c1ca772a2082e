"""The token of one source: one conversation at a time gains it; it may outlive the run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from crmmap.extract.vault import Vault
from crmmap.kinds.source import Http
from crmmap.kinds.tokens import EARLY, Gain, Token
from crmmap.values import Request, Response, Secret


class KeptTokens:
    """Keeps a source's token in memory; its refresh token in a vault too, before it is used."""

    def __init__(
        self, source: Http, clock: Callable[[], datetime], vault: Vault | None,
        learn: Callable[[Secret], None],
    ) -> None:  # fmt: skip
        self._clock = clock
        self._vault = vault
        self._learn = learn
        self._name = _name(source)
        self._first = _first_refresh(source)
        self._lock = threading.Lock()
        self._token: Token | None = None

    def now(self) -> float:
        """Return the seconds since 1970."""
        return self._clock().timestamp()

    def gained(
        self, gain: Gain, instead_of: Token | None = None
    ) -> Generator[Request, Response, Token]:
        """See `kinds.tokens.Tokens`."""
        with self._lock:
            token = self._token
            if token is not None and token is not instead_of and self._lasts(token):
                return token
            if self._first is None or self._vault is None:
                return (yield from self._gain(gain, token))
            # Another process may have exchanged the refresh token: what is kept is the newest.
            with self._vault.alone():
                return (yield from self._gain(gain, self._kept() or token))

    @property
    def token(self) -> Token | None:
        """The token that is kept now."""
        return self._token

    def spoil(self, token: Token | None) -> None:
        """Have a new token gained before the next request, unless that was done since."""
        with self._lock:
            if token is not None and self._token is token:
                self._token = replace(token, expires=0.0)

    def _gain(self, gain: Gain, old: Token | None) -> Generator[Request, Response, Token]:
        token = yield from gain(old)
        for secret in (*token.values.values(), *([token.refresh] if token.refresh else [])):
            self._learn(secret)
        if self._vault is not None and self._first is not None and token.refresh is not None:
            self._vault.put(self._name, f"{_mark(self._first)} {token.refresh.reveal()}")
        self._token = token
        return token

    def _kept(self) -> Token | None:
        """Return the refresh token that is kept, unless the user has given a new first one."""
        kept = self._vault.get(self._name) if self._vault is not None else None
        if kept is None or self._first is None:
            return None
        mark, _, refresh = kept.partition(" ")
        if mark != _mark(self._first) or not refresh:
            return None
        self._learn(Secret(refresh))
        return Token(values={}, expires=0.0, refresh=Secret(refresh))

    def _lasts(self, token: Token) -> bool:
        return token.expires is None or token.expires - EARLY > self.now()


def _first_refresh(source: Http) -> Secret | None:
    found = getattr(source.auth, "refresh_token", None)
    return found if isinstance(found, Secret) else None


def _name(source: Http) -> str:
    """Return the name under which a vault keeps the token: of the source and the application."""
    client = getattr(source.auth, "client_id", None)
    said = [*getattr(source.auth, "urls", ()), client.reveal() if client else ""]
    return sha256("\0".join(said).encode()).hexdigest()[:24]


def _mark(secret: Secret) -> str:
    return sha256(b"crmmap refresh " + secret.reveal().encode()).hexdigest()[:16]
