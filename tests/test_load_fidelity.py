"""What was written is what is read, in every store: any value of any type, and any key."""
# ruff: noqa: F811  (fixtures come by import, and are named again as parameters)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal as Exact
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as some

from crmmap.kinds.types import Decimal
from crmmap.values import Counts
from stores import KINDS, PEOPLE, Loader, columns, frame, load, store_url  # noqa: F401  (fixtures)
from test_load_rows import VALUES

WIDEST = 2**63 - 1
ALL = replace(KINDS, columns=(*KINDS.columns, *columns(fine=Decimal(precision=38, scale=30))))
PLAIN = some.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = some.text(PLAIN, max_size=12) | some.sampled_from(
    ["", " ", "a ", "\\", "\\'", "'", '"', "%", "%s", "?", ":a", "\x1a", "\r\n", "\u2028", "\ufeff",
     "\U0001f4de", "\x7f", "NULL", "'; --", "\\0", "e\u0301", "x" * 70_000]
)  # fmt: skip


def exact(scale: int, digits: int) -> some.SearchStrategy[Exact]:
    widest = 10**digits - 1
    return some.integers(-widest, widest).map(lambda number: Exact(number).scaleb(-scale))


CELLS = {
    "text": TEXTS,
    "whole": some.integers(-WIDEST - 1, WIDEST),
    # -0.0 is read as 0.0.
    "approximate": some.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0),
    "exact": exact(4, 20),
    "flag": some.booleans(),
    "day": some.dates(),
    "moment": some.datetimes(timezones=some.just(UTC)),
    "document": some.just('{"b":1.0,"a":["\\u00e9"]}'),
    "clock": some.times(),
    "length": exact(6, 17),
    "link": some.just("https://example.com/") | TEXTS.map(lambda text: f"http://h/{text}"[:2048]),
    "guid": some.uuids().map(str),
    "fine": exact(30, 38),
}
ROWS = some.dictionaries(
    some.integers(-WIDEST - 1, WIDEST),
    some.tuples(*(some.none() | cells for cells in CELLS.values())),
    max_size=6,
)
EDGES = {
    1: (None, WIDEST, 1.7976931348623157e308, Exact("9999999999999999.9999"), True,
        datetime.max.date(), datetime.max.replace(tzinfo=UTC), None, datetime.max.time(),
        Exact("99999999999.999999"), None, None, Exact(10**38 - 1).scaleb(-30)),
    2: ("", -WIDEST - 1, 5e-324, Exact("-0.0001"), False, datetime.min.date(),
        datetime.min.replace(tzinfo=UTC), None, datetime.min.time(), Exact("-0.000001"), "", "",
        Exact(123456789012345678901234).scaleb(-30)),
    3: ("a", 0, -2.2250738585072014e-308, Exact("0.0000"), None, None, None, None, None,
        Exact("0.000000"), "http://h/", None, Exact(0).scaleb(-30)),
}  # fmt: skip


def shown(target: Any, table: pl.DataFrame, but: str) -> list[dict[str, str | None]]:
    told = [each for each in target.columns if each.name != but]
    return (
        table.select(each.type.show(pl.col(each.name)).alias(each.name) for each in told)
        .sort(target.key[0])
        .to_dicts()
    )


def test_every_value_of_every_type_comes_back(load: Callable[..., Loader]) -> None:
    it = load(ALL)
    names = [name for name in ALL.names if name != "document"]  # whose order PostgreSQL changes

    @settings(max_examples=12, deadline=None)
    @given(rows=ROWS)
    @example(rows=EDGES)
    def hold(rows: dict[int, tuple[Any, ...]]) -> None:
        it.sql("DELETE FROM kinds")
        written = [(key, *row) for key, row in rows.items()]
        it.next_run(f"run{len(runs)}")
        runs.append(written)
        assert it.upsert(ALL, written).counts == Counts(inserted=len(rows))
        found = it.store.parents(ALL, names, after=None, count=100)
        wanted = shown(ALL, frame(ALL, written), "document")
        assert sorted(found, key=lambda row: str(row["id"])) == wanted
        it.next_run(f"run{len(runs)}")
        runs.append(written)
        assert it.upsert(ALL, written).counts == Counts(unchanged=len(rows))

    runs: list[list[tuple[Any, ...]]] = []
    hold()


def test_rows_are_known_again_by_a_key_of_any_type(load: Callable[..., Loader]) -> None:
    it = load()
    for name in ("approximate", "exact", "day", "moment", "clock"):
        target = replace(KINDS, table=f"by_{name}", key=(name,))
        it.store.prepare([target])
        place = KINDS.names.index(name)
        rows = [row for row in VALUES if row[place] is not None]
        assert it.upsert(target, rows).counts == Counts(inserted=len(rows)), name
        changed = [(7, *row[1:]) for row in rows]
        it.next_run(f"run_{name}")
        assert it.upsert(target, changed).counts == Counts(updated=len(rows)), name
        assert it.sql(f"SELECT DISTINCT id FROM by_{name}") == [(7,)]


LIKE = some.text("aAäÄsSß eE\u0301é\t\\%_'", min_size=1, max_size=3)


def test_keys_are_one_only_where_every_letter_is(load: Callable[..., Loader]) -> None:
    """Collations of databases take `a`, `A`, `ä` and `a ` for one."""
    target = replace(PEOPLE, indexed=(("name",),))
    it = load(target)
    number = 0

    @settings(max_examples=12, deadline=None)
    @given(keys=some.sets(LIKE, min_size=1, max_size=20))
    @example(keys={"a", "A", "ä", "á", "a ", "a\t", "ss", "ß", "e\u0301", "é", "E", "\\", "%"})
    def hold(keys: set[str]) -> None:
        nonlocal number
        number += 1
        it.sql("DELETE FROM people")
        it.next_run(f"run{number}")
        rows = [(key, key, place) for place, key in enumerate(sorted(keys))]
        assert it.upsert(target, rows).counts == Counts(inserted=len(keys))
        for by in ("id", "name"):
            asked = pl.Series(sorted(keys)[::2])
            found = it.work(
                lambda transaction, by=by, asked=asked: transaction.known(target, by, asked)
            )
            assert sorted(found["id"]) == asked.to_list()

    hold()
