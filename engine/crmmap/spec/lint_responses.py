"""Whether the rules for answers suit the source and the streams that they are for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from crmmap.kinds.actions import Halve, Refresh
from crmmap.kinds.auth import Auth, Choice
from crmmap.kinds.conversations import Steps
from crmmap.kinds.numbered import PageNumber
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.paging import Pagination
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.source import Http
from crmmap.spec.faults import Fault, guess
from crmmap.spec.model import Mapping, RequestSpec, Stream
from crmmap.values import Path


def faults(mapping: Mapping) -> Iterator[Fault]:
    """Yield rules that can't do what they say."""
    for name, source in mapping.every_source.items():
        if isinstance(source, Http):
            own = [each for each in mapping.streams.values() if mapping.source_name(each) == name]
            yield from _of(source.responses, source, own, mapping.source_path(name))
    for name, stream in mapping.streams.items():
        read_from = mapping.source_of(stream)
        if isinstance(read_from, Http):
            yield from _of(stream.responses, read_from, [stream], ("streams", name))
        elif stream.responses and read_from is not None:
            message = "belongs to an HTTP source. Take it away"
            path: Path = ("streams", name, "responses")
            yield Fault(path=path, rule="stream.responses", message=message, on_key=True)


def _of(
    rules: Sequence[ResponseRule], source: Http, streams: Collection[Stream], path: Path
) -> Iterator[Fault]:
    if all(isinstance(rule, ResponseRule) for rule in rules):  # one that is spoilt is none
        yield from _rules(rules, source, (*path, "responses"))
        yield from _halves(rules, streams, (*path, "responses"))


def _rules(rules: Sequence[ResponseRule], source: Http, path: Path) -> Iterator[Fault]:
    for at, rule in enumerate(rules):
        if isinstance(rule.then, Refresh) and not _gains(source.auth):
            message = "gains a new token, and this source's `auth` has none to gain. Take it away"
            yield Fault(path=(*path, at, "then"), rule="responses.refresh", message=message)
        for earlier in rules[:at]:
            if (rule.status, rule.headers, rule.body) == (
                earlier.status, earlier.headers, earlier.body,
            ):  # fmt: skip
                number = rules.index(earlier) + 1
                message = f"fits what rule {number} fits, which comes first. Keep one of them"
                yield Fault(path=(*path, at), rule="responses.twice", message=message)
                break


def _gains(auth: Auth) -> bool:
    """Say whether a way of authentication gains tokens; of several, whether any does."""
    if isinstance(auth, Choice):
        return any(map(_gains, auth.of.values()))
    return isinstance(auth, OAuth2 | Steps)


def _halves(
    rules: Sequence[ResponseRule], streams: Collection[Stream], path: Path
) -> Iterator[Fault]:
    ways = [way for stream in streams for way in _ways(stream)]
    for at, rule in enumerate(rules):
        if not isinstance(rule.then, Halve) or not ways:
            continue
        halve = rule.then
        sized = [(request, how) for request, how in ways if _has(request, halve)]
        if not sized:
            params = {each: None for request, _ in ways for each in request.params}
            near = guess(halve.param, params) if halve.param is not None else ""
            message = f"halves '{halve.place}', which no request has{near}. Name what says how many"
            yield Fault(path=(*path, at, "then"), rule="responses.halve", message=message)
        if any(isinstance(how, PageNumber) for _, how in sized):
            message = (
                "does not suit pages that are counted: of pages half as large, each has another "
                "number. Use another pagination, or take it away"
            )
            yield Fault(path=(*path, at, "then"), rule="responses.halve", message=message)


def _has(request: RequestSpec, halve: Halve) -> bool:
    if halve.param is not None:
        return halve.param in request.params
    # An index of a list and what templates make are only known when the request is made.
    found: object = request.body
    for step in halve.place.split("."):
        if not isinstance(found, dict):
            return found is not None
        if step not in found:
            return False
        found = found[step]
    return True


def _ways(stream: Stream) -> Iterator[tuple[RequestSpec, Pagination]]:
    """Yield the requests of a stream, each with how its next page is asked for."""
    if stream.request is None:
        return
    yield stream.request, stream.pagination
    if stream.changes is not None:
        changes = stream.changes
        yield changes.request or stream.request, changes.pagination or stream.pagination
