"""Rules for answers, carried out over real HTTP: what is asked next, what is read, what is told."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmmap.errors import ExitCode, SourceError, SourceUnreachable, Throttled
from crmmap.events import RunReport, StreamReport
from crmmap.extract.asker import Asker
from crmmap.extract.responses import read_responses
from crmmap.extract.ruling import Skipped
from crmmap.kinds.actions import ACTIONS
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.retry import Retry
from crmmap.plan import compile_plan
from crmmap.report.parts import rendered
from crmmap.report.plan import plan_document, plan_parts
from crmmap.select.jmespath import compile_expression
from crmmap.values import Page, Request, Secret
from fault_server import Answer, FaultServer, Seen, answer
from invented import load, mapping, sqlite
from test_extract_client import Hourglass, get, meeting

OK = answer(b'{"rows": [1]}')


def rule(word: str, *, status: Sequence[int] = (), body: str | None = None, **given: object):
    then = ACTIONS[word](**given)
    asked = None if body is None else compile_expression(body)
    return ResponseRule(status=tuple(status), body=asked, then=then)


def send(*answers: Answer, rules: Sequence[ResponseRule], own: Sequence[ResponseRule] = (), **more):
    """Send one request; return what was asked, the asker's account, and the error, if any."""
    asker = Asker(stream="people", rules=tuple(own))
    params = (("limit", "100"),)
    with meeting(*answers, responses=tuple(rules), **more) as (server, client, waits):
        error = None
        try:
            client.read(get(f"{server.url}/people", params=params), lambda _: None, asker)
        except SourceError as caught:
            error = caught
    return [seen.target for seen in server.requests], asker.account.troubles(), error, waits


def test_the_first_rule_that_fits_decides_and_the_streams_come_first() -> None:
    own = [rule("retry", status=[404])]
    source = [rule("fail", status=[404], message="no"), rule("skip", status=[404])]
    asked, met, error, _ = send(answer(b"", 404), OK, rules=source, own=own)
    assert (len(asked), met.retries, error) == (2, 1, None)
    _, _, error, _ = send(answer(b"", 404), OK, rules=source)
    assert "no (rule 1 in the source's `responses`)" in str(error)
    _, _, error, _ = send(answer(b"", 404), OK, rules=source[1:])
    assert isinstance(error, Skipped)


def test_a_rule_comes_before_the_statuses_of_retry() -> None:
    asked, met, error, _ = send(answer(b"", 503), rules=[rule("skip", status=[503])])
    assert (len(asked), met.retries) == (1, 0)
    assert isinstance(error, Skipped)
    assert error.why == "answered 503 Service Unavailable (rule 1 in the source's `responses`)"


def test_retries_by_a_rule_end_after_all_attempts() -> None:
    asked, met, error, _ = send(answer(b"", 409), rules=[rule("retry", status=[409])])
    assert (len(asked), met.retries) == (3, 2)
    assert "gave up after 3 attempts" in str(error)


def test_a_wait_by_a_rule_is_shown_counted_and_no_attempt() -> None:
    stop = Hourglass()
    busy = answer(b'{"error": "busy"}')
    rules = [rule("wait", body="error", seconds=7.0)]
    asked, met, error, waits = send(*[busy] * 5, OK, rules=rules, stop=stop)
    assert (len(asked), met.retries, met.waited, error) == (6, 5, 35.0, None)
    assert stop.waited == pytest.approx(35)
    assert str(waits[0]) == "waiting 7 s, as the source asks: answered 200 OK"
    assert {wait.stream for wait in waits} == {"people"}


def test_a_wait_longer_than_allowed_ends_resumably() -> None:
    rules = [rule("wait", status=[429], until="midnight", zone="America/New_York")]
    asked, _, error, _ = send(answer(b"", 429), rules=rules)
    assert len(asked) == 1
    assert isinstance(error, Throttled)
    assert "resume after 2026-03-02T05:00:00+00:00" in str(error)


def test_a_page_is_halved_down_to_a_single_record() -> None:
    rules = [rule("halve", status=[500], param="limit")]
    asked, met, error, _ = send(*[answer(b"", 500)] * 3, OK, rules=rules)
    sizes = [target.partition("limit=")[2] for target in asked]
    assert (sizes, met.retries, error) == (["100", "50", "25", "12"], 3, None)
    asked, _, error, _ = send(answer(b"poison", 500), rules=rules)
    assert [target.partition("limit=")[2] for target in asked][-1] == "1"
    assert len(asked) == 7
    assert "even a single record can't be had (rule 1" in str(error)


def test_other_parameters_are_tried_once() -> None:
    rules = [rule("retry_with", status=[400], params={"limit": "10"}, drop=("q",))]
    asked, _, error, _ = send(answer(b"", 400), OK, rules=rules)
    assert (asked, error) == (["/people?limit=100", "/people?limit=10"], None)
    asked, _, error, _ = send(answer(b"", 400), rules=rules)
    assert len(asked) == 2
    assert "asking otherwise did not help" in str(error)


def test_an_error_answer_may_be_what_was_asked_for() -> None:
    _, met, error, _ = send(answer(b"{}", 404), rules=[rule("succeed", status=[404])])
    assert (met.retries, error) == (0, None)


def test_a_body_that_is_no_json_fits_no_question_about_it() -> None:
    page = answer(b"<html>maintenance</html>", 200, content_type="text/html")
    html = ResponseRule(headers={"Content-Type": "text/html"}, then=ACTIONS["retry"]())
    questions = [rule("skip", body="error")]
    asked, _, error, _ = send(page, OK, rules=[*questions, html])
    assert (len(asked), error) == (2, None)


def test_a_message_of_a_rule_holds_no_secret() -> None:
    from test_extract_client import CANARY

    said = json.dumps({"error": f"token {CANARY} is wrong"}).encode()
    rules = [rule("fail", body="error", message="Ask for a new one.")]
    _, _, error, _ = send(answer(said), rules=rules)
    assert "Ask for a new one." in str(error)
    assert CANARY not in str(error)


# --- tokens ---------------------------------------------------------------------------------------


def oauth(url: str) -> OAuth2:
    return OAuth2(
        token_url=f"{url}/token", grant="client_credentials", client_id=Secret("a"),
        client_secret=Secret("b"),
    )  # fmt: skip


def talk(*answers: Answer, rules: Sequence[ResponseRule]):
    from test_extract_client import source, talking

    with FaultServer(*answers) as server:
        http = source(server.url, auth=oauth(server.url), responses=tuple(rules))
        with talking(http) as (client, _):
            error = None
            try:
                client.send(get(f"{server.url}/people"))
            except SourceError as caught:
                error = caught
    return [seen.target for seen in server.requests], error


def test_a_rule_may_renew_the_token_once() -> None:
    token = answer(b'{"access_token": "t", "expires_in": 900}')
    ended = answer(b'{"code": "EXPIRED"}', 403)
    rules = [rule("refresh", status=[403])]
    asked, error = talk(token, ended, token, OK, rules=rules)
    assert (asked, error) == (["/token", "/people", "/token", "/people"], None)
    asked, error = talk(token, ended, token, ended, rules=rules)
    assert asked == ["/token", "/people", "/token", "/people"]
    assert isinstance(error, SourceUnreachable)
    assert "a new token did not help" in str(error)


def test_rules_are_not_about_the_answers_that_give_tokens() -> None:
    token = answer(b'{"access_token": "t", "expires_in": 900}')
    rules = [rule("skip", status=[503, 400])]
    asked, error = talk(answer(b"", 503), token, OK, rules=rules)
    assert (asked, error) == (["/token", "/token", "/people"], None)
    _, error = talk(answer(b"", 400), rules=rules)
    assert not isinstance(error, Skipped)


# --- whole streams --------------------------------------------------------------------------------

PEOPLE = """
crmmap: 1
name: demo
settings: {{url: {{default: "{url}"}}}}
source: {{kind: http, base_url: "{{{{ settings.url }}}}", retry: {{attempts: 2, base: 0}}}}
streams:
  people:
    request: {{path: /people, params: {{limit: "{size}"}}}}
    records: "@"
    pagination: {pagination}
    responses: {responses}
    table: {{name: people, key: id}}
    fields: {{id: id}}
"""


def people(*, url: str, pagination: str, responses: str, size: int = 4) -> str:
    return PEOPLE.format(url=url, pagination=pagination, responses=responses, size=size)


def pages(
    *answers: Answer, pagination: str, responses: str, position: str | None = None, size: int = 4
):
    """Read a stream to its end; return its pages, what was asked, and the account."""
    from test_extract_client import source, talking

    with FaultServer(*answers) as server:
        text = people(url=server.url, pagination=pagination, responses=responses, size=size)
        plan = compile_plan(mapping(text), {"url": server.url})
        step = plan.step("people")
        asker = Asker(stream="people", rules=step.responses)
        with talking(source(server.url, retry=Retry(attempts=2, base=0))) as (client, _):
            found: list[Page] = [*read_responses(plan, step, client, position, asker=asker)]
    return found, [seen.target.partition("?")[2] for seen in server.requests], asker.account


def rows(*ids: int) -> bytes:
    return answer(json.dumps([{"id": each} for each in ids]).encode())


HEAVY = answer(b"", 500)


@pytest.mark.parametrize(
    ("pagination", "answers", "asked"),
    [
        # A half page is full: it is not the last one. Later pages grow again.
        (
            "{kind: offset, param: skip, size: 4}",
            [HEAVY, rows(1, 2), rows(3, 4, 5, 6), rows(7)],
            ["limit=4", "limit=2", "skip=2&limit=4", "limit=4&skip=6"],
        ),
        (
            "{kind: keyset, from: id, param: after, size: 4}",
            [HEAVY, HEAVY, rows(1), rows(2, 3), rows(4, 5)],
            ["limit=4", "limit=2", "limit=1", "after=1&limit=2", "after=3&limit=4"],
        ),
        # The page after one of 2 is asked for with 4, and halved in its turn.
        (
            "{kind: offset, param: skip, size: 4}",
            [HEAVY, rows(1, 2), HEAVY, rows(3, 4), rows(5)],
            ["limit=4", "limit=2", "skip=2&limit=4", "skip=2&limit=2", "skip=4&limit=4"],
        ),
    ],
)
def test_halved_pages_lose_no_record(pagination, answers, asked) -> None:
    responses = "[{status: 500, then: {kind: halve, param: limit}}]"
    found, sent, _ = pages(*answers, pagination=pagination, responses=responses)
    every = [record["id"] for page in found for record in page.records]
    assert every == list(range(1, len(every) + 1))
    assert [sorted(each.split("&")) for each in sent] == [sorted(each.split("&")) for each in asked]


@settings(max_examples=25, deadline=None)
@given(
    total=st.integers(0, 30),
    heavy=st.sets(st.integers(0, 30)),
    most=st.integers(1, 8),
    pagination=st.sampled_from(("{kind: offset, param: skip, size: 8}",
                                "{kind: offset, param: skip}",
                                "{kind: keyset, from: id, param: after, size: 8}",
                                "{kind: token, token: '[-1].next', param: after}")),
)  # fmt: skip
def test_however_heavy_records_are_halving_reads_each_once(
    total: int, heavy: set[int], most: int, pagination: str
) -> None:
    """A page that holds a heavy record has `most` records at most, or it can't be made."""

    def page(seen: Seen) -> bytes:
        params = dict(parse_qsl(seen.target.partition("?")[2]))
        start, count = int(params.get("skip", params.get("after", 0))), int(params["limit"])
        ids = range(start, min(start + count, total))
        if len(ids) > most and heavy & {*ids}:
            return HEAVY
        following = {"next": ids.stop} if ids.stop < total else {}
        last = [*ids][-1:]
        return answer(
            json.dumps(
                [{"id": each + 1, **(following if [each] == last else {})} for each in ids]
            ).encode()
        )  # fmt: skip

    responses = "[{status: 500, then: {kind: halve, param: limit}}]"
    found, _, _ = pages(page, pagination=pagination, responses=responses, size=8)
    assert [record["id"] for each in found for record in each.records] == [*range(1, total + 1)]


SKIP = "[{status: [403, 404], then: {kind: skip, message: not there}}]"


def test_a_skip_ends_the_stream_after_what_was_read() -> None:
    found, _, account = pages(
        rows(1, 2), answer(b"", 404), pagination="{kind: offset, param: skip}", responses=SKIP
    )
    assert [len(page.records) for page in found] == [2, 0]
    assert found[-1].position is None
    assert account.troubles().skips == {
        "answered 404 Not Found: not there (rule 1 in the stream's `responses`)": 1
    }


def test_a_kept_position_that_is_gone_is_no_skip() -> None:
    """The rest of an interrupted read must not be lost because its place has expired."""
    kept = json.dumps({"page": 3, "url": None, "params": [["skip", "4"]], "fetched": 4})
    found, sent, account = pages(
        answer(b"", 404), rows(1, 2), rows(), pagination="{kind: offset, param: skip}",
        responses=SKIP, position=kept,
    )  # fmt: skip
    assert [record["id"] for page in found for record in page.records] == [1, 2]
    assert sent[1] == "limit=4"
    assert not account.troubles().skips


def whole(tmp_path: Path, *answers: Answer, responses: str) -> StreamReport:
    with FaultServer(*answers) as server:
        text = people(url=server.url, pagination="none", responses=responses)
        report: RunReport = load(compile_plan(mapping(text), {"url": server.url}), sqlite(tmp_path))
    return report.streams[0]


def test_a_run_reports_skips_and_retries(tmp_path: Path) -> None:
    report = whole(tmp_path, answer(b"", 503), answer(b"", 403), responses=SKIP)
    assert (report.status, report.retries, report.exit_code) == ("done", 1, 0)
    assert [*report.skips.values()] == [1]


def test_a_run_that_the_source_sends_away_goes_on_where_it_was(tmp_path: Path) -> None:
    pages = [answer(b'[{"id": 1}]', x_today="1"), answer(b'[{"id": 2}]', x_today="0")]
    with FaultServer(*pages, answer(b'[{"id": 3}]', x_today="9"), answer(b"[]")) as server:
        text = people(
            url=server.url, pagination="{kind: offset, param: skip}", responses="[]"
        ).replace("source: {", "source: {daily: {remaining: X-Today}, ")
        plan = compile_plan(mapping(text), {"url": server.url})
        first = load(plan, sqlite(tmp_path))
        asked = len(server.requests)
        second = load(plan, sqlite(tmp_path))
    assert (first.status, first.exit_code, asked) == ("paused", ExitCode.PAUSED, 2)
    assert first.counts.inserted == 2
    assert (second.status, second.streams[0].resumed, second.counts.inserted) == ("done", True, 1)
    assert [seen.target for seen in server.requests[2:]] == [
        "/people?limit=4&skip=2", "/people?limit=4&skip=3",
    ]  # fmt: skip


def test_a_skip_does_not_count_as_a_read_up_to_now(tmp_path: Path) -> None:
    """Else what changed before the source let us read again would never be asked for."""
    asked = []

    def once(seen: Seen) -> bytes:
        asked.append(dict(parse_qsl(seen.target.partition("?")[2])).get("since"))
        return answer(b"", 403) if len(asked) == 1 else rows(1)

    with FaultServer(once) as server:
        text = people(url=server.url, pagination="none", responses=SKIP).replace(
            "    table:",
            '    incremental: {kind: timestamp, params: {since: "{{ cursor }}"}}\n    table:',
        )
        plan = compile_plan(mapping(text), {"url": server.url})
        reports = [load(plan, sqlite(tmp_path)).streams[0] for _ in range(3)]
    assert [sum(each.skips.values()) for each in reports] == [1, 0, 0]
    assert asked[:2] == [None, None]
    assert asked[2] is not None


def test_a_run_without_troubles_reports_none(tmp_path: Path) -> None:
    report = whole(tmp_path, rows(1), responses=SKIP)
    assert (report.retries, report.waited, report.skips) == (0, 0, {})


def test_what_an_answer_says_has_failed_is_rejected_and_kept(tmp_path: Path) -> None:
    body = json.dumps({"results": [], "errors": [{"id": 7}]}).encode()
    report = whole(tmp_path, answer(b"[]"), responses="[{status: 200, then: {kind: succeed}}]")
    assert report.counts.rejected == 0
    with FaultServer(answer(body, 207)) as server:
        text = people(
            url=server.url, pagination="none",
            responses="[{status: 207, then: {kind: succeed, rejects: errors}}]",
        ).replace('records: "@"', "records: results")  # fmt: skip
        plan = compile_plan(mapping(text), {"url": server.url})
        report = load(plan, sqlite(tmp_path)).streams[0]
    assert (report.counts.fetched, report.counts.rejected) == (1, 1)
    assert report.reasons == {"response.rejects": 1}


def test_threads_share_an_account() -> None:
    account = Asker().account
    threads = [
        threading.Thread(target=lambda: [account.skipped("x") for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert account.troubles().skips == {"x": 2000}


def test_a_post_that_is_not_safe_is_sent_again_only_where_a_rule_says_so() -> None:
    post = Request(method="POST", url="", body={}, safe=False)
    for rules, count in (((), 1), ((rule("retry", status=[503]),), 2)):
        with meeting(answer(b"", 503), OK, responses=rules) as (server, client, _):
            request = Request(method="POST", url=server.url, body=post.body, safe=False)
            try:
                client.send(request)
            except SourceError:
                assert not rules
        assert len(server.requests) == count


XML = """
crmmap: 1
name: demo
settings: {{url: {{default: "{url}"}}}}
source:
  kind: http
  base_url: "{{{{ settings.url }}}}"
  format: xml
  responses: [{{status: 500, body: "/Error/Code[.='GONE']", then: {then}}}]
streams:
  people:
    request: {{path: /people}}
    records: /People/Person
    table: {{name: people, key: id}}
    fields: {{id: Id}}
"""


@pytest.mark.parametrize(("code", "status", "skips"), [("GONE", "done", 1), ("OTHER", "failed", 0)])
def test_rules_about_xml_are_written_in_xpath(tmp_path: Path, code, status, skips) -> None:
    body = f"<Error><Code>{code}</Code></Error>".encode()
    with FaultServer(answer(body, 500, content_type="application/xml")) as server:
        text = XML.format(url=server.url, then="skip").replace(
            "format: xml", "format: xml\n  retry: {attempts: 1}"
        )
        report = load(compile_plan(mapping(text), {"url": server.url}), sqlite(tmp_path))
    assert (report.streams[0].status, sum(report.streams[0].skips.values())) == (status, skips)


def test_a_plan_tells_the_rules_and_the_limits() -> None:
    text = people(url="https://api.example", pagination="none", responses=SKIP).replace(
        "source: {", 'source: {rate: {limit: 5, path: "/a/*"}, daily: {limit: 9}, concurrency: 2, '
        "responses: [{headers: {X-Why: quota}, body: error, then: {kind: wait, seconds: 5}}], ",
    )  # fmt: skip
    document = plan_document(compile_plan(mapping(text), {"url": "https://api.example"}))
    source = document["sources"]["source"]
    assert source["limits"] == ["5 requests in 1s of /a/*", "9 a day", "2 at a time"]
    assert source["responses"] == ["X-Why 'quota' and error: wait(seconds=5)"]
    assert document["streams"][0]["responses"] == ["403, 404: skip(message='not there')"]
    told = rendered(plan_parts(document), io.StringIO())
    assert "at most   5 requests in 1s of /a/*, 9 a day and 2 at a time\n" in told
    assert "answers   403, 404: skip(message='not there')\n" in told
