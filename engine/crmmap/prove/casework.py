"""A mapping's case file, run from end to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crmmap.errors import SourceError
from crmmap.plan import Plan
from crmmap.prove.cases import Case, cases_beside, read_cases
from crmmap.prove.differences import changed, differences
from crmmap.prove.reenact import reenact
from crmmap.prove.replay import plan_of
from crmmap.prove.results import Finding
from crmmap.prove.rewrite import Change, rewritten
from crmmap.spec.model import Mapping as MappingSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Casework:
    """How the cases of a mapping went."""

    cases: tuple[Case, ...] = ()
    failed: tuple[Finding, ...] = ()
    updated: tuple[str, ...] = ()
    missing: bool = False


def run_cases(
    mapping: MappingSpec, file: Path, *, streams: Sequence[str] = (), update: bool = False
) -> Casework:
    """Run the cases beside a mapping's file; with `update`, write down what they give now.

    Raises MappingError where the case file is wrong, OSError where it can't be written.
    """
    path = cases_beside(file)
    if not path.exists():
        return Casework(missing=True)
    cases = tuple(
        each for each in read_cases(path, mapping) if not streams or each.stream in streams
    )
    if update:
        changes = tuple(_changes(mapping, cases))
        if changes:
            path.write_text(rewritten(path.read_text("utf-8"), changes), "utf-8")
            done = tuple(each.case.name for each in changes)
            # Read again: the lines have moved, and a case that can't be run still fails.
            again = run_cases(mapping, file, streams=streams)
            return Casework(cases=again.cases, failed=again.failed, updated=done)
    plans = _plans(mapping, cases)
    found = (against(plan, path, case) for plan, case in zip(plans, cases, strict=True))
    failed = tuple(each for each in found if each is not None)
    return Casework(cases=cases, failed=failed)


def failure(mapping: MappingSpec, path: Path, case: Case) -> Finding | None:
    """Return what speaks against a case; None where it gives what it says."""
    return against(plan_of(mapping, case.settings), path, case)


def against(plan: Plan, path: Path, case: Case) -> Finding | None:
    """Return what speaks against a case, whose settings the plan was made with."""
    where = f"{path}:{case.line}"
    try:
        found = reenact(plan, case)
    except SourceError as error:
        return Finding(where=where, what=f"'{case.name}' can't be read", lines=(str(error),))
    lines = differences(plan.step(case.stream), case, found)
    what = f"'{case.name}' does not give what it says"
    return Finding(where=where, what=what, lines=lines) if lines else None


def _plans(mapping: MappingSpec, cases: Sequence[Case]) -> Iterator[Plan]:
    """Yield the plan of each case. Most have the same settings, and compiling takes its time."""
    last: tuple[Mapping[str, str], Plan] | None = None
    for case in cases:
        if last is None or last[0] != case.settings:
            last = case.settings, plan_of(mapping, case.settings)
        yield last[1]


def _changes(mapping: MappingSpec, cases: Sequence[Case]) -> Iterator[Change]:
    for plan, case in zip(_plans(mapping, cases), cases, strict=True):
        try:
            found = reenact(plan, case)
        except SourceError:
            continue
        words = changed(plan.step(case.stream), case, found)
        if words:
            yield Change(case=case, found=found, words=words)
