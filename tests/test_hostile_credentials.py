"""What a source may try for a credential: none goes to another host, none is written anywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from crmmap.errors import Interrupted
from crmmap.events import RunReport
from crmmap.extract.vault import Vault
from fault_server import FaultServer, Seen, answer
from invented import load, plan_of, sqlite, table

CANARY = "canary-0123456789"

LOGIN = """
crmmap: 1
name: login
settings: {{word: {{env: WORD, secret: true}}}}
source:
  kind: http
  base_url: "{url}"
  retry: {{attempts: 1}}
  auth:
    kind: steps
    steps:
      - {{url: "{desk}/login", form: {{word: "{{{{ settings.word }}}}"}}, take: {{t: "{take}"}}}}
    {sent}: {{X-Session: "{{{{ taken.t }}}}"}}
streams:
  people:
    request: {{path: /people}}
    records: items
    pagination: {{kind: next_url, url: next}}
    table: {{name: people, key: id}}
    fields: {{id: id}}
defaults: {{batch: 1}}
"""


def run(
    tmp_path: Path, server: FaultServer, *, desk: str = "", take: str = "t", sent: str = "headers"
) -> RunReport:
    text = LOGIN.format(url=server.url, desk=desk or server.url, take=take, sent=sent)
    return load(plan_of(text, {"word": "canary-word"}), sqlite(tmp_path))


def written(tmp_path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in tmp_path.iterdir())


class Echo:
    """Gives a session, and puts it into the link to the second page, which fails at first."""

    def __init__(self, link: Callable[[FaultServer], str]) -> None:
        self.link = link
        self.failing = True
        self.server: FaultServer

    def __call__(self, seen: Seen) -> bytes:
        if seen.target == "/login":
            return answer(json.dumps({"t": CANARY}).encode())
        if "page=2" not in seen.target:
            found = {"items": [{"id": "1"}], "next": self.link(self.server)}
            return answer(json.dumps(found).encode())
        return answer(b"{}", 500) if self.failing else answer(b'{"items": [{"id": "2"}]}')


@pytest.mark.parametrize(
    "link",
    [
        f"/people?page=2&X-Session={CANARY}",
        f"/people?page=2&sig=of-{CANARY}",
        f"/people/{CANARY}/x?page=2",
        f"/people?page=2&b={CANARY.encode().hex()}&c=%63anary-0123456789",
    ],
)
@pytest.mark.parametrize("sent", ["headers", "params"])
def test_a_session_that_the_source_echoes_is_not_kept_in_the_place(
    tmp_path: Path, link: str, sent: str
) -> None:
    echo = Echo(lambda _: link)
    with FaultServer(echo) as server:
        echo.server = server
        report = run(tmp_path, server, sent=sent)
        assert report.streams[0].status == "failed"
        assert CANARY.encode() not in written(tmp_path)
        assert CANARY not in str(report)
        echo.failing = False
        assert run(tmp_path, server, sent=sent).streams[0].status == "done"
    assert [row[0] for row in table(sqlite(tmp_path), "people")] == ["1", "2"]
    assert CANARY.encode() not in written(tmp_path)


def test_a_link_to_where_tokens_are_given_gets_no_credential(tmp_path: Path) -> None:
    with FaultServer(answer(json.dumps({"t": CANARY}).encode())) as desk:
        page = {"items": [{"id": "1"}], "next": f"{desk.url}/people?page=2"}
        with FaultServer(answer(json.dumps(page).encode())) as server:
            report = run(tmp_path, server, desk=desk.url)
    assert report.streams[0].status == "failed"
    assert "leads to" in report.streams[0].message
    assert [seen.target for seen in desk.requests] == ["/login"]


@pytest.mark.parametrize(
    "link",
    [
        "{other}/people", "//{host}/people", "\\\\{host}/people", "/\\{host}/people",
        "http://user@{host}/people", "http://127.0.0.1@{host}/people", "HTTP://{host}/people",
        "{own}@{host}/people", "{own}\\@{host}/people", "https://127.0.0.1:1/people", "file:///x",
    ],
)  # fmt: skip
def test_a_link_to_another_host_gets_no_credential(tmp_path: Path, link: str) -> None:
    with FaultServer(answer(b'{"items": []}')) as other:
        host = other.url.removeprefix("http://")
        echo = Echo(lambda own: link.format(other=other.url, host=host, own=own.url))
        with FaultServer(echo) as server:
            echo.server = server
            report = run(tmp_path, server)
    assert report.streams[0].status == "failed"
    assert other.connections == 0
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("body", "take"),
    [
        (b'{"t": [1]}', "join(',', t)"),
        (b"[" * 100_000, "t"),
        (b'{"t": {"t": 1}}', "t"),
        (b'{"t": "a\\r\\nX-Evil: 1"}', "t"),
        (b'{"t": "\\ud800"}', "t"),
        (b'{"t": ' + b"1" * 5000 + b"}", "t"),
        (b"\xff\xfe\x00", "t"),
    ],
)
def test_a_login_that_answers_nonsense_ends_the_stream_in_words(
    tmp_path: Path, body: bytes, take: str
) -> None:
    with FaultServer(answer(body)) as server:
        stream = run(tmp_path, server, take=take).streams[0]
    assert stream.status == "failed"
    assert "unexpectedly" not in stream.message
    assert "X-Evil" not in stream.message
    assert all(seen.target == "/login" for seen in server.requests)


def test_a_run_that_is_to_stop_does_not_wait_for_another_process_to_gain_its_token(
    tmp_path: Path,
) -> None:
    stop = threading.Event()
    stop.set()
    waiting = Vault(folder=tmp_path, stop=stop)
    with Vault(folder=tmp_path).alone(), pytest.raises(Interrupted), waiting.alone():
        pytest.fail("it is not alone")
    with waiting.alone():
        pass


PARENTS = """
crmmap: 1
name: parents
source: {kind: http, base_url: "URL", retry: {attempts: 1}}
streams:
  people:
    request: {path: /people}
    records: "@"
    table: {name: people, key: id}
    fields: {id: id}
  notes:
    for_each: {stream: people}
    request: {path: "/people/{{ parent.id }}/notes"HEADERS}
    records: "@"
    table: {name: notes, key: id}
    fields: {id: id}
"""


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("../../admin", "/people/..%2F..%2Fadmin/notes"),
        ("a?b#c", "/people/a%3Fb%23c/notes"),
        ("%2e%2e", "/people/%252e%252e/notes"),
        ("a\r\nX: y", "/people/a%0D%0AX%3A%20y/notes"),
        ("..", None),
        ("\0", None),
    ],
)
def test_what_a_parent_is_called_leads_to_no_other_path(
    tmp_path: Path, name: str, target: str | None
) -> None:
    def people(seen: Seen) -> bytes:
        return answer(json.dumps([{"id": name}] if seen.target == "/people" else []).encode())

    with FaultServer(people) as server:
        text = PARENTS.replace("URL", server.url).replace("HEADERS", "")
        load(plan_of(text, {}), sqlite(tmp_path))
    assert [seen.target for seen in server.requests[1:]] == ([target] if target else [])


def test_what_a_parent_is_called_adds_no_header(tmp_path: Path) -> None:
    with FaultServer(answer(json.dumps([{"id": "a\r\nX-Evil: y"}]).encode())) as server:
        headers = ', headers: {X-Id: "{{ parent.id }}"}'
        text = PARENTS.replace("URL", server.url).replace("HEADERS", headers)
        report = load(plan_of(text, {}), sqlite(tmp_path))
    assert [each.status for each in report.streams] == ["done", "failed"]
    assert len(server.requests) == 1
