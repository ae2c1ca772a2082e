"""The keys of all records that a batch has: of its rows, and of those that became none."""

from __future__ import annotations

import polars as pl

from crmmap.plan import Step
from crmmap.transform.batch import NAMELESS
from crmmap.transform.lookups import Resolved
from crmmap.values import KEY, Batch


def met_keys(step: Step, batch: Batch, resolved: Resolved) -> tuple[pl.DataFrame, str]:
    """Return the key columns of every record that is not filtered out, typed as they are stored.

    And why records may be missing, in words: a key that is known only as text may name no row.
    """
    texts = pl.concat([batch.rejects["key"], resolved.rejects["key"], resolved.waiting[KEY]])
    others = keys_of(step, texts.drop_nulls())  # of null, the batch says so itself
    known = others.drop_nulls()
    keys = pl.concat([resolved.rows.select(step.target.key), known])
    return keys, "" if len(known) == len(others) else NAMELESS


def keys_of(step: Step, texts: pl.Series) -> pl.DataFrame:
    """Return the key columns, typed as they are stored, of records by their keys as texts.

    They are null where the text names no row: it is no such key, or what a key is looked up by.
    """
    names, unknown = step.target.key, _looked_up_otherwise(step)
    parts = [[] if unknown else [text] if len(names) == 1 else _parts(text) for text in texts]
    fit = [each if len(each) == len(names) else [None] * len(names) for each in parts]
    frame = pl.DataFrame(fit, schema=dict.fromkeys(names, pl.String), orient="row")
    return frame.select(
        step.target.column(name).type.read(pl.col(name)).alias(name) for name in names
    )


def _looked_up_otherwise(step: Step) -> bool:
    """Say whether a part of the key is not the text that the source sends for it."""
    return any(
        each.field in step.target.key and each.by != each.parent.key[0] for each in step.lookups
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
