"""What an answer means by the rules of its stream, then by those of its source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from crmmap.errors import SourceError, SourceUnreachable
from crmmap.extract.asker import Asker
from crmmap.extract.body import BadBody
from crmmap.extract.decode import decode_json
from crmmap.extract.failure import Failure, phrase
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.source import Http
from crmmap.kinds.verdicts import Accept, Again, Answered, Instead, Leave, Renew, Stop, Verdict
from crmmap.select.document import Document
from crmmap.values import Request, Response

RENEWED = "renewed"
"""The remedy of gaining a new token."""


SKIPPED = "an answer was skipped, by a rule for answers"
"""Why records may be missing."""


class Skipped(SourceError):
    """By a rule of the mapping, there are no records here, or no more. `why` names the rule."""

    def __init__(self, message: str, *, why: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the first rule that fits an answer says of it. `label` names the rule for people."""

    verdict: Verdict
    label: str
    status: int


def fine(response: Response) -> bool:
    """Say whether the status calls the answer a success."""
    return 200 <= response.status < 300


def ruling_of(
    source: Http, asker: Asker, request: Request, response: Response,
    decoded: Sequence[object], now: datetime,
) -> Ruling | None:  # fmt: skip
    """Return what the rules say of an answer; None where none fits.

    `decoded` holds what the caller has made of it already, if anything.
    """

    @cache
    def document() -> object:
        return _document(response, decoded)

    for label, rule in _rules(source, asker):
        if rule.fits(response, document):
            answered = Answered(response=response, document=document(), now=now)
            verdict = rule.then.decide(request, answered)
            return Ruling(verdict=verdict, label=label, status=response.status)
    return None


def _rules(source: Http, asker: Asker) -> Iterator[tuple[str, ResponseRule]]:
    for owner, rules in (("stream", asker.rules), ("source", source.responses)):
        for number, rule in enumerate(rules, start=1):
            yield f"rule {number} in the {owner}'s `responses`", rule


def _document(response: Response, decoded: Sequence[object]) -> object:
    for each in decoded:
        if isinstance(each, Document):
            return each.value
    try:
        return decode_json(response).value
    except BadBody:
        from crmmap.extract.xml_body import read_xml

        return read_xml(response.body)


def carry_out(ruling: Ruling, refusal: Callable[[], str]) -> Accept:
    """Return the verdict if the answer is accepted; else raise what another verdict leads to.

    `refusal` says what was asked and answered. Raises Failure where something else is to be
    tried, Skipped where there is nothing to read, and SourceError.
    """
    verdict, reason = ruling.verdict, f"answered {phrase(ruling.status)}"
    if isinstance(verdict, Accept):
        return verdict
    by_rule = f"{refusal()} ({ruling.label})"
    match verdict:
        case Again(seconds=seconds):
            raise _again(ruling, by_rule, reason, asked=seconds)
        case Renew():
            denied = SourceUnreachable(
                f"{by_rule}: a new token did not help. Check the credentials in the settings, "
                "and what they are allowed to read"
            )
            raise Failure(denied, reason=reason, status=ruling.status, remedy=RENEWED, ruled=True)
        case Instead(request=request, remedy=remedy):
            error = SourceError(f"{by_rule}: asking otherwise did not help")
            raise Failure(
                error, reason=reason, status=ruling.status, remedy=remedy, instead=request,
                ruled=True,
            )  # fmt: skip
        case Leave(message=message):
            said = f": {message}" if message else ""
            raise Skipped(by_rule, why=f"{reason}{said} ({ruling.label})")
        case Stop(message=message):
            raise SourceError(f"{refusal()}. {message} ({ruling.label})")


def _again(ruling: Ruling, message: str, reason: str, *, asked: float | None) -> Failure:
    kind = SourceUnreachable if ruling.status in (401, 403) else SourceError
    return Failure(kind(message), reason=reason, status=ruling.status, asked=asked, ruled=True)
