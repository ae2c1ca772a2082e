"""OAuth 2.0 (RFC 6749): how an access token is gained, and renewed."""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Annotated, Literal
from urllib.parse import quote_plus, urlencode

from crmmap.declare import Limits, SealedText, SecretText, SettingText
from crmmap.kinds.tokens import (
    MOCKED,
    Denied,
    Token,
    Tokens,
    document_of,
    found,
    lifetime,
    moved,
    path_of,
    put,
    told,
)
from crmmap.values import Expression, Request, Response, Secret

LOG_IN = "Log in first, once: crmmap login MAPPING"
AGAIN = "Check the credentials in the settings, or log in again: crmmap login MAPPING"
CODE = "mock-code-"
"""How the codes of a pretended source begin; the challenge follows."""
LANDING = re.compile(r"http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?(/[^?#]*)?")

NEEDS: Mapping[str, tuple[str, ...]] = {
    "refresh_token": ("refresh_token",),
    "password": ("username", "password"),
    "authorization_code": ("authorize_url",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """Gain an access token (RFC 6749) and send it as `Authorization: Bearer …`.

    It is renewed before it expires, and once when the source answers 401. A refresh token
    that the source exchanges for a new one is kept, encrypted, before the new one is used.

    With the grant `authorization_code` a person logs in once, in a browser, by
    `crmmap login MAPPING` (with PKCE, RFC 7636); runs then use the refresh token that this gains.
    """

    token_url: Annotated[SettingText, "Where tokens are given."]
    grant: Annotated[
        Literal["client_credentials", "refresh_token", "password", "authorization_code"],
        "What is shown to gain a token.",
    ]
    client_id: Annotated[SealedText, "The application's id."]
    client_secret: Annotated[SecretText | None, "The application's secret."] = None
    refresh_token: Annotated[SecretText | None, "The first refresh token."] = None
    username: Annotated[SecretText | None, "For the grant `password`."] = None
    password: Annotated[SecretText | None, "For the grant `password`."] = None
    authorize_url: Annotated[
        SettingText | None, "For `authorization_code`: where a person logs in and agrees."
    ] = None
    authorize_params: Annotated[
        Mapping[str, SettingText], "More to send there, like `access_type: offline`."
    ] = field(default_factory=dict)
    redirect_url: Annotated[
        SettingText,
        "Where the browser is sent back to: this machine, as the application is registered with "
        "the source.",
    ] = "http://127.0.0.1:8974/callback"
    scope: Annotated[SettingText | None, "Scopes, with a space between two."] = None
    client_auth: Annotated[
        Literal["body", "basic"], "How the application shows its id and secret."
    ] = "body"
    send: Annotated[
        Literal["form", "json"], "How the request for a token is written: the norm is a form."
    ] = "form"
    headers: Annotated[Mapping[str, SealedText], "More headers of the request for a token."] = (
        field(default_factory=dict)
    )
    params: Annotated[Mapping[str, SettingText], "More to send, like `audience`."] = field(
        default_factory=dict
    )
    token: Annotated[
        Expression | None, "JMESPath to the token in the answer, if not `access_token`."
    ] = None
    expires_in: Annotated[
        Expression | None, "JMESPath to the seconds for which it lasts, if not `expires_in`."
    ] = None
    header: Annotated[str, "The header that carries the token.", Limits(min_length=1)] = (
        "Authorization"
    )
    prefix: Annotated[str, "What stands before the token, with a space between; or nothing."] = (
        "Bearer"
    )

    def __post_init__(self) -> None:
        missing = [name for name in NEEDS.get(self.grant, ()) if getattr(self, name) is None]
        if missing:
            message = f"the grant `{self.grant}` needs {' and '.join(f'`{n}`' for n in missing)}"
            raise ValueError(message)
        if "{" not in self.redirect_url and not LANDING.fullmatch(self.redirect_url):
            message = (
                "`redirect_url` must lead to this machine, where the command waits for the "
                "browser: write `http://127.0.0.1:PORT/PATH`"
            )
            raise ValueError(message)

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses that the conversation asks."""
        return (self.token_url,)

    @property
    def kept_for(self) -> Secret | None:
        """For what a gained token is kept beyond the run: another makes it void. None: it is not.

        Of the grant `authorization_code` only a login makes it void.
        """
        return Secret("") if self.grant == "authorization_code" else self.refresh_token

    def flow(self, request: Request, tokens: Tokens) -> Generator[Request, Response, None]:
        token = yield from tokens.gained(lambda old: self._gain(old, tokens))
        response = yield self._borne(request, token)
        if response.status == 401:
            token = yield from tokens.gained(lambda old: self._gain(old, tokens), token)
            yield self._borne(request, token)

    def _borne(self, request: Request, token: Token) -> Request:
        text = token.values["access_token"].reveal()
        return request.with_header(
            self.header, Secret(f"{self.prefix} {text}" if self.prefix else text)
        )

    def _gain(self, old: Token | None, tokens: Tokens) -> Generator[Request, Response, Token]:
        refresh = (old.refresh if old is not None else None) or self.refresh_token
        grant, advice = self.grant, "Check the credentials in the settings"
        if grant == "authorization_code":
            grant, advice = "refresh_token", AGAIN
            if refresh is None:
                what = "nobody has logged in" if old is None else "the login has ended"
                message = f"{self.token_url}: {what}. {LOG_IN}"
                raise Denied(message)
        form: dict[str, str | Secret] = {"grant_type": grant, **self.params}
        if grant == "refresh_token" and refresh is not None:
            form["refresh_token"] = refresh
        if grant == "password" and self.username is not None and self.password is not None:
            form |= {"username": self.username, "password": self.password}
        form |= {"scope": self.scope} if self.scope else {}
        return (yield from self._asked(form, tokens, refresh=refresh, advice=advice))

    def _asked(
        self, form: dict[str, str | Secret], tokens: Tokens, *, refresh: Secret | None, advice: str
    ) -> Generator[Request, Response, Token]:
        request = Request(method="POST", url=self.token_url, safe=False)
        for name, value in self.headers.items():
            request = request.with_header(name, value)
        response = yield self._shown(request, form)
        document = document_of(response, "an access token", advice=advice)
        if not isinstance(document, dict):
            message = f"{response.url}: the answer is no object with an access token"
            raise Denied(message)
        token, expires = document.get("access_token"), document.get("expires_in")
        if self.token is not None:
            token = told(self.token, document)
        if self.expires_in is not None:
            expires = told(self.expires_in, document)
        lasts, given = lifetime(expires), document.get("refresh_token")
        now = tokens.now()
        return Token(
            values={"access_token": found(token, "access token")},
            expires=None if lasts is None else now + lasts,
            gained=now,
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
        if self.send == "form":
            return request.with_form(form)
        plain = {n: v.reveal() if isinstance(v, Secret) else v for n, v in form.items()}
        return replace(request, body=plain)

    # --- a person logs in -------------------------------------------------------------------

    def page(self, redirect_url: str, *, state: str, verifier: Secret) -> str:
        """Return the address at which a person logs in and agrees (RFC 6749, 4.1.1)."""
        asked = {
            "response_type": "code", "client_id": self.client_id.reveal(),
            "redirect_uri": redirect_url, **({"scope": self.scope} if self.scope else {}),
            "state": state, "code_challenge": challenge(verifier),
            "code_challenge_method": "S256", **self.authorize_params,
        }  # fmt: skip
        url = self.authorize_url or ""
        return f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}"

    def exchange(
        self, code: Secret, redirect_url: str, *, verifier: Secret, tokens: Tokens
    ) -> Generator[Request, Response, Token]:
        """Exchange the code that the browser brought for the first token. Raises Denied."""
        form: dict[str, str | Secret] = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_url,
            "code_verifier": verifier, **self.params,
        }  # fmt: skip
        advice = "Log in again, and check the application's id and secret in the settings"
        return (yield from self._asked(form, tokens, refresh=None, advice=advice))

    # --- pretended ---------------------------------------------------------------------------

    def moved(self, base: str) -> OAuth2:
        """Return the same with another host to talk with: a pretended one, where all agree."""
        there = replace(self, token_url=moved(self.token_url, base))
        if self.grant != "authorization_code":
            return there
        return replace(there, grant="refresh_token", refresh_token=Secret(MOCKED))

    def pretend(self, request: Request) -> object | None:
        """Return what a source answers to a request of this conversation; None to any other."""
        if path_of(request.url) != path_of(self.token_url):
            return None
        form = request.body if isinstance(request.body, dict) else {}
        if form.get("grant_type") == "authorization_code" and form.get("code") != CODE + challenge(
            Secret(str(form.get("code_verifier")))
        ):
            return {"error": "invalid_grant"}
        answer: dict[str, object] = {"token_type": "bearer"}
        put(answer, self.token.text if self.token else "access_token", MOCKED)
        put(answer, self.expires_in.text if self.expires_in else "expires_in", 3600)
        refreshes = self.grant in ("refresh_token", "authorization_code")
        return {**answer, "refresh_token": MOCKED} if refreshes else answer

    def agreed(self, request: Request) -> str | None:
        """Return where a source sends the browser of a person who agrees; None of other requests.

        The person is pretended too.
        """
        if self.authorize_url is None or request.method != "GET":
            return None
        asked = dict(request.params)
        if path_of(request.url) != path_of(self.authorize_url):
            return None
        back = asked.get("redirect_uri", "")
        if not LANDING.fullmatch(back):
            return None
        said = {"code": CODE + asked.get("code_challenge", ""), "state": asked.get("state", "")}
        return f"{back}?{urlencode(said)}"


def challenge(verifier: Secret) -> str:
    """Return what is told of a verifier before it is shown: its S256 (RFC 7636, 4.2)."""
    digest = sha256(verifier.reveal().encode()).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
