"""The fields that the pretended source lists, where a mapping asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from crmmap.mock.places import place_of, put
from crmmap.mock.records import World
from crmmap.plan import Finding, FoundField, Plan, Step, grown, is_wanted
from crmmap.select.jmespath import compile_expression
from crmmap.values import as_json

OF_A_TYPE = 2
"""Invented fields of each type that the mapping has a word for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listed:
    """A list of fields, answered like a stream's records."""

    world: World
    step: Step
    texts: tuple[str, ...]

    def lines(self, start: int, stop: int) -> list[str]:
        """Return the JSON texts of the items from `start` to before `stop`."""
        return list(self.texts[start:stop])


def with_invented(plan: Plan) -> Plan:
    """Return the plan of a source that has fields of its own invention beside the declared."""
    steps = tuple(
        grown(step, invented(step.finding)) if step.finding else step for step in plan.steps
    )
    return replace(plan, steps=steps)


def invented(finding: Finding) -> tuple[FoundField, ...]:
    """Return a few fields of each type, such as the mapping wants."""
    spec = finding.spec
    fields = [
        FoundField(name=_named(spec.only[:1], f"custom_{word}_{number}"), type=word)
        for number in range(1, OF_A_TYPE + 1)
        for word in spec.types
    ]
    return tuple(each for each in fields if is_wanted(spec, each.name))[: spec.most]


def _named(pattern: tuple[str, ...], name: str) -> str:
    """Return the name, made to suit a pattern if there is one."""
    return pattern[0].replace("*", name).replace("?", "x") if pattern else name


def listed(world: World, step: Step, finding: Finding) -> Listed:
    """Return the list that the source answers: the declared fields that are alike, too."""
    texts = tuple(_item(finding, each) for each in (*_declared(step, finding), *invented(finding)))
    return Listed(
        world=replace(world, records=len(texts)),
        step=replace(step, name=f"{step.name}.fields_from", shape=()),
        texts=texts,
    )


def _declared(step: Step, finding: Finding) -> Iterator[FoundField]:
    """Yield fields that declared columns read: a real list has those as well."""
    holder, _, name = finding.spec.from_.rpartition(".")
    own = {each.name for each in invented(finding)}
    if name == "{name}" and finding.spec.types:
        kind = next(iter(finding.spec.types))
        for each in step.selected.get(holder, ()):
            if each not in own:
                yield FoundField(name=each, type=kind)


def _item(finding: Finding, field: FoundField) -> str:
    item: object = {}
    for expression, value in ((finding.spec.name, field.name), (finding.spec.type, field.type)):
        place = place_of(compile_expression(expression.text))
        if place is not None:
            item = put(item, place, value)
    return as_json(item)
