"""The client against a server on this machine that misbehaves in every catalogued way."""

import gzip
import logging
import socket
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest

from crmmap.errors import Interrupted, SourceError, SourceUnreachable, Throttled
from crmmap.extract.body import BadBody
from crmmap.extract.client import Client
from crmmap.extract.decode import decode_json
from crmmap.extract.patience import ASKED, Wait
from crmmap.kinds.auth import ApiKey, Bearer, NoAuth
from crmmap.kinds.retry import Retry
from crmmap.kinds.source import Http, Timeouts
from crmmap.values import Request, Response, Secret
from fault_server import (
    CLOSE,
    RESET,
    Answer,
    FaultServer,
    Pause,
    Seen,
    answer,
    chunked,
    dripped,
    zipped,
)

CANARY = 'canary/+ "secret"&token'
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUICK = Retry(attempts=3, base=0.001)
TIMES = Timeouts(connect=1, read=1, total=5)
ROWS = b'{"rows": [' + b", ".join(b"%d" % at for at in range(5000)) + b"]}"


class Hourglass(threading.Event):
    """A stop event whose waits take no time but are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.waited += timeout or 0.0
        return self.is_set()


def source(base_url: str, **changes: object) -> Http:
    plain = Http(base_url=base_url, auth=Bearer(token=Secret(CANARY)), retry=QUICK, timeout=TIMES)
    return replace(plain, **changes)  # type: ignore[arg-type]


@contextmanager
def talking(http: Http, stop: threading.Event | None = None) -> Iterator[tuple[Client, list[Wait]]]:
    waits: list[Wait] = []
    client = Client(
        http, stop=stop or threading.Event(), observe=waits.append, clock=lambda: NOW,
        chance=lambda: 0.0,
    )  # fmt: skip
    try:
        yield client, waits
    finally:
        client.close()


@contextmanager
def meeting(
    *answers: Answer, stop: threading.Event | None = None, **changes: object
) -> Iterator[tuple[FaultServer, Client, list[Wait]]]:
    with (
        FaultServer(*answers) as server,
        talking(source(server.url, **changes), stop) as (client, waits),
    ):
        yield server, client, waits


def get(url: str, **changes: object) -> Request:
    return Request(url=url, **changes)  # type: ignore[arg-type]


def ask(*answers: Answer, **changes: object) -> tuple[Response, list[Wait], list[Seen]]:
    with meeting(*answers, **changes) as (server, client, waits):
        response = client.send(get(f"{server.url}/contacts"))
    return response, waits, server.requests


def fail(*answers: Answer, **changes: object) -> tuple[SourceError, list[Seen]]:
    with (
        meeting(*answers, **changes) as (server, client, _),
        pytest.raises(SourceError) as caught,
    ):
        client.send(get(f"{server.url}/contacts", params=(("page", "canary-query"),)))
    assert "canary" not in str(caught.value)
    assert str(caught.value).isprintable()
    return caught.value, server.requests


def test_a_blank_in_a_parameter_is_sent_as_rfc_3986_has_it() -> None:
    with meeting(answer(b"[]")) as (server, client, _):
        client.send(
            get(f"{server.url}/c", params=(("$filter", "a gt 1+2/3"), ("n", "é"), ("n", "")))
        )
    assert server.requests[0].target == "/c?%24filter=a%20gt%201%2B2%2F3&n=%C3%A9&n="


def test_an_answer_is_read_whole_and_the_request_is_sent_as_it_stands() -> None:
    with meeting(answer(b"[1]", x_total="7"), headers={"x-api": "3"}) as (server, client, waits):
        response = client.send(
            Request(
                method="POST",
                url=f"{server.url}/search",
                params=(("a", "1 2"), ("a", "&")),
                headers=(("X-One", "1"),),
                body={"ü": None},
            )
        )
    assert response == Response(
        status=200,
        headers={"content-length": "3", "x-total": "7"},
        body=b"[1]",
        url=f"{server.url}/search",
    )
    (seen,) = server.requests
    assert (seen.method, seen.target) == ("POST", "/search?a=1%202&a=%26")
    assert seen.body == b'{"\\u00fc":null}'
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-api"] == "3"
    assert seen.headers["x-one"] == "1"
    assert seen.headers["accept-encoding"] == "gzip, identity"
    assert seen.headers["authorization"] == f"Bearer {CANARY}"
    assert waits == []


def test_connections_are_kept_and_shared_by_threads() -> None:
    with meeting(answer(b"{}"), zipped(b"{}"), chunked(b"{", b"}")) as (server, client, _):
        for _ in range(5):
            assert client.send(get(server.url)).body == b"{}"
        assert server.connections == 1
        threads = [threading.Thread(target=client.send, args=(get(server.url),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(server.requests) == 9
    assert server.connections <= 5


def test_a_kept_connection_that_the_server_closed_is_opened_again() -> None:
    ended = [answer(b"{}"), CLOSE]
    with meeting(ended) as (server, client, waits):
        assert [client.send(get(server.url)).status for _ in range(4)] == [200] * 4
    assert len(waits) <= 3


def test_no_cookie_and_nothing_of_the_environment_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password word")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with meeting(answer(set_cookie="a=b; Path=/"), auth=NoAuth()) as (server, client, _):
        client.send(get(server.url))
        client.send(get(server.url))
    assert not {"cookie", "authorization"} & set(server.requests[1].headers)


# Retries: statuses and waits


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(status: int) -> None:
    response, waits, seen = ask(answer(b"later", status), answer(b"{}"))
    assert response.body == b"{}"
    assert len(seen) == 2
    (wait,) = waits
    assert (wait.attempt, wait.status) == (1, status)
    assert wait.reason.startswith(f"answered {status}")
    assert 0 <= wait.seconds <= QUICK.base


def test_a_wait_says_how_long_and_before_which_attempt() -> None:
    busy = answer(b"", 503)
    limited = answer(b"", 429, retry_after="1")
    _, waits, _ = ask(busy, limited, busy, answer(b"{}"), stop=Hourglass())
    assert [(wait.turn, wait.turns) for wait in waits] == [(2, 3), (None, 3), (3, 3)]
    assert str(waits[1]) == "waiting 1 s, as the source asks: answered 429 Too Many Requests"
    assert str(waits[2]) == "attempt 3 of 3: answered 503 Service Unavailable"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (2.4, "waiting 2 s before attempt 3 of 6: no answer"),
        (0.44, "waiting 0.4 s before attempt 3 of 6: no answer"),
        (0.001, "attempt 3 of 6: no answer"),
    ],
)
def test_a_short_wait_is_not_told_as_none(seconds: float, expected: str) -> None:
    assert str(Wait(seconds=seconds, reason="no answer", attempt=2, turn=3, turns=6)) == expected


def test_a_lasting_fault_ends_after_all_attempts_with_what_the_source_said() -> None:
    error, seen = fail(answer(b"maintenance\x1b[1m", 503))
    assert len(seen) == 3
    assert "answered 503 Service Unavailable: maintenance\\x1b[1m" in str(error)
    assert "3 attempts" in str(error)
    assert type(error) is SourceError


def test_requests_limited_to_the_end_can_be_resumed() -> None:
    error, _ = fail(answer(b"", 429))
    assert isinstance(error, Throttled)


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    error, seen = fail(answer(b'{"message": "no such property"}', status))
    assert len(seen) == 1
    assert f"answered {status}" in str(error)
    assert "no such property" in str(error)


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_unreachable(status: int) -> None:
    error, seen = fail(answer(b"", status))
    assert isinstance(error, SourceUnreachable)
    assert len(seen) == 1
    assert f"answered {status}" in str(error)
    assert "check the credentials" in str(error)


def test_an_answer_of_several_parts_is_no_success_unless_a_rule_says_so() -> None:
    error, seen = fail(answer(b'{"results": []}', 207))
    assert len(seen) == 1
    assert "answered 207 Multi-Status" in str(error)
    assert "Say in `responses` what becomes of them" in str(error)


def test_an_unusual_status_is_refused() -> None:
    assert "answered 304 Not Modified" in str(fail(answer(b"", 304))[0])
    assert "answered 799" in str(fail(answer(b"", 799))[0])


def test_only_a_safe_post_is_sent_twice() -> None:
    with meeting(answer(b"", 503), answer(b"{}")) as (server, client, _):
        post = Request(method="POST", url=server.url, body={}, safe=False)
        with pytest.raises(SourceError, match="503"):
            client.send(post)
        assert len(server.requests) == 1
    with meeting(answer(b"", 503), answer(b"{}")) as (server, client, _):
        assert client.send(replace(post, url=server.url, safe=True)).body == b"{}"
    assert [seen.body for seen in server.requests] == [b"{}", b"{}"]


def waited(asked: str, **headers: str) -> list[float | None]:
    stop = Hourglass()
    limited = answer(b"", 429, retry_after=asked, **headers)
    with meeting(limited, answer(b"{}"), stop=stop) as (server, client, waits):
        client.send(get(server.url))
    assert sum(wait.seconds for wait in waits) == pytest.approx(stop.waited)
    return [wait.seconds for wait in waits]


def test_a_wait_that_the_source_asks_for_is_kept_exactly() -> None:
    assert waited("120") == [120]
    assert waited("1.5") == [1.5]
    date = "Sun, 01 Mar 2026 11:00:00 GMT"
    assert waited("Sun, 01 Mar 2026 11:00:30 GMT", date=date) == [30]
    assert waited("Sun, 01 Mar 2026 12:00:30 GMT") == [30]
    assert waited("Sun, 01 Mar 2026 10:00:00 GMT", date=date) == [1]


@pytest.mark.parametrize("asked", ["-5", "garbage", "2026-03-01T12:00:30Z", "0"])
def test_a_wait_that_makes_no_sense_is_our_own_backoff(asked: str) -> None:
    (seconds,) = waited(asked)
    assert seconds is None or seconds <= QUICK.base


@pytest.mark.parametrize("asked", ["601", "99999999999", "Mon, 02 Mar 2026 12:00:00 GMT"])
def test_a_wait_too_long_ends_the_run_resumably(asked: str) -> None:
    error, seen = fail(answer(b"", 429, retry_after=asked))
    assert isinstance(error, Throttled)
    assert "resume after" in str(error)
    assert len(seen) == 1


def test_the_time_to_resume_is_named() -> None:
    error, _ = fail(answer(b"", 503, retry_after="3600"))
    assert "resume after 2026-03-01T13:00:00+00:00" in str(error)


def test_waits_asked_for_are_no_attempts_but_have_an_end() -> None:
    stop = Hourglass()
    limited = answer(b"", 429, retry_after="1")
    with meeting(*[limited] * 10, answer(b"{}"), stop=stop) as (server, client, _):
        assert client.send(get(server.url)).status == 200
    assert stop.waited == pytest.approx(10)
    with meeting(limited, stop=stop) as (server, client, _), pytest.raises(Throttled):
        client.send(get(server.url))
    assert len(server.requests) == ASKED + 1


def test_a_wait_that_is_asked_for_is_up_to_a_tenth_longer() -> None:
    stop = Hourglass()
    waits: list[Wait] = []
    with FaultServer(answer(b"", 429, retry_after="20"), answer(b"{}")) as server:
        client = Client(
            source(server.url), stop=stop, observe=waits.append, clock=lambda: NOW,
            chance=lambda: 0.5,
        )  # fmt: skip
        client.send(get(server.url))
        client.close()
    assert [wait.seconds for wait in waits] == [pytest.approx(21)]


def test_another_header_may_say_how_long_to_wait() -> None:
    stop = Hourglass()
    retry = replace(QUICK, honour="X-Wait")
    with meeting(
        answer(b"", 429, x_wait="7", retry_after="9"), answer(), retry=retry, stop=stop
    ) as (server, client, _):
        client.send(get(server.url))
    assert stop.waited == pytest.approx(7)


def test_a_wait_ends_when_the_run_is_stopped() -> None:
    stop = threading.Event()
    with FaultServer(answer(b"", 429, retry_after="300")) as server:
        client = Client(
            source(server.url), stop=stop, clock=lambda: NOW, observe=lambda _: stop.set()
        )
        with pytest.raises(Interrupted):
            client.send(get(server.url))
        with pytest.raises(Interrupted):
            client.send(get(server.url))
        client.close()
    assert len(server.requests) == 1


def test_closing_cuts_a_request_that_another_thread_waits_for() -> None:
    asked = threading.Event()
    caught: list[Exception] = []

    def hang(_: Seen) -> list[bytes | Pause]:
        asked.set()
        return [Pause(30)]

    def send() -> None:
        try:
            client.send(get(server.url))
        except Interrupted as error:
            caught.append(error)

    with FaultServer(hang) as server:
        client = Client(
            source(server.url, timeout=Timeouts(read=30, total=30)),
            stop=threading.Event(),
            clock=lambda: NOW,
        )
        thread = threading.Thread(target=send)
        thread.start()
        assert asked.wait(5)
        client.close()
        thread.join(5)
        assert not thread.is_alive()
    assert len(caught) == 1


# Bodies


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param([answer(ROWS[:900], length=len(ROWS)), CLOSE], id="shorter than its length"),
        pytest.param([answer(ROWS[:900], length=len(ROWS)), RESET], id="reset in the body"),
        pytest.param([chunked(ROWS[:900], end=b""), CLOSE], id="chunks without an end"),
        pytest.param([chunked(ROWS[:900], end=b"ff\r\nshort"), CLOSE], id="half a chunk"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE], id="half a header"),
        pytest.param([RESET], id="reset before the answer"),
        pytest.param([CLOSE], id="closed before the answer"),
        pytest.param([b"SSH-2.0-x\r\n", CLOSE], id="not HTTP"),
        pytest.param(zipped(ROWS, cut=1), id="gzip cut by one byte"),
        pytest.param(zipped(ROWS, cut=2000), id="gzip cut in half"),
        pytest.param(zipped(ROWS, cut=10**6), id="gzip cut to nothing"),
        pytest.param(
            answer(gzip.compress(ROWS, mtime=0) + b"x", content_encoding="gzip"), id="gzip and more"
        ),
    ],
)
def test_half_an_answer_is_asked_for_again_and_nothing_of_it_kept(broken: Answer) -> None:
    response, waits, seen = ask(broken, zipped(ROWS))
    assert response.body == ROWS
    assert len(waits) <= 1
    assert len(seen) == 2
    _, seen = fail(broken)
    assert len(seen) == 3


@pytest.mark.parametrize("encoding", ["br", "gzip", "deflate"])
def test_an_encoding_that_can_not_be_read_is_replaced_by_none_once(encoding: str) -> None:
    odd = answer(ROWS, content_encoding=encoding)
    response, waits, seen = ask(odd, answer(ROWS))
    assert response.body == ROWS
    assert waits == []
    assert [each.headers["accept-encoding"] for each in seen] == ["gzip, identity", "identity"]
    _, seen = fail(odd)
    assert len(seen) == 2


@pytest.mark.parametrize("status", [200, 302, 400, 500])
def test_a_bomb_takes_little_memory_wherever_it_stands(status: int) -> None:
    # 150 MB, in fifteen members because zeros are slow to compress.
    bomb = gzip.compress(b"\0" * (10 * 1024 * 1024)) * 15
    blow = answer(bomb, status, content_encoding="gzip", location="/again")
    tracemalloc.start()
    error, seen = fail(blow)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024
    if status == 200:
        assert "grows more than" in str(error)
        assert len(seen) == 1


def test_a_body_longer_than_the_source_may_send_is_refused() -> None:
    error, seen = fail(answer(b"x" * 3000), max_body=2048)
    assert "max_body" in str(error)
    assert len(seen) == 1


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    response, _, _ = ask([b"HTTP/1.1 200 OK\r\n\r\n{}", CLOSE])
    assert response.body == b"{}"


def test_no_content_needs_no_body_even_if_it_is_called_compressed() -> None:
    response, _, _ = ask(b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n")
    assert (response.status, response.body) == (204, b"")


@pytest.mark.parametrize(
    "many",
    [
        b"".join(b"X-%d: 1\r\n" % at for at in range(150)),
        b"X: " + b"x" * 70_000 + b"\r\n",
    ],
)
def test_too_many_headers_end_the_stream(many: bytes) -> None:
    error, seen = fail([b"HTTP/1.1 200 OK\r\n" + many + b"\r\n", CLOSE])
    assert "headers" in str(error)
    assert len(seen) == 1


def test_headers_that_hide_the_length_are_not_believed() -> None:
    lost = b"HTTP/1.1 200 OK\r\nno header\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    error, _ = fail([lost, CLOSE])
    assert "headers" in str(error)
    response, _, _ = ask([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno header\r\n\r\n{}"])
    assert response.body == b"{}"


def test_a_status_is_told_even_if_its_body_breaks() -> None:
    error, _ = fail([answer(b"no such stream", 404, length=99), RESET])
    assert "answered 404 Not Found" in str(error)
    error, _ = fail(answer(b"plain", 400, content_encoding="gzip"))
    assert "answered 400 Bad Request" in str(error)


def test_what_can_not_be_decoded_is_asked_for_again() -> None:
    with meeting(answer(b'{"a": '), answer(b""), answer(b'{"a": 1}')) as (server, client, waits):
        response, document = client.read(get(server.url), decode_json)
        assert document.value == {"a": 1}
        assert response.body == b'{"a": 1}'
        assert [wait.status for wait in waits] == [200, 200]
    with (
        meeting(answer(b'{"a": ')) as (server, client, _),
        pytest.raises(SourceError, match="expected JSON, got a document that is cut short"),
    ):
        client.send(get(server.url), check=decode_json)
    assert len(server.requests) == 3


def test_a_login_page_ends_the_stream_at_once_and_its_title_is_clean() -> None:
    page = f"<html><title>Log in {CANARY}</title>".encode()
    with (
        meeting(answer(page, content_type="text/html")) as (server, client, _),
        pytest.raises(BadBody) as caught,
    ):
        client.read(get(server.url), decode_json)
    assert "expected JSON, got text/html, title 'Log in ***'" in str(caught.value)
    assert len(server.requests) == 1


# Time


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param(dripped(answer(b"x" * 500), 0.02), id="headers"),
        pytest.param([answer(b"", length=500), *dripped(b"x" * 500, 0.02)], id="body"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\n", *dripped(b"x" * 500, 0.02)], id="no length"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 500\r\n\r\n",
             *dripped(b"x" * 500, 0.02)],
            id="not kept",
        ),
        pytest.param([chunked(end=b""), *dripped(b"1\r\nx\r\n" * 90, 0.02)], id="chunks"),
        pytest.param(dripped(b"HTTP/1.1 100 Continue\r\n\r\n" * 20, 0.02), id="continue"),
    ],
)  # fmt: skip
def test_an_answer_that_drips_is_cut_at_the_deadline(slow: Answer) -> None:
    began = time.monotonic()
    error, seen = fail(
        slow, timeout=Timeouts(connect=1, read=1, total=0.3), retry=replace(QUICK, attempts=2)
    )
    took = time.monotonic() - began
    assert "no whole answer within 0.3 s" in str(error)
    assert len(seen) == 2
    assert 0.5 < took < 5


def test_a_reused_connection_is_watched_too() -> None:
    drip = [answer(b"", length=500), *dripped(b"x" * 500, 0.02)]
    with FaultServer(answer(), drip) as server:
        times = Timeouts(connect=1, read=1, total=0.3)
        with talking(source(server.url, timeout=times, retry=Retry(attempts=1))) as (client, _):
            client.send(get(server.url))
            began = time.monotonic()
            with pytest.raises(SourceError, match="no whole answer"):
                client.send(get(server.url))
            assert time.monotonic() - began < 5
    assert server.connections == 1


def test_silence_is_cut_after_the_read_timeout() -> None:
    error, seen = fail([Pause(10)], timeout=Timeouts(connect=1, read=0.1, total=5))
    assert "timeout.read" in str(error)
    assert len(seen) == 3


# Redirects and origins


def moved(location: str, status: int = 302) -> bytes:
    return answer(b"", status, location=location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_within_the_origin_is_followed_and_signed_again(status: int) -> None:
    with FaultServer(moved("/v2/contacts?after=5&b=", status), answer(b"[]")) as server:
        keys = ApiKey(keys={"key": Secret(CANARY)}, into="query")
        with talking(source(server.url, auth=keys)) as (client, _):
            response = client.send(get(f"{server.url}/contacts"))
    assert response.body == b"[]"
    assert response.url == f"{server.url}/v2/contacts"
    assert server.requests[1].target.startswith("/v2/contacts?after=5&b=&key=canary%2F")


def test_redirects_end_after_three() -> None:
    error, seen = fail(moved("/again"))
    assert len(seen) == 4
    assert "more than 3 times" in str(error)


def test_a_post_is_not_redirected() -> None:
    with (
        meeting(moved("/v2", 307)) as (server, client, _),
        pytest.raises(SourceError, match="307"),
    ):
        client.send(Request(method="POST", url=server.url, body={"a": 1}))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/steal?canary",
        "//evil.example/",
        "http://169.254.169.254/latest",
        "http://localhost:1/",
        "file:///etc/passwd",
        "https://user:canary@evil.example/",
        "http://evil.example\\@127.0.0.1/",
    ],
)
def test_a_redirect_to_another_origin_is_refused(location: str) -> None:
    error, seen = fail(moved(location))
    assert "http://127.0.0.1:" in str(error)
    assert len(seen) == 1


def test_both_origins_of_a_refused_redirect_are_named() -> None:
    with FaultServer(answer()) as other:
        error, _ = fail(moved(f"{other.url}/x"))
        assert f"redirects to {other.url}" in str(error)
    assert other.connections == 0


def test_a_link_to_another_origin_gets_no_request_and_no_credentials() -> None:
    with FaultServer(answer()) as good, FaultServer(answer()) as other:
        with talking(source(good.url)) as (client, _):
            with pytest.raises(SourceError) as caught:
                client.send(get(f"{other.url}/next"))
            with pytest.raises(SourceError):
                client.send(get(f"{other.url}\\@127.0.0.1:{good.port}/next"))
        assert f"{other.url}, and requests go to {good.url} only" in str(caught.value)
        assert other.connections == 0
        with talking(source(good.url, origins=(other.url,))) as (client, _):
            assert client.send(get(f"{other.url}/next")).status == 200


@dataclass(frozen=True)
class TokenFirst:
    """Asks `token_url` for a token, then signs with it."""

    token_url: str
    made: list[str]

    def flow(self, request: Request, _tokens: object) -> Generator[Request, Response, None]:
        self.made.append(request.url)
        answered = yield Request(method="POST", url=self.token_url, body={"secret": "canary"})
        yield request.with_header("Authorization", answered.body.decode())


def test_credentials_are_fetched_and_used_in_one_conversation() -> None:
    with FaultServer(answer(b"fresh"), answer(b"[]")) as server:
        auth = TokenFirst(f"{server.url}/token", [])
        with talking(source(server.url, auth=auth)) as (client, _):
            assert client.send(get(f"{server.url}/contacts")).body == b"[]"
    assert [seen.target for seen in server.requests] == ["/token", "/contacts"]
    assert server.requests[1].headers["authorization"] == "fresh"


def test_no_credential_is_made_for_or_sent_to_another_origin() -> None:
    with FaultServer(answer()) as good, FaultServer(answer()) as other:
        near, far = TokenFirst(f"{good.url}/token", []), TokenFirst(f"{other.url}/token", [])
        with talking(source(good.url, auth=near)) as (client, _), pytest.raises(SourceError):
            client.send(get(f"{other.url}/next"))
        with talking(source(good.url, auth=far)) as (client, _), pytest.raises(SourceError):
            client.send(get(f"{good.url}/contacts"))
    assert near.made == []
    assert (good.connections, other.connections) == (0, 0)


# Connections that don't come about


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def unreachable(base_url: str, **changes: object) -> tuple[str, list[Wait]]:
    with (
        talking(source(base_url, **changes)) as (client, waits),
        pytest.raises(SourceUnreachable) as caught,
    ):
        client.send(get(f"{base_url}/x?key=canary"))
    assert "canary" not in str(caught.value)
    return str(caught.value), waits


def test_a_refused_connection_says_what_to_check() -> None:
    message, waits = unreachable(f"http://127.0.0.1:{unused_port()}")
    assert "refuses connections" in message
    assert "check base_url" in message
    assert len(waits) == 2


def test_an_unknown_name_says_what_to_check() -> None:
    message, waits = unreachable("https://no-such-host.invalid")
    assert "no-such-host.invalid is not known (DNS)" in message
    assert len(waits) == 2


def test_a_server_that_speaks_no_tls_says_what_to_check() -> None:
    with FaultServer(greeting=answer()) as server:
        message, waits = unreachable(server.url.replace("http:", "https:"))
    assert "no secure connection" in message
    assert "speaks https" in message
    assert len(waits) == 2


def test_a_server_that_never_shakes_hands_is_cut_at_the_deadline() -> None:
    times = Timeouts(connect=30, read=30, total=0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with talking(source(url, timeout=times, retry=Retry(attempts=1))) as (client, _):
            began = time.monotonic()
            with pytest.raises(SourceError, match="no whole answer within"):
                client.send(get(url))
    assert time.monotonic() - began < 5


@pytest.mark.skipif(not which("openssl"), reason="needs openssl to make a certificate")
def test_a_certificate_that_can_not_be_trusted_is_not_tried_again(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FaultServer(answer(), tls=context) as server:
        message, waits = unreachable(server.url)
    assert "certificate that can't be trusted (self-signed certificate)" in message
    assert "verif" not in message.replace("verified", "")
    assert waits == []
    assert server.requests == []


# Secrets


def test_a_secret_that_the_source_echoes_is_masked() -> None:
    body = f'{{"error": "bad token {CANARY}", "again": "Bearer {CANARY}"}}'.encode()
    error, _ = fail(answer(body, 400))
    assert 'bad token ***", "again": "Bearer ***"' in str(error)


def test_a_long_answer_is_cut_after_the_secrets_are_out() -> None:
    body = b"x" * 290 + CANARY.encode() + b"y" * 500
    error, _ = fail(answer(body, 400))
    assert str(error).endswith("x***yyyyyyy…")


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("blanks", [100_000, 1_000_000])
def test_of_a_long_error_the_beginning_is_told(blanks: int, *, packed: bool) -> None:
    body = b'{"error": "quota exceeded"}' + b" " * blanks
    sent = (
        answer(gzip.compress(body), 404, content_encoding="gzip") if packed else answer(body, 404)
    )
    error, _ = fail(sent)
    assert '404 Not Found: {"error": "quota exceeded"}' in str(error)


def test_a_secret_that_no_header_can_carry_is_not_quoted() -> None:
    bearer = Bearer(token=Secret("canary\r\nX-Evil: 1"))
    error, seen = fail(answer(), auth=bearer)
    assert "header 'Authorization'" in str(error)
    assert seen == []
    error, seen = fail(answer(), auth=Bearer(token=Secret("canary-€")))
    assert seen == []


@pytest.mark.parametrize(
    "broken",
    [
        [RESET],
        answer(b"", 500),
        answer(b"", 404),
        moved("https://evil.example"),
        zipped(b"x", cut=3),
        b"HTTP/1.1 500 OK\r\nno header\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_neither_messages_nor_causes_nor_logs_hold_a_secret(
    broken: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    keys = ApiKey(keys={"key": Secret("canary-key")}, into="query")
    with (
        meeting(broken, auth=keys) as (server, client, waits),
        pytest.raises(SourceError) as caught,
    ):
        client.send(get(server.url))
    shown = [str(caught.value), repr(caught.value), repr(waits), caplog.text]
    assert "canary" not in "".join(shown)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
