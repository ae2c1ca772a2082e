"""Tokens that a conversation with the source gains: what they are, and who keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from crmmap.values import Request, Response, Secret

EARLY = 60.0
"""Seconds before its end from which a token is not used any more."""


class Denied(ValueError):
    """The source did not give a token. The message holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a conversation has gained. `expires` is in seconds since 1970, None if unknown.

    `refresh` gains the next one; a source may take each only once.
    """

    values: Mapping[str, Secret]
    expires: float | None = None
    refresh: Secret | None = None


Gain = Callable[[Token | None], Generator[Request, Response, Token]]
"""A conversation that gains a token, given the one before."""


class Tokens(Protocol):
    """Keeps the token of one source. One conversation at a time gains a new one."""

    def now(self) -> float:
        """Return the seconds since 1970."""
        ...

    def gained(
        self, gain: Gain, instead_of: Token | None = None
    ) -> Generator[Request, Response, Token]:
        """Return the token that is kept, if it may be used and is not `instead_of`; else gain one.

        Yields the requests of that conversation. A new token is kept before it is used.
        """
        ...


@dataclass(slots=True)
class InMemory:
    """Tokens for as long as the object lives, without a clock of their own: for the mock."""

    moment: float = 0.0
    token: Token | None = field(default=None)

    def now(self) -> float:
        return self.moment

    def gained(
        self, gain: Gain, instead_of: Token | None = None
    ) -> Generator[Request, Response, Token]:
        if self.token is None or self.token is instead_of:
            self.token = yield from gain(self.token)
        return self.token


def document_of(response: Response, what: str) -> object:
    """Return the JSON document of an answer that must hold a token. Raises Denied.

    Of a refusal only the error's code is told (RFC 6749, 5.2), for the rest may hold anything.
    """
    try:
        document = json.loads(response.body)
    except ValueError:
        document = None
    if 200 <= response.status < 300 and document is not None:
        return document
    code = document.get("error") if isinstance(document, dict) else None
    plain = isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 60
    said = f" ({code})" if plain else ""
    message = (
        f"{response.url}: {what} was not given: answered {response.status}{said}. "
        "Check the credentials in the settings"
    )
    raise Denied(message)


def found(value: object, what: str) -> Secret:
    """Return a text that an answer holds as a secret. Raises Denied where there is none."""
    if not isinstance(value, str) or not value:
        message = f"the answer holds no {what}. Check the credentials, and what the source answers"
        raise Denied(message)
    return Secret(value)


def lifetime(value: object) -> float | None:
    """Return seconds that a source tells as a number or as text; None where it tells none."""
    try:
        return None if value is None or isinstance(value, bool) else float(str(value))
    except ValueError:
        return None
