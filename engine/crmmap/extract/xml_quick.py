"""XML answers taken apart by columns, without a tree: what is plainly fine, and no other.

libxml2 says that a document is well formed, and builds nothing. If it has no CDATA, comments and
the like, and none but the root declares a namespace, each `<` begins a tag that the next `>` ends:
so polars can cut it as if it were CSV. The tags, of which few are different, are read by lxml, and
so are texts with references. Wherever anything is out of the ordinary the document is left to
`xml_body`, which judges it, and has the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl
from lxml import etree

from crmmap.extract.xml_body import ALL, NotXml, bound_namespaces
from crmmap.extract.xml_cells import cells, on_the_way, places
from crmmap.extract.xml_tags import CLOSES, WHOLE, NotPlain, Wanted, wanted_of
from crmmap.frozen import dataclass
from crmmap.select.walk import Walk
from crmmap.select.xml_parsing import parsed
from crmmap.select.xml_records import XmlRecords
from crmmap.select.xpath import SAFE, RecordPath

SMALL = 32 * 1024
"""Bytes of a document of which a tree takes less time."""
WINDOW = 4 * 1024 * 1024
"""Bytes that are cut at once: enough to be worth while, and few enough to stay small."""
LARGEST = 8 * 1024 * 1024
"""Bytes that may be cut at once, that a record may have, and all that stands around records."""
GROWTH = 6
"""Bytes that one of an element may become when it is written anew: `"` becomes `&quot;`."""
DEEPEST = 256
"""Levels of a tree that libxml2 builds; where it builds none it takes one more."""
BARE = 3
"""How many times as many `>` as `<` a text may have."""

PROLOG = re.compile(
    rb"""(?:\xef\xbb\xbf)?(?:<\?xml\s+version\s*=\s*["']1\.0["']"""
    rb"""(?:\s+encoding\s*=\s*["'](?i:utf-8|us-ascii)["'])?"""
    rb"""(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>)?\s*(?=<[^!?/])"""
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
        text = _text(body)
        _demand_well_formed(body)
        records = _records(text, path, walk, window)
    except UNFIT:
        return None
    return records if len(records) and _bounded(records, most) else None


def _text(body: bytes) -> bytes:
    """Return a document from its root on, with its lines ended as XML has them."""
    prolog = PROLOG.match(body)
    if prolog is None:
        raise NotPlain
    text = body[prolog.end() : body.rfind(b">") + 1]
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
        if b"\r" in text:
            raise NotPlain
    return text


class _Nothing:
    """What libxml2 makes of a document that it is only to judge."""

    def close(self) -> None:
        return None


def _demand_well_formed(body: bytes) -> None:
    target: Any = _Nothing()  # the stubs want all that a target may have
    etree.fromstring(body, etree.XMLParser(target=target, **SAFE))


def _bounded(records: XmlRecords, most: int) -> bool:
    """Say whether the exact reader, too, would take all that is there."""
    lengths = (records.places["end"] - records.places["start"]).to_list()
    around = len(records.text) - sum(lengths)
    written = GROWTH * sum(lengths) + len(records) * 2 * len(records.tag)
    return max(around, *lengths) <= LARGEST and bool(written <= most)


def _records(text: bytes, path: RecordPath, walk: Walk, window: int) -> XmlRecords:
    tag = text[: text.find(b">") + 1]
    root = parsed(tag, b"")
    bound_namespaces(root)
    if path.tags[0] not in ("*", root.tag):
        raise NotPlain
    wanted = wanted_of(path, walk, tag)
    cutter = _Cutter(text=text, path=path, walk=walk, wanted=wanted, window=window)
    places, found = zip(*cutter.parts(), strict=True)
    return XmlRecords(text=text, tag=tag, places=pl.concat(places), found=pl.concat(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cutter:
    """Cuts a document window by window, each but the first from a record's start on."""

    text: bytes
    path: RecordPath
    walk: Walk
    wanted: Wanted
    window: int

    def parts(self) -> Iterator[Part]:
        """Yield the records of one window after the other. Raises NotPlain."""
        at, size, level = len(self.wanted.tag), self.window, len(self.path.tags)
        while at < len(self.text):
            last = at + size >= len(self.text)
            window = self.text[at : at + size]
            rows = self._rows(window[: window.rfind(b">") + 1], begun=at > len(self.wanted.tag))
            starts = rows["record"].arg_true()
            stop = rows.height if last else starts[-1] if len(starts) else 0
            if stop == 0:  # not one record ends in it
                size *= 2
                if size > LARGEST:
                    raise NotPlain
                continue
            own = rows[:stop]
            yield places(own, level, at), cells(own, self.walk, self.wanted, level)
            at, size = len(self.text) if last else at + rows["start"][stop], self.window

    def _rows(self, window: bytes, *, begun: bool) -> pl.DataFrame:
        """Return a row for each tag: what it says, where it stands, and the text after it."""
        rows = _cut(window)
        codes = rows["tag"].cast(pl.Categorical(pl.Categories.random())).to_physical()
        first = codes.arg_unique()
        if codes.gather(first).to_list() != [*range(len(first))]:
            raise NotPlain
        kinds = self.wanted.kinds(rows["tag"].gather(first).to_list())
        base = len(self.path.tags) - 1 if begun else 1
        rows = rows.hstack(kinds[codes]).with_columns(END).with_columns(START, *_levels(base))
        if (rows["level"] > DEEPEST).any():
            raise NotPlain
        rows = rows.with_columns(*AFTER)
        return rows.drop("tag", "text").hstack(on_the_way(rows, self.path.tags, self.wanted, base))


END = (pl.col("text").str.len_bytes() + pl.col("tag").str.len_bytes() + 2).cum_sum().alias("end")
START = (pl.col("end") - pl.col("tag").str.len_bytes() - 2).alias("start")
"""Where each tag begins and ends in its window."""
AFTER = (
    pl.col("text").shift(-1).alias("after"),
    (pl.col("step").shift(-1) == CLOSES).alias("leaf"),
    pl.col("start").shift(-1).alias("resumes"),
)
"""The text after a tag, whether an end tag follows upon that, and where the next tag begins."""


def _levels(base: int) -> tuple[pl.Expr, pl.Expr]:
    """Return how deep it goes on after each tag, and the level of the element that one begins."""
    step = pl.col("step")
    depth = step.cast(pl.Int32).cum_sum() + base
    return depth.alias("depth"), pl.when(step >= WHOLE).then(depth + (step == WHOLE)).alias("level")


def _cut(text: bytes) -> pl.DataFrame:
    """Return the tags of a text that ends with a `>`, and the text before each. Raises NotPlain."""
    if text.count(b">") > BARE * text.count(b"<"):  # each takes a row
        raise NotPlain
    rows = pl.read_csv(
        text, separator="<", eol_char=">", has_header=False, quote_char=None, infer_schema=False,
        schema={"text": pl.String, "tag": pl.String}, empty_string_is_null=False,
    )  # fmt: skip
    bare = rows["tag"] == ""
    cells = sum(rows[name].str.len_bytes().cast(pl.Int64).sum() for name in rows.columns)
    if cells + 2 * rows.height - int(bare.sum()) != len(text):
        raise NotPlain
    return _joined(rows, bare) if bare.any() else rows


def _joined(rows: pl.DataFrame, bare: pl.Series) -> pl.DataFrame:
    """Return the rows with each text whole in which a bare `>` stands; such rows have no tag."""
    row = (~bare).cum_sum().shift(1, fill_value=0).alias("row")
    several = bare | bare.shift(1, fill_value=False)
    texts = rows.with_columns(row).filter(several).group_by("row").agg(pl.col("text").str.join(">"))
    whole = rows.filter(~bare)
    texts = texts.filter(pl.col("row") < whole.height)
    return whole.with_columns(text=whole["text"].scatter(texts["row"], texts["text"]))
