"""What the measurements come to: beside what was aimed at, and as README.md quotes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.growth import MOST, SIZES, Grown, grown_of
from bench.loading import TURNS, loaded_of
from bench.measure import Usage, middle
from bench.page import Remembered
from bench.peers import DLT_VERSION
from bench.scenarios import Comparison
from bench.tables import comparison_of, ratio

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
PEAK = 500
"""MiB that no run may take, however large its source."""
AIMS = (
    ("http", "SQLite", "first", 1.2), ("http", "PostgreSQL", "first", 1.2),
    ("csv", "PostgreSQL", "first", 2.0), ("xml", "", "read", 1.5),
)  # fmt: skip
"""How many times the script's CPU seconds a run may take, by section, store and turn."""
DLT = {"SQLite": 7.0, "PostgreSQL": 4.5}
"""How many times dlt's records per CPU second a first run should read, by store."""


# --- what was aimed at --------------------------------------------------------------------------


def aims(found: Mapping[str, Any]) -> str:
    """Return the table of what was aimed at, and of what it came to."""
    lines = [*_beside_scripts(found), *_memory(found), *_beside_dlt(found)]
    if not lines:
        return ""
    head = "| aimed at | measured | |\n|---|--:|---|"
    return "\n".join(("## What was aimed at\n", head, *lines))


def _beside_scripts(found: Mapping[str, Any]) -> Iterator[str]:
    for section, store, turn, most in AIMS:
        for each in _comparisons(found, section):
            if (each.store, each.turn) == (store, turn):
                times = ratio(each)[1]
                into = f" into {store}" if store else ", in a dry run, where the script only reads"
                what = f"{each.scenario}{into}: at most {most} × the CPU seconds of the script"
                yield _aim(what, f"{times:.2f} ×", met=times <= most)


def _memory(found: Mapping[str, Any]) -> Iterator[str]:
    for line in _lines_of(found):
        if len(line) <= len(SIZES):
            yield f"| {line[-1].scenario}: memory flat up to {MOST:,} | not measured (`--most`) | |"
            continue
        before, last = line[-2:]
        times = last.usage.peak / before.usage.peak
        what = (
            f"{last.scenario}: {last.records:,} take the memory of {before.records:,} "
            f"and a tenth more at most, and less than {PEAK} MiB"
        )
        told = f"{times:.2f} ×, {last.usage.peak:.0f} MiB"
        yield _aim(what, told, met=times <= 1.1 and last.usage.peak < PEAK)


def _beside_dlt(found: Mapping[str, Any]) -> Iterator[str]:
    for each, times in _times_dlt(found):
        least = DLT[each.store]
        what = f"{each.scenario} into {each.store}: at least {least} × dlt's records per CPU s"
        yield _aim(what, f"{times:.1f} ×", met=times >= least)


def _times_dlt(found: Mapping[str, Any]) -> Iterator[tuple[Comparison, float]]:
    """Yield first runs beside dlt, and how often dlt's records per CPU second, at its best."""
    for each in _comparisons(found, "peers"):
        ways = [who for who in each.usages if who.startswith("dlt")]
        if each.turn == "first" and ways:
            yield each, min(_cpu(each, who) for who in ways) / _cpu(each, "crmmap")


def _aim(what: str, measured: str, *, met: bool) -> str:
    return f"| {what} | {measured} | {'met' if met else '**missed**'} |"


def _comparisons(found: Mapping[str, Any], section: str) -> list[Comparison]:
    return [comparison_of(each) for each in found.get(section, {}).get("comparisons", ())]


def _cpu(found: Comparison, who: str) -> float:
    return middle(found.usages[who]).cpu


# --- as README.md quotes it ---------------------------------------------------------------------


def summary(known: Mapping[str, Remembered]) -> str:
    """Return the few figures that README.md quotes, and what they are of."""
    if not known:
        return ""
    found = {name: each.found for name, each in known.items()}
    dates = sorted(each.when.partition(" ")[0] for each in known.values())
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    caveat = (
        f"Measured {when} on one machine: {_short(known)}. Others will have other figures, and so "
        "will this one on a busy day: compare what stands side by side."
    )
    pieces = (
        _first_runs(found), _rows(found), *map(_growth, _lines_of(found)),
        *(_peer(*each) for each in _times_dlt(found)), caveat,
    )  # fmt: skip
    return "\n\n".join(filter(None, pieces))


def _first_runs(found: Mapping[str, Any]) -> str:
    head = (
        "| a first run | records/s | µs of CPU a record | of a script without checks | × "
        "| peak MiB |\n|---|--:|--:|--:|--:|--:|"
    )
    lines = []
    for section in ("http", "xml", "csv", "database"):
        for each in _comparisons(found, section):
            if each.turn == "first":
                mine, script = (middle(each.usages[who]) for who in ("crmmap", "script"))
                lines.append(
                    f"| {each.records:,} {each.scenario} → {each.store} "
                    f"| {each.records / mine.wall:,.0f} | {_micro(mine, each.records)} "
                    f"| {_micro(script, each.records)} | {ratio(each)[1]:.1f} | {mine.peak:.0f} |"
                )
    return "\n".join((head, *lines)) if lines else ""


def _rows(found: Mapping[str, Any]) -> str:
    loaded = loaded_of(found.get("upsert", ()))
    if not loaded:
        return ""
    stores = dict.fromkeys(each.store for each in loaded)
    lines = [
        f"| {words} | "
        + " | ".join(
            f"{each.rows / middle(each.product).wall:,.0f} "
            f"({each.rows / middle(each.limit).wall:,.0f})"
            for each in loaded
            if each.turn == turn
        )
        + " |"
        for turn, words in TURNS.items()
    ]
    head = f"| {loaded[0].rows:,} rows of 25 columns, rows/s | {' | '.join(stores)} |"
    about = "In brackets: the database's own bulk path, which compares and accounts for nothing."
    return "\n".join((head, "|---|" + "--:|" * len(stores), *lines)) + f"\n\n{about}"


def _lines_of(found: Mapping[str, Any]) -> list[list[Grown]]:
    grown = grown_of(found.get("growth", ()))
    names = dict.fromkeys(each.scenario for each in grown)
    return [[each for each in grown if each.scenario == name] for name in names]


def _growth(line: list[Grown]) -> str:
    before, last = line[-2:]
    return (
        f"{last.records:,} {last.scenario} took {last.usage.wall:,.0f} s and at most "
        f"{last.usage.peak:.0f} MiB; {before.records:,} took {before.usage.wall:,.0f} s "
        f"and {before.usage.peak:.0f} MiB."
    )


def _peer(found: Comparison, times: float) -> str:
    return (
        f"{found.records:,} {found.scenario} into {found.store}: {times:.1f} times the records per "
        f"CPU second of dlt {DLT_VERSION}, as it comes or tuned, whichever is the better."
    )


def _micro(usage: Usage, records: int) -> str:
    return f"{usage.cpu * 1e6 / records:.0f}"


def _short(known: Mapping[str, Remembered]) -> str:
    """Return the machines without their libraries: processor, memory, system, Python."""
    machines = (", ".join(each.machine.split(", ")[:4]) for each in known.values())
    return "; ".join(dict.fromkeys(machines))


def quoting(text: str, summary: str) -> str:
    """Return a text with the summary in the place that is marked for it."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{summary}\n{END}{after}"
