"""XML text cut at its tags, a row for each, and what makes such rows a well-formed document.

A document that has no CDATA, comments and the like is well formed where its characters are XML's,
each tag by itself is, with the texts that hold references, and each element ends with its own name.
That is told by the column, in a fraction of the time that libxml2 takes.
"""

from __future__ import annotations

import polars as pl

from crmmap.extract.octets import octets
from crmmap.extract.xml_tags import CLOSES, OPENS, NotPlain, texts_read

FIRST = b">>"
"""What stands before a text that is cut: by it polars tells how many cells a row may have."""
OPENING, CLOSING = b"<>"
TAB, FEED, SPACE = b"\t\n "
NO_CHARACTERS = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
"""U+FFFE and U+FFFF, of all above the control characters the only ones that XML may not hold."""
LEAD = NO_CHARACTERS[0][:1]
FALSE = pl.Series([False])


def cut(text: bytes) -> pl.DataFrame:
    """Return each `tag`, without its brackets, the text `after` it, and where that ends.

    That place, where the next tag `resumes`, is in bytes. Of tags references stand as they are, of
    texts they are read. `text` is FIRST, and what begins with a tag and ends with a `>`. Raises
    NotPlain, and what polars and lxml do.
    """
    octet = octets(text)
    control = octet.filter(octet < SPACE)
    if not ((control == FEED) | (control == TAB)).all() or _has_no_character(text):
        raise NotPlain
    opening = octet.filter((octet == OPENING) | (octet == CLOSING)) == OPENING
    if (opening[:-1] & opening[1:]).any():
        raise NotPlain
    rows = _quickly(text)
    if rows is None:
        rows = _exactly(text)
    return _read(rows) if b"&" in text else rows


def _has_no_character(text: bytes) -> bool:
    return LEAD in text and any(each in text for each in NO_CHARACTERS)


SIZE = pl.col("tag").str.len_bytes() + pl.col("after").str.len_bytes() + len("<>")
RESUMES = SIZE.cast(pl.Int64).cum_sum().alias("resumes")


def _quickly(text: bytes) -> pl.DataFrame | None:
    """Return the rows; None where a text has more than one `>`, or ends with it.

    Each tag is known to end.
    """
    try:
        rows = pl.read_csv(
            text, separator=">", eol_char="<", has_header=False, quote_char=None,
            schema=dict.fromkeys(("tag", "after", "rest"), pl.String), empty_string_is_null=False,
        )[1:]  # fmt: skip
    except pl.exceptions.ComputeError:
        return None
    rows = _joined(rows).with_columns(RESUMES)
    return rows if rows["resumes"][-1] == len(text) - len(FIRST) else None


def _joined(rows: pl.DataFrame) -> pl.DataFrame:
    some = rows["rest"] != ""
    if not some.any():
        return rows.select("tag", "after")
    after = rows["after"].filter(some) + ">" + rows["rest"].filter(some)
    _demand_no_end(after)
    return pl.DataFrame([rows["tag"], rows["after"].scatter(some.arg_true(), after)])


def _exactly(text: bytes) -> pl.DataFrame:
    parts = (
        pl.Series([text[len(FIRST) + 1 :]], dtype=pl.Binary)
        .cast(pl.String)
        .str.split("<")
        .explode()
    )
    rows = parts.str.splitn(">", 2).struct.rename_fields(["tag", "after"]).struct.unnest()
    _demand_no_end(rows["after"])
    return rows.with_columns(RESUMES)


def _demand_no_end(texts: pl.Series) -> None:
    """Raise NotPlain where a text has what only CDATA ends with."""
    if texts.str.contains("]]>", literal=True).any():
        raise NotPlain


def _read(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the characters that the references in texts name."""
    after = rows["after"]
    referring = after.str.contains("&", literal=True)
    some = after.filter(referring).to_list()
    distinct = [*dict.fromkeys(some)]
    read = dict(zip(distinct, texts_read(distinct), strict=True))
    texts = pl.Series([read[each] for each in some], dtype=pl.String)
    return rows.with_columns(after.scatter(referring.arg_true(), texts)) if some else rows


def demand_nested(rows: pl.DataFrame) -> None:
    """Raise NotPlain where an element ends with another's name, or none stands open.

    `rows` have the steps that tags take, the `depth` that they lead to, the `level` of the element
    that each begins or ends, whether that is a `leaf`, and a number for its name as it was sent
    (`raw`). The first begins the root, which may still be open at the end.
    """
    step, raw, leaf = rows["step"], rows["raw"], rows["leaf"]
    if (rows["depth"][:-1] < 1).any() or (leaf[:-1] & (raw[:-1] != raw[1:])).any():
        raise NotPlain
    ended = pl.concat([FALSE, leaf[:-1]])
    others = ((step == OPENS) & ~leaf) | ((step == CLOSES) & ~ended)
    # Of each level, an element ends before the next begins.
    rest = pl.DataFrame([each.filter(others) for each in (rows["level"], step, raw)])
    rest = rest.sort("level", maintain_order=True)
    step, raw = rest["step"], rest["raw"]
    same = pl.concat([FALSE, (step[:-1] == OPENS) & (raw[:-1] == raw[1:])])
    if ((step == CLOSES) & ~same[: len(step)]).any():
        raise NotPlain
