"""A YAML text as a tree of nodes, read within bounds.

PyYAML scans and parses; its constructors are not used. It does so by libyaml, in
a twentieth of the time, where that is known to read a text alike; so all that is
wrong is found by its own scanner, in Python. What a stranger's file
could use to exhaust memory or time (size, depth, aliases) is bounded here, and
PyYAML's own messages are never shown: they quote the line, which may hold a
pasted secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from crmmap.spec.faults import Fault, Place

LARGEST = 1024 * 1024
MOST_NODES = 50_000
MOST_ALIASES = 500
DEEPEST = 40
FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What YAML does not allow unescaped; we don't allow it escaped either."""
DOUBTFUL = re.compile(
    "[\t\r\x85\u2028\u2029\ufeff]|^%|[|>][-+0-9]*#|[?](?:[ \n]|\\Z)", re.MULTILINE
)
"""What libyaml takes in a few places where PyYAML does not, or places elsewhere."""


class Unreadable(Exception):
    """The text can't be read any further; `fault` says why, and where."""

    def __init__(self, rule: str, message: str, place: Place) -> None:
        super().__init__(message)
        self.fault = Fault(path=(), rule=rule, message=message, place=place)


@dataclass(frozen=True, slots=True)
class Node:
    """One value as it was written; `pairs` are a mapping's, `items` a list's."""

    place: Place
    tagged: bool = False
    text: str | None = None
    plain: bool = False
    items: tuple[Node, ...] | None = None
    pairs: tuple[tuple[Node, Node], ...] | None = None
    size: int = 1
    height: int = 1


def read_nodes(text: bytes) -> Node:
    """Return the root of the one document in `text`. Raises Unreadable."""
    read = decoded(text)
    return quick_nodes(read) or exact_nodes(read)


def exact_nodes(text: str) -> Node:
    """Return the root as PyYAML's own scanner reads it. Raises Unreadable."""
    return _Composer(_events(text)).document()


def quick_nodes(text: str) -> Node | None:
    """Return the same as libyaml reads it; None where it might differ, or something is wrong."""
    if not yaml.__with_libyaml__ or DOUBTFUL.search(text):
        return None
    try:
        return _Composer(_quick_events(text)).document()
    except (Unreadable, yaml.YAMLError, ValueError, OverflowError):
        return None


def decoded(text: bytes) -> str:
    """Return the text without its byte order mark. Raises Unreadable."""
    if len(text) > LARGEST:
        message = "is larger than 1 MiB, which no mapping needs to be"
        raise Unreadable("yaml.size", message, Place())
    try:
        read = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8", errors="replace")
        message = "is not UTF-8 here. Save the file in UTF-8"
        raise Unreadable("yaml.encoding", message, _end(before)) from None
    if found := FORBIDDEN.search(read):
        message = f"holds the control character U+{ord(found[0]):04X}. Remove it"
        raise Unreadable("yaml.character", message, _end(read[: found.start()]))
    return read


def _end(text: str) -> Place:
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text.removeprefix("\ufeff"))
    return Place(len(lines), len(lines[-1]) + 1)


def _events(text: str) -> Iterator[yaml.Event]:
    """Yield the parser's events; its errors become ours, without the snippet of the text."""
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_event():
            yield loader.get_event()  # type: ignore[no-untyped-call]
    except yaml.MarkedYAMLError as error:
        raise Unreadable("yaml.syntax", _explained(error), _place(error.problem_mark)) from None
    except (ValueError, OverflowError):
        # An escape such as "\UFFFFFFFF", or a version of a thousand digits.
        message = "holds an escape or a number that is out of range"
        raise Unreadable("yaml.syntax", message, _place(loader.get_mark())) from None


def _quick_events(text: str) -> Iterator[yaml.Event]:
    """Yield libyaml's events. Raises ValueError at one that PyYAML might read in another way."""
    loader = yaml.CSafeLoader(text)
    while loader.check_event():
        event: Any = loader.get_event()
        plain = isinstance(event, yaml.ScalarEvent) and event.implicit[0]
        if getattr(event, "tag", None) or (plain and (not event.value or "?" in event.value)):
            message = "a tag, nothing, or what may be a word's beginning"
            raise ValueError(message)
        yield event


SYNTAX = (
    (r"found character '\t'", "a tab can't indent or separate here. Use spaces"),
    (
        "cannot start any token",
        "no plain text may begin with this character. Put quotes around the text",
    ),
    (
        "mapping values are not allowed",
        "a second ':' can't stand here. Check the indentation, and quote a text that holds ': '",
    ),
    ("could not find expected ':'", "a ':' is missing after the word"),
    (
        "expected <block end>",
        "this does not line up with what stands above it. Check the indentation and the quotes",
    ),
    ("while scanning a quoted scalar", "a quoted text is never closed"),
    ("while scanning a double-quoted scalar", "an escape in this text is not one that YAML knows"),
    ("while parsing a flow sequence", "a list in brackets needs ',' between its items and ']'"),
    ("while parsing a flow mapping", "an object in braces needs ',' between its words and '}'"),
    ("undefined tag handle", "tags are not part of the mapping language"),
    ("while scanning a tag", "tags are not part of the mapping language"),
    ("while scanning an alias", "'*' begins an alias. Put quotes around the text"),
    ("while scanning an anchor", "'&' begins an anchor. Put quotes around the text"),
    ("while scanning a directive", "this '%' line is not one that YAML knows"),
    ("while scanning a block scalar", "a block of text ('|' or '>') begins wrongly here"),
    ("<document start>", "a second document can't stand here. A mapping is one document"),
)


def _explained(error: yaml.MarkedYAMLError) -> str:
    told = f"{error.context or ''} {error.problem or ''}"
    return next((ours for theirs, ours in SYNTAX if theirs in told), "is not well-formed YAML here")


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place()


@dataclass(slots=True)
class _Composer:
    """Builds the tree of nodes, and stops at the first bound that is passed."""

    events: Iterator[yaml.Event]
    anchors: dict[str, Node | None] = field(default_factory=dict)
    nodes: int = 0
    aliases: int = 0

    def document(self) -> Node:
        root = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                message = "a second document begins here. A mapping is one document"
                raise Unreadable("yaml.documents", message, _place(event.start_mark))
            if isinstance(event, yaml.NodeEvent):
                root = self.node(event, 1)
        if root is None:
            raise Unreadable("yaml.empty", "is empty. A mapping begins with `crmmap: 1`", Place())
        return root

    def node(self, event: yaml.Event, depth: int) -> Node:
        place = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._count(1, depth, place)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self.anchors[anchor] = None
        node = self._made(event, depth, place)
        if anchor:
            self.anchors[anchor] = node
        return node

    def _made(self, event: yaml.Event, depth: int, place: Place) -> Node:
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.ScalarEvent):
            core = tag in (None, "!", "tag:yaml.org,2002:str")
            plain = event.implicit[0] and tag is None
            return Node(place, tagged=not core, text=event.value, plain=plain)
        if isinstance(event, yaml.SequenceStartEvent):
            items = tuple(self._until(yaml.SequenceEndEvent, depth + 1))
            core = tag in (None, "!", "tag:yaml.org,2002:seq")
            return Node(place, not core, items=items, size=_size(items), height=_height(items))
        parts = tuple(self._until(yaml.MappingEndEvent, depth + 1))
        pairs = tuple(zip(parts[::2], parts[1::2], strict=True))
        core = tag in (None, "!", "tag:yaml.org,2002:map")
        return Node(place, not core, pairs=pairs, size=_size(parts), height=_height(parts))

    def _until(self, end: type[yaml.Event], depth: int) -> Iterator[Node]:
        for event in self.events:
            if isinstance(event, end):
                return
            yield self.node(event, depth)

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        place = _place(event.start_mark)
        self.aliases += 1
        if self.aliases > MOST_ALIASES:
            message = f"uses more than {MOST_ALIASES} aliases. Write the values out"
            raise Unreadable("yaml.aliases", message, place)
        if event.anchor not in self.anchors:
            message = "this alias names no anchor above it. Quote a text that begins with '*'"
            raise Unreadable("yaml.alias", message, place)
        node = self.anchors[event.anchor]
        if node is None:
            raise Unreadable("yaml.alias", "this alias stands inside of what it names", place)
        self._count(node.size, depth + node.height - 1, place)
        return node

    def _count(self, nodes: int, depth: int, place: Place) -> None:
        self.nodes += nodes
        if self.nodes > MOST_NODES:
            message = f"holds more than {MOST_NODES} values, which no mapping needs"
            raise Unreadable("yaml.nodes", message, place)
        if depth > DEEPEST:
            message = f"is nested deeper than {DEEPEST} levels, which no mapping needs"
            raise Unreadable("yaml.depth", message, place)


def _size(nodes: tuple[Node, ...]) -> int:
    return 1 + sum(node.size for node in nodes)


def _height(nodes: tuple[Node, ...]) -> int:
    return 1 + max((node.height for node in nodes), default=0)
