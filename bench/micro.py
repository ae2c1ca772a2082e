"""How many values a second each type reads: plain ones, as real sources send them.

`python -m bench.micro` prints it; `casts` is for pages that show it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from random import Random

import polars as pl

from crmmap.kinds.types import TYPES, Type

VALUES = 100_000
VARIANTS: dict[str, dict[str, object]] = {
    "text": {},
    "text(80)": {"length": 80},
    "integer": {},
    "number": {},
    "decimal": {},
    "decimal, grouped": {"group": ",", "currency": True},
    "decimal, rounded": {"round": "half_even"},
    "boolean": {},
    "date": {},
    "date, %m/%d/%Y": {"formats": ("%m/%d/%Y",)},
    "date, flexible": {"flexible": True},
    "datetime": {},
    "datetime, %m/%d/%Y %I:%M %p": {
        "formats": ("%m/%d/%Y %I:%M %p",), "zone": "America/New_York", "ambiguous": "earliest",
    },
    "datetime, epoch_ms": {"formats": ("epoch_ms",)},
    "datetime, rfc2822": {"formats": ("rfc2822",)},
    "time": {},
    "duration": {},
    "email": {},
    "phone": {},
    "url": {},
    "uuid": {},
    "enum": {"values": ("Open", "Won", "Lost", "On hold")},
    "enum, any case": {"values": ("Open", "Won", "Lost", "On hold"), "case": "ignore"},
    "json": {},
}  # fmt: skip


def casts(values: int = VALUES, rounds: int = 5) -> Iterator[tuple[str, float]]:
    """Yield each type in words, and its values per second of CPU, in the best of the rounds."""
    for words, attributes in VARIANTS.items():
        kind = TYPES[words.split("(")[0].split(",")[0]](**attributes)
        texts = _texts(kind, values)
        yield words, values / min(_seconds(kind, texts) for _ in range(rounds))


def _texts(kind: Type, values: int) -> pl.DataFrame:
    random = Random(1)
    samples = (kind.sample(random) for _ in range(values))
    texts = [each if isinstance(each, str) else json.dumps(each) for each in samples]
    return pl.DataFrame({"text": texts})


def _seconds(kind: Type, texts: pl.DataFrame) -> float:
    begin = time.process_time()
    texts.select(kind.read(pl.col("text")))
    return time.process_time() - begin


if __name__ == "__main__":
    for words, speed in casts():
        print(f"{words:30}{speed:>15,.0f}/s{1e9 / speed:>10,.0f} ns")
