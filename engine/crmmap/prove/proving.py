"""One mapping, tested: its cases first, then the laws that it must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from crmmap.mock import ways_in, world_of
from crmmap.mock.pools import Hints
from crmmap.plan import Plan
from crmmap.prove.arrivals import LAW as ARRIVAL
from crmmap.prove.arrivals import all_arrive
from crmmap.prove.cases import cases_beside
from crmmap.prove.casework import run_cases
from crmmap.prove.cells import cells_obey
from crmmap.prove.cursors import LAW as CURSOR
from crmmap.prove.cursors import cursors_pass_nothing
from crmmap.prove.fields import LAW_HOLDS, fields_hold
from crmmap.prove.keys import LAW_KEY, LAW_NEEDED, keys_tell_apart, required_is_enough
from crmmap.prove.results import Finding, Proof, Tested
from crmmap.prove.runs import runs_agree
from crmmap.prove.sheets import PREPARED, Sheet, sheets_of
from crmmap.prove.trying import Bounds, Broken, crashed
from crmmap.spec.model import Mapping as MappingSpec

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be tested, and how long.

    `examples` are tried of each law; `seconds` bound what one mapping may take, None for no
    bound. Without a `seed` every test is the same.
    """

    streams: tuple[str, ...] = ()
    cases: bool = True
    laws: bool = True
    update: bool = False
    strict: bool = False
    examples: int = 25
    seconds: float | None = 15.0
    seed: int | None = None


def prove_mapping(
    mapping: MappingSpec, file: Path, asked: Asked, tell: Tell = lambda _: None
) -> Tested:
    """Test one mapping. Raises MappingError where its case file is wrong."""
    began = monotonic()
    failed: tuple[Finding, ...] = ()
    remarks: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    count = 0
    if asked.cases:
        tell(f"{mapping.name}: cases")
        work = run_cases(mapping, file, streams=asked.streams, update=asked.update)
        failed, updated, count = work.failed, work.updated, len(work.cases)
        if work.missing:
            missing = f"there is no case file {cases_beside(file)}"
            if asked.strict:
                failed = (Finding(where=str(file), what=missing),)
            else:
                remarks = (f"{missing}; write one, or have it asked for with --strict",)
    proofs = tuple(prove(mapping, asked, tell)) if asked.laws else ()
    return Tested(
        mapping=mapping.name, file=str(file), cases=count, failed=failed, proofs=proofs,
        remarks=remarks, updated=updated, seconds=monotonic() - began,
    )  # fmt: skip


def prove(mapping: MappingSpec, asked: Asked, tell: Tell) -> Iterator[Proof]:
    """Yield how the laws of a mapping stood up: those that cost little first, then the runs."""
    until = None if asked.seconds is None else monotonic() + asked.seconds
    bounds = Bounds(examples=asked.examples, until=until, seed=asked.seed)
    ways = ways_in(mapping)
    for number, only in enumerate(ways):
        yield from _prove_way(mapping, asked, only, bounds.share(len(ways) - number), tell)


def _prove_way(
    mapping: MappingSpec, asked: Asked, only: tuple[str, ...], bounds: Bounds, tell: Tell
) -> Iterator[Proof]:
    """Yield the proofs of the streams that are read from sources that go together."""
    world = world_of(mapping, {}, records=PREPARED, seed=asked.seed or 0, only=only)
    sheets, untried = sheets_of(world)
    chosen = [
        step for step in world.plan.steps
        if step.source_name in only and (not asked.streams or step.name in asked.streams)
    ]  # fmt: skip
    for step in chosen:
        if step.name in untried:
            yield Proof(law="all", stream=step.name, unproven=untried[step.name])
    steps = [step for step in chosen if step.name in sheets]
    refuted: set[str] = set()
    for step in steps:
        tell(f"{mapping.name}: {step.name}")
        for proof in _quick(mapping, world.plan, sheets[step.name], world.hints):
            if proof.finding is not None:
                refuted.add(step.name)
            yield proof
    # What is known to be wrong would only be found again, in other words.
    left = [step for step in steps if step.name not in refuted]
    for number, step in enumerate(left):
        share = bounds.share(len(left) - number)
        tell(f"{mapping.name}: {step.name}: records, good and broken")
        yield from cells_obey(sheets[step.name], share.share(3))
        tell(f"{mapping.name}: {step.name}: runs")
        yield from runs_agree(world.plan, sheets, step, share)


def _quick(mapping: MappingSpec, plan: Plan, sheet: Sheet, hints: Hints) -> Iterator[Proof]:
    names = [field.name for field in sheet.step.fields]
    laws: dict[str, Callable[[], Iterator[Proof]]] = {
        LAW_HOLDS: lambda: fields_hold(sheet, hints, names),
        LAW_KEY: lambda: keys_tell_apart(sheet),
        LAW_NEEDED: lambda: required_is_enough(sheet, mapping.streams[sheet.step.name]),
        ARRIVAL: lambda: all_arrive(plan, sheet),
        CURSOR: lambda: cursors_pass_nothing(plan, sheet),
    }
    for name, law in laws.items():
        found = tuple(_safely(name, sheet.step.name, law))
        yield from found
        if name == LAW_HOLDS and any(each.finding for each in found):
            return  # no record of the stream can be what the other laws take for sound


def _safely(name: str, stream: str, law: Callable[[], Iterator[Proof]]) -> Iterator[Proof]:
    """Yield a law's proofs; where it fails on the way, that is a finding, and no end of all."""
    try:
        yield from law()
    except Broken as broken:
        yield Proof(law=name, stream=stream, examples=1, finding=broken.finding)
    except Exception as error:  # noqa: BLE001  (whatever it is: no record may cause it)
        yield Proof(law=name, stream=stream, examples=1, finding=crashed(error))
