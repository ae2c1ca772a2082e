"""A mapping's text is read by libyaml as PyYAML's own scanner reads it, or not by libyaml."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.spec.nodes import Node, Unreadable, exact_nodes, quick_nodes

MAPPINGS = sorted((Path(__file__).parents[1] / "mappings").glob("*.yaml"))
LINES = [line for file in MAPPINGS for line in file.read_text().splitlines(keepends=True)]
PIECES = [
    *" \n:-,[]{}\"'#|>&*!%@`?~<\\ax0", "\t", "\r\n", "\x85", "\u2028", "\ufeff", "\xa0", "é", "😀",
    "\n- ", "\n  ", ": ", "? ", "- ", "a: ", "---", "...", "&a ", "*a", "<<: *a", "!!str ", "! ",
    "%YAML 1.2\n", "|-\n ", ">+2\n", "|#", "\\x41", "\\u2028", "''", '""', "{}", "[]", " #", "1e3",
]  # fmt: skip


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Some lines of a mapping, cut and with something put in; or nothing but what is put in."""
    start = draw(st.integers(0, len(LINES)))
    text = "".join(LINES[start : start + draw(st.integers(0, 6))])
    for piece in draw(st.lists(st.sampled_from(PIECES), max_size=8)):
        begin = draw(st.integers(0, len(text)))
        end = begin + draw(st.integers(0, 3))
        text = text[:begin] + piece + text[end:]
    return text


def exactly(text: str) -> Node | None:
    try:
        return exact_nodes(text)
    except Unreadable:
        return None


@given(texts())
def test_what_is_read_quickly_is_read_alike(text: str) -> None:
    quick = quick_nodes(text)

    assert quick is None or quick == exactly(text)


@pytest.mark.parametrize("file", MAPPINGS, ids=lambda file: file.stem)
def test_shipped_mappings_are_read_quickly(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert quick_nodes(text) == exact_nodes(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: {\tb: c}", "a: b\t", "{a: b?c}", "{a: }", "{a: ,b: c}", "?", "? a", "[0,!,]", "a: |#",
        "a: [\n", "a: b\r\nc: d", "!!str a", "&a [*a]", "%YAML 1.2\n--- a", "a\n---\nb", "",
    ],
)  # fmt: skip
def test_what_is_odd_or_wrong_is_left_to_the_exact_scanner(text: str) -> None:
    assert quick_nodes(text) is None
