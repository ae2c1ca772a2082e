"""Write the reference of the mapping language, a page per kind: `python docs/reference.py`.

Everything comes from the JSON Schema, which comes from the engine's own declarations and
their docstrings. `make docs` writes it to docs/reference/; a test fails when it is old.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Schema = dict[str, Any]

FAMILIES = {
    "source": "Sources", "auth": "Authentication", "pagination": "Pagination",
    "incremental": "What need not be read again", "action": "What to do about an answer",
    "format": "Formats", "shape": "Shapes", "clean": "Cleaning", "type": "Types",
    "checks": "Checks", "write": "Writes",
}  # fmt: skip
"""The families, in the order in which a record meets them → their titles."""
CASES = {
    "action": "actions",
    "format": "formats",
    "shape": "shapes",
    "type": "types",
    "write": "writes",
}
"""Families whose cases stand in a folder of another name than theirs."""
PRINTED = "Printed from the engine's own declarations by `make docs`; not edited by hand.\n"


def pages(schema: Schema) -> dict[str, str]:
    """Return every page of the reference as Markdown, by its path."""
    every = {"README.md": "\n".join(_index(schema))}
    for name in _parts(schema):
        every[f"{_slug(name)}.md"] = "\n".join(_page(_title(name), schema["$defs"][name], ""))
    for family in FAMILIES:
        for word, part in _kinds(schema, family).items():
            every[f"{family}/{word}.md"] = "\n".join(_page(word, part, family))
    return every


def _parts(schema: Schema) -> list[str]:
    return [name for name in schema["$defs"] if name[0].isupper()]


def _kinds(schema: Schema, family: str) -> Mapping[str, Schema]:
    """Return a family's kinds by their words, whichever way the schema tells them apart."""
    parts = schema["$defs"]
    named = {
        name.removeprefix(f"{family}."): part
        for name, part in parts.items() if name.startswith(f"{family}.")
    }  # fmt: skip
    steps = parts[family]
    inner = steps.get("items", {}).get("else", steps).get("properties", {})
    return named or inner


def _index(schema: Schema) -> Iterator[str]:
    yield "# The mapping language\n"
    yield PRINTED
    yield f"{schema['description']}\n"
    yield from _words(schema)
    yield "## Parts of a mapping\n"
    for name in _parts(schema):
        yield f"- [{_title(name)}]({_slug(name)}.md): {_first(schema['$defs'][name])}"
    for family, title in FAMILIES.items():
        yield f"\n## {title}\n"
        for word, part in _kinds(schema, family).items():
            yield f"- [{word}]({family}/{word}.md): {_first(part)}"
    yield ""


def _page(title: str, part: Schema, family: str) -> Iterator[str]:
    yield f"# {title}\n"
    if family:
        yield f"One of the kinds of [{FAMILIES[family].lower()}](../README.md).\n"
    yield f"{part.get('description', '')}\n"
    yield from _words(part)
    if family:
        folder = CASES.get(family, family)
        yield f"Shown by example in `tests/cases/{folder}/{title}.yaml`.\n"


def _words(schema: Schema) -> Iterator[str]:
    needed = schema.get("required", ())
    words = {name: each for name, each in schema.get("properties", {}).items() if name != "kind"}
    for name, each in words.items():
        if name in needed:
            state = "required"
        elif "default" in each:
            state = f"default `{json.dumps(each['default'], ensure_ascii=False)}`"
        else:
            state = "optional"
        choice = ", ".join(f"`{word}`" for word in each.get("enum", ()) if word)
        yield f"- **{name}** ({state}): {each.get('description', '')}" + (
            f" One of {choice}." if choice else ""
        )
    if words:
        yield ""


def _first(part: Schema) -> str:
    """Return a description's first sentence."""
    text = " ".join(part.get("description", "").split())
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", text)[0]


def _title(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Spec")).capitalize()


def _slug(name: str) -> str:
    return _title(name).lower().replace(" ", "-")


def main(folder: Path) -> None:
    """Write the reference into a folder, in place of what is there."""
    schema = json.loads((ROOT / "schemas" / "mapping.schema.json").read_text())
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in pages(schema).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "reference")
