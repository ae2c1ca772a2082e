import json
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crmmap.extract.body import BadBody
from crmmap.extract.decode import decode_json
from crmmap.select.document import Ambiguous, Document, NotANumber, ambiguous
from crmmap.select.strict import read_document, read_json, read_sound_bytes
from crmmap.values import Response, as_json


def response(body: bytes, status: int = 200, kind: str = "application/json") -> Response:
    return Response(
        status=status, headers={"content-type": kind}, body=body, url="https://api.example/x"
    )


def value(text: str) -> object:
    return decode_json(response(text.encode())).value


scalars = st.none() | st.booleans() | st.integers() | st.text()
values = st.recursive(scalars, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=9)


@given(values, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"]))
def test_a_document_is_read_in_every_unicode_encoding(document: object, encoding: str) -> None:
    body = json.dumps(document).encode(encoding)
    assert decode_json(response(body)) == Document(document)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_numbers_keep_their_digits(number: Decimal) -> None:
    found = value(f"{number:f}")
    assert isinstance(found, Decimal)
    assert str(found) == f"{number:f}"


def test_zeros_and_big_integers_are_kept() -> None:
    assert [str(each) for each in value("[1.10, 0.0, 9007199254740993, 1e3]")] == [  # type: ignore[attr-defined]
        "1.10", "0.0", "9007199254740993", "1E+3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e401",
        "1e-401",
        "1e99999999999999999999",
        "0." + "1" * 4000,
    ],
)
def test_numbers_that_no_column_holds_are_marked(text: str) -> None:
    found = value(f'{{"x": {text}}}')
    assert found["x"] == NotANumber(text)  # type: ignore[index]


def test_an_integer_beyond_pythons_limit_is_marked_and_the_others_are_not() -> None:
    found = value("[" + "9" * 4301 + ", 7, -" + "9" * 4300 + "]")
    assert isinstance(found, list)
    assert isinstance(found[0], NotANumber)
    assert str(found[0]) == "9" * 4301
    assert found[1] == 7
    assert found[2] == -(10**4300 - 1)


def test_an_object_with_a_key_twice_is_marked_wherever_it_stands() -> None:
    document = decode_json(response(b'{"results": [{"id": 1}, {"p": {"a": 1, "a": 2}}]}'))
    assert document.has_ambiguous
    one, two = document.value["results"]  # type: ignore[index]
    assert not ambiguous(one)
    assert ambiguous(two)
    assert isinstance(two["p"], Ambiguous)
    assert two["p"] == {"a": 2}
    assert as_json(two) == '{"p":{"a":1,"a":2}}'
    assert not decode_json(response(b'{"a": {"a": 1}}')).has_ambiguous


def test_a_single_text_is_read_by_the_same_rules() -> None:
    found = read_json('{"a": 1.10, "b": NaN, "c": {"x": 1, "x": 2}}')
    assert str(found["a"]) == "1.10"  # type: ignore[index]
    assert found["b"] == NotANumber("NaN")  # type: ignore[index]
    assert ambiguous(found)
    with pytest.raises(ValueError):
        read_json("{")


def test_searching_for_doubtful_objects_does_not_recurse() -> None:
    deep: object = Ambiguous([])
    for _ in range(100_000):
        deep = [deep]
    assert ambiguous(deep)
    while isinstance(deep, list):  # taken apart gently: freeing it at once recurses too
        deep = deep.pop()


def test_no_content_is_no_document() -> None:
    assert decode_json(response(b"", status=204)) == Document(None)


@pytest.mark.parametrize(
    ("body", "message", "again"),
    [
        (b"", "empty body", True),
        (b" \n", "empty body", True),
        (b'{"a": 1}garbage', "something more after its end (line 1 column 9)", True),
        (b'{"a": 1', "cut short", True),
        (b'{"a": "tex', "cut short", True),
        (b'{"a":', "cut short", True),
        (b"{'a': 1}", "not well formed (line 1 column 2)", True),
        (b'{"a": "\xff"}', "not utf-8 text", True),
        (b'{"a": "\xed\xa0\xbd"}', "not utf-8 text", True),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep", False),
        (b"<html><title>\n Log&amp;in </title>", "got application/json, title 'Log&in'", False),
        (b"<error/>", "got application/json (status 200)", False),
    ],
)
def test_anything_else_is_refused_in_clear_words(body: bytes, message: str, again: bool) -> None:
    with pytest.raises(BadBody) as caught:
        decode_json(response(body))
    assert message in str(caught.value)
    assert "https://api.example/x: expected JSON, got" in str(caught.value)
    assert caught.value.again is again


@pytest.mark.parametrize("blank", [b"", b" "])
def test_at_the_edge_of_what_is_too_deep_there_are_words_too(blank: bytes) -> None:
    refused = []
    for depth in range(500, 1100):
        try:
            decode_json(response(blank + b"[" * depth + b"1" + b"]" * depth))
        except BadBody as error:
            assert "nested too deep" in str(error)  # noqa: PT017  (most are not refused)
            refused.append(depth)
    assert refused == [*range(refused[0], 1100)]


def test_a_page_for_people_is_called_what_it_is() -> None:
    page = response(b"<!doctype html><TITLE>Log in</TITLE>", kind="text/html; charset=utf-8")
    with pytest.raises(BadBody, match=r"expected JSON, got text/html, title 'Log in'"):
        decode_json(page)


def test_the_declared_type_and_charset_do_not_matter() -> None:
    assert decode_json(response('["ü"]'.encode(), kind="text/plain; charset=latin-1")).value == [
        "ü"
    ]


@given(st.binary(max_size=60))
def test_any_bytes_give_a_document_or_a_bad_body_in_one_line(body: bytes) -> None:
    message = ""
    try:
        decode_json(response(body))
    except BadBody as error:
        message = str(error)
    assert message.isprintable()


# --- sooner, and the same -----------------------------------------------------------------------

NAMES = [
    '"a"',
    '"\\u0061"',
    '"b"',
    '":"',
    '"\\":"',
    '"\\u0022:"',
    '"\\"\\u003A"',
    '"\\\\"',
    '"\u00eb"',
]
LEAVES = [
    *NAMES, "0", "-0", "-7", "1.10", "1E2", "-0.0", "1e999", "9" * 25, "9" * 5000, "true", "null",
    "NaN", "01",
    '"\\/"', '"\\u0000"', '"\\ud800"', '" : "', '"\x01"', "\xa0", "[" * 1200 + "]" * 1200,
]  # fmt: skip
space = st.sampled_from(["", "", "", " ", "\n\t", "\r"])
json_texts = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]"),
        st.lists(st.tuples(st.sampled_from(NAMES), space, inner, space), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{a}{b}:{b}{c}{d}" for a, b, c, d in pairs) + "}"
        ),
    ),
    max_leaves=8,
)


@given(json_texts)
@example('{"a":{"a":1,"a" :2},"b":"\\u0022:"}')
@example('{"a":1,"a":2,"b":1e999}')
@example('{"a":1, "a":2, "b":"\\"\\u003a"}')
@example('{"a":1,"a":2,"\\"\\u003A":3}')
def test_what_is_read_sooner_is_what_is_read_exactly(text: str) -> None:
    found = read_sound_bytes(text.encode())
    try:
        exact = read_document(text)
    except (ValueError, RecursionError):
        assert found is None
    else:
        assert found is None or repr(found) == repr(exact)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":{"b":[1,-0.50,"x"],"c":null}}', '{ "a" : [\n{"b" :\t1e2 } ] }',
        '{"a":"\\u00e9 \\/ : ","\\"":1.10}',
    ],
)  # fmt: skip
def test_most_documents_are_read_sooner(text: str) -> None:
    assert read_sound_bytes(text.encode()) == read_document(text)
