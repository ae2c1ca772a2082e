"""Each kind of write, by its case file: what reads come to, and what the table holds at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from crmmap.kinds.types import Text
from crmmap.kinds.writes import WRITES, Upsert
from crmmap.load import Tally, Transaction
from crmmap.plan import Target
from crmmap.values import Counts
from stores import Loader, columns, frame, load, store_url

__all__ = ["load", "store_url"]

CASES = Path(__file__).parent / "cases" / "writes"


def cases() -> list[Any]:
    return [
        pytest.param(path.stem, case, id=f"{path.stem}-{number}")
        for path in sorted(CASES.glob("*.yaml"))
        for number, case in enumerate(yaml.safe_load(path.read_text("utf-8")), start=1)
    ]


@pytest.mark.parametrize(("word", "case"), cases())
def test_writes(word: str, case: dict[str, Any], load: Callable[..., Loader]) -> None:
    target = Target(
        table="things", key=("id",), columns=columns(id=Text(), name=Text()),
        write=WRITES[word](**case.get("with", {})), deletes=case.get("deletes"),
    )  # fmt: skip
    it = load(target)
    if "filled" in case:
        filling = replace(target, write=Upsert())
        it.upsert(filling, [tuple(row) for row in case["filled"]], ended=True)
    for number, read in enumerate(case["reads"], start=2):
        it.next_run(f"run{number}")
        counts = asdict(read_once(it, target, read))
        assert {name: count for name, count in counts.items() if count} == read["counts"]
    found = it.sql(case.get("query", "SELECT id, name FROM things ORDER BY id"))
    assert [list(row) for row in found] == case["table"]


def test_a_column_may_have_a_word_of_sql_for_its_name(load: Callable[..., Loader]) -> None:
    target = Target(table="things", key=("id",), columns=columns(id=Text(), true=Text()))
    it = load(target)
    it.upsert(target, [("a", None)], ended=True)
    it.next_run("run2")
    written = it.upsert(target, [("a", None), ("b", None)], ended=True)
    assert (written.counts.inserted, written.counts.unchanged) == (1, 1)
    assert it.sql("SELECT id FROM things ORDER BY id") == [("a",), ("b",)]


def read_once(it: Loader, target: Target, read: dict[str, Any]) -> Counts:
    """Read rows in one batch, of which `gap` says why some may be missing."""
    rows = frame(target, [tuple(row) for row in read["rows"]])
    gap = read.get("gap", "")

    def work(transaction: Transaction) -> Tally:
        written = transaction.write(target, rows)
        if target.vanishing and not gap:
            transaction.meet(target, rows.select(target.key))
        counts = replace(written.counts, fetched=len(rows)) + transaction.finish(target, gap)
        return Tally(counts=counts, ended=True, gap=gap)

    it.mark, tally = it.store.commit(it.mark, work)
    return replace(tally.counts, fetched=0)
