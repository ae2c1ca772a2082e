"""The keys of all records that a batch has: of its rows, and of those that became none."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from crmmap.plan import Step
from crmmap.transform.batch import NAMELESS
from crmmap.transform.lookups import Resolved
from crmmap.values import KEY, Batch


def met_keys(step: Step, batch: Batch, resolved: Resolved) -> tuple[pl.DataFrame, str]:
    """Return the key columns of every record that is not filtered out, typed as they are stored.

    And why records may be missing, in words: a key that is known only as text, and not by what it
    is looked up, names no row.
    """
    names = list(step.target.key)
    texts = pl.concat([batch.rejects["key"], resolved.rejects["key"], resolved.waiting[KEY]])
    texts = texts.drop_nulls()  # of others, the batch says so itself
    keys = resolved.rows.select(names)
    if texts.is_empty():
        return keys, ""
    if _looked_up_otherwise(step):
        return keys, NAMELESS
    others = _typed(step, texts.to_list())
    known = others.drop_nulls()
    return pl.concat([keys, known]), "" if len(known) == len(others) else NAMELESS


def _looked_up_otherwise(step: Step) -> bool:
    """Say whether a part of the key is not the text that the source sends for it."""
    return any(
        each.field in step.target.key and each.by != each.parent.key[0] for each in step.lookups
    )


def _typed(step: Step, texts: Sequence[str]) -> pl.DataFrame:
    names = step.target.key
    parts = [[text] for text in texts] if len(names) == 1 else [_parts(text) for text in texts]
    fit = [each if len(each) == len(names) else [None] * len(names) for each in parts]
    frame = pl.DataFrame(fit, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.select(
        step.target.column(name).type.read(pl.col(name)).alias(name) for name in names
    )


def _parts(text: str) -> list[str]:
    """Return the parts of a key that was written as one text: see `key_text`."""
    parts, rest = [""], iter(text)
    for character in rest:
        if character == ",":
            parts.append("")
        else:
            parts[-1] += next(rest, "") if character == "\\" else character
    return parts
