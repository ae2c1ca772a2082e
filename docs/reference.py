"""Print the reference of the mapping language from its JSON Schema: `python docs/reference.py`.

`make docs` writes it to docs/language.md; a test fails when that file is old.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Schema = dict[str, Any]

FAMILIES = {
    "source": "Sources", "auth": "Authentication", "pagination": "Pagination",
    "action": "Actions", "format": "Formats", "type": "Types",
}  # fmt: skip
PARTS = ["Setting", "Stream", "Nested", "RequestSpec", "Table", "Field", "Lookup", "Dedupe",
         "Latest", "Split", "Enrich", "FieldsFrom", "Naming", "Defaults", "Retry", "ResponseRule",
         "Rate", "Daily", "Timeouts"]  # fmt: skip


def reference(schema: Schema) -> str:
    """Return the reference as Markdown."""
    return "\n".join(_pages(schema))


def _pages(schema: Schema) -> Iterator[str]:
    parts = schema["$defs"]
    yield "# The mapping language\n"
    yield "Printed from the engine's own declarations by `make docs`; not edited by hand.\n"
    yield f"{schema['description']}\n"
    yield from _words(schema)
    for name in PARTS:
        yield f"## {name.removesuffix('Spec')}\n"
        yield f"{parts[name]['description']}\n"
        yield from _words(parts[name])
    for family, title in FAMILIES.items():
        yield f"## {title}\n"
        yield "Written `{kind: WORD, …}`, or the bare word where nothing else is said.\n"
        for name in (name for name in parts if name.startswith(f"{family}.")):
            yield f"### {name.removeprefix(f'{family}.')}\n"
            yield f"{parts[name]['description']}\n"
            yield from _words(parts[name])
    yield from _steps("Cleaning", parts["clean"]["items"]["else"]["properties"])
    yield from _steps("Shapes", parts["shape"]["items"]["else"]["properties"])
    yield from _steps("Checks", parts["checks"]["properties"])


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


def _steps(title: str, steps: Schema) -> Iterator[str]:
    yield f"## {title}\n"
    for name, each in steps.items():
        text = " ".join(each.get("description", "").split())
        inner = ", ".join(f"`{word}`" for word in each.get("properties", {}))
        yield f"- **{name}**: {text}" + (f" It has {inner}." if inner else "")
    yield ""


if __name__ == "__main__":
    schema = json.loads((ROOT / "schemas" / "mapping.schema.json").read_text())
    sys.stdout.write(reference(schema))
