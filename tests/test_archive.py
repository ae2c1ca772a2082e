"""The archive: pages as they were read, in their batch's transaction, bounded, without secrets."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crmmap.load import Piece, Tally, Transaction
from crmmap.loop.packing import Packed, Unpacked, pack, unpack
from crmmap.plan import compile_plan, placeholder_settings
from crmmap.redact import Clean, Redactor
from crmmap.report.document import run_document
from crmmap.report.parts import rendered
from crmmap.report.summary import summary
from crmmap.select.raw_records import raw_records
from crmmap.select.strict import read_json
from crmmap.values import Counts, Page, Reason, Refusal, Secret, as_json, each_as_json
from invented import mapping, sqlite
from stores import PEOPLE, Loader, load, store_url  # noqa: F401  (fixtures)
from test_loop import HEAD, Sources, load_from, plan, rows, stream
from test_loop import load as run_from


def plain(text: str) -> str:
    return text


def opened(piece: Packed) -> Unpacked:
    return unpack(piece.codec, piece.body)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
@example({"a": [Decimal("1.50"), Decimal("1E+3")], "b": "x"})
@example({"a": Decimal("1.50"), "b": "\ue000"})
@example([Decimal("1.50"), "\\ue000", "\ue0001.50\ue000"])
def test_the_quick_way_to_json_is_the_same(value: object) -> None:
    assert each_as_json([value, value]) == [as_json(value)] * 2


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=4), max_size=5))
def test_a_page_of_documents_comes_back(records: list[dict[str, object]]) -> None:
    refusal = Refusal(
        at=7, raw='no\n"record":{}', reasons=(Reason(field=None, rule="r", message="m"),)
    )
    page = Page(number=1, records=records, refused=(refusal,), lines=range(3, 3 + len(records)))
    (piece,) = pack(page, plain)
    back = opened(piece)
    assert back.raws == [page.raw(at) for at in range(len(records))]
    assert (back.places, back.refused) == (list(range(3, 3 + len(records))), (refusal,))
    assert (piece.records, back.withheld) == (len(records) + 1, 0)


NAMES = st.lists(TEXTS, min_size=2, max_size=2, unique=True)


@given(NAMES, st.lists(st.tuples(st.none() | TEXTS, st.none() | TEXTS), max_size=5))
@example(["at", "at 2"], [("1", None), (None, "")])
@example(["a,b", '"record":'], [("\0", "\x1f"), (None, None)])
def test_a_page_of_texts_comes_back(
    names: list[str], cells: list[tuple[str | None, str | None]]
) -> None:
    frame = pl.DataFrame(cells, schema=dict.fromkeys(names, pl.String), orient="row")
    refusal = Refusal(at=1, raw="no", reasons=(Reason(field=None, rule="r", message="m"),))
    lines = range(2, 2 + len(cells))
    page = Page(number=1, records=frame, refused=(refusal,), lines=lines)
    backs = [opened(each) for each in pack(page, plain)]
    raws = [raw for back in backs for raw in back.raws]
    assert raws == [page.raw(at) for at in range(len(cells))]
    assert [place for back in backs for place in back.places] == [*lines]
    assert [each for back in backs for each in back.refused] == [refusal]


def test_a_table_that_compresses_badly_is_kept_in_several() -> None:
    random = Random(0)
    frame = pl.DataFrame({"x": [random.randbytes(20_000).hex() for _ in range(100)]})
    pieces = list(pack(Page(number=1, records=frame), plain))
    assert {each.codec for each in pieces} == {"parquet"}
    assert len(pieces) > 1
    assert max(len(each.body) for each in pieces) < 1_000_000
    assert sum(each.records for each in pieces) == 100
    assert [json.loads(raw)["x"] for each in pieces for raw in opened(each).raws] == [*frame["x"]]


def test_of_texts_too_what_is_secret_or_too_long_is_not_kept() -> None:
    hide = Redactor([Secret("tok-en-42")]).clean
    frame = pl.DataFrame({"k": ["tok-en-42", "é", "x" * 2_000_001]})
    pieces = list(pack(Page(number=1, records=frame), hide))
    backs = [opened(each) for each in pieces]
    assert [raw for back in backs for raw in back.raws] == ['{"k":"\\u00e9"}']
    assert sum(back.withheld for back in backs) == 2
    named = pl.DataFrame({"tok-en-42": ["a"]})
    assert [opened(each).withheld for each in pack(Page(number=1, records=named), hide)] == [1]


SPELLED = ['{"a":1.50}', '{"a": "é"}', '{"a":"\\u00e9\\/"}', '{"a":\n[1]}', '{"a":1E3,"b":{}}']
"""Records in spellings that a source may choose."""


@given(st.lists(st.sampled_from(SPELLED), min_size=1, max_size=4), st.sampled_from([plain, None]))
def test_a_page_of_bytes_comes_back_in_whatever_spelling(
    texts: list[str], clean: Clean | None
) -> None:
    page = Page(number=1, records=raw_records([each.encode() for each in texts]))
    (piece,) = pack(page, clean)
    assert [read_json(each) for each in opened(piece).raws] == [*page.records]


def test_a_secret_that_is_spelled_with_escapes_is_not_kept() -> None:
    page = Page(number=1, records=raw_records([b'{"k":"tok\\/en\\u0034\\u0032"}', b'{"id":2}']))
    (piece,) = pack(page, Redactor([Secret("tok/en42")]).clean)
    back = opened(piece)
    assert (back.raws, back.withheld) == (['{"id":2}'], 1)


@pytest.mark.parametrize("between", [b"\n", b" "])
def test_a_record_is_not_too_long_for_what_stands_between_its_values(between: bytes) -> None:
    blanks = between * 40
    spaced = b'{"id":1,"rows":[' + (b"," + blanks).join([b"[1]"] * 100_000) + b"]}"
    page = Page(number=1, records=raw_records([spaced, b'{"id":2}']))
    backs = [opened(each) for each in pack(page, None)]
    assert sum(back.withheld for back in backs) == 0
    assert [read_json(raw) for back in backs for raw in back.raws] == [*page.records]


def test_a_long_page_is_kept_in_pieces_and_what_is_too_long_is_not() -> None:
    page = Page(number=1, records=[{"x": "y" * 400_000}] * 5 + [{"x": "y" * 2_000_000}])
    pieces = list(pack(page, plain))
    assert [each.records for each in pieces] == [2, 2, 2]
    backs = [opened(each) for each in pieces]
    assert [len(back.raws) for back in backs] == [2, 2, 1]
    assert [place for back in backs for place in back.places] == [0, 1, 2, 3, 4]
    assert backs[-1].withheld == 1


def test_no_secret_gets_into_a_piece_however_it_is_written() -> None:
    secret = 'tok"en/42'
    page = Page(
        number=1,
        records=[{"id": 1, "echo": f"Bearer {secret}"}, {"id": 2}, {"url": "?k=tok%22en%2F42"}],
        refused=(Refusal(at=3, raw=f"line with {secret}", reasons=()),),
    )
    (piece,) = pack(page, Redactor([Secret(secret)]).clean)
    text = gzip.decompress(piece.body).decode()
    assert "tok" not in text
    back = opened(piece)
    assert (back.raws, back.withheld) == (['{"id":2}'], 2)
    assert back.refused[0].raw == "line with ***"


# --- which pages are kept ------------------------------------------------------------------------

NOTES = [{"id": "1"}, {"id": "2"}, {"id": None}, {"id": "3"}, {"id": "4"}]
"""Pages of two: the second has a reject."""


def notes(keep: str, own: str = "", batch: int = 2, **bounds: int) -> Any:
    made = plan(stream("notes", extra=f"    archive: {own}\n" if own else ""), batch=batch)
    bounded = replace(made.archive, keep=keep, **bounds)  # type: ignore[arg-type]
    steps = tuple(each if own else replace(each, keeps=keep) for each in made.steps)
    return replace(made, archive=bounded, steps=steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 100])
def test_pages_with_rejects_are_kept_by_default(store_url: str, batch: int) -> None:
    report = run_from(plan(stream("notes"), batch=batch), store_url, notes=NOTES)
    kept = rows(store_url, "crmmap_archive", "page", "piece", "why", "records", "codec")
    assert kept == [(2, 1, "rejects", 2, "gzip")]
    ((body,),) = rows(store_url, "crmmap_archive", "body")
    lines = gzip.decompress(bytes(body)).decode().splitlines()  # type: ignore[arg-type]
    assert [json.loads(line)["record"] for line in lines] == NOTES[2:4]
    (told,) = [each.archived for each in report.streams]
    assert (told.pages, told.bytes, told.dropped) == (1, len(body), 0)  # type: ignore[arg-type]


def test_all_pages_are_kept_or_none_as_the_mapping_says(tmp_path: Path) -> None:
    url = sqlite(tmp_path)
    run_from(notes("all"), url, notes=NOTES)
    assert rows(url, "crmmap_archive", "page", "why") == [(1, "all"), (2, "rejects"), (3, "all")]
    run_from(notes("none"), url, notes=NOTES)
    run_from(notes("all", own="none"), url, notes=NOTES)
    assert len(rows(url, "crmmap_archive", "page")) == 3


def test_the_archive_word_changes_no_position(tmp_path: Path) -> None:
    first, second = (plan(stream("notes", extra=more)) for more in ("", "    archive: all\n"))
    assert first.steps[0].fingerprint == second.steps[0].fingerprint
    assert (first.steps[0].keeps, second.steps[0].keeps) == ("rejects", "all")


def test_a_secret_that_the_source_echoes_is_not_kept(tmp_path: Path) -> None:
    class Echoing(Sources):
        def clean(self, text: str) -> str:
            return text.replace("gained-token", "***")

    url, made = sqlite(tmp_path), replace(notes("all"), secrets=(Secret("mapping-token"),))
    given: Any = {"notes": [{"id": "gained-token"}, {"id": "mapping-token"}, {"id": "open"}]}
    load_from(made, url, Echoing(given))
    bodies = [gzip.decompress(body) for (body,) in rows(url, "crmmap_archive", "body")]  # type: ignore[arg-type]
    assert b"open" in b"".join(bodies)
    assert b"token" not in b"".join(bodies)


# --- bounds --------------------------------------------------------------------------------------


def pieces(*sizes: int) -> list[Piece]:
    return [
        Piece(page=number, piece=1, part="", why="all", records=1, codec="", body=b"x" * size)
        for number, size in enumerate(sizes, start=1)
    ]


def keep(it: Loader, most: int, *sizes: int) -> int:
    def work(transaction: Transaction) -> Tally:
        return Tally(counts=Counts(), archived=transaction.archive(pieces(*sizes), most))

    it.mark, tally = it.store.commit(it.mark, work)
    return tally.archived.dropped


def test_the_oldest_pages_make_room(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    assert keep(it, 100, 40, 40) == 0
    it.next_run("run2")
    assert keep(it, 100, 30, 20) == 1
    kept = "SELECT run_id, page FROM crmmap_archive ORDER BY run_id, page"
    assert it.sql(kept) == [("run1", 2), ("run2", 1), ("run2", 2)]
    assert keep(it, 100, 1000) == 4  # a page longer than all may be is not kept either
    assert it.sql(kept) == []


def test_a_run_drops_what_is_older_than_the_mapping_says(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)
    keep(it, 100, 10, 10)
    old = it.store.dialect.bind_time(datetime.now(UTC) - timedelta(days=8))
    it.sql(f"UPDATE crmmap_archive SET created_at = '{old}' WHERE page = 1")
    assert it.store.expire_archive("m", 9) == 0
    assert it.store.expire_archive("other", 7) == 0
    assert it.store.expire_archive("m", 7) == 1
    assert it.sql("SELECT page FROM crmmap_archive") == [(2,)]


def test_a_batch_that_fails_keeps_no_page(load: Callable[..., Loader]) -> None:
    it = load(PEOPLE)

    def work(transaction: Transaction) -> Tally:
        transaction.archive(pieces(10), 100)
        return Tally(counts=Counts(fetched=1))

    with pytest.raises(Exception, match="do not add up"):
        it.store.commit(it.mark, work)
    assert it.sql("SELECT page FROM crmmap_archive") == []


def test_a_word_of_the_mapping_says_which_pages_are_kept() -> None:
    spec = mapping(f"{HEAD}{stream('notes')}archive: all\n")
    assert (spec.archive.keep, spec.archive.days) == ("all", 90)
    made = compile_plan(spec, placeholder_settings(spec, {}))
    assert (made.archive.keep, made.steps[0].keeps) == ("all", "all")


def test_the_summary_tells_what_the_archive_took(tmp_path: Path) -> None:
    report = run_from(notes("all"), sqlite(tmp_path), notes=NOTES)
    text = rendered(summary([report], {}), io.StringIO())
    assert re.search(r"^archive: 3 pages kept \(\d+ B\)$", text, re.MULTILINE)
    streams: Any = run_document(report)["streams"]
    assert streams[0]["archived"]["pages"] == 3
