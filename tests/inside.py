"""The command line, run within the test's own process: faster, for what needs no process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from commands import Ran
from crmmap.cli import main
from stores import sqlite_url

Command = Callable[..., Ran]


@pytest.fixture
def crmmap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Give a function that runs a command in `tmp_path` and returns how it ended."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        capsys.readouterr()
        code = main(words)
        told = capsys.readouterr()
        return Ran(int(code), told.out, told.err)

    return run


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """Give a store of one kind, for what the kind makes no difference to."""
    return sqlite_url(tmp_path)
