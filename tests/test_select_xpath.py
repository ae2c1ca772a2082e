"""XPath: what is wrong with an expression is said before any record is met."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from crmmap.select.elements import ElementCell, XPathSelector
from crmmap.select.xpath import (
    Dialect,
    compile_record_path,
    compile_relative,
    compile_xpath,
    element_of,
)
from crmmap.values import Page

DIALECT = Dialect(namespaces={"d": "urn:d", "m": "urn:m"}, null_attribute="m:null")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not XPath 1.0"),
        ("a[", "is not XPath 1.0"),
        ("a b", "is not XPath 1.0"),
        ("a/x:b", "the prefix 'x', which `namespaces` does not name. It names: d, m"),
        ("a[x:b='1']", "the prefix 'x'"),
        ("document('file:///etc/passwd')", "the function 'document'"),
        ("a[re:test(., 'x')]", "the function 're:test'"),
        ("a[unknown(b)]", "the function 'unknown'"),
        ("$a", "there are no variables"),
        ("//a[//b[//c]]", "looks through the whole record"),
        ("a/descendant::b[.//c[.//d]]", "looks through the whole record"),
        ("a" * 1001, "is longer than 1000 characters"),
    ],
)
def test_what_is_wrong_with_an_expression_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="^(?s:.)*" + says.replace("(", r"\(")):
        compile_xpath(text, DIALECT)


@pytest.mark.parametrize("text", ["'a/x:b'", "a[.='f(x)']", 'a[@d:x="$y"]', "xml:lang", "a | b"])
def test_what_stands_in_quotes_is_no_name(text: str) -> None:
    compile_xpath(text, DIALECT)


@pytest.mark.parametrize("text", ["/d:a", "//d:a", "../d:a", "ancestor::d:a", "preceding::d:a"])
def test_a_field_can_not_leave_its_record(text: str) -> None:
    with pytest.raises(ValueError, match="leaves the record"):
        compile_relative(text, DIALECT)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@", "must be the way from the root"),
        ("a/b", "must be the way from the root"),
        ("//b", "must be the way from the root"),
        ("/a//b", "must be the way from the root"),
        ("/a[@x]/b", "must be the way from the root"),
        ("/a/@b", "must be the way from the root"),
        ("/a/b/text()", "must be the way from the root"),
        ("count(/a/b)", "must be the way from the root"),
        ("/a/b[1]", "the place of a record"),
        ("/a/b[position() < 3]", "the place of a record"),
        ("/a/x:b", "the prefix 'x'"),
    ],
)
def test_what_is_wrong_with_the_way_to_the_records_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        compile_record_path(text, DIALECT)


@pytest.mark.parametrize("container", ["/d:a/d:b/d:c", "/d:b", "/d:a/d:c", "/a"])
def test_a_container_is_where_the_way_to_the_records_begins(container: str) -> None:
    with pytest.raises(ValueError, match=f"the format's `container`, '{container}'"):
        compile_record_path("/d:a/d:b/d:c", DIALECT, container)


def test_the_way_to_the_records_is_told_from_its_conditions() -> None:
    path = compile_record_path("/d:a/*/d:c[@x='/]']", DIALECT)
    assert path.tags == ("{urn:d}a", "*", "{urn:d}c")
    root = etree.fromstring('<a xmlns="urn:d"><b><c x="/]"/><c/></b></a>')
    assert [(path.leads_to(each), path.takes(each)) for each in root[0]] == [
        (True, True), (True, False),
    ]  # fmt: skip
    assert not path.leads_to(root[0])


names = st.sampled_from(["id", "name", "d:x", "m:y"])
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


@settings(deadline=None)
@given(st.lists(st.tuples(names, texts), max_size=5))
def test_a_text_comes_out_as_it_went_in(pairs: list[tuple[str, str]]) -> None:
    root = etree.Element("record")
    for name, text in pairs:
        etree.SubElement(root, DIALECT.clark(name)).text = "".join(
            each for each in text if each not in "\ufffe\uffff"
        )
    record = {"xml": etree.tostring(root, encoding="unicode")}
    cells = tuple(
        ElementCell(field=name.replace(":", "_"), expressions=(compile_relative(name, DIALECT),))
        for name in ("id", "name", "d:x", "m:y")
    )
    frame = XPathSelector(cells=cells).select(Page(number=1, records=[record]))
    for cell in cells:
        first = next((each for each in root if each.tag == DIALECT.clark(
            cell.expressions[0].text)), None)  # fmt: skip
        found = frame[cell.field][0]
        assert found == (None if first is None else first.text or "")


@pytest.mark.parametrize("text", ["<a>", "no XML", "<a/>… cut: 70000 characters"])
def test_a_record_that_was_cut_is_no_element(text: str) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        element_of({"xml": text})


def test_an_element_is_taken_whole_by_a_field_that_takes_objects() -> None:
    record = {"xml": '<r xmlns:m="urn:m"><a k="1"><b>x</b><b>y</b><c m:null="true"/><d/></a></r>'}
    cell = ElementCell(field="a", expressions=(compile_relative("a", DIALECT),), whole=True)
    frame = XPathSelector(cells=(cell,)).select(Page(number=1, records=[record]))
    assert frame["a"][0] == '{"@k":"1","b":["x","y"],"c":null,"d":""}'
