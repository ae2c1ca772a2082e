"""What stands around the records in an answer, so that the mapping's `records` finds them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crmmap.mock.places import Place, assumptions, place_of, put
from crmmap.select.jmespath import Jmespath, compile_expression, find_records, leaves
from crmmap.values import as_json

MARK = "#here#"
PROBES = ({"#probe": 1}, {"#probe": 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The way to the list, and from each of its items to the record in it.

    `beside` stands in an item around the record, `within` in the record
    itself: what filters in the expression take for granted.
    """

    path: Place
    item: Place = ()
    beside: tuple[tuple[Place, object], ...] = ()
    within: tuple[tuple[Place, object], ...] = ()
    named: bool = False
    """The list is an object, whose entries' names do not matter."""

    def around(self, lines: Sequence[str], tokens: Mapping[str, object]) -> str:
        """Return the JSON text of an answer with the records, themselves JSON texts, and tokens.

        A token's place in the answer is its expression; None is not put anywhere.
        """
        before, after = _halves(self.item, self.beside)
        items = [f"{before}{line}{after}" for line in lines]
        if self.named:
            items = [f'"{number}":{item}' for number, item in enumerate(items)]
        opening, closing = "{}" if self.named else "[]"
        head, tail = _halves(self.path, placed(tokens) if self.path else ())
        return "".join((head, opening, ",".join(items), closing, tail))


def envelope_of(records: Jmespath) -> Envelope:
    """Return the envelope in which the expression finds every record."""
    found = leaves(records)
    whole = found[0] if found else ()
    taken = assumptions(records)
    for envelope in (*_possible(whole, taken), Envelope(path=whole)):
        if _finds(records, envelope):
            return envelope
    # Nothing that we can think of is found; the run will say so in its own words.
    return Envelope(path=tuple(step for step in whole if isinstance(step, str)))


def _possible(whole: Place, taken: Sequence[tuple[Place, object]]) -> list[Envelope]:
    cuts = [at for at, step in enumerate(whole) if step in (0, "any")]
    return [_cut(whole, taken, at) for at in cuts]


def _cut(whole: Place, taken: Sequence[tuple[Place, object]], at: int) -> Envelope:
    inside = [
        (place[at + 1 :], value) for place, value in taken if place[: at + 1] == whole[: at + 1]
    ]
    item = whole[at + 1 :]
    held = [(place, value) for place, value in inside if place[: len(item)] == item]
    return Envelope(
        path=whole[:at],
        item=item,
        beside=tuple(each for each in inside if each not in held),
        within=tuple((place[len(item) :], value) for place, value in held),
        named=whole[at] == "any",
    )


def _finds(records: Jmespath, envelope: Envelope) -> bool:
    wanted = []
    for probe in PROBES:
        record: object = dict(probe)
        for place, value in envelope.within:
            record = put(record, place, value)
        wanted.append(record)
    answer = json.loads(envelope.around([as_json(each) for each in wanted], {}))
    try:
        return find_records(records, answer) == wanted
    except ValueError:
        return False


def placed(tokens: Mapping[str, object]) -> tuple[tuple[Place, object], ...]:
    """Return the places in an answer at which tokens stand, by the expressions that find them."""
    found: list[tuple[Place, object]] = []
    for text, value in tokens.items():
        if value is not None:
            expression = compile_expression(text)
            place = place_of(expression)
            places = leaves(expression) if place is None else (place,)
            found += [(each, value) for each in places if each]
    return tuple(found)


def _halves(place: Place, others: Sequence[tuple[Place, object]]) -> tuple[str, str]:
    """Return the JSON text before and after the place, in a document that also has the others."""
    document: object = None
    for other, value in others:
        document = put(document, other, value)
    before, _, after = as_json(put(document, place, MARK)).partition(as_json(MARK))
    return before, after
