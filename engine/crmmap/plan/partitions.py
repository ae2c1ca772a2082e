"""The partitions of a stream, as a plan holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from crmmap.declare import inside
from crmmap.errors import SettingError
from crmmap.plan.rendering import Settings, render_text
from crmmap.plan.steps import Choice, Dates, Distinct, Parts, Recursion, Target
from crmmap.spec.model import RequestSpec, Stream
from crmmap.spec.partitions import Over, Recurse


def parts_of(
    stream: Stream, own: Target, targets: Mapping[str, Target], settings: Settings
) -> Parts:
    """Return the partitions that a stream is read in. Raises SettingError."""
    each = stream.for_each
    if each is None:
        return Parts()
    parent = targets[each.stream] if each.stream is not None else None
    return Parts(
        over={name: _choices(name, over, targets, settings) for name, over in each.over.items()},
        parent=parent,
        columns=() if parent is None else _named(parent, stream),
        batch=each.batch,
        changed=each.changed,
        own_cursors=each.own_cursors,
        recursion=_recursion(each.recurse, own, stream),
    )


def _recursion(how: Recurse | None, own: Target, stream: Stream) -> Recursion | None:
    if how is None:
        return None
    columns = _named(own, stream)
    return Recursion(columns=columns, where=how.where, depth=how.depth, most=how.most)


def missing_values(stream: Stream, settings: Settings) -> str:
    """Return why there is nothing to read the stream for, in words; empty where there is."""
    over = {} if stream.for_each is None else stream.for_each.over
    for name, each in over.items():
        if each.when is not None or any(one.when is not None for one in each.union):
            some = any(_wanted(one, settings) for one in each.union or (each,))
            if not (some and _wanted(each, settings)):
                return f"`for_each` goes over '{name}', which the settings leave without a value"
    return ""


def _wanted(over: Over, settings: Settings) -> bool:
    text = "true" if over.when is None else render_text(over.when, settings).strip()
    return text not in ("", "false")


def _choices(
    name: str, over: Over, targets: Mapping[str, Target], settings: Settings
) -> tuple[Choice, ...]:
    """Return what a part's values are made of. Raises SettingError where that is nothing."""
    if not _wanted(over, settings):
        return ()
    if over.union:
        return tuple(c for each in over.union for c in _choices(name, each, targets, settings))
    if over.stream is not None:
        target = targets[over.stream]
        return (Distinct(target=target, column=over.field or target.key[0]),)
    if over.dates is not None:
        start, end = (render_text(each, settings) for each in (over.dates.from_, over.dates.to))
        return (Dates(start=start, end=end, step=over.dates.step),)
    return (_texts_of(name, over, settings),)


def _texts_of(name: str, over: Over, settings: Settings) -> tuple[str, ...]:
    if over.from_ is not None and over.to is not None:
        return tuple(str(number) for number in range(over.from_, over.to + 1, over.step))
    if over.split is not None:
        pieces = (piece.strip() for piece in render_text(over.split, settings).split(","))
        found = tuple(dict.fromkeys(piece for piece in pieces if piece))
    else:
        found = tuple(dict.fromkeys(render_text(text, settings) for text in over.list))
    if not found:
        message = f"`for_each` goes over '{name}', which has no value: look at its setting"
        raise SettingError(message)
    return found


def _named(parent: Target, stream: Stream) -> tuple[str, ...]:
    """Return the parent's key and those of its columns that some template may name.

    A word too many costs little, so the templates' texts are only searched for words.
    """
    words = set(re.findall(r"\w+", " ".join(_texts(stream))))
    return tuple(name for name in parent.names if name in parent.key or name in words)


def _texts(stream: Stream) -> Iterator[str]:
    for request in stream.requests.values():
        yield from texts_of(request)
    if stream.query is not None:
        yield from (re.sub("^parents?_", "", name) for name in stream.query.parameters)
    if stream.incremental is not None:
        yield from (template.text for template in stream.incremental.params.values())
    for field in stream.fields.values():
        if field.value is not None:
            yield field.value.text


def texts_of(request: RequestSpec) -> Iterator[str]:
    """Yield the texts of a request's templates."""
    yield request.path.text
    for template in (*request.params.values(), *request.headers.values()):
        yield template.text
    yield from (each for each in inside(request.body) if isinstance(each, str))
