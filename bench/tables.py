"""The tables of the sections about whole runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.measure import Usage, middle
from bench.runs import Runs
from bench.scenarios import Comparison, Profile

TURNS = {"first": "first run", "second": "second run", "read": "dry run; the script only reads"}
TOP = 14


def runs_of(found: Mapping[str, Sequence[Mapping[str, object]]]) -> Runs:
    """Return what `results.json` says of a section as what it was."""
    return Runs(
        comparisons=[comparison_of(each) for each in found["comparisons"]],
        profiles=[Profile(**each) for each in found["profiles"]],  # type: ignore[arg-type]
    )


def comparison_of(found: Mapping[str, object]) -> Comparison:
    usages = {who: [Usage(**use) for use in uses] for who, uses in found["usages"].items()}  # type: ignore
    return Comparison(**{**found, "usages": usages})  # type: ignore[arg-type]


def runs(found: Runs) -> str:
    """Return the tables of a section about whole runs."""
    return "\n\n".join((compared(found.comparisons), *map(_profile, found.profiles)))


def compared(found: Sequence[Comparison]) -> str:
    head = (
        "| into | run | who | records/s | wall s | CPU s (range) | µs of CPU a record "
        "| server CPU s | peak MiB | × script: wall | CPU |\n"
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    return "\n".join((head, *(line for each in found for line in _lines(each))))


def ratio(found: Comparison, who: str = "crmmap") -> tuple[float, float]:
    """Return how many times the script's wall clock and CPU somebody takes."""
    mine, script = middle(found.usages[who]), middle(found.usages["script"])
    return mine.wall / script.wall, mine.cpu / script.cpu


def _lines(found: Comparison) -> list[str]:
    where = f"{found.records:,} → {found.store}" if found.store else f"{found.records:,}"
    rounds = len(found.usages["crmmap"])
    lines = []
    for who, usages in found.usages.items():
        beside = "| |" if who == "script" else "| {:.1f} | **{:.1f}** |".format(*ratio(found, who))
        name = f"**{who}**" if who == "crmmap" else who
        place = f"| {where} | {TURNS[found.turn]}, {rounds} ×" if not lines else "| | "
        lines.append(f"{place} | {name} | {_usage(usages, found.records)} {beside}")
    return lines


def _usage(usages: Sequence[Usage], records: int) -> str:
    mid, cpus = middle(usages), [each.cpu for each in usages]
    return (
        f"{records / mid.wall:,.0f} | {mid.wall:.1f} "
        f"| {mid.cpu:.1f} ({min(cpus):.1f} to {max(cpus):.1f}) | {mid.cpu * 1e6 / records:.1f} "
        f"| {mid.served:.1f} | {mid.peak:.0f}"
    )


def _profile(profile: Profile) -> str:
    stages, functions = profile.stages, profile.functions
    rows = [("**by stage**", stages, len(stages)), ("**by function**", functions, TOP)]
    lines = [
        line
        for title, table, most in rows
        for line in (f"| {title} | | |", *_shares(table, most, profile.records))
    ]
    head = (
        f"| {profile.records:,} {profile.name}, {sum(stages.values()):.1f} s of CPU "
        "| share | µs a record |\n|---|--:|--:|"
    )
    return "\n".join((head, *lines))


def _shares(table: Mapping[str, float], most: int, records: int) -> list[str]:
    whole = sum(table.values())
    return [
        f"| {name} | {seconds / whole:.0%} | {seconds * 1e6 / records:.1f} |"
        for name, seconds in list(table.items())[:most]
    ]
