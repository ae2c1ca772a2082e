"""Each kind of write, by its case file: what reads come to, and what the table holds at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from crmmap.kinds.types import Text
from crmmap.kinds.writes import WRITES
from crmmap.plan import Target
from stores import Loader, columns, load, store_url

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
        write=WRITES[word](**case.get("with", {})),
    )  # fmt: skip
    it = load(target)
    for number, read in enumerate(case["reads"], start=2):
        it.next_run(f"run{number}")
        counts = asdict(it.upsert(target, [tuple(row) for row in read["rows"]], ended=True).counts)
        assert {name: count for name, count in counts.items() if count} == read["counts"]
    found = it.sql(case.get("query", "SELECT id, name FROM things ORDER BY id"))
    assert [list(row) for row in found] == case["table"]
