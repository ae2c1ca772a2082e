"""Lines by the block: to make a page of a hundred takes as long as to make a block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from crmmap.mock.found import Listed
from crmmap.mock.records import Stream

BLOCK, SHELVED = 1000, 16
"""Records in a block, and blocks that are kept, in case the next page is asked for."""


class Shelf:
    """Keeps the lines that were made last."""

    def __init__(self) -> None:
        self._block = lru_cache(maxsize=SHELVED)(_block)

    def lines(self, stream: Stream | Listed, indexes: Sequence[int]) -> list[str]:
        """Return the stream's lines at the indexes."""
        if isinstance(indexes, range) and indexes.step == 1 and len(indexes) > BLOCK:
            return stream.lines(indexes.start, indexes.stop)
        return [self._block(stream, at // BLOCK)[at % BLOCK] for at in indexes]


def _block(stream: Stream | Listed, number: int) -> list[str]:
    return stream.lines(number * BLOCK, min((number + 1) * BLOCK, stream.world.records))
