"""`crmmap test`, its case files: what they may say, what they find, and how they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import crmmap
from crmmap.errors import MappingError
from crmmap.prove.cases import cases_of
from crmmap.prove.casework import failure
from crmmap.prove.yaml_text import block, survives
from crmmap.spec.document import read_document
from crmmap.spec.read import read_mapping

MAPPING = """\
crmmap: 1
name: crew
settings: {base: {default: "https://crew.example"}}
source: {kind: http, base_url: "{{ settings.base }}"}
streams:
  ships:
    request: {path: /ships}
    records: ships[]
    table: {name: crew_ships, key: id}
    fields: {id: id}
  sailors:
    for_each: {stream: ships}
    request: {path: "/ships/{{ parent.id }}/sailors"}
    records: items[]
    table: {name: crew_sailors, key: id}
    where: {rank: {one_of: [mate, captain]}}
    fields:
      id: {from: id, required: true}
      ship: {value: "{{ parent.id }}"}
      rank: rank
      age: {from: age, type: integer, on_error: null_and_note}
      joined: {from: joined, type: datetime}
      extra: {from: extra, type: json}
"""
CASES = """\
# Kept: what stands above.
cases:
  - name: a sailor
    stream: sailors
    for_each: {parent: {id: "7"}}
    given:
      - {id: "1", rank: mate, age: 30, joined: "2024-01-31T08:00:00+01:00", extra: {a: [1]}}
    rows:
      # Kept while nothing changes.
      - {id: "1", ship: "7", rank: mate, age: 30, joined: "2024-01-31T07:00:00Z", extra: {a: [1]}}

  - name: a whole answer
    stream: sailors
    for_each: {parent: {id: "7"}}
    answer: {items: [{id: 1, rank: cook}, null, {id: "2", rank: mate, age: old}]}
    rows:
      - {id: "2", ship: "7", rank: mate}
    rejects:
      - {key: null, reasons: [json.record]}
    notes:
      - {key: "2", field: age, rule: type}
    filtered: 1

  - name: a body as it comes
    stream: sailors
    for_each: {parent: {id: "7"}}
    text: '{"items": [{"id": "3", "id": "4", "rank": "mate"}, {"id": "5", "rank": "mate"}]}'
    rows: [{id: "5", ship: "7", rank: mate}]
    rejects: [{key: null, reasons: [json.duplicate_key]}]
"""


def write(folder: Path, cases: str = CASES, mapping: str = MAPPING) -> Path:
    (folder / "cases").mkdir(exist_ok=True)
    (folder / "crew.yaml").write_text(mapping)
    (folder / "cases" / "crew.yaml").write_text(cases)
    return folder / "cases" / "crew.yaml"


def findings(cases: str) -> list[tuple[str, ...]]:
    spec = read_mapping(MAPPING.encode(), "crew.yaml")
    every = (failure(spec, Path("x"), case) for case in cases_of(cases.encode(), "x", spec))
    return [each.lines for each in every if each is not None]


def test_records_come_given_as_an_answer_or_as_its_body() -> None:
    assert findings(CASES) == []


def test_what_differs_is_told_row_by_row_and_column_by_column() -> None:
    wrong = CASES.replace('age: 30, joined: "2024-01-31T07', 'age: 31, joined: "2024-01-31T09')
    assert findings(wrong) == [
        (
            'row id="1":',
            "  age: expected 31, got 30",
            '  joined: expected "2024-01-31T09:00:00+00:00", got "2024-01-31T07:00:00+00:00"',
        )
    ]
    wrong = CASES.replace('- {id: "2", ship: "7", rank: mate}', '- {id: "9", rank: mate}')
    wrong = wrong.replace("    filtered: 1\n", "").replace("rule: type", "rule: min")
    assert findings(wrong) == [
        (
            'row id="9": expected, not there: {"id": "9", "rank": "mate"}',
            'row id="2": not expected: {"id": "2", "rank": "mate", "ship": "7"}',
            'note: expected, not there: {"field": "age", "key": "2", "rule": "min"}',
            'note: not expected: {"field": "age", "key": "2", "rule": "type"}',
            "filtered: expected 0, got 1",
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("stream: sailors", "stream: sailor", "4:13", "no such stream (did you mean 'sailors'?)"),
        ("    rows:\n      #", "    rowz:\n      #", "10:", "of a case (did you mean 'rows'?)"),
        ('ship: "7", rank: mate, age', 'sihp: "7", age', "10:", "field (did you mean 'ship'?)"),
        ("    given:\n", "    text: '{}'\n    given:\n", "3:5", "needs one of given, answer, text"),
        ("name: a whole answer", "name: a sailor", "12:11", "is the name of a case above"),
        ("filtered: 1", "filtered: one", "22:15", "must be a whole number"),
        ("cases:\n", "case:\n", "2:1", "is no case file"),
        ("filtered: 1", "page: 2", "22:11", "needs `given`"),
        ("    given:\n", "    then: []\n    given:\n", "6:11", "a stream with `incremental`"),
    ],
)  # fmt: skip
def test_a_wrong_case_file_is_told_at_its_line(old: str, new: str, place: str, said: str) -> None:
    assert old in CASES
    spec = read_mapping(MAPPING.encode(), "crew.yaml")
    with pytest.raises(MappingError) as caught:
        cases_of(CASES.replace(old, new, 1).encode(), "crew.yaml", spec)
    told = str(caught.value)
    assert said in told
    assert f"crew.yaml:{place}" in told


def test_the_command_tells_what_is_wrong_and_where(tmp_path: Path) -> None:
    write(tmp_path)
    ran = crmmap(tmp_path, "test", "crew.yaml", "--only", "cases")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("ok   crew: 3 cases")

    write(tmp_path, CASES.replace("filtered: 1", "filtered: 2"))
    ran = crmmap(tmp_path, "test", "crew.yaml", "--only", "cases")
    assert ran.code == 1
    assert "cases/crew.yaml:12: 'a whole answer' does not give what it says" in ran.out
    assert "  filtered: expected 2, got 1" in ran.out

    ran = crmmap(tmp_path, "test", "crew.yaml", "--only", "cases", "--json")
    assert ran.code == 1
    (finding,) = ran.json["findings"]
    assert finding["lines"] == ["filtered: expected 2, got 1"]


def test_a_missing_case_file_is_told_and_fails_only_where_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path).unlink()
    ran = crmmap(tmp_path, "test", "crew.yaml", "--only", "cases")
    assert ran.code == 0
    assert "there is no case file cases/crew.yaml" in ran.out
    assert crmmap(tmp_path, "test", "crew.yaml", "--only", "cases", "--strict").code == 1


def test_an_update_writes_only_what_differs_and_keeps_the_comments(tmp_path: Path) -> None:
    wrong = (
        CASES.replace("    filtered: 1\n", "")
        .replace("key: null, reasons: [json.record]", "key: null, reasons: [other]")
        .replace('rows: [{id: "5", ship: "7", rank: mate}]', "rows: []  # none yet")
        .replace("    text: '", "    duplicate: 3\n    text: '")
    )
    path = write(tmp_path, wrong)
    ran = crmmap(tmp_path, "test", "crew.yaml", "--only", "cases", "--update")
    assert ran.code == 0, ran.out
    assert "updated: 'a whole answer'" in ran.out
    assert "updated: 'a body as it comes'" in ran.out
    assert "updated: 'a sailor'" not in ran.out
    kept = path.read_text()
    assert kept.startswith(CASES[: CASES.index("  - name: a whole answer")])
    assert "filtered: 1" in kept
    assert "duplicate:" not in kept
    assert values(kept) == values(CASES)

    ran = crmmap(tmp_path, "test", "crew.yaml", "--only", "cases", "--update")
    assert path.read_text() == kept
    assert "updated" not in ran.out


def values(text: str) -> Any:
    return read_document(text.encode()).value


letters = st.text("ab:#-'\"{}[],&*!|>%@ \n\t\0é\u2028\ud83d0", max_size=8)
odd = st.sampled_from(
    ["", "no", "1e3", "a: b", "- x", "# c", "'", "{a}", "1.50", "~", "a  b ", "1"]
)
plain = st.one_of(st.none(), st.booleans(), st.integers(-(10**17), 10**17), letters, odd)
anything = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text", ["+14105550142", "+1", "@home", "12", "1e3", "0x1F", ".5", "~", "Why?"]
)
def test_text_that_yaml_would_read_otherwise_is_quoted(text: str) -> None:
    assert survives(text)
    assert survives([{"one": text, "other": text}])


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "given", "x y", "no"]), anything, max_size=4))
def test_what_is_written_as_yaml_is_read_again_or_known_not_to_be(value: dict[str, Any]) -> None:
    if value and survives(value):
        text = "\n".join(block(value)) + "\n"
        assert read_document(text.encode()).value == value


@pytest.mark.parametrize(
    "text",
    ["+14105550142", "@home", "(a)", "/a/b", "yes", "Null", "12", "-1", "~", "1e5", ".5", "0x1f",
     "", "- a", "? a", "a: b", "a #b", "{a}", "é", "a\nb", "'a", " a "],
)  # fmt: skip
def test_a_text_is_written_so_that_it_stays_one(text: str) -> None:
    assert survives(text)
