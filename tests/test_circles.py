"""Sources whose pages have no end, or go in a circle: the stream stops and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from crmmap.errors import SourceError
from crmmap.extract.circles import Circles
from crmmap.select.document import NotANumber
from crmmap.values import Page
from fault_server import FaultServer, Seen, answer
from invented import load, plan_of, sqlite, table

MAPPING = """
crmmap: 1
name: circles
source: {{kind: http, base_url: "{url}", retry: {{attempts: 1}}}}
streams:
  things:
    request: {{path: /things}}
    records: items[]
    pagination: {{kind: token, token: next, param: after}}{more}
    table: {{name: things, key: id}}
    fields: {{id: id}}
"""
Pages = Callable[[int], list[object]]


def outcome(tmp_path: Path, pages: Pages, more: str = "") -> tuple[str, str]:
    """Return how a stream ends whose token never ends, and what it says."""

    def give(seen: Seen) -> bytes:
        at = int(dict(parse_qsl(urlsplit(seen.target).query)).get("after", 1))
        return answer(json.dumps({"items": pages(at), "next": str(at + 1)}).encode())

    with FaultServer(give) as server:
        report = load(plan_of(MAPPING.format(url=server.url, more=more), {}), sqlite(tmp_path))
    (stream,) = report.streams
    return stream.status, stream.message


def records(*numbers: int) -> list[object]:
    return [{"id": str(number)} for number in numbers]


@pytest.mark.parametrize(
    ("period", "said"), [(2, "as page 1"), (3, "as page 1"), (40, "as page 1")]
)
def test_pages_that_go_in_a_circle_under_new_tokens(tmp_path: Path, period: int, said: str) -> None:
    status, message = outcome(tmp_path, lambda at: records(at % period, at % period + 1000))
    assert status == "failed"
    assert f"page {period + 1} brought the same records as page 1" in message
    assert len(table(sqlite(tmp_path), "things")) == 2 * period


def test_a_page_that_is_the_one_before_it(tmp_path: Path) -> None:
    status, message = outcome(tmp_path, lambda _: records(1))
    assert (status, "page 2 brought the same records as the page before it" in message) == (
        "failed", True,
    )  # fmt: skip


def test_single_records_may_come_again_but_pages_have_an_end(tmp_path: Path) -> None:
    status, message = outcome(tmp_path, lambda at: records(at % 2), "\n    max_pages: 7")
    assert status == "failed"
    assert "stopped after 7 pages: there is no end to them" in message
    assert len(table(sqlite(tmp_path), "things")) == 2


def test_pages_with_the_same_number_of_deep_records_are_told_apart(tmp_path: Path) -> None:
    def deep(number: int) -> dict[str, object]:
        found: object = number
        for _ in range(400):
            found = {"a": found}
        return {"id": str(number), "deep": found}

    status, message = outcome(
        tmp_path, lambda at: [deep(at), deep(at + 1000)], "\n    max_pages: 5"
    )
    assert (status, "stopped after 5 pages" in message) == ("failed", True), message


def test_a_number_is_told_from_its_text() -> None:
    circles = Circles()
    for number, value in enumerate((Decimal("1.5"), "1.5", 1, "1", True, NotANumber("NaN"), "NaN")):
        circles.refuse_page(Page(number=number + 1, records=[{"id": value}, {"id": "2"}]))
    with pytest.raises(SourceError, match="the same records as page 1"):
        circles.refuse_page(Page(number=9, records=[{"id": Decimal("1.5")}, {"id": "2"}]))
