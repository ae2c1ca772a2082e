"""The endpoints of the pretended source: which stream, which of its records, in which envelope."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import unquote, urlsplit

import polars as pl

from crmmap.extract.choices import samples
from crmmap.extract.enrich import sample_of
from crmmap.extract.partitions import sample
from crmmap.extract.request import first_request
from crmmap.kinds.caps import Cap
from crmmap.kinds.formats import Csv, Format, Ndjson, Xml
from crmmap.kinds.incremental import Timestamp
from crmmap.kinds.numbered import Keyset
from crmmap.kinds.paging import Answer, Pagination
from crmmap.kinds.places import DIGITS, said
from crmmap.kinds.source import Http
from crmmap.mock.elements import Around
from crmmap.mock.envelopes import Envelope, envelope_of
from crmmap.mock.faults import repeated
from crmmap.mock.found import Listed, listed
from crmmap.mock.lined import Lined
from crmmap.mock.records import Stream, World
from crmmap.mock.shapes import body_of, sent_for
from crmmap.mock.shelf import Shelf
from crmmap.mock.standing import standing_below
from crmmap.mock.streams import decoded, streams_of
from crmmap.mock.views import View, view_of
from crmmap.plan import Enriching, Finding, Plan, Step
from crmmap.select.jmespath import Jmespath
from crmmap.select.xpath import RecordPath
from crmmap.spec.languages import language_of
from crmmap.values import Expression, Page, Request

SIZE = 100
"""Records to a page where the request does not say how many."""

PLACEHOLDER = re.compile(r"\{(?:parent|record)\.\w+\}")
"""What stands for a parent's or a record's value in the request that a route is known by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One stream's endpoint, or one of its partitions'. `first` is the request for its first page.

    Of the stream's records it has every one whose index leaves `share` divided by `shares`; of
    a stream that is read for a parent, those that belong to the parents the request names.
    """

    stream: Stream | Listed
    first: Request
    path: str
    envelope: Envelope | Around | Lined
    pagination: Pagination
    share: int = 0
    shares: int = 1
    parent: Stream | None = None
    view: View = View()

    @property
    def form(self) -> Format | None:
        """How its answers are written; what is asked beside the records is answered in JSON."""
        beside = isinstance(self.stream, Listed) or self.view.part is not None
        return None if beside else self.stream.step.format

    @property
    def nearness(self) -> tuple[int, int]:
        """How well the path is known: written out before one with a place for a parent's value."""
        return (-len(PLACEHOLDER.findall(self.path)), len(self.path))

    def leads_from(self, path: str) -> bool:
        """Say whether a request's path is this route's, whatever stands before it."""
        pattern = "[^/]+".join(re.escape(part) for part in PLACEHOLDER.split(self.path))
        before = ".*" if self.path.startswith("/") else ""
        return re.fullmatch(before + pattern, path, re.DOTALL) is not None

    @property
    def answers_as(self) -> tuple[object, ...]:
        """What decides the answer: two routes that agree in it answer a request alike."""
        return (self.stream.step.name, self.share, repr(self.envelope), repr(self.pagination))

    def fits(self, request: Request) -> int:
        """Return how much of the stream's own request stands in this one."""
        own = sum(pair in request.params for pair in self.first.params)
        return own + (self.first.body is not None and self.first.body == request.body)

    def size(self, request: Request) -> int:
        """Return how many records the request asks for: its first parameter that is a number."""
        asked = dict(request.params)
        for name, value in self.first.params:
            if value.isdecimal() and int(value):
                given = asked.get(name, "")
                return int(given) if given.isdecimal() and int(given) else int(value)
        return SIZE

    def indexes(self, request: Request) -> Sequence[int]:
        """Return the records that the request may be given, by their indexes in the stream.

        With faults, some are in the list more than once.
        """
        every: Sequence[int] = range(self.share, self.stream.world.records, self.shares)
        how = self.stream.step.incremental
        if isinstance(how, Timestamp) and how.most is not None:
            # Which records belong to a window is not known here: no more than it may have.
            every = every[: how.most]
        cap: Cap | None = getattr(self.pagination, "cap", None)
        if cap is not None:
            every = _sorted_by(self.stream, cap.from_.text, every)
        if self.stream_recurses:
            every = self._below(every, request)
        elif self.parent is not None:
            known = _indexes_by_key(self.parent)
            named = {known[text] for text in _texts(request) if text in known}
            every = [at for at in every if at in named]
        if self.view.part is not None:
            indexes = _indexes_by(self.stream, self.view.part.on[0][0].text)
            return sorted({indexes[text] for text in _texts(request) if text in indexes})
        return self._listed(every, request) if self.stream.world.faults else every

    @property
    def stream_recurses(self) -> bool:
        """Whether the records of the route stand below each other."""
        beside = isinstance(self.stream, Listed) or self.view.part is not None
        return not beside and self.stream.step.parts.recursion is not None

    def _below(self, every: Sequence[int], request: Request) -> Sequence[int]:
        """Return the records right below those that the request names, or below none of its own."""
        assert isinstance(self.stream, Stream)  # noqa: S101  (its caller saw to it)
        above, texts = standing_below(self.stream, self.shares), set(_texts(request))
        own = {at for text, at in _indexes_by_key(self.stream).items() if text in texts}
        if self.parent is None:
            top: Collection[int] = () if own else every
        else:
            top = {at for text, at in _indexes_by_key(self.parent).items() if text in texts}
        return [at for at in every if (at in top if above[at] is None else above[at] in own)]

    def _listed(self, every: Sequence[int], request: Request) -> Sequence[int]:
        """Return the records as a list that changes has them."""
        # A page of one record again is a page again, which no client may believe.
        if 1 in (self.size(request), getattr(self.pagination, "size", None)):
            return every
        world, capped = self.stream.world, getattr(self.pagination, "cap", None) is not None
        sorted_ = capped or isinstance(self.pagination, Keyset)
        return repeated(
            tuple(every), rate=world.faults, seed=world.seed, path=self.path,
            ordered=sorted_ or self.stream.step.incremental is not None,
            first=(request.params, request.body) == (self.first.params, self.first.body),
        )  # fmt: skip

    def answer(self, request: Request) -> Answer:
        """Return what the stream's pagination answers."""
        indexes = self.indexes(request)

        def find(
            expression: Expression,
            text: str,
            *,
            written: Callable[[str], str] | None = None,
            after: bool = True,
        ) -> int:
            if written is None and after:
                at = _indexes_by(self.stream, expression.text).get(text)
                if at is None or at not in indexes:
                    return 0
                return len(indexes) - indexes[::-1].index(at)
            there, write = _texts_at(self.stream, expression.text), written or str
            found = [at for at, index in enumerate(indexes) if write(there[index]) == text]
            return 0 if not found else found[-1] + 1 if after else found[0]

        answer = self.pagination.answer(request, len(indexes), self.size(request), find)
        how = self.stream.step.incremental
        if not isinstance(how, Timestamp):
            return answer
        return replace(answer, document={**said(how.total, len(indexes)), **answer.document})

    def text(self, request: Request, answer: Answer, shelf: Shelf) -> str:
        """Return the text of an answer's body."""
        lines = shelf.lines(self.stream, self.indexes(request)[answer.start : answer.stop])
        shown = self.view.lines(lines, request)
        step = self.stream.step
        # The shape is that of the stream's own answers.
        step = replace(step, shape=()) if self.view.part is not None else step
        return body_of(step, self.envelope, shown, answer.document)


def routes_of(world: World, source: str) -> tuple[Route, ...]:
    """Return the endpoints of every stream of a source: of its partitions, and of its changes."""
    streams = streams_of(world)
    plan = based_on(world.plan, source, "http://127.0.0.1")
    every = [
        route
        for step in plan.steps
        if step.source_name == source
        for asked, known in _ways(step)
        for route in _of_step(plan, asked, streams, known)
    ]
    seconds = [
        _of_enriching(plan, step, each, streams[step.name])
        for step in plan.steps
        if step.source_name == source
        for each in step.enriching
    ]
    lists = [
        _of_list(world, plan, step, step.finding)
        for step in plan.steps
        if step.source_name == source and step.finding
    ]
    return (*every, *seconds, *lists)


def _of_enriching(plan: Plan, step: Step, each: Enriching, stream: Stream) -> Route:
    asked = replace(step, request=each.spec.request, incremental=None)
    first = first_request(plan, asked, sample_of(step, each))
    return Route(
        stream=stream,
        first=first,
        path=unquote(urlsplit(first.url).path),
        envelope=envelope_of(each.records),
        pagination=each.spec.pagination,
        view=View(part=each),
    )


def _of_list(world: World, plan: Plan, step: Step, finding: Finding) -> Route:
    first = first_request(plan, replace(step, request=finding.spec.request, incremental=None))
    return Route(
        stream=listed(world, step, finding),
        first=first,
        path=unquote(urlsplit(first.url).path),
        envelope=envelope_of(finding.records),
        pagination=finding.spec.pagination,
    )


def _ways(step: Step) -> Iterator[tuple[Step, Mapping[str, object]]]:
    """Yield how the stream asks without a cursor, and with one."""
    yield step, {}
    if step.incremental is not None:
        yield step.changing, {"cursor": step.incremental.sample}


def _of_step(
    plan: Plan, step: Step, streams: Mapping[str, Stream], known: Mapping[str, object]
) -> Iterator[Route]:
    assert step.records is not None and step.pagination is not None  # noqa: S101, PT018  (HTTP)
    parent = step.parts.parent
    combinations = tuple(samples(step))
    for at, values in enumerate(combinations):
        named = {name: each.given for name, each in values.items()}
        partition = {"partition": named} if named else {}
        for more in _firsts(step):
            first = first_request(plan, step, {**sample(step), **partition, **known, **more})
            yield Route(
                stream=streams[step.name],
                first=first,
                path=unquote(urlsplit(first.url).path),
                envelope=around_of(step),
                pagination=step.pagination,
                # Records can be dealt out only to partitions that are known before a run.
                share=at if step.parts.fixed else 0,
                shares=len(combinations) if step.parts.fixed else 1,
                parent=None if parent is None else _filling(streams, parent.table),
                view=view_of(step),
            )


def _firsts(step: Step) -> Sequence[Mapping[str, object]]:
    """Return what first requests name beside a sample: nothing, and no row where they begin so."""
    starts_bare = step.parts.recursion is not None and step.parts.parent is None
    return ({}, {"parent": step.parts.blank}) if starts_bare else ({},)


def around_of(step: Step) -> Envelope | Around | Lined:
    """Return what stands around the records in a stream's answers."""
    if isinstance(step.format, Xml) and isinstance(step.records, RecordPath):
        return Around(path=step.records, form=step.format)
    assert isinstance(step.records, Jmespath)  # noqa: S101  (a plan pairs it with the format)
    if isinstance(step.format, Csv | Ndjson):
        return Lined(form=step.format, names=tuple(_names(step)))
    return envelope_of(step.records)


def _names(step: Step) -> Iterator[str]:
    """Yield the headers of a CSV answer."""
    for field in step.fields:
        if field.name not in step.given and isinstance(step.format, Csv):
            yield from (json.loads(text) for text in field.sources)


@cache
def _texts_at(stream: Stream | Listed, text: str) -> Sequence[str]:
    """Return what an expression finds in each record of a stream."""
    form = None if isinstance(stream, Listed) else stream.step.format
    expression = language_of(form).answer(text)
    records = (decoded(stream, line) for line in stream.lines(0, stream.world.records))
    return [str(expression.find(sent_for(stream.step, record))) for record in records]


def _filling(streams: Mapping[str, Stream], table: str) -> Stream | None:
    """Return the stream that fills a table; it may have columns that no plan knows beforehand."""
    return next((each for each in streams.values() if each.step.target.table == table), None)


@cache
def _indexes_by(stream: Stream | Listed, text: str) -> Mapping[str, int]:
    """Return the records of a stream by what an expression finds in them."""
    return {found: at for at, found in enumerate(_texts_at(stream, text))}


@cache
def _ranks(stream: Stream | Listed, text: str) -> Mapping[int, int]:
    """Return the place of each of a stream's records in the order of what an expression finds."""
    texts = _texts_at(stream, text)

    def rank(at: int) -> tuple[int, int, str, int]:
        """Nothing comes first, where no query asks beyond it; then numbers, then texts."""
        each = texts[at]
        number = int(each) if DIGITS.fullmatch(each) else None
        kind = 0 if each == "None" else 1 if number is not None else 2
        return (kind, number or 0, each, at)

    order = sorted(range(len(texts)), key=rank)
    return {at: rank for rank, at in enumerate(order)}


def _sorted_by(stream: Stream | Listed, text: str, indexes: Sequence[int]) -> Sequence[int]:
    ranks = _ranks(stream, text)
    return sorted(indexes, key=lambda at: ranks[at])


@cache
def _indexes_by_key(stream: Stream) -> Mapping[str, int]:
    """Return the records of a parent, by the text of the key under which the store has them."""
    records = [decoded(stream, line) for line in stream.lines(0, stream.world.records)]
    frame = stream.step.selector.select(Page(number=1, records=records))
    name = stream.step.target.key[0]
    kind = stream.step.target.column(name).type
    typed = frame.select(kind.read(pl.col(name).str.strip_chars()).alias(name))
    texts = typed.select(kind.show(pl.col(name))).to_series()
    return {text: at for at, text in enumerate(texts) if text is not None}


def _texts(request: Request) -> Iterator[str]:
    """Yield every text in a request that may be a parent's key."""
    yield from unquote(urlsplit(request.url).path).split("/")
    for _, value in request.params:
        yield from (value, *value.split(","))
    pending = [request.body]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending += each.values()
        elif isinstance(each, list):
            pending += each
        elif each is not None:
            yield from (str(each), *str(each).split(","))


def based_on(plan: Plan, source: str, url: str) -> Plan:
    """Return the plan with the requests of one source going to the URL, and nowhere else."""
    found = plan.sources[source]
    assert isinstance(found, Http)  # noqa: S101  (its caller saw to it)
    move = getattr(found.auth, "moved", None)
    auth = move(url) if move else found.auth
    # What is pretended may be asked as often as it answers.
    moved = replace(found, base_url=url, origins=(), auth=auth, rate=(), daily=None)
    steps = (
        replace(step, source=moved) if step.source_name == source else step for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))
