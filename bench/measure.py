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

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Seconds of wall clock, seconds of user and system CPU, and peak resident MiB of a process.

    What its database server or its source used elsewhere is not in it.
    """

    wall: float
    cpu: float
    peak: float


def environment() -> dict[str, str]:
    """Return this process's environment, with the checkout's own crmmap first on the path."""
    paths = [str(ROOT / "engine"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def measured(arguments: Sequence[str]) -> Usage:
    """Run `python -m …` and return its usage. Ends the bench where the process fails."""
    with tempfile.NamedTemporaryFile() as report:
        weighing = [sys.executable, "-S", "bench/weigh.py", report.name]
        done = subprocess.run(
            [*weighing, sys.executable, "-m", *arguments],
            cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            told = f"{done.stdout}{done.stderr}"
            sys.exit(f"{' '.join(arguments)}\nended with {done.returncode}:\n{told}")
        return Usage(**json.loads(report.read()))


def middle(usages: Sequence[Usage]) -> Usage:
    """Return the median of each measure by itself."""
    return Usage(
        wall=median(each.wall for each in usages),
        cpu=median(each.cpu for each in usages),
        peak=median(each.peak for each in usages),
    )
