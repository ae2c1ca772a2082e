"""How a request proves who sends it.

An authentication kind is a pure conversation: `flow(request, tokens)` yields requests
and is sent their responses; the last one yielded is the request itself, signed.
The client does the talking, so a kind is tested by hand with `next` and `send`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from crmmap.declare import Kind, Limits, SealedText, SecretText, SettingText
from crmmap.kinds.conversations import Steps
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.signing import Hmac, SigV4
from crmmap.kinds.tokens import Tokens
from crmmap.values import Request, Response, Secret


class Auth(Protocol):
    """What every authentication kind offers."""

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        """Yield what must be sent; be sent each response. Ends after the signed request.

        Raises Denied where the source gives no token.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAuth:
    """Send requests as they are."""

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        yield request


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Send `Authorization: Bearer TOKEN` (RFC 6750)."""

    token: Annotated[SecretText, "The token, usually `{{ settings.token }}`."]
    header: Annotated[str, "The header that carries it.", Limits(min_length=1)] = "Authorization"
    prefix: Annotated[str, "What stands before it, with a space between; or nothing."] = "Bearer"

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        text = f"{self.prefix} {self.token.reveal()}" if self.prefix else self.token.reveal()
        yield request.with_header(self.header, Secret(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """Send `Authorization: Basic …` (RFC 7617): a user name and a password.

    Where a source wants a key in place of one of them, the other may be a fixed text.
    """

    username: Annotated[SealedText | None, "The user name; empty without it."] = None
    password: Annotated[SealedText | None, "The password; empty without it."] = None

    def __post_init__(self) -> None:
        if self.username is None and self.password is None:
            message = "needs `username`, `password` or both"
            raise ValueError(message)

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        username, password = (
            each.reveal() if each else "" for each in (self.username, self.password)
        )
        pair = f"{username}:{password}"
        yield request.with_header("Authorization", Secret(f"Basic {_base64(pair)}"))


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """Send one or several keys, each in a header or a query parameter of its own name."""

    keys: Annotated[
        Mapping[str, SecretText], "Name of the header or parameter → the key to send in it."
    ]
    into: Annotated[
        Literal["header", "query"], "Where the keys go. A header is the safer place."
    ] = "header"

    def __post_init__(self) -> None:
        names = [name.lower() if self.into == "header" else name for name in self.keys]
        if not names or "" in names:
            message = '`keys` names no key. Write `keys: {NAME: "{{ settings.KEY }}"}`'
            raise ValueError(message)
        if len({*names}) < len(names):
            message = "`keys` names a header twice: capitals make no difference in them"
            raise ValueError(message)

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        for name, key in self.keys.items():
            if self.into == "header":
                request = request.with_header(name, key)
            else:
                request = request.with_param(name, key.reveal())
        yield request


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several ways, chosen by a setting. Only the settings of the chosen one are needed.

    by: "{{ settings.auth }}"
    of: {token: {kind: bearer, …}, oauth: {kind: oauth2, …}}
    """

    by: Annotated[SettingText, "What chooses: it gives the name of a way."]
    of: Annotated[
        Mapping[str, Annotated[Auth, Kind("auth", AUTH)]], "Name → the way to authenticate."
    ]

    def __post_init__(self) -> None:
        if len(self.of) < 2:
            message = "`of` needs two ways at least, or there is nothing to choose"
            raise ValueError(message)

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        """Speak as the chosen way does; a plan has put that in the place of this, in truth."""
        yield from self.of[self.by].flow(request, tokens)


AUTH: dict[str, type] = {
    "none": NoAuth,
    "bearer": Bearer,
    "basic": Basic,
    "api_key": ApiKey,
    "oauth2": OAuth2,
    "steps": Steps,
    "hmac": Hmac,
    "sigv4": SigV4,
    "choice": Choice,
}
