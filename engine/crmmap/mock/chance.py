"""Chance that forgets nothing: the same seed, purpose and index always draw the same number.

Numbers are drawn for whole ranges of indexes at once, and each depends on its
own index alone, so that any record can be made without those before it.
"""

from __future__ import annotations

from hashlib import blake2b
from random import Random

import polars as pl

INDEX = pl.col("index")
"""The record's index, UInt64, in the frames that values are made from."""


def indexes(start: int, stop: int) -> pl.DataFrame:
    """Return a frame with the one column that `INDEX` names."""
    return pl.DataFrame({"index": pl.int_range(start, stop, dtype=pl.UInt64, eager=True)})


def draw(seed: int, *purpose: str) -> pl.Expr:
    """Return an expression that gives 64 even bits (UInt64) for each index (splitmix64)."""
    mixed = INDEX * _bits(0x9E3779B97F4A7C15) + _bits(_digest(seed, purpose))
    mixed = (mixed ^ (mixed // _bits(2**30))) * _bits(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed // _bits(2**27))) * _bits(0x94D049BB133111EB)
    return mixed ^ (mixed // _bits(2**31))


def below(drawn: pl.Expr, bound: int | pl.Expr, *, lot: int = 0) -> pl.Expr:
    """Return numbers from 0 to `bound` - 1. The lots 0, 1 and 2 of a draw are independent."""
    # 21 bits apart, so that even the last of the lots picks evenly from a few thousand.
    return (drawn // _bits(2 ** (21 * lot))) % bound


def generator(seed: int, *purpose: str) -> Random:
    """Return a generator of its own for one purpose."""
    return Random(_digest(seed, purpose))  # noqa: S311  (records are invented, not encrypted)


def _bits(number: int) -> pl.Expr:
    return pl.lit(number, dtype=pl.UInt64)


def _digest(seed: int, purpose: tuple[str, ...]) -> int:
    said = repr((seed, purpose)).encode()
    return int.from_bytes(blake2b(said, digest_size=8).digest())
