"""Hypothesis strategies made from what a mapping says: good records, and broken ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from crmmap.prove.sheets import PREPARED, Draft, Sheet

PEOPLE = 6
"""So few identities that records of one are met again."""
LETTERS = "aZé0 9.,-+/@:;'\"\\\n\t\x00\u00a0\u200b\u2028🏠\ud83d"
"""What texts are made of that nobody thought of."""
ODD = (
    "", " ", "0", "-1", "1e3", "1.50", "1,250.00", "NaN", "true", "null", "9" * 40, "2024-02-30",
    "2024-01-31T08:00:00Z", "0000-00-00 00:00:00", "a@b.example", "+14105550142", "x" * 300,
)  # fmt: skip


def values(*, cells: bool) -> SearchStrategy[Any]:
    """Return any values that a source may put anywhere: JSON, or the cells of a file."""
    texts = st.sampled_from(ODD) | st.text(LETTERS, max_size=8)
    if cells:
        return st.none() | texts.map(_storable)
    scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | texts
    return scalars | st.lists(scalars, max_size=2) | st.dictionaries(
        st.sampled_from(["id", "value"]), scalars, max_size=2
    )  # fmt: skip


def _storable(text: str) -> str:
    # A file's reader has refused what its encoding does not know, before there are cells.
    return text.encode("utf-8", "replace").decode()


def drafts(sheet: Sheet, *, broken: bool = True) -> SearchStrategy[Draft]:
    """Return records of a stream; with `broken`, also such as it must refuse."""
    if not broken:
        return st.builds(Draft, who=st.integers(0, PEOPLE - 1), what=st.integers(0, PREPARED - 1))
    shapes = st.none() if sheet.is_file else st.sampled_from([None] * 12 + [0, 1, 2])
    return st.builds(
        Draft,
        who=st.integers(0, PEOPLE - 1),
        what=st.integers(0, PREPARED - 1),
        changes=st.lists(_changes(sheet), max_size=2).map(dict),
        shape=shapes,
    )


def _changes(sheet: Sheet) -> SearchStrategy[tuple[int, Any]]:
    """Return a place's number, and what stands there instead: what breaks it, or anything."""
    spoils = [
        (number, value) for number, slot in enumerate(sheet.slots)
        for value in slot.pool.spoils[:4] if not sheet.is_file or isinstance(value, str)
    ]  # fmt: skip
    places = st.integers(0, len(sheet.slots) - 1)
    anything = st.tuples(places, values(cells=sheet.is_file))
    return (st.sampled_from(spoils) | anything) if spoils else anything
