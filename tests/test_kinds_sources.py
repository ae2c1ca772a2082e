"""Every authentication, pagination, format, source and retry, by its case file."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from types import SimpleNamespace

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from crmmap.errors import MappingError, SourceError
from crmmap.extract.body import BadBody
from crmmap.extract.csv_exact import exactly
from crmmap.extract.csv_quick import quickest
from crmmap.extract.decode import decode_json
from crmmap.extract.decoders import decoder_of
from crmmap.extract.files import CHUNK, CsvFile, Wanted, read_pages
from crmmap.extract.pages import page_of as page_of_answer
from crmmap.extract.regular_file import Local
from crmmap.kinds.auth import AUTH
from crmmap.kinds.caps import Cap
from crmmap.kinds.conversations import LoginStep
from crmmap.kinds.formats import Csv, Xml
from crmmap.kinds.incremental import INCREMENTAL
from crmmap.kinds.pagination import PAGINATION
from crmmap.kinds.retry import Retry
from crmmap.kinds.source import SOURCES
from crmmap.kinds.tokens import Denied, InMemory
from crmmap.plan import compile_plan
from crmmap.select.compiled import select_pages
from crmmap.select.document import ambiguous
from crmmap.select.elements import ElementCell, XPathSelector, walk_through
from crmmap.select.jmespath import compile_expression
from crmmap.spec import read_mapping
from crmmap.spec.languages import language_of
from crmmap.template import Template
from crmmap.values import AT, Page, Request, Response, Secret, as_json, fault_column
from test_kinds import cases

CANARY = "canary"
"""Stands in the case files where a value is that no message may repeat."""

RESPONSE = Response(status=200, headers={}, body=b"", url="https://api.example/v1/people")
PARTS = ("headers", "params", "form")


def asked(parts: dict) -> Request:
    pairs = {name: tuple(parts[name].items()) for name in PARTS if name in parts}
    return Request(**{"url": RESPONSE.url, **parts, **pairs})


def revealed(request: Request) -> Request:
    headers = {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in request.headers
    }
    return asked({"url": request.url, "method": request.method, "params": dict(request.params),
                  "headers": headers, "body": request.body, "safe": request.safe,
                  "form": {n: v.reveal() if isinstance(v, Secret) else v
                           for n, v in request.form}})  # fmt: skip


# --- authentication -----------------------------------------------------------------------------


def credentials(attributes: dict) -> dict:
    """Wrap what a mapping would take from secret settings."""
    wrapped = {
        "token": Secret,
        "keys": sealed,
        "headers": sealed,
        **dict.fromkeys(("username", "password", "key", "message", "client_id"), Secret),
        **dict.fromkeys(("client_secret", "refresh_token"), Secret),
        **dict.fromkeys(("access_key", "secret_key", "session_token"), Secret),
    }
    return {name: wrapped.get(name, same)(value) for name, value in attributes.items()}


def sealed(texts):
    return {name: Secret(text) for name, text in texts.items()}


def same(value):
    return value


def kind_of(word, attributes):
    """Make a kind of authentication; a login's headers are templates, not secrets."""
    if word == "choice":
        ways = {name: kind_of(each["kind"], {n: v for n, v in each.items() if n != "kind"})
                for name, each in attributes["of"].items()}  # fmt: skip
        return AUTH[word](by=attributes["by"], of=ways)
    if word == "oauth2":
        found = {name: compile_expression(text) for name, text in attributes.items()
                 if name in ("token", "expires_in")}  # fmt: skip
        return AUTH[word](**{**credentials(attributes), **found})
    if word != "steps":
        return AUTH[word](**credentials(attributes))
    steps = tuple(
        LoginStep(
            **{name: sealed(each) if name in ("headers", "json", "form") else each
               for name, each in step.items() if name not in ("take", "expires_in")},
            take={name: compile_expression(text) for name, text in step.get("take", {}).items()},
            expires_in=compile_expression(step["expires_in"]) if "expires_in" in step else None,
        )
        for step in attributes.get("steps", ())
    )  # fmt: skip
    templates = {
        place: {name: Template.parse(text) for name, text in attributes.get(place, {}).items()}
        for place in ("headers", "params")
    }
    return AUTH[word](**{**attributes, "steps": steps, **templates})


@pytest.mark.parametrize(("word", "case"), [*cases("auth")])
def test_auth(word, case):
    if "refuses" in case:
        with pytest.raises(ValueError, match=case["refuses"]):
            kind_of(word, case.get("with", {}))
        return
    tokens = InMemory(moment=case.get("now", 0.0))
    conversation = kind_of(word, case.get("with", {})).flow(asked(case.get("request", {})), tokens)
    sent = [next(conversation)]
    for each in case.get("answers", []):
        body = json.dumps(each.get("body")).encode()
        response = replace(RESPONSE, status=each.get("status", 200), body=body)
        if "denied" in each:
            with pytest.raises(Denied, match=re.escape(each["denied"])) as caught:
                conversation.send(response)
            assert CANARY not in str(caught.value)
            return
        sent.append(conversation.send(response))
    with pytest.raises(StopIteration):
        conversation.send(RESPONSE)
    assert [revealed(request) for request in sent] == [asked(each) for each in case["sends"]]


@pytest.mark.parametrize("word", AUTH)
def test_a_signed_request_does_not_show_its_headers_secrets(word):
    attributes = {
        "bearer": {"token": CANARY}, "api_key": {"keys": {"X-Key": CANARY}},
        "basic": {"username": CANARY, "password": CANARY},
        "hmac": {"key": CANARY, "message": CANARY, "headers": {"X-Sign": CANARY}},
        "oauth2": {"token_url": RESPONSE.url, "grant": "refresh_token", "client_id": CANARY,
                   "client_secret": CANARY, "refresh_token": CANARY},
        "steps": {"steps": [{"url": RESPONSE.url, "form": {"password": CANARY}}]},
        "sigv4": {"access_key": CANARY, "secret_key": CANARY, "session_token": CANARY,
                  "region": "r", "service": "s3"},
        "choice": {"by": "a", "of": {"a": {"kind": "bearer", "token": CANARY},
                                     "b": {"kind": "none"}}},
    }  # fmt: skip
    kind = kind_of(word, attributes.get(word, {}))
    assert CANARY not in repr(next(kind.flow(asked({}), InMemory())))
    assert CANARY not in repr(kind)


# --- pagination ---------------------------------------------------------------------------------


def paginated(word, attributes):
    names = ("token", "url", "pages", "more", "total", "from_")
    expressions = dict.fromkeys(names, compile_expression) | {"size": int, "first": int}
    attributes = {"from_" if name == "from" else name: each for name, each in attributes.items()}
    return PAGINATION[word](
        **{
            name: capped(value) if name == "cap" else expressions.get(name, str)(value)
            for name, value in attributes.items()
        }
    )


def capped(attributes):
    made = {"from": compile_expression, "write": Template.parse}
    given = {name: made.get(name, lambda each: each)(each) for name, each in attributes.items()}
    return Cap(**{"from_" if name == "from" else name: each for name, each in given.items()})


def page_of(parts):
    records = parts.get("records", 1)
    records = [{}] * records if isinstance(records, int) else records
    return Page(
        number=1,
        records=records,
        document=parts.get("document"),
        headers=parts.get("headers", {}),
    )


@pytest.mark.parametrize(("word", "case"), [*cases("pagination")])
def test_pagination(word, case):
    if "refuses" in case:
        with pytest.raises(ValueError, match=case["refuses"]):
            paginated(word, case["with"])
        return
    kind = paginated(word, case.get("with", {}))
    request, page = asked(case.get("request", {})), page_of(case["page"])
    if "error" in case:
        with pytest.raises(ValueError, match=re.escape(case["error"])) as caught:
            kind.next(request, page)
        assert CANARY not in str(caught.value)
        return
    expected = None if case["next"] is None else asked(case["next"])
    assert kind.next(request, page) == expected


WALKED = [
    pytest.param("none", {}, id="none"),
    pytest.param("token", {"token": "paging.next.after", "param": "after"}, id="token"),
    pytest.param("token", {"token": '"@next"', "param": "from"}, id="token-quoted"),
    pytest.param("link", {}, id="link"),
    pytest.param("link", {"rel": "more", "header": "X-More"}, id="link-named"),
    pytest.param("token", {"token": "next", "body": "paging.0.after"}, id="token-in-body"),
    pytest.param("token", {"token_header": "X-Next", "header": "X-After"}, id="token-in-header"),
    pytest.param("next_url", {"url": "links.next"}, id="next_url"),
    pytest.param("page", {"param": "page", "more": "has_more"}, id="page-more"),
    pytest.param("page", {"param": "page", "first": 0, "pages": "pages"}, id="page-pages"),
    pytest.param("offset", {"param": "skip", "total": "count"}, id="offset-total"),
    pytest.param("offset", {"body": "skip"}, id="offset-until-empty"),
    pytest.param("page", {"param": "page"}, id="page-until-empty"),
    pytest.param("keyset", {"from_": "id", "param": "after"}, id="keyset"),
]
CAPPED = {"records": 70, "from": "id", "param": "beyond"}
SHARED = {"records": 70, "from": "at", "body": "q.at", "unique": False, "write": "a{{ value }}"}
WALKED += [
    pytest.param("token", {"token": "next", "param": "p", "cap": CAPPED}, id="token-capped"),
    pytest.param("token", {"token": "next", "body": "p", "cap": SHARED}, id="token-capped-shared"),
    pytest.param("page", {"param": "page", "more": "more", "cap": CAPPED}, id="page-capped"),
    pytest.param("offset", {"param": "skip", "cap": CAPPED}, id="offset-capped"),
    pytest.param(
        "offset", {"param": "skip", "total": "n", "cap": CAPPED}, id="offset-capped-total"
    ),
]
OWN = [(), (("limit", "5"), ("status", "a&b=,<c>")), (("from", "1700000000"),)]


def test_every_pagination_is_walked():
    assert {parameter.values[0] for parameter in WALKED} == set(PAGINATION)


@pytest.mark.parametrize(("word", "attributes"), WALKED)
@settings(deadline=None)
@given(total=st.integers(0, 200), size=st.integers(1, 60), own=st.sampled_from(OWN))
def test_walking_the_answers_visits_every_record_once(word, attributes, total, size, own):
    kind = paginated(word, attributes)
    if any(name == attributes.get("param") for name, _ in own):
        own = ()  # the token's parameter is the source's to fill
    body = {"q": {"n": 1}, "paging": [{}]} if "body" in attributes else None
    first = Request(url=RESPONSE.url, params=own, headers=(("X-One", "1"),), body=body)
    request, visited, pages = first, [], 0
    while request is not None:
        pages += 1
        assert pages <= total + 2, "the walk has no end"
        assert set(own) <= set(request.params), "a later page asks for something else"
        assert request.url == first.url
        assert set(first.headers) <= set(request.headers)
        assert body is None or request.body["q"]["n"] == 1
        answer = kind.answer(request, total, size, found)
        assert answer.status == 200
        visited += range(answer.start, answer.stop)
        request = kind.next(request, told(answer))
    cap = attributes.get("cap", {"records": 0})
    if cap.get("unique") is False:
        assert [*dict.fromkeys(visited)] == [*range(total)]
        return
    assert visited == [*range(total)]
    # Where nothing says which page is the last, an empty one does.
    until_empty = (
        word == "keyset"
        or cap["records"]
        or (word in ("page", "offset") and not {"more", "pages", "total"} & {*attributes})
    )
    if not until_empty:
        assert pages == (1 if word == "none" else max(1, -(-total // size)))


def found(expression, text, *, written=None, after=True):
    """Find what `told` writes: a record's number, or that of the three that share a time."""
    write = written or str
    if expression.text == "id":
        return int(text) + 1
    at = next(at for at in range(0, 300, 3) if write(str(at // 3)) == text)
    return at + 3 if after else at


def test_a_source_gives_no_more_to_one_query_than_its_cap():
    kind = paginated("offset", {"param": "skip", "cap": CAPPED})
    at = {
        at: kind.answer(asked({"params": {"skip": str(at)}}), 200, 50, found) for at in (0, 50, 70)
    }
    assert (at[0].stop, at[50].stop, at[70].status) == (50, 70, 400)
    beyond = asked({"params": {"skip": "50", "beyond": "9"}})
    assert kind.answer(beyond, 200, 50, found).start == 60


def told(answer):
    """Return the page that an answer describes, with its tokens in their places."""
    document = {}
    for text, value in answer.document.items():
        *way, last = [name.strip('"') for name in text.split(".")]
        place = document
        for name in way:
            place = place.setdefault(name, {})
        if value is not None:
            place[last] = value
    headers = {name.lower(): value for name, value in answer.headers.items()}
    numbers = range(answer.start, answer.stop)
    records = [{"id": str(number), "at": str(number // 3)} for number in numbers]
    return Page(number=1, records=records, document=document, headers=headers)


@pytest.mark.parametrize("place", ["7000", "9" * 5000, "-1", "²", "x", ""])
@pytest.mark.parametrize(("word", "attributes"), WALKED)
def test_a_place_beyond_the_list_is_answered_within_it(word, attributes, place):
    kind = paginated(word, attributes)
    names = (attributes.get("param", "from_record"),)
    request = asked({"params": dict.fromkeys(names, place)})
    answer = kind.answer(request, 10, 4, lambda _, text: 7)
    assert 0 <= answer.start <= answer.stop <= 10


@given(
    header=st.text("<>;,=\"' \\relnxt?/:[]@%", max_size=60)
    | st.lists(st.sampled_from(["<", ">", ";", "rel", "=", "next", '"', ",", "\\", " "])).map(
        "".join
    )
)
def test_any_link_header_is_followed_or_ends_or_is_refused_in_our_words(header):
    told, following = "", None
    try:
        following = PAGINATION["link"]().next(asked({}), page_of({"headers": {"link": header}}))
    except ValueError as error:
        told = str(error)
    assert told in (
        "",
        "the link to the next page is empty, or not an address that can be read",
        "the header 'Link' can't be read as links (RFC 8288)",
    )
    assert following is None or ("<" in header and "next" in header)


# --- incremental --------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "case"), [*cases("incremental")])
def test_incremental(word, case):
    if "refused" in case:
        with pytest.raises(ValueError, match=re.escape(case["refused"])):
            INCREMENTAL[word](**case["with"]).cursor(case.get("seen"))
        return
    assert INCREMENTAL[word](**case["with"]).cursor(case["seen"]) == case["cursor"]


# --- retry --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "case"), [*cases("retry")])
def test_retry(word, case):
    """Full jitter: every wait lies anywhere between nothing and its bound."""
    retry = Retry(backoff=word, **case.get("with", {}))
    random.seed(11)
    draws = [[*retry.waits()] for _ in range(300)]
    bounds = case["bounds"]
    assert {len(waits) for waits in draws} == {len(bounds)} == {retry.attempts - 1}
    for bound, waits in zip(bounds, zip(*draws, strict=True), strict=True):
        assert 0 <= min(waits) <= 0.05 * bound
        assert 0.95 * bound <= max(waits) <= bound


def test_the_bounds_of_waits_are_those_documented():
    assert Retry() == Retry(attempts=6, base=1.0, longest=60.0, max_wait=600.0)
    assert 429 in Retry().statuses
    assert {500, 502, 503, 504} <= set(Retry().statuses)
    assert not {400, 401, 403, 404} & set(Retry().statuses)


# --- formats ------------------------------------------------------------------------------------


def written(case):
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    return case["text"].replace("LONG", "x" * case.get("long", 4)).encode(case.get("as", "utf-8"))


def of_format(wanted):
    return [parameter for parameter in cases("formats") if parameter.values[0] == wanted]


@pytest.mark.parametrize(("word", "case"), of_format("json"))
def test_json(word, case):
    answer = Response(
        status=case.get("status", 200), headers={}, body=written(case), url=RESPONSE.url
    )
    if "refuses" in case:
        with pytest.raises(BadBody, match=re.escape(case["refuses"])) as caught:
            decode_json(answer)
        assert CANARY not in str(caught.value)
        return
    document = decode_json(answer)
    assert as_json(document.value) == case["reads"]
    records = document.value if isinstance(document.value, list) else []
    doubtful = [at for at, record in enumerate(records) if ambiguous(record)]
    assert doubtful == case.get("doubtful", [])
    assert document.has_ambiguous is bool(doubtful)


@pytest.mark.parametrize("chunk_bytes", [CHUNK, 7], ids=["whole", "pieces"])
@pytest.mark.parametrize("way", [exactly, quickest], ids=["exactly", "quickest"])
@pytest.mark.parametrize(("word", "case"), of_format("csv"))
def test_csv(tmp_path, word, case, way, chunk_bytes):
    path = tmp_path / "people.csv"
    path.write_bytes(written(case))
    wanted = Wanted(headers=[("Id",), ("Name",)])
    file = CsvFile(file=Local(path=path), format=Csv(**case.get("with", {})), wanted=wanted)
    if "refuses" in case:
        with pytest.raises(SourceError, match=re.escape(case["refuses"])) as caught:
            [*read_pages(file, chunk_bytes=chunk_bytes, read_chunk=way)]
        assert CANARY not in str(caught.value)
        return
    pages = [*read_pages(file, chunk_bytes=chunk_bytes, read_chunk=way)]
    records = {
        line: list(row)
        for page in pages
        for line, row in zip(page.lines, page.records.rows(), strict=True)
    }
    refused = {each.at: each.reasons[0].rule for page in pages for each in page.refused}
    assert records == case["records"]
    assert refused == case.get("refused", {})
    assert all(set(page.records.dtypes) == {pl.String} for page in pages)
    assert sum(page.fetched for page in pages) == len(records) + len(refused)


LINED = """
crmmap: 1
name: lined
source: {kind: http, base_url: "https://api.example", format: ndjson}
streams: {each: {request: {path: /}, table: {name: lined, key: id}, fields: {id: id}}}
"""


@pytest.mark.parametrize("exact", [True, False], ids=["decoded", "bytes"])
@pytest.mark.parametrize(("word", "case"), of_format("ndjson"))
def test_ndjson(word, case, exact):
    body = written(case)
    answer = Response(
        status=case.get("status", 200), headers={"content-length": str(len(body))}, body=body,
        url=RESPONSE.url,
    )  # fmt: skip
    (step,) = compile_plan(read_mapping(LINED.encode(), "lined.yaml"), {}).steps
    step = step.exact if exact else step
    if "refuses" in case:
        with pytest.raises(BadBody, match=re.escape(case["refuses"])) as caught:
            decoder_of(step)(answer)
        assert CANARY not in str(caught.value)
        return
    page = page_of_answer(step, 1, answer, decoder_of(step)(answer))
    (page,) = select_pages(step.selector, [page]).pages
    found = {at: page.raw(index) for index, at in enumerate(page.lines)}
    assert found == case["reads"]
    refused = {each.at: each.reasons[0].rule for each in page.refused}
    assert refused == case.get("refused", {})


NAMESPACES = {"a": "urn:a", "m": "urn:m"}


def xml_step(case, *, walked):
    form = Xml(namespaces=NAMESPACES, null_attribute="m:null", **case.get("with", {}))
    language = language_of(form)
    sources = {"id": "id", "name": "name", **case.get("from", {})}
    cells = tuple(
        ElementCell(
            field=field,
            expressions=tuple(
                language.record(text) for text in ([each] if isinstance(each, str) else each)
            ),
        )
        for field, each in sources.items()
    )
    walk = walk_through(cells) if walked else None
    return SimpleNamespace(
        format=form, shape=(), records=language.records(case.get("path", "/feed/entry")),
        selector=XPathSelector(cells=cells, walk=walk), walk=walk,
    )  # fmt: skip


@pytest.mark.parametrize("walked", [True, False], ids=["walk", "xpath"])
@pytest.mark.parametrize(("word", "case"), of_format("xml"))
def test_xml(word, case, walked):
    answer = Response(
        status=case.get("status", 200), headers={}, body=written(case), url=RESPONSE.url
    )
    step = xml_step(case, walked=walked)
    if "refuses" in case or "fails" in case:
        kind, says = (
            (BadBody, case["refuses"]) if "refuses" in case else (SourceError, case["fails"])
        )
        with pytest.raises(kind, match=re.escape(says)) as caught:
            decoder_of(step)(answer)
        assert CANARY not in str(caught.value)
        assert getattr(caught.value, "again", None) is (
            case.get("again", True) if "refuses" in case else None
        )
        return
    decoded = decoder_of(step)(answer)
    page = page_of_answer(step, 1, answer, decoded)
    frame = step.selector.select(page)
    assert dict(zip(frame[AT], frame.select("id", "name").rows(), strict=True)) == {
        at: tuple(row) for at, row in case["records"].items()
    }
    faults = dict(frame.select(AT, fault_column("name")).rows()) if "faults" in case else {}
    assert faults == case.get("faults", {})
    assert page.mended == case.get("mended", 0)
    kept = [json.loads(page.raw(at)) for at in range(len(page.records))]
    again = step.selector.select(Page(number=1, records=kept))
    assert again["id"].to_list() == frame["id"].to_list()


def test_every_format_has_a_runner():
    assert {parameter.values[0] for parameter in cases("formats")} == {
        "json",
        "ndjson",
        "csv",
        "xml",
    }


# --- sources ------------------------------------------------------------------------------------


def mapping_with(word, source):
    reads = {
        "http": {"request": {"path": "/people"}},
        "files": {"file": "people.csv"},
        "sql": {"query": {"table": "people"}},
    }
    table = {"name": "people", "key": "id"}
    return {
        "crmmap": 1,
        "name": "demo",
        "settings": {"token": {"env": "TOKEN", "secret": True}, "host": {"default": "h.example"}},
        "source": source,
        "streams": {"people": {**reads[word], "table": table, "fields": {"id": "Id"}}},
    }


def told_apart(value):
    """Return an attribute as a case file writes it: a kind by the name of its class."""
    if hasattr(value, "__dataclass_fields__"):
        return type(value).__name__
    return [told_apart(each) for each in value] if isinstance(value, tuple) else value


def attribute(source, way):
    for name in way.split("."):
        source = getattr(source, name)
    return told_apart(source)


@pytest.mark.parametrize(("word", "case"), [*cases("source")])
def test_source(word, case):
    text = yaml.safe_dump(mapping_with(word, case["source"]), allow_unicode=True).encode()
    if "refuses" in case:
        with pytest.raises(MappingError) as caught:
            read_mapping(text, "mapping.yaml")
        found = [f"{'.'.join(map(str, each.path))} {each.rule}" for each in caught.value.problems]
        assert found == case["refuses"]
        assert CANARY not in str(caught.value)
        return
    source = read_mapping(text, "mapping.yaml").source
    assert type(source) is SOURCES[word]
    assert {way: attribute(source, way) for way in case["accepts"]} == case["accepts"]
