"""Records read straight into columns are those that are decoded one by one, whatever is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crmmap.errors import SourceError
from crmmap.extract.decoders import decoder_of
from crmmap.extract.file_documents import read_documents
from crmmap.extract.pages import both_pages, settled
from crmmap.extract.partitions import with_given
from crmmap.extract.regular_file import Local
from crmmap.kinds.formats import Json
from crmmap.kinds.source import Files
from crmmap.plan import Step, compile_plan
from crmmap.select.compiled import CompiledSelector, Luck
from crmmap.select.jmespath import JmespathSelector, with_cells
from crmmap.spec.read import read_mapping
from crmmap.transform import apply
from crmmap.values import Batch, Page, Request, Response

EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "60"))
MAPPING = """
crmmap: 1
name: paths
source: {kind: http, base_url: "https://api.example"}
streams:
  people:
    request: {path: /people}
    records: RECORDS
    pagination: PAGINATION
    table: {name: people, key: id}
    fields:
      id: id
      a: {from: [a, o.x], on_error: null_and_note, check: {max_length: 3}}
      n: {from: n, type: integer, on_error: null_and_note, check: {min: 0}}
      f: {from: f, type: number, on_error: null_and_note, check: {max: 100}}
      g: {from: f}
      m: {from: [f, d], type: "decimal(14,2)", on_error: null_and_note}
      d: {from: d, type: "decimal(14,2)", on_error: null_and_note, default: "7"}
      b: {from: b, type: boolean, on_error: null_and_note}
      x: {from: o.x}
      y: {from: "o.p.q", type: number, on_error: null_and_note}
      l: {from: "l[].y | [0]"}
      whole: {from: o, type: json}
      t: {value: told}
"""
TOKEN = "{kind: token, token: paging.next, param: after}"


def step_of(records: str = "results[]", pagination: str = TOKEN, form: str = "json") -> Step:
    text = MAPPING.replace("RECORDS", json.dumps(records)).replace("PAGINATION", pagination)
    text = text.replace('"https://api.example"', f'"https://api.example", format: {form}')
    step = compile_plan(read_mapping(text.encode(), "paths.yaml"), {}).steps[0]
    assert isinstance(step.selector, CompiledSelector)
    return replace(step, selector=replace(step.selector, worth=1))


STEPS = {
    "results[]": step_of(),
    "keyset": step_of("data.items", "{kind: keyset, from: id, param: since}"),
    "@": step_of("@", "none"),
    "lines": step_of("@", "none", "ndjson"),
    "quoted": step_of('"a\\"b"', '{kind: token, token: \'"ne\\"xt"\', param: after}'),
}
FILES = {
    where: replace(step, source=Files(format=step.format or Json()), batch=5)
    for where, step in STEPS.items()
}


def read(step: Step, bodies: Sequence[bytes]) -> tuple[list[Page], list[object]]:
    """Return the pages that answers become, and what paging and messages say of each answer."""
    pages: list[Page] = []
    said: list[object] = []
    request, decode = Request(url="https://api.example"), decoder_of(step)
    for body in bodies:
        headers = {"content-length": str(len(body))}
        response = Response(status=200, headers=headers, body=body, url="https://api.example")
        try:
            sent, page = both_pages(step, len(pages) + 1, response, decode(response))
            pages.append(with_given(page, {"t": "given \0é" if len(pages) == 2 else 'giv"en'}))
            assert page.size == len(body)
            assert step.pagination is not None
            said.append(step.pagination.next(request, settled(step, request, sent)))
        except (SourceError, ValueError) as error:
            said.append(str(error))
    return pages, said


def told(batch: Batch) -> list[object]:
    """Return all that a batch holds."""
    tables = (batch.rows, batch.rejects, batch.notes)
    return [batch.read, batch.gap, *([each.columns, each.rows()] for each in tables)]


def demand_equal(step: Step, bodies: Sequence[bytes]) -> int:
    """Demand one outcome of both paths; return how many records were read into columns."""
    (pages, said), (others, expected) = read(step, bodies), read(step.exact, bodies)
    assert said == expected
    assert [page.fetched for page in pages] == [page.fetched for page in others]
    if not pages:
        return 0
    batch, exact = apply(step, pages), told(apply(step.exact, others))
    assert told(batch) == exact
    demand_equal_early(step, pages, others, exact)
    return batch.compiled


def untried(step: Step) -> Step:
    """Return the step, of which no batch was in vain as yet."""
    assert isinstance(step.selector, CompiledSelector)
    return replace(step, selector=replace(step.selector, luck=Luck()))


def demand_equal_early(
    step: Step, pages: Sequence[Page], others: Sequence[Page], exact: list[object]
) -> None:
    """Demand the same of pages whose cells are selected as they are read."""
    selector = step.selector.exact
    assert isinstance(selector, JmespathSelector)
    early = [with_cells(selector, page, least=1) for page in others]
    assert [page.raws() for page in early] == [page.raws() for page in others]
    mixed = [each[at % 3] for at, each in enumerate(zip(early, pages, others, strict=True))]
    assert told(apply(step.exact, early)) == told(apply(untried(step), mixed)) == exact
    cut = [[replace(page, records=page.records[1:], lines=None) for page in several]
           for several in (early, others)]  # fmt: skip
    assert told(apply(step.exact, cut[0])) == told(apply(step.exact, cut[1]))


def test_what_polars_does_not_take_is_decoded() -> None:
    text = MAPPING.replace("RECORDS", "results").replace("PAGINATION", "none")
    text = text.replace("from: o.x", "from: '\"#row\"'")
    step = compile_plan(read_mapping(text.encode(), "paths.yaml"), {}).steps[0]
    assert isinstance(step.selector, CompiledSelector)
    step = replace(step, selector=replace(step.selector, worth=1))
    records = [{"id": str(at), "#row": "x"} for at in range(40)]
    assert demand_equal(step, [json.dumps({"results": records}).encode()]) == 0


def test_a_batch_of_which_arrow_may_read_nothing_is_decoded() -> None:
    body = json.dumps([{"id": str(at), "a": "x\0"} for at in range(40)]).encode()
    assert demand_equal(STEPS["@"], [body]) == 0


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("expression", "most", "others"),
    [
        ("type(o)", {}, [{"x": 1}, {"y": [1]}]),
        ("o[0][0].x", [[{"x": "s"}]], [[[{"y": 1}]], [[{"z": [1]}]]]),
        ("o[*].type(@) | [0]", [{}], [[{"x": 1}], [{"y": [1]}]]),
    ],
)
def test_objects_may_hold_what_no_field_reads(
    expression: str, most: object, others: list[object]
) -> None:
    text = MAPPING[: MAPPING.index("      a:")] + f"      t: {{from: '{expression}'}}\n"
    text = text.replace("RECORDS", "results").replace("PAGINATION", "none")
    step = compile_plan(read_mapping(text.encode(), "paths.yaml"), {}).steps[0]
    objects = {3: others[0], 200: 5, 350: others[1]}
    rows = [{"id": str(at), "o": objects.get(at, most)} for at in range(400)]
    assert demand_equal(step, [json.dumps({"results": rows}).encode()]) == 399


@pytest.mark.compiled
def test_lists_of_nothing_but_nulls_where_no_field_reads_do_no_harm() -> None:
    text = MAPPING[: MAPPING.index("      a:")] + "      t: {from: o.x}\n"
    step = compile_plan(
        read_mapping(
            text.replace("RECORDS", "'@'").replace("PAGINATION", "none").encode(), "p.yaml"
        ),
        {},
    ).steps[0]
    assert isinstance(step.selector, CompiledSelector)
    step = replace(step, selector=replace(step.selector, worth=1))
    rows = [
        *({"id": f"1{at}", "o": {"x": "a", "c": []}} for at in range(41)),
        {"id": "2", "o": None, "z": 1},  # of which the sample has none
        {"id": "3", "o": {"x": "b", "c": []}, "z": []},
        {"id": "4", "o": {"x": "c", "c": [None, None]}},
    ]
    assert demand_equal(step, [json.dumps(rows).encode()]) == 43


# --- hostile answers --------------------------------------------------------------------------

blanks = st.sampled_from(["", "", "", " ", "\n", "\r\n\t "])
texts = st.sampled_from(
    ['""', '" "', '"x"', '"Zoë"', '"long text"', '"12"', '"1.50"', '"1e2"', '"true"', '"\\u00e9"',
     '"\\ud83d\\ude00"', '"a\\"b\\\\"', '"]}"', '"2024-01-01"', '"\u2003"', '"\\u2028x"']
)  # fmt: skip
numbers = st.sampled_from(
    ["0", "7", "-1", "12", "1.5", "1.10", "99.999", "-0", "-0.0", "1.0", "5e-1", "1e2", "1E+3",
     "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
     "1" * 40, "0.1000000000000000055", "1e308", "1e309", "1E400", "1e-400", "1e-500", "1" * 400]
)  # fmt: skip
words = st.sampled_from(["true", "false", "null", "null"])
odd = st.sampled_from(
    ['"\\u0000"', '"\\ud800"', "NaN", "-Infinity", "01", "tru", '"\\x"', "1" * 4400]
)
leaves = st.one_of(texts, numbers, words)
names = st.sampled_from(
    ['"id"', '"a"', '"\\u0061"', '"n"', '"f"', '"d"', '"b"', '"o"', '"l"', '"x"', '"zz"', '""',
     '"p"', '"#given"', '"#\\u0067iven"', '"\\u0023given"']
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]"),
        st.lists(st.tuples(names, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        ),
        inner.map(lambda each: "[" * 30 + each + "]" * 30),
    ),
    max_leaves=5,
)


@st.composite
def records(draw: st.DrawFn) -> str:
    """Draw a record as most are, and of some an entry that is not so."""
    number = draw(st.integers(0, 99))
    entries = [
        ('"id"', f'"k{number}"'),
        ('"a"', draw(st.sampled_from(['"x"', '"yy"', '"four"', "null", '" "']))),
        ('"n"', draw(st.sampled_from(["1", "-2", "30", "null"]))),
        ('"f"', draw(st.sampled_from(["1.5", "0.1", "101.25", "null", "3"]))),
        ('"d"', draw(st.sampled_from(['"1.10"', '"12"', '"1.234"', "null"]))),
        ('"b"', draw(st.sampled_from(["true", "false", "null"]))),
        ('"o"', draw(st.sampled_from(['{"x":"s"}', '{"x":"t","p":{"q":2.5}}', "null", "{}"]))),
        ('"l"', draw(st.sampled_from(['[{"y":"u"}]', "[]", "null", '[{"y":"v"},{"y":"w"}]']))),
    ]
    if draw(st.integers(0, 5)) == 0:
        entries.append((draw(names), draw(values)))
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(entries) - 1))
        entries[at] = (entries[at][0], draw(values))
    if draw(st.integers(0, 9)) == 0:
        del entries[draw(st.integers(0, len(entries) - 1))]
    blank = draw(blanks)
    return "{" + ",".join(f"{blank}{name}{blank}:{value}{blank}" for name, value in entries) + "}"


@st.composite
def answers(draw: st.DrawFn, where: str) -> bytes:
    """Draw an answer's bytes: mostly sound, some not quite, a few not JSON at all."""
    several = draw(st.lists(records(), max_size=12))
    kind = draw(st.integers(0, 11))
    if kind == 0:
        several.append(draw(st.one_of(values, odd)))
    blank = draw(blanks)
    listed = f"{blank}[{blank}{f'{blank},{blank}'.join(several)}{blank}]{blank}"
    beside = draw(
        st.sampled_from(['"paging":{"next":"t2"}', '"paging":null', '"paging":{"next":5}'])
    )
    document = {
        "results[]": f'{{{beside},"results":{listed}}}',
        "keyset": f'{{"data":{{"items":{listed},"more":1}},{beside}}}',
        "@": listed,
        "quoted": f'{{"a\\"b":{listed},"ne\\"xt":"t2"}}',
    }[where]
    if kind == 1:
        document = draw(st.sampled_from([
            document.replace('"results"', '"r\\u0065sults"'), document.replace('"items"', '"item"'),
            f"{{{beside},{document[1:]}", document.replace('"paging":', '"x":1e400,"paging":'),
            document + "x", document[:-1], "\ufeff" + document, '"' + document,
            document.replace('"data"', '"data":{"items":[{"id":"z"}]},"data"'),
            document.replace('"results"', '"results":[{"id":"z"}],"results"'),
        ]))  # fmt: skip
    body = document.encode()
    if kind == 2 and body:
        at = draw(st.integers(0, len(body) - 1))
        body = (
            body[:at]
            + draw(st.sampled_from([b"\xff", b"\xed\xa0\x80", b"\0", b"}", b"\\", b'"', b" "]))
            + body[at + 1 :]
        )
    return document.encode("utf-16") if kind == 3 and draw(st.booleans()) else body


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Draw lines, most of them sound records, and some blank, broken, or no record."""
    odd_ones = st.one_of(
        blanks, values, odd, records().map(lambda each: each[:-1]),
        st.sampled_from(["x", "\x0b", "\xa0", "\ufeff{}", "{} {}", '{"id":"k1","id":"k2"}']),
        st.sampled_from(['{"id":"n","f":NaN}', '{"f":-Infinity,"id":"NaN"}', '{"a":"\\udc00"}']),
        st.tuples(st.sampled_from(["\xa0", "\x0b", "\ufeff"]), records()).map("".join),
    )  # fmt: skip
    plain = records().map(lambda each: each.replace("\n", " "))
    several = draw(st.lists(st.one_of(plain, plain, plain, odd_ones), max_size=12))
    body = draw(st.sampled_from(["\n", "\r\n", "\n\n"])).join(several).encode()
    at = draw(st.integers(0, 3 * len(body)))
    if at < len(body):
        body = body[:at] + draw(st.sampled_from([b"\xff", b"\0", b'"', b"\n"])) + body[at + 1 :]
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + body


@st.composite
def reads(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    where = draw(st.sampled_from(sorted(STEPS)))
    bodies = lines() if where == "lines" else answers(where)
    return where, draw(st.lists(bodies, min_size=1, max_size=3))


@settings(max_examples=EXAMPLES, deadline=None)
@given(reads())
@example(
    (
        "@",
        [b"[" + b",".join([b'{"id":"1","f":1.5,"f":2}', b'{"id":"2","zz":{"q":1,"q":1}}']) + b"]"],
    )
)
@example(("@", [b'[{"id":"1","a":"\\u0000"},{"id":"2","a":"x"}]']))
@example(
    ("@", [b'[{"id":"1","#given":{"t":5}},{"id":"2","\\u0023given":1},{"#given":1,"#given":1},{}]'])
)
@example(("@", [b'[{"id":"1"},{"id":"2","l":' + b"[" * 900 + b"]" * 900 + b"}]"]))
def test_both_paths_give_one_outcome(read: tuple[str, list[bytes]]) -> None:
    where, bodies = read
    demand_equal(untried(STEPS[where]), bodies)


# --- files ------------------------------------------------------------------------------------


def read_file(step: Step, file: Local, position: str | None = None) -> tuple[list[Page], str]:
    """Return the pages of a file from a position, and what stopped reading, if anything did."""
    pages: list[Page] = []
    try:
        for page in read_documents(step, file, position):
            pages.append(with_given(page, {"t": file.name}))  # noqa: PERF401  (those before an error count)
    except SourceError as error:
        return pages, str(error)
    return pages, ""


@settings(max_examples=EXAMPLES, deadline=None)
@given(reads())
@example(("lines", [b'\xef\xbb\xbf{"id":"1"}\r\n\r\n[1]\n{"id":"2","id":"3"}\n"x\n{"f":NaN}' * 3]))
@example(("@", [b'\xef\xbb\xbf[7,{"id":"1"},{"id":"2","id":"3"},{"id":"4"},8,null,{"id":"5"}]']))
@example(("@", [b"[]"]))
def test_both_paths_read_one_file(read: tuple[str, list[bytes]]) -> None:
    where, (body, *_) = read
    step = FILES[where]
    with NamedTemporaryFile() as opened:
        opened.write(body)
        opened.flush()
        file = Local(path=Path(opened.name))
        pages, stopped = read_file(step, file)
        others, why = read_file(step.exact, file)
        assert stopped == why
        places = [(page.number, page.fetched, page.position) for page in pages]
        assert places == [(page.number, page.fetched, page.position) for page in others]
        if not pages:
            return
        assert told(apply(step, pages)) == told(apply(step.exact, others))
        # Where one was interrupted, the other may go on.
        rest, _ = read_file(step, file, pages[0].position)
        if pages[0].position is not None:
            assert told(apply(step, rest)) == told(apply(step.exact, others[1:]))


# --- and the quick path is taken ---------------------------------------------------------------


def people(count: int, **odd: str) -> bytes:
    """Return an answer of so many plain records, some of them with an entry more."""
    rows = [
        f'{{"id": "{at}", "a": "x", "n": {at}, "f": {at}.5, "b": true, "d": "1.10"'
        + (f", {odd[f'at{at}']}" if f"at{at}" in odd else "") + "}"
        for at in range(count)
    ]  # fmt: skip
    return f'{{"paging": {{"next": "t"}}, "results": [{", ".join(rows)}]}}'.encode()


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("odd", "exact"),
    [
        ({}, 0),
        ({"at500": '"o": {"x": "s"}'}, 0),
        ({"at100": '"zz": 1', "at150": '"zz": 1.5', "at900": '"zy": [{"q": 1}]'}, 0),
        ({"at100": '"o": {"x": 5}', "at700": '"o": {"x": "s"}'}, 1),
        ({"at100": '"zz": 1', "at150": '"zz": "x"', "at151": '"zz": 2'}, 1),
        ({"at7": '"a": "y"', "at333": '"o": {"x": 1, "x": 1}'}, 2),
        ({"at599": '"zz": "\\u0000"'}, 1),
        ({"at42": f'"o": {{"p": {{"q": 0.1{"0" * 4000}}}}}'}, 1),
        ({"at43": f'"o": {{"p": {{"q": 0.1{"0" * 3800}}}}}'}, 0),
    ],
)
def test_only_the_records_that_do_not_fit_are_decoded(odd: dict[str, str], exact: int) -> None:
    step = untried(STEPS["results[]"])
    assert demand_equal(step, [people(600, **odd), people(400)]) == 1000 - exact


@pytest.mark.compiled
def test_what_no_field_reads_may_be_of_any_kind() -> None:
    mixed = [
        f'"o": {{"x": "s", "c": [{at}, "x", {{"q": null}}]}},\n"zz": {at if at % 3 else "[[]]"}'
        for at in range(800)
    ]
    for at, odd_one in enumerate(
        ['"zz": {"q": 1, "q": 2}', '"zz": {}, "zz": 5', '"o": {"c": [{"q": 1, "\\u0071": 1}]}',
         '"zz": "\\u0000", "o": {"c": "\\u0000"}', '"o": {"p": {"q": 1.5}, "c": [1e400, 1.5E1]}']
    ):  # fmt: skip
        mixed[100 * at + 77] = odd_one
    body = people(800, **{f"at{at}": each for at, each in enumerate(mixed)})
    assert demand_equal(untried(STEPS["results[]"]), [body]) == 797


def test_where_most_records_are_odd_little_time_is_lost_on_them() -> None:
    mixed = {f"at{at}": f'"o": {{"x": {at if at % 2 else "true"}}}' for at in range(1000)}
    assert demand_equal(STEPS["results[]"], [people(1000, **mixed)]) < 100


@pytest.mark.compiled
def test_where_all_was_odd_few_batches_are_tried_until_one_is_sound() -> None:
    luck = Luck()
    tried = []
    for _ in range(200):
        tried.append(luck.tries())
        if tried[-1]:
            luck.learn(0, 500)
    assert [at for at, each in enumerate(tried) if each] == [0, 2, 6, 14, 30, 62, 126, 191]
    step = untried(STEPS["results[]"])
    odd = people(1100, **{f"at{at}": '"zz": {"q": 1, "q": 2}' for at in range(1100)})
    assert [demand_equal(step, [odd]) for _ in range(3)] == [0, 0, 0]
    assert [demand_equal(step, [people(1100)]) for _ in range(5)] == [0, 0, 0, 1100, 1100]


def test_entries_whose_names_are_data_are_not_gathered_without_end() -> None:
    body = json.dumps(
        [{"id": str(n), "by": {f"k{n}.{m}": m for m in range(50)}} for n in range(800)]
    )
    assert demand_equal(STEPS["@"], [body.encode()]) < 400
