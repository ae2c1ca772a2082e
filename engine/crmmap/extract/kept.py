"""Raw records that were kept, as `Page.raw` gave them, as a page again."""

from __future__ import annotations

import json

import polars as pl

from crmmap.select.strict import read_json
from crmmap.values import Page


def page_of_documents(raws: list[str]) -> Page:
    """Return raw records that are documents as a page again."""
    return Page(number=1, records=[read_json(raw) for raw in raws])


def page_of_texts(raws: list[str]) -> Page:
    """Return raw records that are texts by column as a page again."""
    records = [json.loads(raw) for raw in raws]
    names = dict.fromkeys(name for record in records for name in record)
    return Page(number=1, records=pl.DataFrame(records, schema=dict.fromkeys(names, pl.String)))
