"""How a request proves who sends it.

An authentication kind is a pure conversation: `flow(request)` yields requests
and is sent their responses; the last one yielded is the request itself, signed.
The client does the talking, so a kind is tested by hand with `next` and `send`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from crmmap.declare import SecretText
from crmmap.values import Request, Response, Secret


class Auth(Protocol):
    """What every authentication kind offers."""

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        """Yield what must be sent; be sent each response. Ends after the signed request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAuth:
    """Send requests as they are."""

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        yield request


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Send `Authorization: Bearer TOKEN` (RFC 6750)."""

    token: Annotated[SecretText, "The token, usually `{{ settings.token }}`."]

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        yield request.with_header("Authorization", Secret(f"Bearer {self.token.reveal()}"))


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

    def flow(self, request: Request) -> Generator[Request, Response, None]:
        for name, key in self.keys.items():
            if self.into == "header":
                request = request.with_header(name, key)
            else:
                request = request.with_param(name, key.reveal())
        yield request


AUTH: dict[str, type] = {"none": NoAuth, "bearer": Bearer, "api_key": ApiKey}
