"""One mapping, tested: its cases first, then the laws that it must keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from crmmap.prove.cases import cases_beside
from crmmap.prove.casework import run_cases
from crmmap.prove.results import Finding, Proof, Tested
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
    seconds: float | None = 20.0
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
    proofs: tuple[Proof, ...] = ()
    return Tested(
        mapping=mapping.name, file=str(file), cases=count, failed=failed, proofs=proofs,
        remarks=remarks, updated=updated, seconds=monotonic() - began,
    )  # fmt: skip
