"""Transforms by example: where each cell and record goes, and that a bad one costs only itself."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmmap.kinds.clean import SPACE
from crmmap.plan import Step, Target, compile_plan, placeholder_settings
from crmmap.select.column import ColumnSelector
from crmmap.select.raw_records import raw_records
from crmmap.transform import apply, resolve
from crmmap.transform.cells import judge, text_column
from crmmap.values import Page, Reason, Refusal
from invented import mapping

MAPPING = """
crmmap: 1
name: demo
source: {kind: http, base_url: "https://demo.example"}
streams:
  parents:
    request: {path: /parents}
    table: {name: parents, key: id}
    fields: {id: id, code: code}
  things:
    request: {path: /things}
    table: {name: things, key: id}
    fields:
      id: id
      size: {from: size, type: integer, check: {min: 1}, default: "7"}
      mail: {from: mail, type: email, on_error: keep_text}
      note: {from: note, check: {max_length: 3}, on_error: null_and_note}
      need: {from: need, required: true}
      parent: {from: parent, lookup: {stream: parents, by: code, missing: MISSING}}
"""


def step(missing: str = "reject") -> Step:
    spec = mapping(MAPPING.replace("MISSING", f'"{missing}"'))
    return compile_plan(spec, placeholder_settings(spec, {})).step("things")


def page(*records: object, **more: object) -> Page:
    return Page(number=1, records=list(records), **more)  # type: ignore[arg-type]


def test_each_cell_goes_its_way() -> None:
    batch = apply(
        step(),
        [
            page(
                {"id": "1", "need": " x ", "size": "12", "mail": "A@B.Example", "note": "abc"},
                {"id": "2", "need": "x", "mail": "nope", "note": "too long"},
            )
        ],
    )
    assert batch.rows.select("id", "size", "mail", "note", "need").rows() == [
        ("1", 12, "A@b.example", "abc", "x"),
        ("2", 7, "nope", None, "x"),
    ]
    assert batch.notes.select("key", "field", "rule", "value").rows() == [
        ("2", "mail", "type", "nope"),
        ("2", "note", "max_length", "too long"),
    ]


@pytest.mark.parametrize(
    ("type_", "value", "declared", "wanted"),
    [
        (
            "'decimal(12,2)'",
            "1.005",
            "decimal(12,2)",
            ": at most 10 digits before the point '.' and 2 after it, no separators, no exponent",
        ),
        (
            "{kind: decimal, group: '.', point: ',', round: half_up}",
            "1e5",
            "decimal(18,2)",
            ": at most 16 digits before the point ',', groups parted by '.', no exponent",
        ),
        (
            "integer",
            "1,000",
            "integer",
            ": digits only, no separators, no exponent, 64 bits at most",
        ),
        ("{kind: text, length: 3}", "1,000", "text(3)", ""),
        ("date", "1,000", "date", ""),
    ],
)
def test_a_refusal_says_what_is_wanted_and_not_what_was_given(
    type_: str, value: str, declared: str, wanted: str
) -> None:
    plain = 'type: integer, check: {min: 1}, default: "7"'
    spec = mapping(MAPPING.replace("MISSING", "reject").replace(plain, f"type: {type_}"))
    sized = compile_plan(spec, placeholder_settings(spec, {})).step("things")
    batch = apply(sized, [page({"id": "1", "need": "x", "size": value})])
    (reason,) = json.loads(batch.rejects["reasons"][0])
    message = f"not a value of type {declared}{wanted}"
    assert reason == {"field": "size", "rule": "type", "message": message}


def test_a_refused_value_is_not_replaced_by_the_default() -> None:
    batch = apply(step(), [page({"id": "1", "need": "x", "size": "0"})])
    assert batch.rows.is_empty()
    assert [each["rule"] for each in json.loads(batch.rejects["reasons"][0])] == ["min"]


@pytest.mark.parametrize(
    ("record", "reasons"),
    [
        ({"need": "x"}, [("id", "required")]),
        ({"id": "  ", "need": "x"}, [("id", "required")]),
        ({"id": False, "need": "x"}, [("id", "json.boolean")]),
        ({"id": "1"}, [("need", "required")]),
        ({"id": "1", "size": "many"}, [("size", "type"), ("need", "required")]),
    ],
)
def test_a_rejected_record_says_why_and_keeps_its_raw_text(
    record: dict[str, object], reasons: list[tuple[str, str]]
) -> None:
    batch = apply(step(), [page({"id": "0", "need": "x"}, record)])
    assert batch.rows["id"].to_list() == ["0"]
    (reject,) = batch.rejects.to_dicts()
    told = json.loads(reject["reasons"])
    assert [(each["field"], each["rule"]) for each in told] == reasons
    assert json.loads(reject["raw"]) == record
    assert reject["at"] == 1


def test_what_the_reader_refused_is_among_the_rejects() -> None:
    refusal = Refusal(at=9, raw='"x"', reasons=(Reason(field=None, rule="r", message="m"),))
    batch = apply(step(), [page(refused=(refusal,))])
    assert batch.fetched == 1
    assert batch.rejects.select("at", "raw").rows() == [(9, '"x"')]


PARENTS = pl.DataFrame({"code": ["a", "b"], "id": ["10", "20"]})


def known(target: Target, by: str, values: pl.Series) -> pl.DataFrame:
    return PARENTS.filter(pl.col(by).is_in(values.to_list())).select(by, *target.key)


@pytest.mark.parametrize("missing", ["null", "reject", "wait"])
def test_a_lookup_stores_the_parents_key(missing: str) -> None:
    the_step = step(missing)
    records = [{"id": each, "need": "x", "parent": each} for each in ("a", "b", "c", None, "d")]
    records[3]["id"] = "z"
    batch = apply(the_step, [page(*records)])
    resolved = resolve(the_step, batch, known)
    stored = dict(resolved.rows.select("id", "parent").iter_rows())
    found = {"a": "10", "b": "20", "z": None}
    expected = {
        "null": (found | {"c": None, "d": None}, [], []),
        "reject": (found, ["c", "d"], []),
        "wait": (found, [], ["c", "d"]),
    }
    rows, rejected, waiting = expected[missing]
    assert stored == rows
    assert resolved.rejects["key"].to_list() == rejected
    assert resolved.waiting["#key"].to_list() == waiting
    assert all(json.loads(raw)["parent"] in "cd" for raw in resolved.waiting["#raw"])


def fragile(texts: pl.Series) -> pl.Series:
    if (texts == "bomb").any():
        raise pl.exceptions.PanicException("the native library gave up")
    return texts


def test_a_record_that_breaks_the_batch_costs_itself_only() -> None:
    the_step = step()
    read = pl.col("note").map_batches(fragile, return_dtype=pl.String)
    fields = tuple(
        replace(field, read=read) if field.name == "note" else field for field in the_step.fields
    )
    records = [{"id": str(number), "need": "x", "note": "ok"} for number in range(20)]
    records[13]["note"] = "bomb"
    batch = apply(replace(the_step, fields=fields), [page(*records[:10]), page(*records[10:])])
    assert batch.fetched == 20
    assert len(batch.rows) == 19
    (reject,) = batch.rejects.to_dicts()
    assert json.loads(reject["raw"])["id"] == "13"
    assert json.loads(reject["reasons"])[0]["rule"] == "record.failed"


CLEANED = """
crmmap: 1
name: demo
source: {kind: http, base_url: "https://demo.example"}
streams:
  things:
    request: {path: /things}
    table: {name: things, key: id}
    fields:
      id: id
      usual: usual
      more: {from: more, clean: [{strip_prefix: "!"}, trim]}
      first: {from: first, clean: [empty_to_null, {replace: {find: a, with: " "}}, empty_to_null]}
      day: {from: day, type: {kind: date, zero: "null"}}
"""
NAMES = ("id", "usual", "more", "first", "day")
signs = st.sampled_from("!a~\x7fé" + SPACE)
texts = st.none() | st.sampled_from(["!", "! a", "0000-00-00"]) | st.text(signs, max_size=3)


@given(st.lists(st.tuples(*(texts for _ in NAMES)), min_size=1, max_size=4))
@settings(deadline=None)
@example([("a", "a", "!~", "a", "a")])
@example([("", "a\u2007", "\ufeffa", "é", None)])
def test_a_text_is_tidied_the_same_whatever_stands_beside_it(rows: list[tuple[str | None]]) -> None:
    spec = mapping(CLEANED)
    fields = compile_plan(spec, placeholder_settings(spec, {})).step("things").fields

    def tidy(texts: list[tuple[str | None, ...]]) -> pl.DataFrame:
        frame = pl.DataFrame(texts, schema=dict.fromkeys(NAMES, pl.String), orient="row")
        return judge(frame, fields).select(map(text_column, NAMES))

    beside = tidy([*rows, (" a ",) * len(NAMES)])  # of which no column is neat
    assert tidy(rows).equals(beside[:-1])
    expected = [None if row[1] is None else row[1].strip(SPACE) or None for row in rows]
    assert beside[text_column("usual")][:-1].to_list() == expected


def test_records_without_a_text_are_read_into_columns() -> None:
    spec = mapping(NUMBERS)
    numbers = compile_plan(spec, placeholder_settings(spec, {})).step("things")
    raws = [b'{"a": %d.5, "b": 1e-%d}' % (at, at) for at in range(100)]
    batch = apply(numbers, [Page(number=1, records=raw_records(raws))])
    assert batch.compiled == len(batch.rows) == 100


NUMBERS = """
crmmap: 1
name: demo
source: {kind: http, base_url: "https://demo.example"}
streams:
  things:
    request: {path: /things}
    table: {name: things, key: [a, b]}
    fields: {a: {from: a, type: number}, b: {from: b, type: number}}
"""


COLUMNS = """
crmmap: 1
name: demo
source: {kind: files, format: {kind: csv}}
streams:
  things:
    file: things.csv
    table: {name: things, key: id}
    fields:
      id: A
      usual: {from: B, default: none}
      either: {from: [B, A]}
      spaced: {from: B, clean: [{replace: {find: a, with: " "}}]}
"""


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3))
@settings(deadline=None)
@example([(" ", "\u200b"), ("a", " a")])
def test_white_space_is_no_value_whoever_finds_it(rows: list[tuple[str | None, ...]]) -> None:
    spec = mapping(COLUMNS)
    step = compile_plan(spec, placeholder_settings(spec, {})).step("things")
    assert isinstance(step.selector, ColumnSelector)
    assert step.selector.trimmed == {"id", "usual", "either", "spaced"}
    records = pl.DataFrame(rows, schema={"A": pl.String, "B": pl.String}, orient="row")
    one = Page(number=1, records=records, nul=False)
    other = replace(step.selector, trimmed=frozenset())
    lazily, eagerly = (judge(each.select(one), step.fields) for each in (step.selector, other))
    assert lazily.equals(eagerly)
