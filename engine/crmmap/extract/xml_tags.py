"""The tags of a document, each read once by lxml however often it comes, and what they say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from lxml import etree

from crmmap.select.walk import Walk
from crmmap.select.xml_parsing import parsed
from crmmap.select.xpath import RecordPath


class NotPlain(ValueError):
    """A document is out of the ordinary, and not to be read by its tags."""


OPENS, WHOLE, CLOSES = 1, 0, -1
"""How many levels a tag leads down: a start tag, that of an empty element, an end tag."""
OTHER = 0
"""The number of names that do not matter."""
NAMES_END = re.compile(r"[ \t\n/]")
BROKEN = re.compile(r"""=\s*+(?:"[^"\t\n]*+|'[^'\t\n]*+)[\t\n]""")
"""An attribute that says spaces where others were sent: no secret would be found in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The names that matter, elements' by numbers, and the root's start tag that explains them."""

    tag: bytes
    names: Mapping[str, int]
    attributes: tuple[str, ...]
    null_name: str | None

    def kinds(self, tags: Sequence[str]) -> pl.DataFrame:
        """Return what tags say, a row for each; they come without their angle brackets.

        That is how far they lead down (`step`), a number for their name as it was sent (`raw`) and
        one for what it says (`name`), whether they mark a `null`, and the attributes that are
        wanted, as `@name`. Only the first may declare namespaces. Raises NotPlain where another
        does, where one is no tag, or has an attribute broken to lines.
        """
        starts = [each for each in tags if each[:1] != "/"]
        if _is_odd("<" + "<".join(starts[1:])):
            raise NotPlain
        self._read(starts)
        begun = [NAMES_END.split(each, 1)[0] for each in starts]
        own = [*dict.fromkeys(begun)]
        known = {raw: each.tag for raw, each in zip(own, self._read(own), strict=True)}
        names = iter(begun)
        raws = [each[1:].rstrip(" \t\n") if each[:1] == "/" else next(names) for each in tags]
        sent = {raw: at for at, raw in enumerate(dict.fromkeys(raws))}
        numbers = {raw: self.names.get(known.get(raw, ""), OTHER) for raw in sent}
        steps = [
            CLOSES if each[:1] == "/" else WHOLE if each[-1:] == "/" else OPENS for each in tags
        ]
        return pl.DataFrame(
            [
                pl.Series("step", steps, dtype=pl.Int8),
                pl.Series("raw", [sent[raw] for raw in raws], dtype=pl.UInt32),
                pl.Series("name", [numbers[raw] for raw in raws], dtype=pl.UInt16),
                *self._marks(tags, starts),
            ]
        )

    def _read(self, tags: Iterable[str]) -> etree._Element:
        """Return start tags as elements in one. Raises XMLSyntaxError where one is none."""
        inner = "".join(f"<{each}>" if each.endswith("/") else f"<{each}/>" for each in tags)
        return parsed(self.tag, inner.encode())

    def _marks(self, tags: Sequence[str], starts: Sequence[str]) -> Iterator[pl.Series]:
        """Yield whether tags mark a null, and the attributes that are wanted."""
        named = [*self.attributes, *([] if self.null_name is None else [self.null_name])]
        words = [etree.QName(each).localname for each in named]
        some = {each: None for word in words for each in starts if word in each}
        elements = dict(zip(some, self._read(some), strict=True))
        read = [elements.get(each) for each in tags]
        yield pl.Series("null", [each is not None and self._null(each) for each in read])
        for name in self.attributes:
            values = [None if each is None else each.get(name) for each in read]
            yield pl.Series(f"@{name}", values, dtype=pl.String)

    def _null(self, element: etree._Element) -> bool:
        name = self.null_name
        return name is not None and (element.get(name) or "").strip() in ("true", "1")


def _is_odd(tags: str) -> bool:
    if any(each in tags for each in ("<!", "<?", "xmlns")):
        return True
    return ("\n" in tags or "\t" in tags) and BROKEN.search(tags) is not None


def wanted_of(path: RecordPath, walk: Walk, tag: bytes) -> Wanted:
    """Return what matters on the way to the records, and in them."""
    nodes = [walk.root]
    for node in nodes:  # which grows meanwhile
        nodes += node.inner.values()
    inner = [name for node in nodes for name in (*node.texts, *node.inner)]
    names = dict.fromkeys([*path.tags, *inner])
    attributes = dict.fromkeys(name for node in nodes for name in node.attributes)
    return Wanted(
        tag=tag, names={name: at for at, name in enumerate(names, start=OTHER + 1)},
        attributes=tuple(attributes), null_name=walk.null_name,
    )  # fmt: skip


def texts_read(texts: Sequence[str]) -> list[str]:
    """Return what texts with references say. They hold no tags."""
    root = parsed(b"<r>", "".join(f"<t>{each}</t>" for each in texts).encode())
    return [each.text or "" for each in root]
