"""A source that has a bad day: which requests go wrong, and which records come again.

All of it depends on the seed, the request and how often that came, and on nothing else. What
goes wrong is only what a client that keeps to the mapping lives through: a request is answered
after a few faults in a row, fewer than the attempts that the mapping allows; a record that comes
again is the same; none is missing.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from threading import Lock
from typing import Literal

from crmmap.kinds.actions import TryAgain
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.source import Http
from crmmap.kinds.tokens import MOCKED
from crmmap.mock.chance import generator
from crmmap.mock.reply import Reply, refusal
from crmmap.values import Request, Response, Secret

Fault = Literal["throttled", "throttled_until", "unready", "cut", "truncated", "slow", "expired"]

IN_A_ROW = 2
"""How often at most one request goes wrong before it is answered."""
PAUSE = 0.05
"""Seconds for which a slow answer keeps its client waiting, and for which a throttled one must."""
REPEATED_WITHIN = 150
"""A record that has moved comes again at most so many places later."""
UNREADY = (500, 502, 503, 504)
THROTTLED = refusal(HTTPStatus.TOO_MANY_REQUESTS, "too many requests")

NUMBERED = re.compile(rf"{MOCKED}-[0-9]+")
"""The tokens that a pretended source gives, each with a number of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as far as faults depend on it. `marks` are the tokens that it shows."""

    key: str
    marks: frozenset[str]
    safe: bool
    gains: bool
    """It is one of the conversation that gains a token."""
    rules: tuple[ResponseRule, ...] = ()
    """What the mapping says of answers to it."""


@dataclass(slots=True, kw_only=True)
class Faults:
    """What goes wrong with a source's requests, at the rate `rate` of 0 to 1. Threads share it."""

    rate: float
    seed: int
    source: Http
    _lock: Lock = field(default_factory=Lock)
    _came: Counter[str] = field(default_factory=Counter)
    _row: Counter[str] = field(default_factory=Counter)
    _refused: dict[str, frozenset[str]] = field(default_factory=dict)
    _given: int = 0

    def of(self, asked: Asked) -> Fault | None:
        """Return what goes wrong with a request that came, None if nothing does."""
        with self._lock:
            if asked.marks and self._refused.get(asked.key) == asked.marks:
                return "expired"
            came, row = self._came[asked.key], self._row[asked.key]
            self._came[asked.key] += 1
            random = generator(self.seed, "fault", asked.key, str(came))
            possible = tuple(self._possible(asked))
            wrong = row < self._in_a_row(asked) and random.random() < self.rate
            self._row[asked.key] = row + 1 if wrong and possible else 0
            if not wrong or not possible:
                return None
            chosen = random.choice(possible)
            if chosen == "expired":
                self._refused[asked.key] = asked.marks
            return chosen

    def spoilt(self, asked: Asked, reply: Reply) -> Reply:
        """Return what is sent in place of a reply, or the reply itself."""
        fault = self.of(asked)
        if asked.gains:
            reply = replace(reply, body=self._numbered(reply.body))
        match fault:
            case "slow":
                reply = replace(reply, pause=PAUSE)
            case "cut":
                reply = replace(reply, cut=len(reply.body) // 2)
            case "truncated" if _shows_its_end(reply):
                reply = replace(reply, body=reply.body[: len(reply.body) // 2])
            case "truncated":
                reply = replace(reply, cut=len(reply.body) // 2)
            case "throttled":
                reply = THROTTLED
            case "throttled_until":
                wait = {self.source.retry.honour: f"{PAUSE}"}
                reply = replace(THROTTLED, headers=wait)
            case "unready":
                reply = _unready(self._statuses(asked)[0])
            case "expired":
                reply = refusal(HTTPStatus.UNAUTHORIZED, "the token has expired")
        return reply

    def _numbered(self, answer: bytes) -> bytes:
        """Return the answer to a request for tokens, with tokens that none had before."""
        with self._lock:
            self._given += 1
            return answer.replace(MOCKED.encode(), f"{MOCKED}-{self._given}".encode())

    def _statuses(self, asked: Asked) -> tuple[int, ...]:
        """Return the statuses of a source that is not ready, after which it is asked again."""
        return tuple(each for each in UNREADY if self._tries_again(asked, _unready(each)))

    def _tries_again(self, asked: Asked, reply: Reply) -> bool:
        """Say whether the mapping has the request sent again after an answer."""
        names = {name.lower(): value for name, value in reply.headers.items()}
        answer = Response(status=reply.status, headers=names, body=reply.body, url="")
        fitting = (
            each for each in asked.rules if each.fits(answer, lambda: json.loads(reply.body))
        )
        rule = next(fitting, None)
        if rule is not None:
            return isinstance(rule.then, TryAgain)
        return reply.status in self.source.retry.statuses

    def _in_a_row(self, asked: Asked) -> int:
        spare = self.source.retry.attempts - 1
        page = min(IN_A_ROW, spare)
        # A request whose token is gone takes attempts of the request that the token is for.
        return min(1, spare - page) if asked.gains else max(page, 1)

    def _possible(self, asked: Asked) -> Iterator[Fault]:
        yield "slow"
        # Once for each request: refused twice in a row, a client rightly gives up.
        if asked.marks and not asked.gains and asked.key not in self._refused:
            yield "expired"
        if not asked.safe or self.source.retry.attempts < 2:
            return
        if self._tries_again(asked, THROTTLED):
            yield "throttled"
            yield "throttled_until"
        if self._statuses(asked):
            yield "unready"
        yield "cut"
        if not asked.gains:
            yield "truncated"


def _unready(status: int) -> Reply:
    return refusal(HTTPStatus(status), "the source is not ready")


def _shows_its_end(reply: Reply) -> bool:
    """Say whether a body that is cut short shows it: JSON does, and what is compressed."""
    return "Content-Type" not in reply.headers or "Content-Encoding" in reply.headers


def asked_of(
    request: Request, *, safe: bool, gains: bool, rules: tuple[ResponseRule, ...] = ()
) -> Asked:
    """Return a request as faults see it: without its credentials, which differ from run to run."""
    said = repr((request.method, request.url.partition("//")[2].partition("/")[2],
                 sorted(request.params), request.body))  # fmt: skip
    shown = [*(value for _, value in request.headers), *(value for _, value in request.params)]
    texts = " ".join(each.reveal() if isinstance(each, Secret) else each for each in shown)
    return Asked(
        key=sha256(NUMBERED.sub(MOCKED, said).encode()).hexdigest()[:16],
        marks=frozenset(NUMBERED.findall(texts)), safe=safe, gains=gains, rules=rules,
    )  # fmt: skip


def unnumbered(request: Request) -> Request:
    """Return the request with every token that was given in place of the one that signs here."""
    plain = Request(method=request.method, url=request.url, body=request.body, form=request.form)
    for name, value in request.headers:
        text = value.reveal() if isinstance(value, Secret) else value
        plain = plain.with_header(name, NUMBERED.sub(MOCKED, text))
    for name, text in request.params:
        plain = plain.with_param(name, NUMBERED.sub(MOCKED, text))
    return plain


@lru_cache(maxsize=256)
def repeated(
    indexes: tuple[int, ...],
    *,
    rate: float,
    seed: int,
    path: str,
    ordered: bool,
    first: bool,
) -> Sequence[int]:
    """Return a list of records, as it is while others work on it.

    Some records stand in it twice: side by side, as at the edge of two pages, or again further
    on, where an edit has moved them. Where the list is `ordered`, by what a client goes on from,
    they stand side by side. The `first` page may be of a list with one more at its end.
    """
    if not indexes:
        return indexes
    listed: list[int] = []
    later: dict[int, list[int]] = {}
    for place, index in enumerate(indexes):
        listed.append(index)
        listed += later.pop(place, ())
        random = generator(seed, "again", path, str(index))
        if random.random() < rate:
            ahead = 0 if ordered else random.choice((0, random.randint(1, REPEATED_WITHIN)))
            if ahead and place + ahead < len(indexes):
                later.setdefault(place + ahead, []).append(index)
            else:
                listed.append(index)
    shrinks = generator(seed, "shrinks", path).random() < max(rate, 0.5)
    return [*listed, listed[-1]] if first and shrinks else listed
