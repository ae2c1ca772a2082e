"""A process run to its end, and what it took of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

ROOT = Path(__file__).resolve().parent.parent
SERVERS = frozenset({"postgres", "mariadbd", "mysqld"})
"""Processes of databases, by their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a process took: seconds of wall clock, CPU seconds (user and system), peak MiB resident.

    `served` are the CPU seconds of the machine's database servers meanwhile, whoever asked them.
    """

    wall: float
    cpu: float
    peak: float
    served: float = 0.0


def environment() -> dict[str, str]:
    """Return this process's environment, with the checkout's own crmmap first on the path.

    Modules are compiled once, as wherever a package is installed, and not in every run.
    """
    paths = [str(ROOT / "engine"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**usual, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def compile_modules() -> None:
    """Compile what is measured, so that no first run does it."""
    # But no hidden folder: others' environments are not ours to compile.
    compileall = (sys.executable, "-m", "compileall", "-q", "-x", r"/\.", "engine", "bench")
    subprocess.run(compileall, cwd=ROOT, env=environment(), check=True)


def measured(arguments: Sequence[str], python: str = sys.executable) -> Usage:
    """Run `python -m …` and return its usage. Ends the bench where the process fails."""
    with tempfile.NamedTemporaryFile() as report:
        weighing = [sys.executable, "-S", "bench/weigh.py", report.name]
        before = served()
        done = subprocess.run(
            [*weighing, python, "-m", *arguments],
            cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            told = f"{done.stdout}{done.stderr}"
            sys.exit(f"{' '.join(arguments)}\nended with {done.returncode}:\n{told}")
        return Usage(**json.loads(report.read()), served=served() - before)


def served() -> float:
    """Return the CPU seconds that database servers have used so far, their ended children's too."""
    times = (
        process.info["cpu_times"]
        for process in psutil.process_iter(["name", "cpu_times"])
        if process.info["name"] in SERVERS and process.info["cpu_times"]
    )
    return sum(
        each.user + each.system + each.children_user + each.children_system for each in times
    )


def middle(usages: Sequence[Usage]) -> Usage:
    """Return the median of each measure by itself."""
    return Usage(
        wall=median(each.wall for each in usages),
        cpu=median(each.cpu for each in usages),
        peak=median(each.peak for each in usages),
        served=median(each.served for each in usages),
    )
