"""A walk through an XML record finds what XPath does, whatever the record looks like."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmmap.extract.xml_body import bare_of, one_by_one, pieces, whole
from crmmap.extract.xml_mend import mended
from crmmap.select.elements import Element, ElementCell, XPathSelector, plain_ways, walk_through
from crmmap.select.walk import Way, way_of
from crmmap.select.xpath import Dialect, compile_record_path, compile_relative
from crmmap.values import GIVEN, Page

DIALECT = Dialect(namespaces={"d": "urn:d", "m": "urn:m"}, null_attribute="m:null")
PATH = compile_record_path("/feed/d:entry/r", DIALECT, "/feed")
NAMES = ("a", "b", "d:a", "d:b")
EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "150"))

names = st.sampled_from(NAMES)
marks = st.sampled_from(
    ["", "", "", ' m:null="true"', ' m:null="1"', ' m:null=" true "', ' m:null = "true"',
     ' m:null="false"', ' m:null="true" k="z"', ' null="true"', ' k="v"', ' k=""', " d:k='w'",
     ' xml:lang="en"']
)  # fmt: skip
texts = st.sampled_from(
    ["", "", "x", "é &amp; 🙂", " ", "\n", "\u00a0", "&#133;", "<![CDATA[<a>]]>", "x<!-- y -->z",
     "<?p i?>", "&lt;a/>", "m:null=&quot;true&quot;", 'm:null="true"/>']
)  # fmt: skip


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> str:
    name, mark = draw(names), draw(marks)
    if draw(st.booleans()):
        return f"<{name}{mark}/>"
    inner = (
        draw(st.lists(st.one_of(texts, elements(depth - 1)), max_size=3))
        if depth
        else [draw(texts)]
    )
    return f"<{name}{mark}>{''.join(inner)}</{name}>"


ways = st.builds(
    lambda steps, attribute: "/".join([*steps, *attribute]) or "a",
    st.lists(names, max_size=3),
    st.sampled_from([[], [], ["@k"], ["@d:k"], ["@m:null"], ["@xml:lang"]]),
)
more = st.sampled_from(["a[1]", "string(a)", "count(a)", ".//b", "a | b", "@*", "a/text()"])
cells = st.lists(
    st.lists(st.one_of(ways, ways, ways, more), min_size=1, max_size=3), min_size=1, max_size=5
)
records = st.lists(st.builds("".join, st.lists(elements(), max_size=4)), max_size=4)


def document(inner: list[str]) -> bytes:
    entries = "".join(f'<d:entry><r k="own">{each}</r></d:entry>' for each in inner)
    return f'<feed xmlns:d="urn:d" xmlns:m="urn:m">{entries}<a>around</a></feed>'.encode()


@settings(max_examples=EXAMPLES, deadline=None)
@given(records, cells)
def test_a_walk_finds_what_xpath_finds(inner: list[str], texts: list[list[str]]) -> None:
    asked = tuple(
        ElementCell(
            field=f"f{at}", expressions=tuple(compile_relative(each, DIALECT) for each in several)
        )
        for at, several in enumerate(texts)
    )
    walk = walk_through(asked)
    exact = XPathSelector(cells=asked)
    body = document(inner)
    found, _ = one_by_one(pieces(body), PATH)
    expected = exact.select(Page(number=1, records=[each.record for each in found]))
    for read in (
        whole(body, PATH, walk),
        one_by_one(pieces(body), PATH, walk),
        one_by_one(pieces(body), PATH, walk, bare=bare_of(body, walk)),
    ):
        assert [each.text for each in read[0]] == [each.text for each in found]
        page = Page(number=1, records=[each.record for each in read[0]])
        assert XPathSelector(cells=asked, walk=walk).select(page).equals(expected)
        assert [each.tag for each in read[1].iter("{urn:d}entry", "a")] == [
            *["{urn:d}entry"] * len(found), "a",
        ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_what_is_marked_as_null_is_null_in_any_encoding(encoding: str) -> None:
    asked = (ElementCell(field="f", expressions=(compile_relative("a", DIALECT),)),)
    body = document(['<a m:null="true">x</a>']).decode()
    walk = walk_through(asked)
    found, _ = whole(f'<?xml version="1.0"?>{body}'.encode(encoding), PATH, walk)
    page = Page(number=1, records=[each.record for each in found])
    frame = XPathSelector(cells=asked, walk=walk).select(page)
    assert frame["f"].to_list() == [None]


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("a", Way(("a",))),
        ("d:a/b", Way(("{urn:d}a", "b"))),
        ("d:a/@m:null", Way(("{urn:d}a",), "{urn:m}null")),
        ("@k", Way((), "k")),
        ("a[1]", None), ("a//b", None), ("a/*", None), (".", None), ("a/text()", None),
        ("child::a", None), ("a/b | b", None), ("string(a)", None), ("'a'", None), ("1", None),
    ],
)  # fmt: skip
def test_names_alone_are_a_way(text: str, way: Way | None) -> None:
    assert way_of(compile_relative(text, DIALECT)) == way


def test_what_a_mapping_gives_stands_beside_what_was_walked() -> None:
    cell = ElementCell(field="a", expressions=(compile_relative("a", DIALECT),))
    assert plain_ways(cell) is not None
    found, _ = whole(document(["<a>x</a>"]), PATH, walk_through((cell,)))
    given_more = found[0].record | {GIVEN: {"b": "y"}}
    assert isinstance(given_more, Element)
    assert given_more.row == ["x"]
    assert dict(given_more) == {"xml": found[0].text, GIVEN: {"b": "y"}}


fragments = st.sampled_from(
    [b"&", b"&amp;", b"&lt;", b"&eacute;", b"&nbsp", b"&#", b"&#1;", b"&#x1F;", b"&#233;", b";",
     b"x", b"\x01", b"\x1f", b"\t", "é".encode(), b"<a>", b"amp;", b"&unknown;",
     b"&&", b"&#x110000;"]
)  # fmt: skip


@given(st.lists(fragments, max_size=8))
def test_a_document_is_mended_the_same_with_and_without_cdata_in_it(parts: list[bytes]) -> None:
    body, end = b"<r>" + b"".join(parts), b"<![CDATA[&]]>"
    text, count = mended(body)
    assert mended(body + end) == (text + end, count)
    assert mended(text) == (text, 0)
