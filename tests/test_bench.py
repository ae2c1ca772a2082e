"""The benchmark runs and says what it should, at sizes too small to mean anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_bench_measures_every_scenario_and_writes_its_page(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    sizes = ["--contacts", "250", "--tasks", "300", "--memory-rows", "400", "--rounds", "1",
             "--rows", "200"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "bench", *sizes, "--no-postgres", "--output", str(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    assert [row[1].strip() for row in rows if "**crmmap**" in row[3] and "→" in row[1]] == [
        "HTTP, 250 → SQLite",
        "HTTP, 250 → SQLite",
        "CSV, 300 → SQLite",
        "CSV, 300 → SQLite",
    ]
    assert len([row for row in rows if row[3].strip() == "limit"]) == 4
    command = "python -m bench --contacts 250 --tasks 300 --memory-rows 400 --rounds 1 --rows 200"
    assert f"    {command} --no-postgres\n" in text
    assert "A file of 400 rows and 60 columns" in text
    assert "| select, type, check |" in text
    loaded = [row for row in rows if row[1].strip() == "SQLite"]
    assert [row[2].strip() for row in loaded] == [
        "first load", "again, nothing changed", "again, 10 % changed"
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [page]
