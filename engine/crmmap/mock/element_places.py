"""Where in an XML record or answer an XPath looks, and what its conditions take for granted."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crmmap.mock.places import Place
from crmmap.select.xpath import NAME, RecordPath, split_path

CALL = re.compile(r"\s*[A-Za-z][\w-]*\s*\((?P<inside>.*)\)\s*", re.DOTALL)
PATH = re.compile(rf"(?:\.//|//|/|\./)?(?:@|{NAME}|\*|\.|text\(\)).*", re.DOTALL)
EQUALS = re.compile(rf"\s*(?P<path>\.|@?{NAME}(?::{NAME})?)\s*=\s*(?P<text>'[^']*'|\"[^\"]*\")\s*")
BARE = re.compile(rf"\s*(?P<path>@?{NAME}(?::{NAME})?)\s*")


def places_in(text: str) -> tuple[Place, ...]:
    """Return the places whose texts an XPath reads, in the record or in the whole answer.

    A place's steps are names with their conditions (`a:link[@rel='next']`); an attribute
    stands in one step with its element (`d:price/@currency`), for it stands beside its text.
    """
    return tuple(dict.fromkeys(_places(text.strip())))


def _places(text: str) -> Iterator[Place]:
    call = CALL.fullmatch(text)
    if call is not None and text != "text()":
        for part in _arguments(call["inside"]):
            yield from _places(part.strip())
    elif PATH.fullmatch(text) and not text.startswith(("'", '"')):
        parts = [part for part in split_path(text) if part not in ("", ".", "text()")]
        if parts and parts[-1].startswith("@"):
            parts[-2:] = ["/".join(parts[-2:])]
        if parts:
            yield tuple(parts)


def _arguments(text: str) -> Iterator[str]:
    depth, start = 0, 0
    for piece in re.finditer(r"'[^']*'|\"[^\"]*\"|[()\[\],]", text):
        depth += (piece[0] in "([") - (piece[0] in ")]")
        if piece[0] == "," and depth == 0:
            yield text[start : piece.start()]
            start = piece.end()
    yield text[start:]


ATTRIBUTE = re.compile(r"(?:(?P<element>.+)/)?@(?P<name>[^\]\['\"/]+)", re.DOTALL)


def attribute_of(step: object) -> tuple[str, str] | None:
    """Return a step's element (empty for the record itself) and attribute; None if it has none."""
    found = ATTRIBUTE.fullmatch(str(step))
    return None if found is None else (found["element"] or "", found["name"])


def conditions_of(text: str) -> tuple[tuple[Place, str], ...]:
    """Return places and texts that make conditions (`[@rel='next'][b='1' and @c]`) true.

    Only equalities with a literal and bare names, joined by `and`, are understood.
    """
    found: list[tuple[Place, str]] = []
    for condition in re.findall(r"\[((?:'[^']*'|\"[^\"]*\"|[^\]])*)\]", text):
        for part in re.split(r"\sand\s", condition):
            if equal := EQUALS.fullmatch(part):
                found.append(((equal["path"],), equal["text"][1:-1]))
            elif bare := BARE.fullmatch(part):
                found.append(((bare["path"],), "1"))
    return tuple(found)


def within(path: RecordPath) -> tuple[tuple[Place, object], ...]:
    """Return what stands in every record, so that the condition on it is met."""
    return tuple(conditions_of(split_path(path.text)[-1]))
