"""The documentation says what the engine does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from crmmap.spec import read_mapping

ROOT = Path(__file__).parents[1]


def test_the_reference_is_printed_from_the_schema() -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py"], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs" / "language.md").read_text() == printed, "run `make docs`"


def test_every_word_of_the_language_is_explained() -> None:
    schema = json.loads((ROOT / "schemas" / "mapping.schema.json").read_text())
    for name, part in schema["$defs"].items():
        for word, each in part.get("properties", {}).items():
            assert word == "kind" or each.get("description"), f"{name}.{word}"


def test_the_mapping_in_the_readme_is_right() -> None:
    readme = (ROOT / "README.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert read_mapping(text.encode(), "README.md").name == "shipyard"
