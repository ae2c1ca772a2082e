"""The places of a stream's records that must hold something, and who reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from crmmap.kinds.formats import Xml
from crmmap.kinds.texts import Text
from crmmap.mock.chance import generator
from crmmap.mock.element_places import places_in, within
from crmmap.mock.envelopes import envelope_of
from crmmap.mock.places import Place, assumptions, document_of, outermost, place_of
from crmmap.mock.pools import Hints, Pool, Reading, fits, pool_of, spoils_of
from crmmap.plan import LookupPlan, Plan, Step
from crmmap.select.jmespath import Jmespath, compile_expression, leaves
from crmmap.select.strict import read_json
from crmmap.select.xpath import RecordPath
from crmmap.values import as_json

TRIALS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in a record. `readings` is empty where only functions look at it.

    `identifies` and `link` say that its value is made from an index: the
    record's own, or that of the parent that `link` finds.
    """

    place: Place
    readings: tuple[Reading, ...] = ()
    pool: Pool = field(default_factory=Pool)
    identifies: bool = False
    link: LookupPlan | None = None
    fixed: bool = False
    """Never empty: a filter needs the value, or the stream's order of versions."""

    @property
    def required(self) -> bool:
        needed = any(each.needed for each in self.readings) or self.identifies or self.fixed
        return needed or (self.link is not None and self.link.required)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One way by which a field finds its value: an alternative of its `from`."""

    reading: Reading
    expression: Jmespath | None
    place: Place | None


def slots_of(plan: Plan, step: Step, hints: Hints, seed: int) -> tuple[Slot, ...]:
    """Return the slots of a stream's records, each place once, those inside of others only."""
    looks = [
        each for number in range(len(step.fields)) for each in _looks(plan, step, number, hints)
    ]
    slots = {slot.place: slot for slot in _plain(plan, step, looks, seed)}
    for look in looks:
        if look.place is None and look.expression is not None:
            for slot in _under_function(step, look, slots, generator(seed, step.name, "trials")):
                slots.setdefault(slot.place, slot)
    for look in looks:
        for place, value in assumptions(look.expression) if look.expression else ():
            slots[place] = Slot(place=place, pool=Pool(values=(value,)), fixed=True)
    # Of a shaped stream they stand in what the shape takes apart, not in its records.
    for place, value in _within(step) if not step.shape else ():
        slots[place] = Slot(place=place, pool=Pool(values=(value,)), fixed=True)
    return tuple(slots[place] for place in outermost(list(slots)))


def _within(step: Step) -> tuple[tuple[Place, object], ...]:
    """Return what must stand in every record, so that `records` finds it."""
    if isinstance(step.records, RecordPath):
        return within(step.records)
    return envelope_of(step.records).within if step.records is not None else ()


def searched(plan: Plan, step: Step) -> frozenset[str]:
    """Return the fields whose values tell the stream's records apart."""
    by = {each.by for other in plan.steps for each in other.lookups if each.stream == step.name}
    return frozenset(by | set(step.target.key))


def _looks(plan: Plan, step: Step, number: int, hints: Hints) -> Iterator[Look]:
    field = step.fields[number]
    reading = Reading(
        field=field,
        filters=tuple(each for each in step.filters if each.field == field.name),
        checks=hints.get((step.name, field.name), ()),
        identifies=field.name in step.target.key,
    )
    if step.headers:
        # One header of several is in a file; the others belong to exports of another age.
        yield Look(reading=reading, expression=None, place=(step.headers[number][0],))
        return
    if isinstance(step.format, Xml):
        yield from _in_elements(step, reading)
        return
    for rank, text in enumerate(field.sources):
        expression = compile_expression(text)
        ranked = replace(reading, first=rank == 0, only=len(field.sources) == 1)
        yield Look(reading=ranked, expression=expression, place=place_of(expression))


def _in_elements(step: Step, reading: Reading) -> Iterator[Look]:
    """Yield the places that a field's XPaths read; what the mapping gives stands in none."""
    name = reading.field.name
    sources = () if name in step.given else reading.field.sources
    places = [(rank, place) for rank, text in enumerate(sources) for place in places_in(text)]
    for rank, place in places:
        ranked = replace(reading, first=rank == 0, only=len(places) == 1)
        yield Look(reading=ranked, expression=None, place=place)


def _plain(plan: Plan, step: Step, looks: Sequence[Look], seed: int) -> Iterator[Slot]:
    places = dict.fromkeys(look.place for look in looks if look.place is not None)
    for place in places:
        readings = tuple(look.reading for look in looks if look.place == place)
        names = {each.field.name for each in readings}
        slot = Slot(
            place=place,
            readings=readings,
            identifies=bool(names & searched(plan, step)),
            link=_link(step, names),
            fixed=step.target.version in names,
        )
        random = generator(seed, step.name, repr(place))
        by_index = slot.identifies or slot.link is not None
        pool = Pool(spoils=spoils_of(readings, random)) if by_index else pool_of(readings, random)
        yield replace(slot, pool=pool)


def _link(step: Step, names: set[str]) -> LookupPlan | None:
    return next((each for each in step.lookups if each.field in names), None)


# --- places that functions read ---------------------------------------------------------------


def _under_function(
    step: Step, look: Look, slots: dict[Place, Slot], random: Random
) -> Iterator[Slot]:
    """Yield slots for what a function reads, with the kind of value that suits it best."""
    assert look.expression is not None  # noqa: S101  (its caller saw to it)
    name = look.reading.field.name
    link, identifies = _link(step, {name}), name in step.target.key
    places, values = _best(look.expression, look.reading, random)
    for place in outermost(places):
        if place not in slots:
            pool = Pool(values=values)
            without = {each: None if each == place else values[0] for each in places}
            yield Slot(
                place=place, pool=pool, identifies=identifies, link=link,
                fixed=look.reading.needed or not _suits(look.expression, without),
            )  # fmt: skip


def _best(
    expression: Jmespath, reading: Reading, random: Random
) -> tuple[tuple[Place, ...], tuple[object, ...]]:
    """Return places and values with which the expression most often gives what the field takes."""
    full = tuple(place for place in leaves(expression) if place)
    bare = tuple(place[:-1] if place[-1] == 0 and len(place) > 1 else place for place in full)
    chosen: tuple[tuple[Place, ...], tuple[object, ...]] = (full, ("",))
    best = -1
    for places in dict.fromkeys((full, bare)):
        for values in _kinds(reading, random):
            tried = [{place: random.choice(values) for place in places} for _ in range(TRIALS)]
            fit = sum(_fit(expression, reading, tried))
            if fit > best:
                chosen, best = (places, values), fit
    return chosen[0], _tame(expression, reading, chosen)


def _tame(
    expression: Jmespath,
    reading: Reading,
    chosen: tuple[tuple[Place, ...], tuple[object, ...]],
) -> tuple[object, ...]:
    """Return the values that suit when they stand everywhere: two short texts make no long one."""
    places, values = chosen
    fit = _fit(expression, reading, [dict.fromkeys(places, value) for value in values])
    return tuple(value for value, good in zip(values, fit, strict=True) if good) or values


def _fit(
    expression: Jmespath,
    reading: Reading,
    tried: Sequence[dict[Place, object]],
) -> list[bool]:
    return fits(reading, [_found(expression, values) for values in tried])


def _suits(expression: Jmespath, values: dict[Place, object]) -> bool:
    """Say whether the expression can be asked; many functions refuse a null."""
    try:
        expression.find(_received(expression, values))
    except ValueError:
        return False
    return True


def _found(expression: Jmespath, values: dict[Place, object]) -> object:
    try:
        return expression.find(_received(expression, values))
    except ValueError:
        return None


def _received(expression: Jmespath, values: dict[Place, object]) -> object:
    # As the client decodes it: functions that take floats refuse the exact numbers it makes.
    return read_json(as_json(document_of(expression, values)))


def _kinds(reading: Reading, random: Random) -> Iterator[tuple[object, ...]]:
    kind, text = reading.field.type, Text()
    yield tuple(kind.sample(random) for _ in range(100))
    yield tuple(text.sample(random) for _ in range(100))
    yield tuple(random.randint(0, 1000) for _ in range(100))
    yield tuple([text.sample(random), text.sample(random)] for _ in range(20))
    yield tuple([kind.sample(random), kind.sample(random)] for _ in range(20))
    yield tuple([random.randint(0, 100), random.randint(0, 100)] for _ in range(20))
    yield tuple({"one": kind.sample(random)} for _ in range(20))
    yield (True, False)
