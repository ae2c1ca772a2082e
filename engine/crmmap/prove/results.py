"""What `crmmap test` found: for each mapping its cases, its laws, and what speaks against them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be.

    `what` says it in a sentence; `lines` tell more; `case` is YAML to paste into the case
    file, which shows it again. `where` is a file and line, or a stream.
    """

    where: str
    what: str
    lines: tuple[str, ...] = ()
    case: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How a law of one stream, or of the whole mapping (`stream` is empty), stood up.

    `examples` is how many were tried; `finding` is what refutes it. `unproven` says why
    nothing, or not all, could be tried.
    """

    law: str
    stream: str = ""
    examples: int = 0
    finding: Finding | None = None
    unproven: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One mapping, tested. `updated` are the cases whose expectations were written anew."""

    mapping: str
    file: str
    cases: int = 0
    failed: tuple[Finding, ...] = ()
    proofs: tuple[Proof, ...] = ()
    remarks: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def findings(self) -> tuple[Finding, ...]:
        refuted = tuple(each.finding for each in self.proofs if each.finding is not None)
        return (*self.failed, *refuted)
