"""Whether bodies are sent at all, and their lists are made of something that is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from crmmap.kinds.bodies import ITEM, Each, lists_of
from crmmap.spec.faults import Fault, guess, quoted
from crmmap.spec.model import Setting, Stream
from crmmap.values import Path

ALLOWED = "`parents`, `records`, `selected.NAME`, `settings.NAME`"


def faults(stream: Stream, settings: Mapping[str, Setting], path: Path) -> Iterator[Fault]:
    """Yield the faults of the bodies of a stream that stands at `path`."""
    for way, request in stream.requests.items():
        if request.body is not None and request.method != "POST":
            message = "is sent with POST only. Write `method: POST`, or take the body away"
            yield Fault(path=(*path, *way, "body"), rule="request.body", message=message)
        outer: list[Path] = []
        for place, each in lists_of(request.body, (*path, *way, "body")):
            if any(place[: len(before)] == before for before in outer):
                message = (
                    "is a list inside of another one's `give`. One of them must be written out"
                )
                yield Fault(path=(*place, "each"), rule="body.each", message=message, on_key=True)
                continue
            outer.append(place)
            yield from _of(each, stream, settings, (*place, "each"))
            if each.of == "records" and not _enriches(stream, way):
                message = "are the records of a page, for `enrich` with a `batch` only"
                yield Fault(path=(*place, "each"), rule="body.each", message=message)


def _of(each: Each, stream: Stream, settings: Mapping[str, Setting], path: Path) -> Iterator[Fault]:
    owner, _, name = str(each.of).partition(".")
    message = None
    if not each.known:
        message = f"is nothing that a list can be made of. Allowed: {ALLOWED}"
    elif owner == "parents" and (stream.for_each is None or stream.for_each.batch is None):
        message = "needs a stream that is read for several parents: `for_each` with a `batch`"
    elif owner in ("parents", "records") and each.give == ITEM:
        message = 'are rows, no texts: write `give: {id: "{{ item.id }}"}`, or what else to send'
    elif owner == "settings" and name not in settings:
        message = (
            f"names the setting '{name}', which is not declared{guess(name, settings)}. "
            f"Settings: {quoted(settings)}"
        )
    elif owner == "settings" and settings[name].secret:
        message = f"would show the secret setting '{name}'. Allowed in: `source.auth`"
    if message is not None:
        yield Fault(path=path, rule="body.each", message=message)


def _enriches(stream: Stream, way: Path) -> bool:
    """Say whether a request is one for several records."""
    return way[0] == "enrich" and stream.enrich[str(way[1])].batch is not None


def inside_a_list(stream: Stream, way: Path) -> bool:
    """Say whether a text of the stream, found along `way`, is in an item of a body's list."""
    for before, request in stream.requests.items():
        for place, _ in lists_of(request.body, (*before, "body")):
            inner = (*place, "give")
            if way[: len(inner)] == inner:
                return True
    return False
