"""The tags of a document, each read once by lxml however often it comes, and what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl
from lxml import etree

from crmmap.frozen import dataclass
from crmmap.select.walk import Walk
from crmmap.select.xml_parsing import parsed
from crmmap.select.xpath import RecordPath


class NotPlain(ValueError):
    """A document is out of the ordinary, and not to be read by its tags."""


OPENS, WHOLE, CLOSES = 1, 0, -1
"""How many levels a tag leads down: a start tag, that of an empty element, an end tag."""
OTHER = 0
"""The number of names that do not matter."""
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
        """Return what tags say, a row for each.

        That is how far they lead down (`step`), their `name`'s number, whether they mark a `null`,
        and the attributes that are wanted, as `@name`. They are given without their angle brackets.
        Raises NotPlain where one is no tag, declares a namespace, or has an attribute broken to
        lines.
        """
        starts = [each for each in tags if not each.startswith("/")]
        if any(each[:1] in "!?" or "xmlns" in each for each in starts):
            raise NotPlain
        inner = "".join(f"<{each}>" if each.endswith("/") else f"<{each}/>" for each in starts)
        root = parsed(self.tag, inner.encode())
        if len(root) != len(starts) or BROKEN.search(inner):
            raise NotPlain
        elements = iter(root)
        read = [None if each.startswith("/") else next(elements) for each in tags]
        steps = [
            CLOSES if each is None else WHOLE if tag.endswith("/") else OPENS
            for tag, each in zip(tags, read, strict=True)
        ]
        names = [OTHER if each is None else self.names.get(each.tag, OTHER) for each in read]
        columns = [
            pl.Series("step", steps, dtype=pl.Int8),
            pl.Series("name", names, dtype=pl.UInt16),
            pl.Series("null", [each is not None and self._null(each) for each in read]),
        ]
        for name in self.attributes:
            values = [None if each is None else each.get(name) for each in read]
            columns.append(pl.Series(f"@{name}", values, dtype=pl.String))
        return pl.DataFrame(columns)

    def _null(self, element: etree._Element) -> bool:
        name = self.null_name
        return name is not None and (element.get(name) or "").strip() in ("true", "1")


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
