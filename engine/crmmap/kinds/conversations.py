"""Logins of a source's own: requests before the first one, and what they gain."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from crmmap.declare import Limits, SealedText, SettingText
from crmmap.kinds.tokens import (
    MOCKED,
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
from crmmap.template import Template
from crmmap.values import Expression, Request, Response, Secret


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

    `{{ taken.NAME }}` in the headers and parameters is what a step took; so it is in the headers
    and the body of a later step. The login is done again once it has expired, and once when the
    source answers 401.
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
        there = tuple(replace(step, url=moved(step.url, base)) for step in self.steps)
        return replace(self, steps=there)

    def pretend(self, request: Request) -> object | None:
        """Return what a source answers to a request of this conversation; None to any other."""
        path = path_of(request.url)
        step = next((each for each in self.steps if path_of(each.url) == path), None)
        if step is None:
            return None
        document: dict[str, object] = {}
        for expression in step.take.values():
            put(document, expression.text, MOCKED)
        if step.expires_in is not None:
            put(document, step.expires_in.text, 3600)
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
            document = document_of((yield _login(step, taken)), "a login")
            for name, expression in step.take.items():
                taken[name] = found(told(expression, document), f"'{expression.text}'")
            if step.expires_in is not None:
                lasts = lifetime(told(step.expires_in, document)) or lasts
        now = tokens.now()
        return Token(values=taken, expires=None if lasts is None else now + lasts, gained=now)

    def _signed(self, request: Request, token: Token) -> Request:
        taken = {"taken": {name: each.reveal() for name, each in token.values.items()}}
        for name, template in self.headers.items():
            request = request.with_header(name, Secret(template.render(taken)))
        for name, template in self.params.items():
            request = request.with_param(name, template.render(taken))
        return request


def taken_later(name: str) -> str:
    """Return how a text names what an earlier step takes, once settings are put into it."""
    return f"{{{{ taken.{name} }}}}"


def _login(step: LoginStep, taken: Mapping[str, Secret]) -> Request:
    request = Request(method=step.method, url=step.url, safe=False)
    for name, value in step.headers.items():
        request = request.with_header(name, _filled(value, taken))
    if step.form:
        return request.with_form({name: _filled(each, taken) for name, each in step.form.items()})
    if step.json:
        body = {name: _filled(value, taken).reveal() for name, value in step.json.items()}
        return replace(request, body=body)
    return request


def _filled(value: Secret, taken: Mapping[str, Secret]) -> Secret:
    text = value.reveal()
    for name, each in taken.items():
        text = text.replace(taken_later(name), each.reveal())
    return Secret(text)
