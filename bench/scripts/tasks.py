"""A CSV file: `python -m bench.scripts.tasks FILE STORE_URL`."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from io import BytesIO
from itertools import islice

from bench.scripts.into import Rows, upsert

BATCH = 10_000


def columns(path: str) -> list[str]:
    with open(path, encoding="utf-8", newline="") as file:
        return [re.sub(r"\W+", "_", name.lower()).strip("_") for name in next(csv.reader(file))]


def rows(path: str) -> Iterator[Rows]:
    """Yield rows for SQLite, whose driver takes nothing but Python's values."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        while batch := list(islice(reader, BATCH)):
            yield batch


def blocks(path: str) -> Iterator[bytes]:
    """Yield CSV for COPY, parsed and written again by polars."""
    import polars as pl

    for frame in pl.scan_csv(path, infer_schema=False).collect_batches(chunk_size=50_000):
        buffer = BytesIO()
        frame.write_csv(buffer, include_header=False)
        yield buffer.getvalue()


if __name__ == "__main__":
    _, file_name, store_url = sys.argv
    parts = rows if store_url.startswith("sqlite:") else blocks
    upsert(store_url, "waypost_tasks", columns(file_name), parts(file_name))
