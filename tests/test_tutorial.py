"""The tutorial, followed word by word: files are written, commands run, outputs compared.

A block that begins with ```yaml PATH is a file; one that begins with ```sh holds commands, each
after a `$`, and what they print. In an output, `…` stands for anything within a line, and for any
lines where it stands alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands import ROOT, environment

TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(yaml|sh) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass
class Newcomer:
    """Somebody at a terminal: a folder, variables, and what was left running."""

    folder: Path
    variables: dict[str, str]
    running: list[subprocess.Popen[str]]

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(self, command: str) -> str:
        """Run a command as a shell does, and return what it prints, both outputs together."""
        if command.startswith("export "):
            name, _, value = command.removeprefix("export ").partition("=")
            self.variables[name] = value
            return ""
        if command.endswith(" &"):
            return self._start(command.removesuffix(" &"))
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.variables, text=True, timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return done.stdout

    def _start(self, command: str) -> str:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.variables, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.running.append(process)
        assert process.stdout is not None
        said = [process.stdout.readline()]
        while said[-1] and not said[-1].startswith("Ctrl-C"):
            said.append(process.stdout.readline())
        return "".join(said)


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """Give somebody for whom `crmmap` is installed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "crmmap"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m crmmap "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    path = f"{programs}:{os.environ['PATH']}"
    somebody = Newcomer(folder, environment(PATH=path, COLUMNS="200"), [])
    yield somebody
    for process in somebody.running:
        process.terminate()
        process.communicate()


def commands_of(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block and what it is said to print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def fits(printed: str, said: str) -> bool:
    """Say whether an output is what the tutorial says, line by line."""
    pattern = ""
    for line in said.splitlines():
        if line == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("…")) + r"[ ]*\n"
    return re.fullmatch(pattern, printed) is not None


def test_the_tutorial_can_be_followed_word_by_word(newcomer: Newcomer) -> None:
    blocks = BLOCK.findall(TUTORIAL.read_text())
    assert len(blocks) > 10
    for kind, name, text in blocks:
        if kind == "yaml":
            newcomer.write(name, text)
            continue
        for command, said in commands_of(text):
            printed = newcomer.run(command)
            assert fits(printed, said), f"$ {command}\n{printed}\n--- the tutorial says ---\n{said}"


def test_faults_change_no_table_as_the_tutorial_claims(newcomer: Newcomer) -> None:
    import sqlite3

    blocks = [text for kind, name, text in BLOCK.findall(TUTORIAL.read_text()) if kind == "yaml"
              and name == "lighthouse.yaml"]  # fmt: skip
    newcomer.write("lighthouse.yaml", blocks[-1])
    tables = []
    for store, more in (("a", ""), ("b", " --faults 0.1")):
        newcomer.run(
            f"crmmap run lighthouse.yaml --mock --records 250 --quiet --store sqlite:///{store}.db{more}"
        )
        with sqlite3.connect(newcomer.folder / f"{store}.db") as connection:
            rows = connection.execute(
                "SELECT id, person, at, minutes, status, updated FROM lighthouse_visits ORDER BY id"
            )
            tables.append(rows.fetchall())
        connection.close()
    assert tables[0] == tables[1] != []


def test_there_is_a_shell_to_follow_it_in() -> None:
    assert shutil.which("bash"), "the tutorial's commands are run by bash"
