"""Answers made to hang a reader, to fill its memory, or to see its secrets: each ends in words."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

from crmmap.extract.expected import page_for_people
from crmmap.kinds.pagination import Link
from crmmap.values import Page, Request, Response

SOON = 5.0
"""Seconds: hundreds of times as long as any of it takes, and nothing beside what it took."""


def soon(work: Callable[[], object]) -> object:
    began = monotonic()
    found = work()
    assert monotonic() - began < SOON
    return found


@pytest.mark.parametrize(
    "header",
    ["<x>" + "; " * 30_000 + ";=", "<x>;" + " " * 60_000 + "=", "<x>" + ";" * 60_000 + '"'],
)
def test_a_link_header_of_nothing_but_blanks_is_refused_at_once(header: str) -> None:
    page = Page(number=1, records=[], headers={"link": header})

    def ask() -> None:
        with pytest.raises(ValueError, match="can't be read as links"):
            Link().next(Request(url="https://api.example/x"), page)

    soon(ask)


@pytest.mark.parametrize("text", ["<title>" * 9000, "<title x" * 9000, "<title" * 9000])
def test_a_page_of_titles_without_an_end_is_named_at_once(text: str) -> None:
    answer = Response(status=200, headers={}, body=b"", url="https://api.example/x")
    assert soon(lambda: page_for_people(answer, text)) == "markup"
