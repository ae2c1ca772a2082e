"""XPath: expressions compiled once, over what an XML answer's decoder leaves of it.

A record is an object whose entry `xml` is the text of its element, so that it can be kept
beside other texts, compared, and read again later; the document that pagination looks into
is the root element without the records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any

from lxml import etree

XML = "xml"
"""The entry of a record that holds its element's text."""
XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
"""What the prefix `xml` means in any document, unsaid."""

SAFE: dict[str, Any] = {
    "resolve_entities": False, "no_network": True, "load_dtd": False, "dtd_validation": False,
    "huge_tree": False, "remove_comments": True, "remove_pis": True, "strip_cdata": True,
    "collect_ids": False,
}  # fmt: skip
"""How any XML is parsed: nothing is fetched, nothing expanded, and depth and size have bounds."""

LONGEST = 1000
COSTLY = 2
"""How many steps of an expression may look through a whole record: each multiplies the time."""

FUNCTIONS = frozenset(
    [
        "last",
        "position",
        "count",
        "name",
        "local-name",
        "namespace-uri",
        "string",
        "concat",
        "starts-with",
        "contains",
        "substring-before",
        "substring-after",
        "substring",
        "string-length",
        "normalize-space",
        "translate",
        "boolean",
        "not",
        "true",
        "false",
        "number",
        "sum",
        "floor",
        "ceiling",
        "round",
        "text",
        "node",
        "comment",
        "processing-instruction",
    ]
)
"""What XPath 1.0 calls by a name and a bracket, but for `id` and `lang`, which need more than a
record."""

NAME = r"[^\W\d][\w.-]*"
TOKEN = re.compile(
    rf"""(?P<quoted>"[^"]*"|'[^']*')"""
    rf"|(?P<function>{NAME}(?::{NAME})?)\s*\("
    rf"|(?P<axis>{NAME})\s*::"
    rf"|(?P<prefix>{NAME}):(?:{NAME}|\*)"
    rf"|(?P<variable>\$)|(?P<deep>//)|(?P<up>\.\.)|{NAME}|."
)
DEEP_AXES = {"descendant", "descendant-or-self", "following", "preceding"}
UPWARD_AXES = {"parent", "ancestor", "ancestor-or-self", "preceding", "following"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What an XML format says that expressions need: its prefixes, and what marks a null."""

    namespaces: Mapping[str, str] = field(default_factory=dict)
    null_attribute: str | None = None

    def clark(self, name: str) -> str:
        """Return a name as lxml has it: `{namespace}local`."""
        prefix, _, local = name.rpartition(":")
        if prefix == "xml":
            return f"{{{XML_NAMESPACE}}}{local}"
        return f"{{{self.namespaces[prefix]}}}{local}" if prefix else local

    @property
    def null_name(self) -> str | None:
        """The null attribute's name as lxml has it."""
        return None if self.null_attribute is None else self.clark(self.null_attribute)


@dataclass(frozen=True, slots=True)
class XPath:
    """A compiled XPath expression (an `Expression`)."""

    text: str
    dialect: Dialect
    compiled: etree.XPath = field(repr=False, compare=False)

    def find(self, document: object) -> object:
        """Return the text of what the expression selects: of several nodes the first's.

        `document` is an element, a record, or `Unparsed`. Raises ValueError where it selects an
        element that holds elements.
        """
        element = element_of(document)
        return None if element is None else self._value(first(self.evaluate(element)))

    def each(self, document: object) -> list[object]:
        """Return the texts of all nodes that the expression selects. Raises ValueError."""
        element = element_of(document)
        found = [] if element is None else self.evaluate(element)
        return [self._value(each) for each in (found if isinstance(found, list) else [found])]

    def _value(self, found: object) -> object:
        if not isinstance(found, etree._Element):
            return found
        text, fault = element_text(found, self.dialect)
        if fault is not None:
            message = f"'{self.text}' selects an element that holds elements"
            raise ValueError(message)
        return text

    def evaluate(self, element: etree._Element) -> object:
        """Return what XPath gives: a list of nodes, a text, a number or a truth value.

        Raises ValueError where the expression does not suit the document.
        """
        try:
            return self.compiled(element)
        except etree.XPathError:
            message = f"'{self.text}' does not suit this document"
            raise ValueError(message) from None


def compile_xpath(text: str, dialect: Dialect) -> XPath:
    """Compile XPath 1.0. Raises ValueError that says what is wrong with it."""
    if len(text) > LONGEST:
        message = f"is longer than {LONGEST} characters"
        raise ValueError(message)
    _demand_known(text, dialect)
    try:
        compiled = etree.XPath(
            text, namespaces=dict(dialect.namespaces) or None, regexp=False, smart_strings=False
        )
    except (etree.XPathError, ValueError, TypeError):
        message = "is not XPath 1.0: look for a bracket, a quote or a `/` that is too many or few"
        raise ValueError(message) from None
    return XPath(text, dialect, compiled)


def _demand_known(text: str, dialect: Dialect) -> None:
    """Raise ValueError for names that XPath would stumble over only when it meets a record."""
    deep = 0
    for token in TOKEN.finditer(text):
        deep += bool(token["deep"]) + (token["axis"] in DEEP_AXES)
        name, prefix = token["function"], token["prefix"]
        if name is not None and name not in FUNCTIONS:
            message = f"names the function '{name}', which XPath 1.0 has not, or not here"
            raise ValueError(message)
        if prefix is not None and prefix not in {*dialect.namespaces, "xml"}:
            known = ", ".join(sorted(dialect.namespaces)) or "none yet"
            message = f"has the prefix '{prefix}', which `namespaces` does not name. It names: "
            raise ValueError(message + known)
        if token["variable"]:
            message = "has a `$`: there are no variables here"
            raise ValueError(message)
    if deep > COSTLY:
        message = f"looks through the whole record (`//`) more than {COSTLY} times. Write the way"
        raise ValueError(message)


def compile_relative(text: str, dialect: Dialect) -> XPath:
    """Compile an expression that starts at a record. Raises ValueError where it leaves it."""
    compiled = compile_xpath(text, dialect)
    axes = {token["axis"] for token in TOKEN.finditer(text)}
    # A single `..` may come back to the record from below; what matters is the start.
    if text.strip().startswith(("/", "..")) or axes & UPWARD_AXES:
        message = (
            "leaves the record, around which nothing is kept. Start at the record element: "
            "`m:properties/d:id`, `@id`, `.//d:id`"
        )
        raise ValueError(message)
    return compiled


# --- the way to the records -------------------------------------------------------------------

STEP = re.compile(rf"(?P<name>{NAME}|{NAME}:{NAME}|\*)(?P<conditions>(?:\[.*\])?)", re.DOTALL)
BY_PLACE = re.compile(r"\[\s*\d+\s*\]|position\s*\(|last\s*\(|count\s*\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPath:
    """The way from the root to the record elements, which can be told while they are parsed.

    `tags` are the names on the way as lxml has them, the record's own last (`*` for any). The first
    `holding` of them lead to the element that an answer has without records too.
    """

    text: str
    steps: tuple[str, ...]
    tags: tuple[str, ...]
    holding: int
    condition: XPath | None
    dialect: Dialect

    def leads_to(self, element: etree._Element) -> bool:
        """Say whether the element, conditions apart, stands where records do."""
        here: etree._Element | None = element
        for tag in reversed(self.tags):
            if here is None or tag not in ("*", here.tag):
                return False
            here = here.getparent()
        return here is None

    def takes(self, element: etree._Element) -> bool:
        """Say whether an element that stands there, and is complete, meets the conditions."""
        return self.condition is None or bool(self.condition.evaluate(element))


def compile_record_path(text: str, dialect: Dialect, container: str | None = None) -> RecordPath:
    """Compile the way to the records; `container` is the part of it that no answer lacks.

    Raises ValueError that says what is wrong with it.
    """
    steps = [STEP.fullmatch(part) for part in split_path(text)]
    conditions = [step["conditions"] for step in steps if step is not None]
    if not text.startswith("/") or None in steps or any(conditions[:-1]):
        message = (
            "must be the way from the root to the record elements, like `/a:feed/a:entry`; only "
            "its last step may have a condition"
        )
        raise ValueError(message)
    compile_xpath(text, dialect)
    if BY_PLACE.search(conditions[-1]):
        message = "has a condition on the place of a record. All records are read: take it away"
        raise ValueError(message)
    names = tuple(step["name"] for step in steps if step is not None)
    condition = compile_xpath(f"boolean(self::node(){conditions[-1]})", dialect)
    return RecordPath(
        text=text,
        steps=names,
        tags=tuple(dialect.clark(name) for name in names),
        holding=max(1, len(names) - 1) if container is None else _holding(names, container),
        condition=condition if conditions[-1] else None,
        dialect=dialect,
    )


def _holding(names: tuple[str, ...], container: str) -> int:
    """Return how many steps lead to the container. Raises ValueError where it holds no records."""
    way = tuple(split_path(container))
    if way != names[: len(way)] or len(way) == len(names):
        message = f"does not begin with the format's `container`, '{container[:80]}', and go on"
        raise ValueError(message)
    return len(way)


def split_path(text: str) -> list[str]:
    """Split a path at the slashes that stand outside of brackets and quotes."""
    parts, depth = [""], 0
    for token in TOKEN.finditer(text.removeprefix("/")):
        piece = token[0]
        depth += (piece == "[") - (piece == "]")
        if piece in ("/", "//") and depth == 0:
            parts += [""] * len(piece)
        else:
            parts[-1] += piece
    return parts


# --- what stands there ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Unparsed:
    """A document that is parsed once it is asked for."""

    parse: Callable[[], etree._Element]

    @cached_property
    def root(self) -> etree._Element:
        return self.parse()


def element_of(document: object) -> etree._Element | None:
    """Return a document's or a record's element; None where it has none.

    Raises ValueError where a record's text is not XML, or was cut.
    """
    if isinstance(document, Unparsed):
        return document.root
    if isinstance(document, etree._Element):
        return document
    text = document.get(XML) if isinstance(document, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return etree.fromstring(text, etree.XMLParser(**SAFE))
    except etree.XMLSyntaxError:
        message = "the record's XML can't be read"
        raise ValueError(message) from None


def first(found: object) -> object:
    """Return the first of several nodes, and a number as a decimal text; None for nothing."""
    if isinstance(found, list):
        return found[0] if found else None
    if isinstance(found, bool):
        return found
    if isinstance(found, float):
        if not isfinite(found):
            return None
        return str(int(found)) if found.is_integer() else repr(found)
    return found


def element_text(element: etree._Element, dialect: Dialect) -> tuple[str | None, str | None]:
    """Return an element's text, None for a null; or the rule that it breaks."""
    if _null(element, dialect):
        return None, None
    if len(element):
        return None, "xml.container"
    return element.text or "", None


def element_value(element: etree._Element, dialect: Dialect) -> object:
    """Return an element as a JSON value: its text, or an object where it has more than that.

    Attributes are entries `@name`, elements entries by their names without prefixes, several
    of one name a list; text beside them is `#text`.
    """
    if _null(element, dialect):
        return None
    found: dict[str, object] = {
        f"@{etree.QName(name).localname}": str(value) for name, value in element.attrib.items()
    }
    for child in element:
        name, value = etree.QName(child).localname, element_value(child, dialect)
        if name not in found:
            found[name] = value
        elif isinstance(before := found[name], list):
            before.append(value)
        else:
            found[name] = [before, value]
    text = element.text or ""
    if not found:
        return text
    return {**found, "#text": text} if text.strip() else found


def _null(element: etree._Element, dialect: Dialect) -> bool:
    name = dialect.null_name
    return name is not None and element.get(name, "").strip() in ("true", "1")
