"""The token of one source: one conversation at a time gains it; it may outlive the run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import datetime
from hashlib import sha256

from crmmap.extract.vault import Keeper
from crmmap.kinds.source import Http
from crmmap.kinds.tokens import Gain, Token, usable
from crmmap.values import Request, Response, Secret


class KeptTokens:
    """Keeps a source's token in memory; its refresh token in a vault too, before it is used."""

    def __init__(
        self, source: Http, clock: Callable[[], datetime], vault: Keeper | None,
        learn: Callable[[Secret], None],
    ) -> None:  # fmt: skip
        self._clock = clock
        self._vault = vault
        self._learn = learn
        self._name = _name(source)
        kept_for = getattr(source.auth, "kept_for", None)
        self._mark = None if kept_for is None else _mark(kept_for)
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
            if token is not None and token is not instead_of and usable(token, self.now()):
                return token
            if self._mark is None or self._vault is None:
                return (yield from self._gain(gain, token))
            # Another process may have exchanged the refresh token: what is kept is the newest.
            with self._vault.alone():
                kept = self._kept()
                if token is None and kept is not None and kept.values:
                    self._token = kept
                    if usable(kept, self.now()):
                        return kept
                return (yield from self._gain(gain, kept or token))

    @property
    def token(self) -> Token | None:
        """The token that is kept now."""
        return self._token

    def spoil(self, token: Token | None) -> None:
        """Have a new token gained before the next request, unless that was done since."""
        with self._lock:
            if token is not None and self._token is token:
                self._token = replace(token, expires=0.0)

    def keep(self, token: Token) -> None:
        """Keep a token that a person's login gained, for this run and the next ones."""
        with self._lock:
            if self._vault is None:
                self._take(token)
                return
            with self._vault.alone():
                self._take(token)

    def _gain(self, gain: Gain, old: Token | None) -> Generator[Request, Response, Token]:
        token = yield from gain(old)
        self._take(token)
        return token

    def _take(self, token: Token) -> None:
        for secret in (*token.values.values(), *([token.refresh] if token.refresh else [])):
            self._learn(secret)
        if self._vault is not None and self._mark is not None and (text := _written(token)):
            self._vault.put(self._name, f"{self._mark} {text}")
        self._token = token

    def _kept(self) -> Token | None:
        """Return the token that is kept, unless the user has given another first one since."""
        kept = self._vault.get(self._name) if self._vault is not None else None
        mark, _, text = (kept or "").partition(" ")
        if not text or mark != self._mark:
            return None
        token = _read(text)
        for secret in (*token.values.values(), *([token.refresh] if token.refresh else [])):
            self._learn(secret)
        return token


def _written(token: Token) -> str:
    """Return a token as it is kept: of one that can be renewed, what renews it."""
    if token.refresh is not None:
        return json.dumps({"refresh": token.refresh.reveal()})
    values = {name: value.reveal() for name, value in token.values.items()}
    return json.dumps({"values": values, "expires": token.expires, "gained": token.gained})


def _read(text: str) -> Token:
    kept = json.loads(text)
    if "refresh" in kept:
        return Token(values={}, expires=0.0, refresh=Secret(kept["refresh"]))
    values = {name: Secret(value) for name, value in kept["values"].items()}
    return Token(values=values, expires=kept["expires"], gained=kept["gained"])


def _name(source: Http) -> str:
    """Return the name under which a vault keeps the token: of the source and the application."""
    client = getattr(source.auth, "client_id", None)
    said = [*getattr(source.auth, "urls", ()), client.reveal() if client else ""]
    return sha256("\0".join(said).encode()).hexdigest()[:24]


def _mark(secret: Secret) -> str:
    return sha256(b"crmmap refresh " + secret.reveal().encode()).hexdigest()[:16]
