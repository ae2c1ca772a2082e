"""Texts from a simple pattern: they match it, and distinct indexes give distinct texts."""

from __future__ import annotations

import re
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.mock.alphabets import alphabets, numbered
from crmmap.mock.chance import INDEX, below, draw, indexes

PIECES = st.sampled_from(
    ["a", "Z", "-", " ", r"\d", r"\w", "[a-f]", "[A-Z0-9]", r"[\w-]", r"[.,\]]", r"\.", r"\\"]
)  # fmt: skip
COUNTS = st.sampled_from(["", "?", "+", "*", "{3}", "{2,4}", "{2,}"])
PATTERNS = st.lists(st.builds("{}{}".format, PIECES, COUNTS), min_size=1, max_size=5).map("".join)


@given(pattern=PATTERNS, index=st.integers(0, 2**63))
def test_texts_match_their_pattern(pattern: str, index: int) -> None:
    letters = alphabets(pattern)
    assert letters is not None
    (text,) = indexes(index, index + 1).select(text=numbered(letters, INDEX))["text"]
    assert re.fullmatch(pattern, text)


@given(pattern=PATTERNS)
def test_distinct_indexes_give_distinct_texts_as_far_as_there_are_any(pattern: str) -> None:
    letters = alphabets(pattern)
    assert letters is not None
    count = min(300, prod(map(len, letters)))
    texts = indexes(0, count).select(text=numbered(letters, INDEX))["text"]
    assert texts.n_unique() == count


@pytest.mark.parametrize("pattern", ["a|b", "(ab)+", "[^x]", r"\bx", r"x\p{L}", "(?i)a", "a{", "["])
def test_what_is_no_simple_pattern_has_no_alphabets(pattern: str) -> None:
    assert alphabets(pattern) is None


@pytest.mark.parametrize("pattern", ["^[A-Z]{2}$", "[A-Z]{2}"])
def test_the_ends_need_not_be_said(pattern: str) -> None:
    assert [len(each) for each in alphabets(pattern) or ()] == [26, 26]


@given(start=st.integers(0, 10**6), seed=st.integers(0, 10**6), bound=st.integers(1, 2000))
def test_chance_depends_on_the_index_alone(start: int, seed: int, bound: int) -> None:
    drawn = below(draw(seed, "a"), bound, lot=1)
    whole = indexes(start, start + 40).select(drawn=drawn)["drawn"]
    part = indexes(start + 10, start + 20).select(drawn=drawn)["drawn"]
    assert whole[10:20].to_list() == part.to_list()
    assert set(whole) <= set(range(bound))


def test_chance_is_even() -> None:
    for lot in (0, 1, 2):
        counts = indexes(0, 20_000).select(n=below(draw(7, "x"), 10, lot=lot))["n"].value_counts()
        assert counts.height == 10
        assert 1850 < counts["count"].min() <= counts["count"].max() < 2150  # type: ignore[operator]
