"""The documentation says what the engine does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from crmmap.prove import failure
from crmmap.prove.cases import cases_of
from crmmap.spec import read_mapping

ROOT = Path(__file__).parents[1]


def test_the_reference_is_printed_from_the_schema(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "reference.py", tmp_path], check=True)
    assert pages(ROOT / "docs" / "reference") == pages(tmp_path), "run `make docs`"


def pages(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*.md")}


def test_every_kind_has_a_page_that_the_index_leads_to() -> None:
    schema = json.loads((ROOT / "schemas" / "mapping.schema.json").read_text())
    kinds = [name.replace(".", "/") for name in schema["$defs"] if "." in name]
    index = (ROOT / "docs" / "reference" / "README.md").read_text()
    every = pages(ROOT / "docs" / "reference")
    assert [kind for kind in kinds if f"{kind}.md" not in every] == []
    assert [page for page in every if page != "README.md" and f"({page})" not in index] == []


def test_every_word_of_the_language_is_explained() -> None:
    schema = json.loads((ROOT / "schemas" / "mapping.schema.json").read_text())
    for name, part in schema["$defs"].items():
        for word, each in part.get("properties", {}).items():
            assert word == "kind" or each.get("description"), f"{name}.{word}"


def test_the_mapping_in_the_readme_is_right_and_gives_what_its_case_says() -> None:
    readme = (ROOT / "README.md").read_text()
    text, cases = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    mapping = read_mapping(text.encode(), "README.md")
    assert mapping.name == "shipyard"
    for case in cases_of(cases.encode(), "README.md", mapping):
        found = failure(mapping, Path("README.md"), case)
        assert found is None, found.lines
