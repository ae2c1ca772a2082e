"""The section about the parts of a run, and what a type costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.measure import measured
from bench.scenarios import How

RECORDS = 100_000


def portions(how: How) -> dict[str, Any]:
    """Measure in a process of its own; return what it found, by `parts` and `casts`."""
    report, count = how.folder / "parts.json", how.size(RECORDS)
    how.say(f"the parts of a run, over {count:,} records")
    measured(("bench.parts", str(report), str(count)))
    return {"records": count, **json.loads(report.read_text(encoding="utf-8"))}


def told(found: Mapping[str, Any]) -> str:
    """Return the section's tables."""
    parts, casts = (
        "\n".join(
            f"| {name} | {speed:,.0f} | {1e6 / speed:,.2f} |"
            for name, speed in found[group].items()
        )
        for group in ("parts", "casts")
    )
    return f"""| {found["records"]:,} records | a second | µs of CPU each |
|---|--:|--:|
{parts}

| {found["records"]:,} values of a type | a second | µs of CPU each |
|---|--:|--:|
{casts}"""
