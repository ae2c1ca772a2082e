"""What a request's JSON body may say beside plain values: lists made of rows, and typed leaves.

    inputs: {each: parents, give: {id: "{{ item.id }}"}}
    names:  {each: selected.properties}
    since:  {text: "{{ cursor | epoch_ms }}", as: number}

An object is one of these if it has exactly these entries; any other stands for itself. The
body is built leaf by leaf and never parsed from text, so that no value can change its form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from crmmap.values import Path

Leaf = Literal["number", "boolean"]
LEAVES: tuple[str, ...] = get_args(Leaf)
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})")

OF = re.compile(r"parents|records|(selected|settings)\.(\w+)")
"""What a list can be made of."""

ITEM = "{{ item }}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Each:
    """A list with one item for each of several: parents, selected names, parts of a setting.

    `give` is the item; its templates call it `item`. Without it, the list is of the texts as they
    are, which parents and records are not.
    """

    of: object
    give: object = ITEM

    @property
    def known(self) -> bool:
        """Whether `of` is something that lists can be made of."""
        return isinstance(self.of, str) and OF.fullmatch(self.of) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A template whose text becomes a whole number, or true or false."""

    text: str
    leaf: Leaf

    def value(self, text: str) -> int | bool:
        """Return what the rendered text is. Raises ValueError, which does not quote it."""
        if self.leaf == "number" and NUMBER.fullmatch(text):
            return int(text)
        if self.leaf == "boolean" and text in ("true", "false"):
            return text == "true"
        wanted = "a whole number" if self.leaf == "number" else "true or false"
        message = f"`as: {self.leaf}` needs {wanted}, and the text is something else"
        raise ValueError(message)


def special(value: object) -> Each | Typed | None:
    """Return what an object of the body stands for, None if for itself."""
    if not isinstance(value, Mapping):
        return None
    if value.keys() == {"each", "give"}:
        return Each(of=value["each"], give=value["give"])
    if value.keys() == {"each"} and (made := Each(of=value["each"])).known:
        return made
    if value.keys() == {"text", "as"} and value["as"] in LEAVES and isinstance(value["text"], str):
        return Typed(text=value["text"], leaf=cast("Leaf", value["as"]))
    return None


def lists_of(body: object, path: Path) -> Iterator[tuple[Path, Each]]:
    """Yield every list that a body makes, and where, from the outside in."""
    made = special(body)
    if isinstance(made, Each):
        yield path, made
    if isinstance(body, Mapping):
        for name, each in body.items():
            yield from lists_of(each, (*path, str(name)))
    elif isinstance(body, list | tuple):
        for at, each in enumerate(body):
            yield from lists_of(each, (*path, at))
