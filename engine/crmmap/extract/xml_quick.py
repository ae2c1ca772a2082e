"""XML answers taken apart by columns, without a tree: what is plainly fine, and no other.

If a document has no CDATA, comments and the like, and none but the root declares a namespace, each
`<` begins a tag that the next `>` ends: so polars can cut it as if it were CSV, and whether it is
well formed is seen by the column (`xml_cut`). The tags, of which few are different, are read by
lxml, and so are texts with references. Wherever anything is out of the ordinary the document is
left to `xml_body`, which judges it, and has the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from lxml import etree

from crmmap.extract.xml_body import ALL, NotXml, bound_namespaces
from crmmap.extract.xml_cells import cells, outer_of, places
from crmmap.extract.xml_cut import FALSE, FIRST, cut, demand_nested
from crmmap.extract.xml_tags import CLOSES, OPENS, NotPlain, Wanted, wanted_of
from crmmap.select.walk import Walk
from crmmap.select.xml_parsing import parsed
from crmmap.select.xml_records import XmlRecords
from crmmap.select.xpath import RecordPath

SMALL = 160 * 1024
"""Bytes of a document of which a tree takes less time."""
WINDOW = 4 * 1024 * 1024
"""Bytes that are cut at once: enough to be worth while, and few enough to stay small."""
LARGEST = 8 * 1024 * 1024
"""Bytes that may be cut at once, that a record may have, and all that stands around records."""
GROWTH = 6
"""Bytes that one of an element may become when it is written anew: `"` becomes `&quot;`."""
DEEPEST = 256
"""Levels of a tree that libxml2 builds."""

PROLOG = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:<\?xml\s+version\s*=\s*["']1\.0["']"""
    rb"""(?:\s+encoding\s*=\s*["'](?i:utf-8|(?P<ascii>us-ascii))["'])?"""
    rb"""(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>)?\s*(?=<[^!?/>\s])"""
)
UNFIT = (
    NotPlain, NotXml, etree.XMLSyntaxError, pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip
"""What shows that the exact reader has to judge. A panic is no Exception."""

Part = tuple[pl.DataFrame, pl.DataFrame]
"""Where records stand, and what was found in them."""


def by_columns(
    body: bytes, path: RecordPath, walk: Walk, *, most: int = ALL, least: int = SMALL,
    window: int = WINDOW,
) -> XmlRecords | None:  # fmt: skip
    """Return the records of a document; None where it has none, or has to be read exactly.

    `most` bounds the characters of all records together. A document of fewer bytes than `least`
    is not tried, and `window` bytes are cut at once.
    """
    if path.condition is not None or len(path.tags) == 1 or len(body) < least:
        return None
    try:
        records = _records(body, path, walk, window)
    except UNFIT:
        return None
    return records if len(records) and _bounded(records, most) else None


def _text(body: bytes) -> tuple[bytes, bytes]:
    """Return what stands before the root, and all from there on, with lines ended as XML does."""
    prolog, end = PROLOG.match(body), body.rfind(b">") + 1
    if prolog is None or body[end:].strip(b" \t\r\n"):
        raise NotPlain
    if prolog["ascii"] and not body.isascii():
        raise NotPlain
    text = body[prolog.end() : end]
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
        if b"\r" in text:
            raise NotPlain
    return prolog[0], text


def _bounded(records: XmlRecords, most: int) -> bool:
    """Say whether the exact reader, too, would take all that is there."""
    lengths = (records.places["end"] - records.places["start"]).to_list()
    around = len(records.text) - sum(lengths)
    written = GROWTH * sum(lengths) + len(records) * 2 * len(records.tag)
    return max(around, *lengths) <= LARGEST and bool(written <= most)


def _records(body: bytes, path: RecordPath, walk: Walk, window: int) -> XmlRecords:
    prolog, text = _text(body)
    tag = text[: text.find(b">") + 1]
    root = parsed(tag, b"", prolog)
    bound_namespaces(root)
    if path.tags[0] not in ("*", root.tag):
        raise NotPlain
    wanted = wanted_of(path, walk, tag)
    cutter = _Cutter(text=text, path=path, walk=walk, wanted=wanted, window=window)
    places, found = zip(*cutter.parts(), strict=True)
    return XmlRecords(text=text, tag=tag, places=pl.concat(places), found=pl.concat(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cutter:
    """Cuts a document window by window, each but the first from a record's start on.

    Before such a window stand the start tags of all that the record stands in.
    """

    text: bytes
    path: RecordPath
    walk: Walk
    wanted: Wanted
    window: int

    def parts(self) -> Iterator[Part]:
        """Yield the records of one window after the other. Raises NotPlain."""
        at, level, around = 0, len(self.path.tags), b""
        every = memoryview(self.text)  # of which parts are no copies
        size = usual = max(self.window, len(self.wanted.tag))
        while at < len(self.text):
            last = at + size >= len(self.text)
            end = self.text.rfind(b">", at, at + size) + 1
            rows = self._rows(b"".join([FIRST, around, every[at:end]]))
            outer = outer_of(rows, self.path.tags, self.wanted)
            starts = outer["start"].filter(outer["record"])
            stop = len(around) + end - at if last else starts[-1] if len(starts) else 0
            if stop <= len(around):  # not one record ends in it
                size *= 2
                if size > LARGEST:
                    raise NotPlain
                continue
            if last and (rows["depth"][-1] != 0 or rows["after"][-1]):
                raise NotPlain
            rows = rows[: rows["start"].search_sorted(stop)]
            outer = outer[: outer["start"].search_sorted(stop)]
            tops = outer.filter(outer["level"] == level)
            moved = places(rows, tops, level).select(pl.all() + (at - len(around)))
            yield moved, cells(rows, tops, self.walk, self.wanted, level)
            at, size, around = at + stop - len(around), usual, _around(outer, level)

    def _rows(self, window: bytes) -> pl.DataFrame:
        """Return a row for each tag: what it says, where it stands, and the text after it.

        `depth` is how deep it goes on after it, `level` that of the element that it begins or
        ends, and `leaf` says that it begins one that has no elements within.
        """
        rows = cut(window)
        codes = rows["tag"].cast(pl.Categorical(pl.Categories.random())).to_physical()
        first = codes.arg_unique()
        tags = rows["tag"].gather(first).to_list()
        if codes.gather(first).to_list() != [*range(len(first))]:
            raise NotPlain
        if "xmlns" in tags[0] and (codes == codes[0]).sum() > 1:
            raise NotPlain
        kinds = self.wanted.kinds(tags)[codes]
        step, resumes = kinds["step"], rows["resumes"]
        depth = step.cast(pl.Int32).cum_sum()
        level = depth + (step != OPENS)
        leaf = (step == OPENS) & pl.concat([step[1:] == CLOSES, FALSE])
        start = pl.concat([pl.Series([0]), resumes[:-1]])
        told = {"start": start, "depth": depth, "level": level, "leaf": leaf}
        rows = rows.hstack(kinds).hstack([each.alias(name) for name, each in told.items()])
        demand_nested(rows)
        if (level > DEEPEST).any():
            raise NotPlain
        return rows


def _around(outer: pl.DataFrame, level: int) -> bytes:
    """Return the start tags of what stands open around the last record of a level."""
    last = (outer["tag"].filter(outer["level"] == depth)[-1] for depth in range(1, level))
    return "".join(f"<{each}>" for each in last).encode()
