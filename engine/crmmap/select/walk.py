"""Plain ways into XML records: one walk over an element finds the texts of all of them.

An XPath evaluation costs more than all else that is done for a cell. Most expressions are no
more than names (`content/m:properties/d:id`, `link/@href`), and one pass over the elements
finds what each of them would.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from crmmap.select.xpath import NAME, XPath

QUALIFIED = rf"(?:{NAME}:)?{NAME}"
PLAIN = re.compile(rf"(?P<steps>(?:{QUALIFIED}/)*)(?P<attribute>@?)(?P<last>{QUALIFIED})")

NULLED = "\0null"
HOLDS_ELEMENTS = "\0elements"
"""Stand for texts that there are none; no text of XML has a NUL, so none is taken for them."""


@dataclass(frozen=True, slots=True)
class Way:
    """Names from the record's element down, as lxml has them, perhaps an attribute's at the end."""

    tags: tuple[str, ...]
    attribute: str | None = None


def way_of(expression: XPath) -> Way | None:
    """Return the way that an expression goes; None where it is more than names."""
    plain = PLAIN.fullmatch(expression.text)
    if plain is None:
        return None
    clark = expression.dialect.clark
    tags = tuple(clark(name) for name in plain["steps"].split("/") if name)
    if plain["attribute"]:
        return Way(tags, clark(plain["last"]))
    return Way((*tags, clark(plain["last"])))


@dataclass(slots=True)
class Node:
    """What is wanted of an element: places in the row, by the names of what stands in it."""

    attributes: dict[str, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    inner: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Walk:
    """Several ways, gone at once; `places` says where in a row the text of each stands."""

    places: Mapping[Way, int]
    null_name: str | None
    root: Node = field(repr=False, compare=False)

    def row(self, element: etree._Element, *, bare: bool = False) -> list[str | None]:
        """Return what stands at the end of each way, None for nothing: of several the first.

        `NULLED` is an element that is marked as null, `HOLDS_ELEMENTS` one that has no text.
        `bare` says that no element that is marked holds anything, so that others need not be
        asked for the mark.
        """
        row: list[str | None] = [None] * len(self.places)
        self._fill(row, element, self.root, bare=bare or self.null_name is None)
        return row

    def _fill(
        self, row: list[str | None], element: etree._Element, node: Node, *, bare: bool
    ) -> None:
        for name, at in node.attributes.items():
            if row[at] is None:
                row[at] = element.get(name)
        texts, inner = node.texts, node.inner
        for child in element:
            tag = child.tag
            place = texts.get(tag)
            if place is not None and row[place] is None:
                text = child.text
                if text is None or not bare or len(child):
                    text = self._told(child)
                row[place] = text
            if inner and (wanted := inner.get(tag)) is not None:
                self._fill(row, child, wanted, bare=bare)

    def _told(self, element: etree._Element) -> str:
        name = self.null_name
        if name is not None and (element.get(name) or "").strip() in ("true", "1"):
            return NULLED
        return HOLDS_ELEMENTS if len(element) else element.text or ""


def walk_of(ways: Iterable[Way], null_name: str | None) -> Walk:
    """Return the walk that goes all ways, each once; `null_name` is the null attribute's."""
    places = {way: at for at, way in enumerate(dict.fromkeys(ways))}
    root = Node()
    for (*tags, last), at in ((_parts(way), at) for way, at in places.items()):
        node = root
        for tag in tags:
            node = node.inner.setdefault(tag, Node())
        (node.attributes if last.startswith("@") else node.texts)[last.removeprefix("@")] = at
    return Walk(places, null_name, root)


def _parts(way: Way) -> tuple[str, ...]:
    return way.tags if way.attribute is None else (*way.tags, f"@{way.attribute}")
