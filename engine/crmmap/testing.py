"""What a mapping's own tests may use: Hypothesis strategies that are made from the mapping.

    from pathlib import Path

    from hypothesis import given

    import crmmap
    from crmmap.testing import records

    MAPPING = crmmap.read("mappings/mine.yaml")

    @given(records(MAPPING, "contacts", broken=0.2))
    def test_my_own_law(record):
        ...

Values come from where the mock's come from: each field's type invents them, and its
cleaning and checks judge them. A record of an API is a decoded JSON value, one in XML
`{"#xml": text}`, one of a file or of a database a text for each header or column.

Nothing of this is needed for the laws that hold of every mapping: `crmmap test` tries them.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crmmap.mock import ways_in, world_of
from crmmap.prove.sheets import PREPARED, Sheet, sheets_of
from crmmap.prove.strategies import drafts
from crmmap.spec.model import Mapping

__all__ = ["mapping", "pages", "records"]


def records(mapping: Mapping, stream: str, *, broken: float = 0.0) -> SearchStrategy[Any]:
    """Return a strategy for the records of a stream, as the source sends them.

    About `broken` of them (a share, from 0 to 1) may hold what their fields refuse, or be no
    records at all; the others are what the mapping takes, but for contradictions between
    fields. Raises ValueError for a stream that is not there, or whose records can't be invented.
    """
    sheet = _sheet(mapping, stream)
    sound = drafts(sheet, broken=False).map(sheet.record)
    if not broken:
        return sound
    odd = drafts(sheet).map(sheet.record)
    share = round(max(0.0, min(broken, 1.0)) * 20)
    return st.integers(0, 19).flatmap(lambda drawn: odd if drawn >= 20 - share else sound)


def pages(
    mapping: Mapping, stream: str, *, broken: float = 0.0, size: int = 5, most: int = 4
) -> SearchStrategy[list[list[Any]]]:
    """Return a strategy for the pages of a stream: at most `most`, of at most `size` records."""
    page = st.lists(records(mapping, stream, broken=broken), max_size=size)
    return st.lists(page, max_size=most)


def mapping(
    mapping: Mapping, *, broken: float = 0.0, size: int = 5
) -> SearchStrategy[MappingOf[str, list[Any]]]:
    """Return a strategy for what the whole source has: every stream, with its records by name.

    Links between streams lead to records of the other one as often as they do in the mock.
    Streams whose records can't be invented are left out, and those that stand for another.
    """
    sheets, _ = _sheets(mapping)
    names = [name for name in sheets if mapping.streams[name].instead_of is None]
    return st.fixed_dictionaries(
        {name: st.lists(records(mapping, name, broken=broken), max_size=size) for name in names}
    )


def _sheet(mapping: Mapping, stream: str) -> Sheet:
    sheets, untried = _sheets(mapping)
    if stream in sheets:
        return sheets[stream]
    why = untried.get(stream, f"there is none; there are {', '.join(sheets) or 'none'}")
    message = f"{mapping.name} has no stream '{stream}' to make records of: {why}"
    raise ValueError(message)


class _Known:
    """A mapping as a key: the same one gives the same sheets, which take a second to make."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping

    def __hash__(self) -> int:
        return id(self.mapping)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Known) and other.mapping is self.mapping


def _sheets(mapping: Mapping) -> tuple[MappingOf[str, Sheet], MappingOf[str, str]]:
    return _made(_Known(mapping))


@lru_cache(maxsize=16)
def _made(known: _Known) -> tuple[MappingOf[str, Sheet], MappingOf[str, str]]:
    sheets: dict[str, Sheet] = {}
    untried: dict[str, str] = {}
    # The usual way in last: what it says of a stream counts.
    for only in reversed(ways_in(known.mapping)):
        made, without = sheets_of(world_of(known.mapping, {}, records=PREPARED, only=only))
        sheets, untried = {**sheets, **made}, {**untried, **without}
    return sheets, untried
