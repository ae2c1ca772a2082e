"""What `crmmap test` tells people, and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from crmmap.prove.results import Finding, Proof, Tested
from crmmap.report.parts import Line, Part
from crmmap.report.wording import duration, plural


def parts(every: Sequence[Tested]) -> Iterator[Part]:
    """Yield what was found, mapping by mapping, in words."""
    for tested in every:
        yield from _mapping(tested)
    found = sum(len(each.findings) for each in every)
    if len(every) > 1 or found:
        yield Line()
        told = plural(found, "finding") if found else "nothing speaks against them"
        yield Line(f"{plural(len(every), 'mapping')}: {told}", "bad" if found else "good")


def _mapping(tested: Tested) -> Iterator[Part]:
    sound = not tested.findings
    tried = sum(each.examples for each in tested.proofs)
    kept = sum(each.finding is None and each.examples > 0 for each in tested.proofs)
    said = [f"{plural(tested.cases, 'case')}" + _of_failed(tested)]
    if tested.proofs:
        said.append(f"{plural(kept, 'law')} kept in {plural(tried, 'example')}")
    mark = "ok  " if sound else "FAIL"
    text = f"{mark} {tested.mapping}: {', '.join(said)} ({duration(tested.seconds)})"
    yield Line(text, "good" if sound else "bad")
    for name in tested.updated:
        yield Line(f"     updated: '{name}'", "warning")
    for remark in (*tested.remarks, *_unproven(tested.proofs)):
        yield Line(f"     {remark}", "quiet")
    for finding in tested.findings:
        yield from _finding(finding)


def _of_failed(tested: Tested) -> str:
    return f", {len(tested.failed)} of them wrong" if tested.failed else ""


def _unproven(proofs: Sequence[Proof]) -> Iterator[str]:
    """Yield why laws were not tried, those with one reason together."""
    untold = sorted((each for each in proofs if each.unproven), key=lambda each: each.unproven)
    for reason, same in groupby(untold, key=lambda each: each.unproven):
        laws = dict.fromkeys(f"{each.stream or 'the whole'}: {each.law}" for each in same)
        yield f"not tried: {reason} ({'; '.join(laws)})"


def _finding(finding: Finding) -> Iterator[Part]:
    yield Line()
    yield Line(f"{finding.where}: {finding.what}", "bad")
    for line in finding.lines:
        yield Line(f"  {line}")
    if finding.case:
        yield Line("  A case that shows it, to be put into the case file:", "quiet")
        yield Line()
        for line in finding.case.splitlines():
            yield Line(f"  {line}")


def document(tested: Tested) -> dict[str, object]:
    """Return what was found as JSON has it."""
    return {
        "mapping": tested.mapping,
        "file": tested.file,
        "status": "failed" if tested.findings else "ok",
        "seconds": round(tested.seconds, 3),
        "cases": tested.cases,
        "updated": list(tested.updated),
        "remarks": list(tested.remarks),
        "findings": [_as_json(each) for each in tested.findings],
        "laws": [
            {
                "law": each.law, "stream": each.stream or None, "examples": each.examples,
                "kept": each.finding is None, "unproven": each.unproven or None,
            }
            for each in tested.proofs
        ],
    }  # fmt: skip


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "where": finding.where, "what": finding.what,
        "lines": list(finding.lines), "case": finding.case or None,
    }  # fmt: skip
