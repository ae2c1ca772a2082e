"""The command line, run as people run it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

PEOPLE = """
crmmap: 1
name: people
title: People of an invented CRM
settings:
  people: {env: PEOPLE_FILE, required: false}
  orders: {env: ORDERS_FILE, required: false}
source: {kind: files}
streams:
  people:
    file: "{{ settings.people }}"
    table: {name: people, key: id}
    fields:
      id: id
      email: {from: email, type: email}
      age: {from: age, type: integer, on_error: null_and_note}
  orders:
    file: "{{ settings.orders }}"
    table: {name: orders, key: id}
    fields:
      id: id
      person: {from: person, lookup: {stream: people, missing: stub}}
"""

API = """
crmmap: 1
name: api
settings:
  url: {env: API_URL}
  token: {env: API_TOKEN, secret: true, help: Ask the admin}
source:
  kind: http
  base_url: "{{ settings.url }}"
  auth: {kind: bearer, token: "{{ settings.token }}"}
  retry: {attempts: 2, base: 0.001}
defaults: {batch: 1}
streams:
  notes:
    request: {path: /notes}
    records: items[]
    pagination: {kind: token, token: next, param: after}
    table: {name: api_notes, key: id}
    fields:
      id: id
      text: {from: "to_string(body)"}
"""

ROWS = "id,email,age\n1,a@example.com,3\n2,nonsense,4\n3,c@example.com,old\n3,c@example.com,5\n"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Return a small environment that says nothing of this machine's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT / "engine"), "PYTHONWARNINGS": "error", **more}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "crmmap", *words]


def crmmap(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command in `folder` to its end."""
    done = subprocess.run(
        command(*words), cwd=folder, env=environment(**(env or {})),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)


def write(folder: Path, **files: str) -> None:
    """Write files; `people_yaml` becomes `people.yaml`."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
