"""A mapping's case file, run from end to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crmmap.errors import SourceError
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
    failed = tuple(each for case in cases if (each := failure(mapping, path, case)) is not None)
    return Casework(cases=cases, failed=failed)


def failure(mapping: MappingSpec, path: Path, case: Case) -> Finding | None:
    """Return what speaks against a case; None where it gives what it says."""
    where = f"{path}:{case.line}"
    try:
        found = reenact(mapping, case)
    except SourceError as error:
        return Finding(where=where, what=f"'{case.name}' can't be read", lines=(str(error),))
    step = plan_of(mapping, case.settings).step(case.stream)
    lines = differences(step, case, found)
    what = f"'{case.name}' does not give what it says"
    return Finding(where=where, what=what, lines=lines) if lines else None


def _changes(mapping: MappingSpec, cases: Sequence[Case]) -> Iterator[Change]:
    for case in cases:
        try:
            found = reenact(mapping, case)
        except SourceError:
            continue
        words = changed(plan_of(mapping, case.settings).step(case.stream), case, found)
        if words:
            yield Change(case=case, found=found, words=words)
