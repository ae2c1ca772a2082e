"""Whether second requests, and requests sent in several parts, can be what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crmmap.kinds.bodies import Each, special
from crmmap.kinds.formats import Xml
from crmmap.select.jmespath import compile_expression
from crmmap.spec.faults import Fault, guess, quoted
from crmmap.spec.languages import format_of
from crmmap.spec.model import Enrich, RequestSpec, Split, Stream
from crmmap.spec.model import Mapping as MappingSpec
from crmmap.values import Path


def faults(mapping: MappingSpec) -> Iterator[Fault]:
    """Yield the faults of every `enrich` and `split`."""
    for name, stream in mapping.streams.items():
        path: Path = ("streams", name)
        if isinstance(format_of(stream, mapping.source_of(stream)), Xml):
            yield from _of_xml(stream, path)
        for word, each in stream.enrich.items():
            place = (*path, "enrich", word)
            if stream.request is None:
                message = "is for an HTTP source, and the stream has none. Take it away"
                yield Fault(path=place, rule="enrich.source", message=message, on_key=True)
            yield from _enrich(each, place)
        for way, request in stream.requests.items():
            if request.split is not None and way[0] == "nested":
                message = (
                    "is of requests for records: a piece of a list is one request. Take it away"
                )
                place = (*path, *way, "split")
                yield Fault(path=place, rule="split.nested", message=message, on_key=True)
            elif request.split is not None:
                yield from _split(request, request.split, (*path, *way, "split"))


def _of_xml(stream: Stream, path: Path) -> Iterator[Fault]:
    ways: list[Path] = [("enrich",)] if stream.enrich else []
    ways += [("fields_from",)] if stream.fields_from is not None else []
    if not stream.enrich and stream.fields_from is None:
        ways += [(*way, "split") for way, each in stream.requests.items() if each.split is not None]
    for way in ways:
        message = "is for records in JSON, and those of this stream are XML. Take it away"
        yield Fault(path=(*path, *way), rule=f"{way[-1]}.format", message=message, on_key=True)


def _enrich(each: Enrich, path: Path) -> Iterator[Fault]:
    yield from _expression(each.records, (*path, "records"))
    if not each.on:
        message = "names nothing. Write what tells them apart, here and there: `{id: from.id}`"
        yield Fault(path=(*path, "on"), rule="enrich.on", message=message)
    for here, there in each.on.items():
        yield from _expression(here, (*path, "on", here), on_key=True)
        yield from _expression(there, (*path, "on", here))


def _expression(text: str, path: Path, *, on_key: bool = False) -> Iterator[Fault]:
    try:
        compile_expression(text)
    except ValueError as error:
        yield Fault(path=path, rule="expression", message=str(error), on_key=on_key)


def _split(request: RequestSpec, split: Split, path: Path) -> Iterator[Fault]:
    if split.param is not None and split.param not in request.params:
        message = (
            f"names the parameter '{split.param}', which the request does not have"
            f"{guess(split.param, request.params)}. It has: {quoted(request.params)}"
        )
        yield Fault(path=(*path, "param"), rule="split.param", message=message)
    if split.body is not None and not _is_list(request.body, split.body):
        message = f"names '{split.body}', where the body has no list"
        yield Fault(path=(*path, "body"), rule="split.body", message=message)


def _is_list(body: object, way: str) -> bool:
    found = body
    for step in way.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return isinstance(found, list | tuple) or isinstance(special(found), Each)
