"""Pages from an HTTP API: ask, decode, find the records, ask for the next page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from crmmap.errors import SourceError
from crmmap.extract.asker import Asker
from crmmap.extract.circles import Circles
from crmmap.extract.decoders import Decoder, decoder_of
from crmmap.extract.enrich import enriched
from crmmap.extract.halving import following, halves_of
from crmmap.extract.held import Held
from crmmap.extract.nested import Completer
from crmmap.extract.pages import Complete, both_pages, settled
from crmmap.extract.request import BARE, Context, first_request
from crmmap.extract.ruling import SKIPPED, Skipped
from crmmap.extract.split import Ask, is_split, read_split
from crmmap.extract.spool import Asked
from crmmap.extract.windows import refuse_too_many
from crmmap.kinds.actions import Halve
from crmmap.kinds.places import number as as_number
from crmmap.kinds.source import Http
from crmmap.plan import Plan, Step
from crmmap.values import Expression, Page, Request

MAX_EMPTY = 50
MANY_EMPTY = 3
"""Empty pages in a row, and more to come, from which the report says so."""
BEGINNING = "{}"
"""The position of a stream whose place can't be kept, for a secret stands within it: the first
page, which does no harm to rows that are there."""


def read_responses(
    plan: Plan, step: Step, client: Asked, position: str | None, context: Context = BARE,
    asker: Asker | None = None,
) -> Iterator[Page]:  # fmt: skip
    """Yield the pages of a stream, or of one partition, from `position` if one is given.

    `asker` is whose rules judge the answers, and in whose account they are counted. Raises
    SourceError where a page is not what the mapping says, where pages go in a circle, or
    where there is no end to them.
    """
    asker = asker or Asker(stream=step.name, rules=step.responses)
    assert isinstance(step.source, Http)  # noqa: S101  (its caller saw to it)
    halves = halves_of(asker.rules, step.source.responses)
    first = first_request(plan, step, context)
    request, number, fetched = _resumed(first, position)
    own = {secret.reveal() for secret in plan.secrets}

    def hidden(text: str) -> bool:
        return text in own or client.is_secret(text)

    circles, empty, decode = Circles(), 0, _decoder(step, first)
    while True:
        _refuse_more(step, number)
        circles.refuse_request(request, number)
        held = Held(client=client, most=step.source.max_body)
        whole = Completer(plan=plan, step=step, client=held, asker=asker, context=context)
        complete = whole.whole if step.nested else None
        try:
            ask = partial(_ask, step, client, decode, asker, number, complete)
            answered, sent, page = _asked(step, request, first, ask)
        except SourceError as error:
            if position is None and isinstance(error, Skipped):
                asker.account.skipped(error.why)
                yield Page(number=number, records=[], skipped=True, gap=SKIPPED)
                return
            if position is None or type(error) not in (SourceError, Skipped):
                raise
            # A token kept from an interrupted run may have expired: read from the start.
            position, (request, number, fetched) = None, _resumed(first, None)
            circles.forget()
            continue
        if page.number == 1 and "window" in context:
            refuse_too_many(step, page)
        position = None
        empty = 0 if sent.fetched else empty + 1
        circles.refuse_page(sent)
        after = _following(step, answered, first, settled(step, answered, sent), halves)
        number, fetched = number + 1, fetched + sent.fetched
        kept = _position(after, number, first, hidden, fetched)
        kept = BEGINNING if kept is not None and client.tells(kept) else kept
        # What the next request was made from is not kept alive with the records.
        page = replace(
            page, position=kept, document=None, headers={}, gap=next(iter(whole.gaps), "")
        )
        more = partial(_more, plan, held, asker)
        yield enriched(step, page, context, more, asker.account.skipped)
        if after is None:
            capped = getattr(step.pagination, "cap", None) is not None
            # Beyond a cap, the source counts what is left for the query, not all that came.
            _demand_total(step, sent, request.passed + sent.fetched if capped else fetched)
            return
        if empty == MANY_EMPTY:
            asker.account.remark(
                f"{asker.stream or step.name}: {empty} empty pages in a row, up to page "
                f"{number - 1}, and still more are named. If there are none, look at the pagination"
            )
        if empty >= MAX_EMPTY:
            message = (
                f"stopped after page {number - 1}: "
                f"{empty} empty pages in a row and no end. Check the pagination"
            )
            raise SourceError(message)
        if after.passed < request.passed:  # asked anew beyond a cap, where records may come again
            circles.forget_pages()
        request = after


def _decoder(step: Step, first: Request) -> Decoder:
    split = step.request.split if step.request is not None else None
    # Parts of records are put together as values.
    return decoder_of(step.exact if is_split(split, first) else step)


def _ask(
    step: Step, client: Asked, decode: Decoder, asker: Asker, number: int, complete: Complete,
    request: Request,
) -> tuple[Request, Page, Page]:  # fmt: skip
    """Return the request that was answered at last, and its page: as it was sent, and as shaped."""
    response, document = client.read(request, decode, asker)
    return response.request or request, *both_pages(step, number, response, document, complete)


def _asked(step: Step, request: Request, first: Request, ask: Ask) -> tuple[Request, Page, Page]:
    split = step.request.split if step.request is not None else None
    return ask(request) if split is None else read_split(split, request, first, ask)


def _more(plan: Plan, client: Asked, asker: Asker, step: Step, context: Context) -> Iterator[Page]:
    """Yield the pages of a second request, whose answers are judged as the stream's are."""
    return read_responses(plan, step, client, None, context, asker)


def _following(
    step: Step, request: Request, first: Request, page: Page, halves: Sequence[Halve]
) -> Request | None:
    assert step.pagination is not None  # noqa: S101  (a step of an HTTP source has it)
    try:
        return following(step.pagination, request, first, page, halves)
    except ValueError as error:
        message = f"page {page.number}: {error}"
        raise SourceError(message) from None


def _refuse_more(step: Step, number: int) -> None:
    if number > step.max_pages:
        message = (
            f"stopped after {step.max_pages} pages: there is no end to them. Check the pagination, "
            "or write a greater `max_pages`"
        )
        raise SourceError(message)


def _demand_total(step: Step, page: Page, fetched: int) -> None:
    """Raise SourceError where fewer records came than the last page says there are."""
    expression: Expression | None = getattr(step.pagination, "total", None)
    if expression is None:
        return
    declared = expression.find(page.document)
    if isinstance(declared, int | str) and as_number(str(declared)) > fetched:
        message = (
            f"the source says that it has {declared} records (at '{expression.text}'), and "
            f"{fetched} came. Check the pagination; what came is stored"
        )
        raise SourceError(message)


def _position(
    following: Request | None, number: int, first: Request, hidden: Callable[[str], bool],
    fetched: int,
) -> str | None:  # fmt: skip
    """Return where reading goes on: what of the next request the mapping does not say itself.

    A key or token that the source echoes in its links is left out: signing puts it there again.
    """
    if following is None:
        return None
    params = [pair for pair in following.params if not hidden(pair[1])]
    # The usual address is left out, so that the position outlives a change of host.
    url = None if following.url == first.url else following.url
    kept: dict[str, object] = {"page": number, "url": url, "params": params, "fetched": fetched}
    own = {name.lower(): value for name, value in first.headers}
    headers = [
        (name, value)
        for name, value in following.headers
        if isinstance(value, str) and own.get(name.lower()) != value and not hidden(value)
    ]
    kept |= {"headers": headers} if headers else {}
    kept |= {"body": following.body} if following.body != first.body else {}
    kept |= {"passed": following.passed} if following.passed else {}
    return json.dumps(kept)


def _resumed(first: Request, position: str | None) -> tuple[Request, int, int]:
    """Return the request to go on with, its page's number, and how many records came before."""
    if position is None:
        return first, 1, 0
    kept = json.loads(position)
    if "page" not in kept:
        return first, 1, 0
    params = tuple((str(name), str(value)) for name, value in kept["params"])
    url, passed = kept["url"] or first.url, int(kept.get("passed", 0))
    request = replace(first, url=url, params=params, passed=passed)
    for name, value in kept.get("headers", ()):
        request = request.with_header(name, value)
    if "body" in kept:
        request = replace(request, body=kept["body"])
    return request, int(kept["page"]), int(kept.get("fetched", 0))
