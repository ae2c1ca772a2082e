"""XML that is taken apart by columns gives what its elements give, or is left to them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from crmmap.extract.xml_body import NotXml, whole
from crmmap.extract.xml_mend import mended
from crmmap.extract.xml_quick import by_columns
from crmmap.loop.packing import pack, unpack
from crmmap.redact import Redactor
from crmmap.select.walk import Walk, walk_of, way_of
from crmmap.select.xml_parsing import around
from crmmap.select.xml_records import XmlRecords, xml_records
from crmmap.select.xpath import Dialect, RecordPath, compile_record_path, compile_relative
from crmmap.values import Page, Secret

DIALECT = Dialect(namespaces={"d": "urn:d", "m": "urn:m"}, null_attribute="m:null")
PATHS = [
    compile_record_path(text, DIALECT, "/feed") for text in ("/feed/d:e/r", "/feed/r", "/feed/*/r")
]
WAYS = ["a", "d:a", "b", "r", "@k", "@m:null", "a/b", "d:a/b/a", "a/@k", "a/b/@k", "r/a", "r/@d:k"]
EXPRESSIONS = [compile_relative(each, DIALECT) for each in WAYS]
WALK = walk_of([way for way in map(way_of, EXPRESSIONS) if way], DIALECT.null_name)
ROOT = 'feed xmlns:d="urn:d" k="x" xmlns:m="urn:m" xmlns:z="z"'
SECRET = Secret("hidden<word>&")
EXAMPLES = int(os.environ.get("CRMMAP_LAW_EXAMPLES", "150"))

names = st.sampled_from(["a", "a", "b", "d:a", "r", "d:e", "c"])
marks = st.sampled_from(
    ["", "", "", "", ' m:null="true"', ' m:null=" 1 "', " m:null = 'true'", ' m:null="false"',
     ' k="v&amp;"', ' k=""', " d:k='w'", ' k="a&#10;b\tc\nd"', ' k="m:null=\'true\'"', "\n k='1'\n",
     ' k="a>b"', ' k="a/>"', ' xmlns:d="urn:d"', ' xmlns="urn:x"', ' xml:lang="en"', " "]
)  # fmt: skip
texts = st.sampled_from(
    ["", "", "x", "é &amp; 🙂", " ", "\n", "a>b", ">", ">>", "&#133;&#xd;", "&lt;a/&gt;", "\r\n",
     "\u00a0", "</a >", "a/>", '"', "\t]]", "<![CDATA[<a>]]>", "<!-- <a> -->", "<?p <a>?>", "\r",
     "&nbsp;", "&", "\x01"]
)  # fmt: skip
plain = st.sampled_from(["", "x", " é &amp; 🙂", "a>b", "\n", "&#133;", "\r\n", ">"])


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> str:
    odd = draw(st.integers(0, 19)) == 0
    name, mark = (
        draw(names),
        draw(marks if odd else st.sampled_from(["", ' k="v&amp;"', " ", ' m:null="1"'])),
    )
    if draw(st.booleans()):
        return f"<{name}{mark}/>"
    text = texts if odd else plain
    inner = [draw(text), *draw(st.lists(elements(depth - 1), max_size=3))] if depth else []
    return f"<{name}{mark}>{''.join(inner)}{draw(text)}</{name}>"


heads = st.sampled_from(
    ["", "", "", '<?xml version="1.0" encoding="utf-8"?>\n', "\ufeff", "<?xml version='1.0'?>",
     '<?xml version="1.0" encoding="latin-1"?>', "<!-- x -->", "<!DOCTYPE feed>", "\n", "x"]
)  # fmt: skip
roots = st.sampled_from(
    [ROOT, 'feed xmlns:m="urn:m" xmlns:d="urn:d"', 'feed xmlns:d="urn:d" xmlns:m="urn:m" k="a>b"',
     'd:feed xmlns:d="urn:d" xmlns:m="urn:m"', 'feed xmlns:d="urn:z" xmlns:m="urn:m"', "feed"]
)  # fmt: skip
holders = st.sampled_from(["d:e", "d:e", "a", "r"])


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Return a document in which hardly anything is out of the ordinary."""
    odd = draw(st.integers(0, 4)) == 0
    entries = []
    for _ in range(draw(st.integers(1, 6))):
        record = "".join(draw(st.lists(elements(), max_size=4)))
        mark, text = (draw(marks), draw(texts)) if odd else ("", draw(plain))
        several = f"<r{mark}>{record}</r>{text}" * draw(st.integers(0, 2))
        holder = draw(holders) if odd else "d:e"
        entries.append(f"<{holder}>{draw(plain)}{several}</{holder}>{draw(plain)}")
    root = draw(roots) if odd else ROOT
    inner = draw(plain).join(entries)
    head, tail = (draw(heads), draw(texts)) if odd else ("", "\n")
    return f"{head}<{root}>{inner}</{root.split()[0]}>{tail}".encode()


def demand_same(found: XmlRecords, body: bytes, path: RecordPath, walk: Walk) -> None:
    exact, root = whole(body, path, walk)
    records = [each for each in found if isinstance(each, dict)]
    assert [each["xml"] for each in records] == [each.text for each in exact]
    assert [list(row) for row in found.found.iter_rows()] == [each.row for each in exact]
    assert etree.tostring(around(found)) == etree.tostring(root)
    assert [found[at] for at in range(len(found))] == records
    assert list(found[1:]) == records[1:]


@settings(max_examples=EXAMPLES, deadline=None)
@given(bodies(), st.sampled_from(PATHS), st.sampled_from([40, 200, 10_000]))
def test_what_is_found_by_columns_stands_in_the_elements(
    body: bytes, path: RecordPath, window: int
) -> None:
    found = by_columns(body, path, WALK, least=0, window=window)
    if found is not None:
        demand_same(found, body, path, WALK)
        assert b"&#" in body or mended(body) == (body, 0)


@settings(max_examples=EXAMPLES, deadline=None)
@given(bodies(), st.data())
def test_a_document_that_is_broken_is_left_to_its_elements(
    body: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(body)))
    more = data.draw(st.sampled_from([b"", b"<", b">", b"&", b'"', b"/", b"\x00", b"\xff", b"<r>"]))
    broken = body[:at] + more + body[at + data.draw(st.integers(0, 3)) :]
    found = by_columns(broken, PATHS[0], WALK, least=0, window=100)
    if found is not None:
        demand_same(found, broken, PATHS[0], WALK)


RECORD = (
    '<r k="&lt;1%s"><a m:null="true"/><a>x</a><b>2 > 1 &amp; é</b><d:a k="z"><b><a>in</a></b>'
    "</d:a ><c/></r>\r\n"
)
OTHER = "<d:e><r/><c><r>no record</r></c></d:e><r>none</r>"


@pytest.mark.parametrize("window", [60, 500, 100_000])
def test_a_plain_document_is_read_by_columns(window: int) -> None:
    entry = f"<d:e>\n{RECORD}</d:e>{OTHER}" * 9
    text = f'\ufeff<feed xmlns:d="urn:d" xmlns:m="urn:m">{entry}</feed>\n'
    body = text.replace("%s", "&gt;").encode()
    found = by_columns(body, PATHS[0], WALK, least=0, window=window)
    assert found is not None
    assert len(found) == 18
    demand_same(found, body, PATHS[0], WALK)
    # Where would a start tag end that holds one?
    assert by_columns(text.replace("%s", ">").encode(), PATHS[0], WALK, least=0) is None


FEED = "<?xml version='1.0'?><feed xmlns:d='urn:d' xmlns:m='urn:m'>%s</feed>\n"
ENTRY = "<d:e><r><a>x</a>%s</r></d:e>"
BROKEN = [
    "<a><b></a></b>", "<a>", "</a>", "<a></b>", "<a/></a>", "<b><a></a></c>", "<a></a b='1'>",
    "<a></ a>", "<></>", "< a/>", "</r></d:e></feed><feed><d:e><r>", "<a k='1' k='2'/>", "<a k=1/>",
    "<a k='<'/>", "<a k='&'/>", "<q:a/>", "<a q:k='1'/>", "<a//>", "<a b/>", "<a>&</a>", "]]>",
    "<b>a]]></b>", "<b>a]]>b</b>", "<b>]]>></b>", "&nbsp;", "&#1;", "&#xFFFE;", "\x01", "\x00",
    "\ufffe", "\uffff", "<a k='\x0b'/>", "<a k='\uffff'/>", "<?xml version='1.0'?>", "<1/>",
    "<a <b>x></b>", "<a>b><<c></c>",
]  # fmt: skip


@pytest.mark.parametrize("odd", BROKEN)
def test_what_is_not_well_formed_is_never_read_by_columns(odd: str) -> None:
    assert_broken((FEED % (ENTRY % odd)).encode())
    # Nor where it stands in no record, or in another window than its beginning.
    assert_broken((FEED % (odd + ENTRY % "")).encode())
    assert_broken((FEED % (ENTRY % "" * 9 + odd + ENTRY % "" * 9)).encode())


@pytest.mark.parametrize("odd", ["x", "<a/>", "&#32;", ">", "\x00", "\x0c"])
def test_nothing_stands_after_the_root_nor_bytes_that_are_no_text(odd: str) -> None:
    feed = FEED % (ENTRY % "")
    assert_broken((feed + odd).encode())
    assert_broken((feed + odd + "\n").encode())
    assert_broken(feed.replace("x</a>", "\xe9</a>").encode("latin-1"))
    assert_broken(feed.replace("x</a>", "\ud800</a>").encode("utf-8", "surrogatepass"))
    assert_broken(feed.replace("?>", " encoding='us-ascii'?>").replace("x</a>", "é</a>").encode())
    assert_broken(feed.replace("'1.0'", "'1.0\"").encode())
    assert_broken(feed.replace("?>", "?>\x0c").encode())


def assert_broken(body: bytes) -> None:
    for window in (60, 100_000):
        assert by_columns(body, PATHS[0], WALK, least=0, window=window) is None
    with pytest.raises(NotXml):
        whole(body, PATHS[0], WALK)


@pytest.mark.parametrize("text", ["a>b", ">", "a>", ">>b", "a>b>", "1 > 0 &amp; ]>", "é>&#62;>"])
def test_a_text_may_hold_what_ends_tags(text: str) -> None:
    body = (FEED % (ENTRY % f"<b>{text}</b>{text}" * 99)).encode()
    found = by_columns(body, PATHS[0], WALK, least=0, window=900)
    assert found is not None
    demand_same(found, body, PATHS[0], WALK)


@pytest.mark.parametrize(
    "records",
    [
        ["<a>1</a><b>2</b>"] * 3, ["<a>1</a><a>2</a><b>3</b>"] * 3, ["<b/><c/>"] * 3,
        ["<a>1</a><b>2</b>", "<b>3</b><a>4</a>"], ["<a>1</a><b>2</b><a>3</a>", "<b>4</b>"],
        ["<a>1</a>", "", "<a>2</a><a>3</a>"], ["<a><a>1</a><b>2</b></a><b>3</b>"] * 3, [""] * 3,
        ["<a>1</a><b>2</b>", "<a>3</a><b>4</b>", "<a>5</a>", "<b>6</b><a>7</a><b>8</b>"],
    ],
)  # fmt: skip
def test_records_may_have_the_same_elements_in_the_same_order_or_not(records: list[str]) -> None:
    body = (FEED % "".join(f"<d:e><r>{each}</r></d:e>" for each in records)).encode()
    found = by_columns(body, PATHS[0], WALK, least=0)
    assert found is not None
    demand_same(found, body, PATHS[0], WALK)


@pytest.mark.parametrize("secret", ["", "hidden&lt;word>&amp;", "hidden&lt;word>&amp;&gt;"])
def test_the_archive_keeps_what_elements_say_and_no_secret(secret: str) -> None:
    records = "".join(f'<r k="{at}"><a>{at} > 1 &amp; é</a><b/></r>\n' for at in range(700))
    body = f'<feed xmlns:d="urn:d"><d:e>{records}<r>{secret}</r></d:e></feed>'.encode()
    found = by_columns(body, PATHS[0], WALK, least=0)
    assert found is not None
    page = Page(number=1, records=xml_records(found))
    kept = [unpack(each.codec, each.body) for each in pack(page, Redactor([SECRET]).clean)]
    raws = [raw for each in kept for raw in each.raws]
    assert raws == [page.raw(at) for at in range(701 - bool(secret))]
    assert [at for each in kept for at in each.places] == [*range(len(raws))]


@pytest.mark.parametrize("blank", ["\n", "\t", "\r\n"])
def test_an_attribute_that_is_broken_to_lines_hides_no_secret(blank: str) -> None:
    # It says a space there, so a secret would not be found in what was sent.
    body = f"""<feed><r k="1"\n b='a "{blank}secret'/></feed>""".encode()
    assert by_columns(body, PATHS[1], WALK, least=0) is None


def test_records_and_what_is_around_them_have_bounds() -> None:
    def document(text: str, around: str = "") -> bytes:
        return f"<feed>{around}<r><a>{text}</a></r></feed>".encode()

    path = compile_record_path("/feed/r", DIALECT)
    assert by_columns(document("x" * 200_000), path, WALK) is not None
    assert by_columns(document("x" * 200_000), path, WALK, most=200_000) is None
    assert by_columns(document("x" * 9_000_000), path, WALK) is None
    assert by_columns(document("", around="x" * 9_000_000), path, WALK) is None
    assert by_columns(document("", around="<x/>" * 2_500_000), path, WALK) is None
    quotes = b"<feed><r k='" + b'"' * 200_000 + b"'/></feed>"
    assert by_columns(quotes, path, WALK, most=500_000) is None
    for depth, read in ((253, True), (254, False), (300, False)):
        deep = b"<feed><r>" + b"<a>" * depth + b"<b/>" + b"</a>" * depth + b"</r></feed>"
        assert (by_columns(deep, path, WALK, least=0) is not None) == read
