"""Tokens that a conversation with the source gains: what they are, and who keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from crmmap.values import Expression, Request, Response, Secret

EARLY = 60.0
"""Seconds before its end from which a token is not used any more; of a short life, half of it."""
SELDOM = 10.0
"""Seconds between two tokens, unless the source refuses the first."""
LONGEST = 100 * 365 * 86_400.0

MOCKED = "mock-token"
"""What a pretended source gives as a token."""


class Denied(ValueError):
    """The source did not give a token. The message holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a conversation has gained, when, and when it `expires`, None if unknown.

    Both are in seconds since 1970.

    `refresh` gains the next one; a source may take each only once.
    """

    values: Mapping[str, Secret]
    expires: float | None = None
    gained: float = 0.0
    refresh: Secret | None = None


Gain = Callable[[Token | None], Generator[Request, Response, Token]]
"""A conversation that gains a token, given the one before."""


def usable(token: Token, now: float) -> bool:
    """Say whether a token may still be used: not where it expires before it could arrive.

    One of a very short life is used to its end and beyond, lest every request gains its own: the
    source will say that it has expired.
    """
    if token.expires is None or token.expires <= token.gained:
        return token.expires is None
    life = token.expires - token.gained
    return now < max(token.expires - min(EARLY, life / 2), token.gained + SELDOM)


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


def document_of(
    response: Response, what: str, *, advice: str = "Check the credentials in the settings"
) -> object:
    """Return the JSON document of an answer that must hold a token. Raises Denied, with advice.

    Of a refusal only the error's code is told (RFC 6749, 5.2), for the rest may hold anything.
    """
    try:
        document = json.loads(response.body)
    except (ValueError, RecursionError):
        document = None
    if 200 <= response.status < 300 and document is not None:
        return document
    code = plain_code(document.get("error")) if isinstance(document, dict) else ""
    said = f" ({code})" if code else ""
    message = f"{response.url}: {what} was not given: answered {response.status}{said}. {advice}"
    raise Denied(message)


def plain_code(code: object) -> str:
    """Return an error's code where it is one, and can hold nothing else; else nothing."""
    plain = isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 60
    return str(code) if plain else ""


def told(expression: Expression, document: object) -> object:
    """Return what an expression finds in an answer with a token. Raises Denied."""
    try:
        return expression.find(document)
    except ValueError:
        message = f"what the source answers does not suit '{expression.text}'"
        raise Denied(message) from None


def found(value: object, what: str) -> Secret:
    """Return a text that an answer holds as a secret. Raises Denied where there is none."""
    if not isinstance(value, str) or not value:
        message = f"the answer holds no {what}. Check the credentials, and what the source answers"
        raise Denied(message)
    return Secret(value)


def lifetime(value: object) -> float | None:
    """Return seconds that a source tells as a number or as text; None where it tells none."""
    try:
        seconds = None if value is None or isinstance(value, bool) else float(str(value))
    except ValueError:
        return None
    # What is no time at all, or longer than anybody lives, tells nothing: a 401 will.
    return seconds if seconds is not None and 0 < seconds < LONGEST else None


def put(document: dict[str, object], way: str, value: object) -> None:
    """Have a document hold a value where a plain expression finds it: for a pretended answer."""
    *before, last = [name.strip('"') for name in way.split(".")]
    for name in before:
        inner = document.setdefault(name, {})
        assert isinstance(inner, dict)  # noqa: S101  (made so above)
        document = inner
    document[last] = value


def moved(url: str, base: str) -> str:
    """Return the address on another host: of a pretended source."""
    return base + path_of(url)


def path_of(url: str) -> str:
    """Return an address's path, also of one whose host is only a name that was invented."""
    return urlsplit(url).path if "://" in url else f"/{url.partition('/')[2]}"
