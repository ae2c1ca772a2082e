"""Answers of which a stream's `shape` makes the invented records: its steps, undone backwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from crmmap.kinds.shaping import Shape
from crmmap.mock.elements import Around
from crmmap.mock.envelopes import Envelope, placed
from crmmap.mock.lined import Lined
from crmmap.mock.places import Place, assumptions, put, shapes
from crmmap.plan import Step
from crmmap.select.jmespath import Jmespath, compile_expression, leaves
from crmmap.select.strict import read_json
from crmmap.values import Expression, as_json

PROJECTIONS = ("projection", "value_projection", "filter_projection")


def body_of(
    step: Step,
    envelope: Envelope | Around | Lined,
    lines: Sequence[str],
    tokens: Mapping[str, object],
) -> str:
    """Return the JSON text of an answer with the records, themselves JSON texts, and tokens."""
    if not step.shape:
        return envelope.around(lines, tokens)
    values, beside = _undone(step.shape, [read_json(line) for line in lines])
    if isinstance(envelope, Lined):
        return envelope.around([as_json(each) for each in values], tokens)
    assert isinstance(step.records, Jmespath)  # noqa: S101  (lint: a shape is of JSON)
    assert isinstance(envelope, Envelope)  # noqa: S101
    listed = step.records.tree["type"] in PROJECTIONS
    if step.shape[0].takes == "record" or (step.shape[0].takes == "object" and listed):
        texts = [as_json(_within(envelope, each)) for each in values]
        return envelope.around(texts, {**tokens, **beside})
    way = tuple(part for part in leaves(step.records)[0] if isinstance(part, str))
    document = put(None, way, values[0])
    if isinstance(document, dict):
        for place, value in placed({**tokens, **beside}):
            document = put(document, place, value)
    return as_json(document)


def sent_for(step: Step, record: object) -> object:
    """Return what the source sends for one record, as its pagination looks at it."""
    inner = [each for each in step.shape if each.takes == "record"]
    values, _ = _undone(inner, [record])
    return values[0]


def _undone(
    shape: Sequence[Shape], values: Sequence[object]
) -> tuple[Sequence[object], dict[str, object]]:
    beside: dict[str, object] = {}
    for each in reversed(shape):
        sent = each.pretend(values, put_found)
        values = sent.values
        beside |= sent.beside
    return values, beside


def _within(envelope: Envelope, value: object) -> object:
    for place, taken in envelope.within if isinstance(value, dict) else ():
        value = put(value, place, taken)
    return value


def put_found(document: object, expression: Expression, value: object) -> object:
    """Return the document with the value where the expression finds it, as far as it can be put."""
    ways = [partial(_put_all, pairs=pairs) for pairs in _ways(expression, value)]
    found = next((way for way in ways if _finds(expression, way({}), value)), None)
    taken = partial(_put_all, pairs=_taken(expression, value))
    if found is not None:
        return taken(found(document))
    # A filter looks at what must stand in the items too.
    found = next((way for way in ways if _finds_many(expression, taken(way({})), value)), None)
    return taken(found(document)) if found is not None else document


Pairs = Sequence[tuple[Place, object]]


def _put_all(document: object, pairs: Pairs) -> object:
    for place, value in pairs:
        document = put(document, place, value)
    return document


def _ways(expression: Expression, value: object) -> Iterator[Pairs]:
    """Yield the ways in which a value may be put: whole, or item by item along a list."""
    found = leaves(compile_expression(expression.text))
    for place in (each for leaf in found for each in shapes(leaf)):
        for at in (at for at, part in enumerate(place) if part == 0):
            yield [(place[:at], value)]
            if isinstance(value, list):
                yield [
                    ((*place[:at], number, *place[at + 1 :]), item)
                    for number, item in enumerate(value)
                ]
        yield [(place, value)]


def _taken(expression: Expression, value: object) -> Pairs:
    """Return what filters in the expression take for granted, for every item of the value."""
    many = range(len(value)) if isinstance(value, list) else range(1)
    return [
        (tuple(number if part == 0 else part for part in place), wanted)
        for place, wanted in assumptions(compile_expression(expression.text))
        for number in many
    ]


def _finds(expression: Expression, document: object, value: object) -> bool:
    try:
        return expression.find(document) == value or expression.each(document) == value
    except ValueError:
        return False


def _finds_many(expression: Expression, document: object, value: object) -> bool:
    try:
        return isinstance(value, list) and len(expression.each(document)) == len(value)
    except ValueError:
        return False
