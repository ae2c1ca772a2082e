"""Authentication that talks with the source first: OAuth 2.0, and logins of a source's own."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal
from urllib.parse import quote_plus, urlsplit

from crmmap.declare import Limits, SealedText, SecretText, SettingText
from crmmap.kinds.tokens import Denied, Token, Tokens, document_of, found, lifetime
from crmmap.template import Template
from crmmap.values import Expression, Request, Response, Secret

MOCKED = "mock-token"
"""What a pretended source gives as a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """Gain an access token (RFC 6749) and send it as `Authorization: Bearer …`.

    It is renewed before it expires, and once when the source answers 401. A refresh token
    that the source exchanges for a new one is kept, encrypted, before the new one is used.
    """

    token_url: Annotated[SettingText, "Where tokens are given."]
    grant: Annotated[
        Literal["client_credentials", "refresh_token", "password"],
        "What is shown to gain a token.",
    ]
    client_id: Annotated[SealedText, "The application's id."]
    client_secret: Annotated[SecretText | None, "The application's secret."] = None
    refresh_token: Annotated[SecretText | None, "The first refresh token."] = None
    username: Annotated[SecretText | None, "For the grant `password`."] = None
    password: Annotated[SecretText | None, "For the grant `password`."] = None
    scope: Annotated[SettingText | None, "Scopes, with a space between two."] = None
    client_auth: Annotated[
        Literal["body", "basic"], "How the application shows its id and secret."
    ] = "body"
    params: Annotated[Mapping[str, SettingText], "More to send, like `audience`."] = field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        needs = {
            "refresh_token": ("refresh_token",), "password": ("username", "password"),
        }.get(self.grant, ())  # fmt: skip
        missing = [name for name in needs if getattr(self, name) is None]
        if missing:
            message = f"the grant `{self.grant}` needs {' and '.join(f'`{n}`' for n in missing)}"
            raise ValueError(message)

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses that the conversation asks."""
        return (self.token_url,)

    def moved(self, base: str) -> OAuth2:
        """Return the same with another host to talk with: a pretended one."""
        return replace(self, token_url=_moved(self.token_url, base))

    def pretend(self, request: Request) -> object | None:
        """Return what a source answers to a request of this conversation; None to any other."""
        if urlsplit(request.url).path != urlsplit(self.token_url).path:
            return None
        answer = {"access_token": MOCKED, "token_type": "bearer", "expires_in": 3600}
        return {**answer, "refresh_token": MOCKED} if self.grant == "refresh_token" else answer

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        token = yield from tokens.gained(lambda old: self._gain(old, tokens))
        response = yield _borne(request, token)
        if response.status == 401:
            token = yield from tokens.gained(lambda old: self._gain(old, tokens), token)
            yield _borne(request, token)

    def _gain(self, old: Token | None, tokens: Tokens) -> Generator[Request, Response, Token]:
        refresh = (old.refresh if old is not None else None) or self.refresh_token
        form: dict[str, str | Secret] = {"grant_type": self.grant, **self.params}
        if self.grant == "refresh_token" and refresh is not None:
            form["refresh_token"] = refresh
        if self.grant == "password" and self.username is not None and self.password is not None:
            form |= {"username": self.username, "password": self.password}
        form |= {"scope": self.scope} if self.scope else {}
        request = Request(method="POST", url=self.token_url, safe=False)
        response = yield self._shown(request, form)
        document = document_of(response, "an access token")
        if not isinstance(document, dict):
            message = f"{response.url}: the answer is no object with an access token"
            raise Denied(message)
        lasts = lifetime(document.get("expires_in"))
        given = document.get("refresh_token")
        return Token(
            values={"access_token": found(document.get("access_token"), "access token")},
            expires=None if lasts is None else tokens.now() + lasts,
            refresh=Secret(given) if isinstance(given, str) and given else refresh,
        )

    def _shown(self, request: Request, form: dict[str, str | Secret]) -> Request:
        """Return the request with the form, and with what the application shows of itself."""
        if self.client_auth == "body":
            form["client_id"] = self.client_id
            form |= {"client_secret": self.client_secret} if self.client_secret else {}
        else:
            secret = self.client_secret.reveal() if self.client_secret else ""
            pair = f"{quote_plus(self.client_id.reveal())}:{quote_plus(secret)}"
            basic = Secret(f"Basic {b64encode(pair.encode()).decode()}")
            request = request.with_header("Authorization", basic)
        return request.with_form(form)


def _borne(request: Request, token: Token) -> Request:
    bearer = f"Bearer {token.values['access_token'].reveal()}"
    return request.with_header("Authorization", Secret(bearer))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginStep:
    """One request of a login, and what is taken from its answer."""

    url: Annotated[SettingText, "The address, whole."]
    method: Annotated[Literal["GET", "POST"], "HTTP method."] = "POST"
    headers: Annotated[Mapping[str, SealedText], "Headers."] = field(default_factory=dict)
    json: Annotated[Mapping[str, SealedText], "A JSON body: name → text."] = field(
        default_factory=dict
    )
    form: Annotated[Mapping[str, SealedText], "A body as forms have it."] = field(
        default_factory=dict
    )
    take: Annotated[
        Mapping[str, Expression], "Name → JMESPath to what the answer holds under it."
    ] = field(default_factory=dict)
    expires_in: Annotated[
        Expression | None, "JMESPath to the seconds for which the login lasts."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Log in with requests of the source's own, one after the other; then send what was gained.

    `{{ taken.NAME }}` in the headers and parameters is what a step took. The login is done
    again once it has expired, and once when the source answers 401.
    """

    steps: Annotated[tuple[LoginStep, ...], Limits(min_items=1), "The requests, in order."]
    headers: Annotated[
        Mapping[str, Template],
        'Sent with every request: `{Authorization: "Bearer {{ taken.t }}"}`.',
    ] = field(default_factory=dict)
    params: Annotated[Mapping[str, Template], "Query parameters of every request."] = field(
        default_factory=dict
    )
    lasts: Annotated[
        float | None, "Seconds for which a login lasts, where no answer says so.", Limits(minimum=1)
    ] = None

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses that the conversation asks."""
        return tuple(step.url for step in self.steps)

    def moved(self, base: str) -> Steps:
        """Return the same with another host to talk with: a pretended one."""
        moved = tuple(replace(step, url=_moved(step.url, base)) for step in self.steps)
        return replace(self, steps=moved)

    def pretend(self, request: Request) -> object | None:
        """Return what a source answers to a request of this conversation; None to any other."""
        path = urlsplit(request.url).path
        step = next((each for each in self.steps if urlsplit(each.url).path == path), None)
        if step is None:
            return None
        document: dict[str, object] = {}
        for expression in step.take.values():
            _put(document, expression.text.split("."), MOCKED)
        if step.expires_in is not None:
            _put(document, step.expires_in.text.split("."), 3600)
        return document

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        token = yield from tokens.gained(lambda _: self._gain(tokens))
        response = yield self._signed(request, token)
        if response.status == 401:
            token = yield from tokens.gained(lambda _: self._gain(tokens), token)
            yield self._signed(request, token)

    def _gain(self, tokens: Tokens) -> Generator[Request, Response, Token]:
        taken: dict[str, Secret] = {}
        lasts = self.lasts
        for step in self.steps:
            document = document_of((yield _login(step)), "a login")
            for name, expression in step.take.items():
                taken[name] = found(expression.find(document), f"'{expression.text}'")
            if step.expires_in is not None:
                lasts = lifetime(step.expires_in.find(document)) or lasts
        return Token(values=taken, expires=None if lasts is None else tokens.now() + lasts)

    def _signed(self, request: Request, token: Token) -> Request:
        taken = {"taken": {name: each.reveal() for name, each in token.values.items()}}
        for name, template in self.headers.items():
            request = request.with_header(name, Secret(template.render(taken)))
        for name, template in self.params.items():
            request = request.with_param(name, template.render(taken))
        return request


def _login(step: LoginStep) -> Request:
    request = Request(method=step.method, url=step.url, safe=False)
    for name, value in step.headers.items():
        request = request.with_header(name, value)
    if step.form:
        return request.with_form(step.form)
    if step.json:
        body = {name: value.reveal() for name, value in step.json.items()}
        return replace(request, body=body)
    return request


def _put(document: dict[str, object], way: list[str], value: object) -> None:
    *before, last = [name.strip('"') for name in way]
    for name in before:
        inner = document.setdefault(name, {})
        assert isinstance(inner, dict)  # noqa: S101  (made so above)
        document = inner
    document[last] = value


def _moved(url: str, base: str) -> str:
    return base + urlsplit(url).path
