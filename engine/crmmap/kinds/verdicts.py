"""What an answer is judged to mean: the few things that can follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crmmap.values import Request, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer that came at `now`. `document` is its decoded body, None where it is no JSON."""

    response: Response
    document: object
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """It is what was asked for, but for `refused`: what it says of inputs that did not succeed."""

    refused: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Ask again, after so many seconds; None: as long as `retry` says."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew:
    """Gain a new token and ask again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instead:
    """Ask this instead, at once; what is called `remedy` is tried only once for one request."""

    request: Request
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """There are no records here, or no more: that of it is told in `message`."""

    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """It is an error, for this reason."""

    message: str


Verdict = Accept | Again | Renew | Instead | Leave | Stop
