"""The conversation with an HTTP source: origins checked, requests signed, failures retried.

read / send          attempts and waits, until there is an answer or no hope
  └ attempt          redirects; decoding; what the rules and the status say of the answer
      └ converse     the authentication kind's requests, each …
          └ exchange … prepared, checked and sent
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import datetime
from functools import partial
from random import random
from time import monotonic
from typing import TypeVar

from crmmap.errors import Interrupted, SourceError, SourceUnreachable
from crmmap.extract.asker import Asker
from crmmap.extract.body import BadBody, BadEncoding
from crmmap.extract.failure import Failure, phrase
from crmmap.extract.network_failure import network_failure
from crmmap.extract.origin import Origins, address, origin_of, printable
from crmmap.extract.pace import Pace, Timer
from crmmap.extract.patience import Patience, Wait
from crmmap.extract.prepare import prepare
from crmmap.extract.redirect import REDIRECT, REDIRECTS, redirected
from crmmap.extract.retry_after import retry_after
from crmmap.extract.ruling import RENEWED, carry_out, fine, ruling_of
from crmmap.extract.tokens import KeptTokens
from crmmap.extract.transport import NETWORK_ERRORS, DeadlinePassed, Transport
from crmmap.extract.vault import Keeper
from crmmap.kinds.source import Http
from crmmap.kinds.tokens import Denied, Token, Tokens
from crmmap.redact import Redactor, secrets_in
from crmmap.values import Request, Response, Secret

GLANCE = 0.2
"""Seconds after which a wait looks up, whether the client was closed."""

MULTI_STATUS = 207
"""An answer of several parts, each of which has a status of its own."""

EXCERPT = 300
"""Characters of an error's body that its message shows."""

Decoded = TypeVar("Decoded")


def _unobserved(_: Wait) -> None:
    pass


class Client:
    """Sends requests to one source and owns its connections. Threads may share it.

    `stop` ends every wait when it is set. `clock` gives the time, with its zone, where an
    answer has no `Date`; `timer` gives the seconds by which a rate is kept; `chance`
    a number from 0 to 1, by which a wait that is asked for gets longer. `observe` is told
    of each wait before it begins.
    Raises SourceError if `base_url` or an origin can't be asked at all.
    """

    def __init__(
        self,
        source: Http,
        *,
        stop: threading.Event,
        clock: Callable[[], datetime],
        observe: Callable[[Wait], None] = _unobserved,
        vault: Keeper | None = None,
        timer: Timer = monotonic,
        chance: Callable[[], float] = random,
    ) -> None:
        self._chance = chance
        self._source = source
        self._stop = stop
        self._observe = observe
        self._clock = clock
        self._closed = False
        self._ended = ""
        self._origins = Origins.of(source)
        self._desks = Origins.of(source, *getattr(source.auth, "urls", ()))
        self._secrets = [*secrets_in(source)]
        self._redactor = Redactor(self._secrets)
        self._tokens = KeptTokens(source, clock, vault, self._learn)
        self._pace = Pace(source, clock=clock, timer=timer)
        self._transport = Transport(source.timeout, max_body=source.max_body)

    def send(
        self, request: Request, *, check: Callable[[Response], object] | None = None
    ) -> Response:
        """Return the source's answer (status 2xx), read whole.

        `check` may raise BadBody to have the request sent again. Raises
        SourceError, Throttled (resume later), SourceUnreachable (connection,
        credentials), Interrupted (told to stop).
        """
        return self.read(request, check or (lambda _: None))[0]

    def read(
        self, request: Request, decode: Callable[[Response], Decoded], asker: Asker | None = None
    ) -> tuple[Response, Decoded]:
        """Like `send`, and return also what `decode` makes of the answer.

        An answer for which `decode` raises BadBody is asked for again. `asker` is the stream
        whose rules judge the answer first. The response's `request` is the one that was
        answered at last. Raises Skipped where a rule says that there is nothing to read.
        """
        asker = asker or Asker()
        patience = Patience(self._source.retry, safe=request.safe, chance=self._chance)
        plain = False
        while True:
            self._go_on()
            try:
                return self._attempt(request, decode, asker, plain=plain)
            except Failure as failure:
                self._go_on()
                wait = patience.after(failure, now=self._clock())
                plain = plain or failure.plain
                request = failure.instead or request
            asker.account.retried()
            self._wait(wait, asker)

    def gain(self, gain: Callable[[Tokens], Generator[Request, Response, Token]]) -> None:
        """Have a conversation that gains a token, once, and keep the token.

        Raises SourceError and SourceUnreachable.
        """
        conversation = gain(self._tokens)
        try:
            asked = next(conversation)
            while True:
                asked = conversation.send(self._exchange(asked, own=False, plain=False))
        except StopIteration as ended:
            self._tokens.keep(ended.value)
        except Failure as failure:
            raise failure.error from None
        except Denied as error:
            raise SourceUnreachable(self._redactor.clean(str(error))) from None
        finally:
            conversation.close()

    @property
    def has_secrets(self) -> bool:
        """Say whether there is any secret so far: the mapping's, or one that was gained."""
        return bool(self._redactor)

    def is_secret(self, text: str) -> bool:
        """Say whether a text is a secret: the mapping's, or one that was gained."""
        return any(secret.reveal() == text for secret in self._secrets)

    def tells(self, text: str) -> bool:
        """Say whether a text has a secret in it, however it is written."""
        return self.clean(text) != text

    def clean(self, text: str) -> str:
        """Return a text without any secret: the mapping's, or one that was gained."""
        return self._redactor.clean(text)

    def halt(self) -> None:
        """Cut what is asked, but for a token: with its answer, one that was exchanged is lost."""
        self._transport.halt()

    def close(self) -> None:
        """Close the connections; a request that another thread still waits for is cut."""
        self._closed = True
        self._transport.close()

    def _go_on(self) -> None:
        if self._closed or self._stop.is_set():
            message = "stopped while talking to the source; the run can be resumed"
            raise Interrupted(message) from None
        if self._ended:
            raise SourceUnreachable(self._ended) from None

    def _wait(self, wait: Wait, asker: Asker) -> None:
        if wait.seconds > 0:
            asker.account.waited(wait.seconds)
            self._observe(replace(wait, stream=asker.stream))
            self._pause(wait.seconds)

    def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until somebody stops the run or closes the client."""
        while seconds > 0 and not self._closed and not self._ended:
            if self._stop.wait(min(seconds, GLANCE)):
                return
            seconds -= GLANCE

    def _attempt(
        self, request: Request, decode: Callable[[Response], Decoded], asker: Asker, *, plain: bool
    ) -> tuple[Response, Decoded]:
        asked, token, sent = request, self._tokens.token, self._pace.moment()
        response = self._converse(request, asker, plain=plain)
        for _ in range(REDIRECTS):
            if response.status not in REDIRECT:
                break
            request = redirected(request, response, where=self._where(request))
            response = self._converse(request, asker, plain=plain)
        response = replace(response, request=asked)
        try:
            return self._received(request, response, decode, asker)
        except Failure as failure:
            if failure.remedy == RENEWED:
                # Without one before, the first was gained for this request.
                self._tokens.spoil(token or self._tokens.token)
            if failure.ruled and failure.asked:  # whatever the status, it is too much for them
                self._pace.slow(request.url, sent=sent)
            raise

    def _received(
        self, request: Request, response: Response, decode: Callable[[Response], Decoded],
        asker: Asker,
    ) -> tuple[Response, Decoded]:  # fmt: skip
        """Return the answer decoded, if it is what was asked for by the rules and its status."""
        decoded: tuple[Decoded, ...] = ()
        trouble: BadBody | None = None
        try:
            decoded = (decode(response),) if fine(response) else ()
        except BadBody as error:
            trouble = error
        asked = response.request or request
        now = self._clock()
        ruling = ruling_of(self._source, asker, asked, response, decoded, now)
        if ruling is None:
            self._judge(request, response)
        else:
            accepted = carry_out(ruling, partial(self._refusal, request, response))
            response = replace(response, refused=accepted.refused)
        try:
            if trouble is not None:
                raise trouble
            return response, decoded[0] if decoded else decode(response)
        except BadBody as error:
            raise self._bad_body(str(error), error, status=response.status) from None

    def _converse(self, request: Request, asker: Asker, *, plain: bool) -> Response:
        # Before the conversation, so that no credential is made for a foreign address.
        self._origins.check(request.url)
        # And the wait before the signature, which may hold a moment.
        self._keep_pace(request, asker)
        conversation = self._source.auth.flow(request, self._tokens)
        renewed = False
        try:
            signed = next(conversation)
            while True:
                response = self._answer_of(signed, own=_same(signed, request), plain=plain)
                try:
                    signed = conversation.send(response)
                except StopIteration:
                    return replace(response, renewed=renewed)
                if _same(signed, request):  # with a new token
                    renewed = True
                    self._keep_pace(request, asker)
        except Denied as error:
            raise SourceUnreachable(self._redactor.clean(str(error))) from None
        finally:
            conversation.close()

    def _keep_pace(self, request: Request, asker: Asker) -> None:
        """Wait until the source's rate allows another request. Raises Throttled."""
        seconds = self._pace.take(request.url)
        self._wait(Wait(seconds=seconds, reason="to keep to the source's rate", attempt=0), asker)
        self._go_on()

    def _answer_of(self, request: Request, *, own: bool, plain: bool) -> Response:
        """Return the answer to the request itself (`own`), or to one that gains a token."""
        sent = self._pace.moment()
        response = self._exchange(request, own=own, plain=plain)
        if own:
            self._pace.learn(request.url, response, sent=sent)
        elif self._passing(response):
            raise self._unready(request, response)
        return response

    def _learn(self, secret: Secret) -> None:
        """Take a secret that was gained among those that no message shows."""
        self._secrets.append(secret)
        self._redactor = Redactor(self._secrets)

    def _exchange(self, request: Request, *, own: bool, plain: bool) -> Response:
        where = self._where(request)
        prepared = prepare(request, self._source, where=where, plain=plain)
        # What gains a token may go elsewhere, but the source's own links may not lead there.
        (self._origins if own else self._desks).check_dialled(prepared.url or "")
        try:
            with self._pace.turn(prepared.url or "", self._go_on):
                response = self._transport.exchange(prepared, precious=not own)
        except BadBody as error:
            raise self._bad_body(f"{where}: {error}", error) from None
        except DeadlinePassed:
            reason = f"no whole answer within {self._source.timeout.total:g} s (timeout.total)"
            raise Failure(SourceError(f"{where}: {reason}"), reason=reason) from None
        except NETWORK_ERRORS as error:
            raise network_failure(error, where=where, origin=origin_of(request.url)) from None
        return response

    def _passing(self, response: Response) -> bool:
        return response.status in self._source.retry.statuses

    def _judge(self, request: Request, response: Response) -> None:
        """Raise unless the status says that the answer is what was asked for."""
        if self._passing(response):
            raise self._unready(request, response)
        if response.status == MULTI_STATUS:
            message = (
                f"{self._refusal(request, response)}. Parts of what was asked may have failed. Say "
                "in `responses` what becomes of them: {status: 207, then: {kind: succeed, "
                "rejects: …}}"
            )
            raise SourceError(message)
        if fine(response):
            return
        message = self._refusal(request, response)
        if response.status in (401, 403):
            advice = "check the credentials in the settings, and what they are allowed to read"
            message = f"{message}; {advice}"
            if response.status == 401 and response.renewed:
                # No stream of the source will fare better: each would gain its own in vain.
                self._ended = self._ended or message
            raise SourceUnreachable(message)
        if response.status in REDIRECT:
            message = f"{message}, more than {REDIRECTS} times in a row"
        raise SourceError(message)

    def _unready(self, request: Request, response: Response) -> Failure:
        asked = retry_after(
            response.headers.get(self._source.retry.honour.lower()),
            date=response.headers.get("date"),
            now=self._clock(),
        )
        message = self._refusal(request, response)
        unreachable = response.status in (401, 403)
        return Failure(
            SourceUnreachable(message) if unreachable else SourceError(message),
            reason=f"answered {phrase(response.status)}",
            status=response.status,
            asked=asked,
        )

    def _refusal(self, request: Request, response: Response) -> str:
        # Cleaned before it is cut: half a secret would not be recognised.
        text = self._redactor.clean(response.body.decode("utf-8", "replace")).strip()
        said = f": {printable(text, EXCERPT)}" if text else ""
        return f"{self._where(request)}: answered {phrase(response.status)}{said}"

    def _bad_body(
        self, message: str, error: BadBody, *, status: int | None = None
    ) -> Failure | SourceError:
        clean = self._redactor.clean(message)
        if not error.again:
            return BadBody(clean, again=False)
        plain = isinstance(error, BadEncoding)
        return Failure(
            SourceError(clean), reason="an unusable answer", status=status,
            remedy="plain" if plain else None, plain=plain,
        )  # fmt: skip

    def _where(self, request: Request) -> str:
        return f"{request.method} {self._redactor.clean(address(request.url))}"


def _same(one: Request, other: Request) -> bool:
    """Say whether a request is the other, signed: not one of a conversation that gains a token."""
    return (one.method, one.url) == (other.method, other.url)
