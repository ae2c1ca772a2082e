"""`python -m bench [SECTION …]`: measure crmmap beside what one would write by hand.

Without a section: all of them but `peers`, which needs others to be installed. Each takes the place
of its last measurement in results.json, of which RESULTS.md and its pictures are made anew.
`--quick`: a tenth of all sizes, one run each. What is measured at another scale, in fewer runs or
on SQLite alone stands in a folder of its own, and never takes the place of what README.md quotes.
`--report` measures nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import plots
from bench.measure import ROOT, compile_modules
from bench.page import Remembered, machine, now, page, remembered, told
from bench.scenarios import How
from bench.sections import OPTIONAL, SECTIONS
from bench.summary import aims, quoting, summary

PAGE, README = ROOT / "bench", ROOT / "README.md"
ROUNDS = 5
"""Runs of which a figure that README.md quotes is the median, at least."""


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="--scale 0.1 --rounds 1: minutes")
    parser.add_argument("--scale", type=float, metavar="X", help="times as many records")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"runs per median: {ROUNDS}")
    parser.add_argument("--most", action="store_true", help="a file of ten million rows, too")
    parser.add_argument("--only-sqlite", action="store_true", help="no PostgreSQL, no MariaDB")
    parser.add_argument("--work", type=Path, help="a folder for files and databases")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="the page's folder")
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    chosen = parser.parse_args(arguments)
    chosen.scale = chosen.scale or (0.1 if chosen.quick else 1.0)
    chosen.rounds = chosen.rounds or (1 if chosen.quick else ROUNDS)
    whole = chosen.scale == 1 and chosen.rounds >= ROUNDS and not chosen.only_sqlite
    chosen.into = chosen.into or (PAGE if whole else PAGE / ".scaled")
    if unknown := [name for name in chosen.sections if name not in SECTIONS]:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return chosen


def main(arguments: Sequence[str]) -> int:
    chosen = options(arguments)
    chosen.into.mkdir(exist_ok=True)
    file = chosen.into / "results.json"
    known = remembered(file)
    if chosen.report:
        write(known, file)
        return 0
    compile_modules()
    with ExitStack() as stack:
        folder = chosen.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        how = How(
            scale=chosen.scale, rounds=chosen.rounds, folder=folder.resolve(), say=say,
            servers=not chosen.only_sqlite, most=chosen.most,
        )  # fmt: skip
        for name in chosen.sections or [each for each in SECTIONS if each not in OPTIONAL]:
            say(f"-- {name}")
            known[name] = measure(name, how, f"python -m bench {' '.join(arguments)}".strip())
            # At once, so that nothing is lost where a later one fails.
            write(known, file)
    print((chosen.into / "RESULTS.md").read_text(encoding="utf-8"))
    return 0


def measure(name: str, how: How, command: str) -> Remembered:
    load, began = os.getloadavg()[0], now(datetime.now(UTC))
    found = SECTIONS[name].measure(how)
    return Remembered(
        when=began, command=command, machine=machine(), load=load, found=_plain(found)
    )


def write(known: dict[str, Remembered], file: Path) -> None:
    """Write down all measurements, and the page and the pictures that tell of them."""
    ordered = {name: known[name] for name in SECTIONS if name in known}
    written = {name: asdict(each) for name, each in ordered.items()}
    file.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    found = {name: each.found for name, each in ordered.items()}
    pictures = plots.pictures(found)
    for picture, drawn in pictures.items():
        (file.parent / picture).write_text(drawn, encoding="utf-8")
    parts = {"aims": aims(found)}
    parts["pictures"] = "\n".join(f"![{Path(each).stem}]({each})" for each in pictures)
    parts |= {name: _part(name, each) for name, each in ordered.items()}
    (file.parent / "RESULTS.md").write_text(page(parts), encoding="utf-8")
    if file.parent == PAGE:
        quoted = quoting(README.read_text(encoding="utf-8"), summary(ordered))
        README.write_text(quoted, encoding="utf-8")


def _part(name: str, measured: Remembered) -> str:
    section = SECTIONS[name]
    pieces = (f"## {section.title}", section.about, section.told(measured.found), told(measured))
    return "\n\n".join(piece.strip() for piece in pieces if piece)


def _plain(found: Any) -> Any:
    """Return it as JSON knows it."""
    if isinstance(found, list):
        return [_plain(each) for each in found]
    return asdict(found) if is_dataclass(found) and not isinstance(found, type) else found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
