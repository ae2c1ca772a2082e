"""What a run added to tables that were there before it reaches its report."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from invented import load, mock
from stores import sqlite_url


def test_a_run_reports_the_columns_that_it_added_to_the_users_tables(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    mine = sqlite3.connect(tmp_path / "store.db")
    mine.execute("CREATE TABLE shipyard_sailors (id TEXT NOT NULL PRIMARY KEY, name TEXT)")
    mine.close()
    with mock(records=3) as plan:
        first, second = load(plan, url), load(plan, url)
    (remark,) = first.remarks
    assert remark.startswith("added the columns email, phone, ")
    assert remark.endswith(" to the existing table 'shipyard_sailors'")
    assert second.remarks == ()
