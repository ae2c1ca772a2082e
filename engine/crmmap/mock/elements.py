"""XML, pretended: a record's text, and the document around the records."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import polars as pl
from lxml import etree

from crmmap.kinds.formats import Xml
from crmmap.mock.columns import Column, Writing, cell
from crmmap.mock.element_places import attribute_of, conditions_of, places_in
from crmmap.mock.places import Place
from crmmap.select.xpath import NAME, STEP, RecordPath
from crmmap.values import as_json

HERE = "#here#"
CONTROL = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\ufffe\uffff]"


# --- an element and what is in it -----------------------------------------------------------------


@dataclass(slots=True)
class Node:
    """An element under construction. `text` and attributes are written out already."""

    name: str
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    children: dict[str, Node | str] = field(default_factory=dict)
    """A step → the element, or the text that stands for it, tags and all."""

    def under(self, step: str) -> Node:
        """Return the element for a step, made with what its conditions ask for."""
        found = self.children.get(step)
        if isinstance(found, Node):
            return found
        matched = STEP.fullmatch(step)
        name, conditions = (matched["name"], matched["conditions"]) if matched else (step, "")
        made = Node(name="any" if name == "*" else name)
        for place, text in conditions_of(conditions):
            made.put(place, _escaped(text))
        self.children[step] = made
        return made

    def put(self, place: Place, text: str) -> None:
        """Put a text where a place says."""
        here = self
        for step in place:
            if (attribute := attribute_of(step)) is not None:
                element, name = attribute
                (here.under(element) if element else here).attributes[name] = text
                return
            here = here if step == "." else here.under(str(step))
        here.text = text

    def __str__(self) -> str:
        attributes = "".join(f' {name}="{text}"' for name, text in self.attributes.items())
        # A name without a condition means the first of its kind.
        ordered = sorted(self.children.items(), key=lambda pair: "[" in pair[0])
        inside = self.text + "".join(str(child) for _, child in ordered)
        return f"<{self.name}{attributes}>{inside}</{self.name}>"


def _escaped(text: str) -> str:
    return escape(re.sub(CONTROL, "", text), {'"': "&quot;", "\n": "&#10;", "\r": "&#13;"})


def declarations(form: Xml) -> str:
    """Return the attributes that declare a format's namespaces."""
    return "".join(f' xmlns:{name}="{_escaped(uri)}"' for name, uri in form.namespaces.items())


# --- records --------------------------------------------------------------------------------------


def inside(value: object) -> str:
    """Return a JSON value as what stands in an element: an object's entries are elements."""
    if isinstance(value, Mapping):
        named = {name: each for name, each in value.items() if re.fullmatch(NAME, str(name))}
        return "".join(f"<{name}>{inside(each)}</{name}>" for name, each in named.items()) or "<e/>"
    if isinstance(value, list | tuple):
        return "".join(f"<item>{inside(each)}</item>" for each in value) or "<item/>"
    return "" if value is None else _escaped(cell(value) if not isinstance(value, str) else value)


IN_ELEMENTS = Writing(
    values=lambda values: [*map(inside, values)],
    text=lambda text: (
        text.str.replace_all(CONTROL, "").str.replace_all("&", "&amp;", literal=True)
        .str.replace_all("<", "&lt;", literal=True).str.replace_all(">", "&gt;", literal=True)
        .str.replace_all('"', "&quot;", literal=True).str.replace_all("\n", "&#10;", literal=True)
    ),
)  # fmt: skip


def record_template(
    path: RecordPath, columns: Sequence[Column], form: Xml
) -> tuple[tuple[Column, ...], str]:
    """Return a record's columns, each made into what stands for it in the template, and that."""
    attributes = [attribute_of(each.place[-1]) for each in columns]
    holders = {each[0] for each in attributes if each is not None}
    root = Node(name=element_name(path))
    dressed: list[Column] = []
    for number, column in enumerate(columns):
        last, mark = str(column.place[-1]), f"#{number}#"
        if last in holders or attributes[number] is not None:
            root.put(column.place, mark)
            dressed.append(_filled(column, "", "", ""))
            continue
        parent = root
        for step in column.place[:-1]:
            parent = parent.under(str(step))
        before, after = _around(Node(name="").under(last))
        plain = form.null_attribute is not None and before.count("<") == 1
        empty = f'{before[:-1]} {form.null_attribute}="true"/>' if plain else ""
        dressed.append(_filled(column, before, after, empty))
        parent.children[last] = mark
    text = str(root).replace("%", "%%")
    order = [int(each) for each in re.findall(r"#(\d+)#", text)]
    return tuple(dressed[at] for at in order), re.sub(r"#\d+#", "%s", text)


def _around(node: Node) -> tuple[str, str]:
    """Return what stands before and after a text in an element."""
    before, _, name = str(node).rpartition("</")
    return before, f"</{name}"


def _filled(column: Column, before: str, after: str, empty: str) -> Column:
    def fill(text: pl.Expr) -> pl.Expr:
        return pl.concat_str(pl.lit(before), text, pl.lit(after)).fill_null(empty)

    spoilt = None if column.spoilt is None else fill(column.spoilt)
    return Column(place=column.place, value=fill(column.value), spoilt=spoilt)


def element_name(path: RecordPath) -> str:
    """Return a name that a record's element may have."""
    return "record" if path.steps[-1] == "*" else path.steps[-1]


# --- what stands around them ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """The document in which the mapping's `records` finds every record."""

    path: RecordPath
    form: Xml

    def around(self, lines: Sequence[str], tokens: Mapping[str, object]) -> str:
        """Return the answer with the records, themselves XML texts, and tokens at their paths."""
        steps = self.path.steps
        document = Node(name="")
        root = document.under(steps[0])
        root.attributes.update(self._declared())
        for text, value in tokens.items():
            if value is not None and len(steps) > 1:
                for place in places_in(text):
                    document.put(self._from_root(place), _escaped(_said(value)))
        if len(steps) == 1:
            return PROLOGUE + "".join(lines[:1])
        here = document
        for step in steps[: self.path.holding]:
            here = here.under(step)
        here.children[HERE] = "\n".join(map(self._held, lines))
        return PROLOGUE + "".join(str(each) for each in document.children.values())

    def _held(self, line: str) -> str:
        """Return a record in what it alone has around it, below what holds them all."""
        steps = self.path.steps[self.path.holding : -1]
        own = ["any" if name == "*" else name for name in steps]
        return (
            "".join(f"<{name}>" for name in own)
            + line
            + "".join(f"</{name}>" for name in reversed(own))
        )

    def _declared(self) -> dict[str, str]:
        return {f"xmlns:{name}": _escaped(uri) for name, uri in self.form.namespaces.items()}

    def _from_root(self, place: Place) -> Place:
        # `//m:count` may stand anywhere.
        return place if place[0] == self.path.steps[0] else (self.path.steps[0], *place)


PROLOGUE = '<?xml version="1.0" encoding="utf-8"?>\n'


def _said(value: object) -> str:
    return value if isinstance(value, str) else as_json(value)


def merged(texts: Sequence[str]) -> str:
    """Return several documents as one: elements of one name are merged in their order."""
    first, *others = [etree.fromstring(text.encode()) for text in texts]
    for other in others:
        _together(first, other)
    return PROLOGUE + etree.tostring(first, encoding="unicode")


def _together(one: Any, other: Any) -> None:
    for name, value in other.attrib.items():
        if name not in one.attrib:
            one.set(name, value)
    one.text = one.text or other.text
    for tag in dict.fromkeys(each.tag for each in other):
        mine, theirs = one.findall(tag), other.findall(tag)
        for first, second in zip(mine, theirs, strict=False):
            _together(first, second)
        one.extend(theirs[len(mine) :])
