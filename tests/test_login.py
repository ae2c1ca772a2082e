"""`crmmap login` as a person uses it: the command, the source, and a browser between them."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import requests

from commands import Ran, command, crmmap, environment, write
from crmmap.errors import ExitCode
from crmmap.kinds.oauth2 import challenge
from crmmap.mock import serve, world_of
from crmmap.spec.read import read_mapping
from crmmap.values import Secret
from fault_server import FaultServer, Seen, answer

MAPPING = """
crmmap: 1
name: guild
settings:
  url: {env: GUILD_URL}
  client_id: {env: GUILD_CLIENT}
  secret: {env: GUILD_SECRET, secret: true}
source:
  kind: http
  base_url: "{{ settings.url }}"
  auth:
    kind: oauth2
    grant: authorization_code
    authorize_url: "{{ settings.url }}/authorize"
    token_url: "{{ settings.url }}/token"
    redirect_url: "http://127.0.0.1:8974/back"
    client_id: "{{ settings.client_id }}"
    client_secret: "{{ settings.secret }}"
    scope: read write
    authorize_params: {access_type: offline}
streams:
  members:
    request: {path: /members}
    records: items[]
    table: {name: members, key: id}
    fields: {id: id, name: {from: name}}
"""
SECRETS = ("canary-secret", "canary-code", "canary-refresh", "canary-access")


@dataclass
class Guild:
    """The source: remembers who agreed, gives each code one token, and renews by turns."""

    challenges: dict[str, str] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)
    refreshes: bool = True
    given: int = 0

    def __call__(self, seen: Seen) -> bytes:
        parts = urlsplit(seen.target)
        if parts.path == "/authorize":
            return self.authorize({n: v[0] for n, v in parse_qs(parts.query).items()})
        if parts.path == "/token":
            return self.token(dict(parse_qsl(seen.body.decode())))
        wanted = f"Bearer canary-access-{self.given}"
        if seen.headers.get("authorization") != wanted:
            return answer(b"{}", 401)
        return answer(b'{"items": [{"id": "1", "name": "Ann"}]}')

    def authorize(self, asked: Mapping[str, str]) -> bytes:
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert (asked["scope"], asked["access_type"]) == ("read write", "offline")
        code = f"canary-code-{len(self.challenges)}"
        self.challenges[code] = asked["code_challenge"]
        back = urlencode({"code": code, "state": asked["state"]})
        return answer(b"", 302, location=f"{asked['redirect_uri']}?{back}")

    def token(self, form: dict[str, str]) -> bytes:
        self.forms.append(form)
        if form["grant_type"] == "authorization_code":
            digest = sha256(form["code_verifier"].encode()).digest()
            mine = urlsafe_b64encode(digest).rstrip(b"=").decode()
            right = self.challenges.pop(form["code"], None) == mine
        else:
            right = form["refresh_token"] == f"canary-refresh-{self.given}"
        if not right or form["client_secret"] != "canary-secret":
            return answer(b'{"error": "invalid_grant"}', 400)
        self.given += 1
        told = {"access_token": f"canary-access-{self.given}", "expires_in": 3600}
        told |= {"refresh_token": f"canary-refresh-{self.given}"} if self.refreshes else {}
        return answer(json.dumps(told).encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, guild_yaml=MAPPING)
    return tmp_path


def env(folder: Path, url: str) -> dict[str, str]:
    return {"GUILD_URL": url, "GUILD_CLIENT": "app", "GUILD_SECRET": "canary-secret",
            "CRMMAP_TOKENS": str(folder / "tokens")}  # fmt: skip


@contextmanager
def logging_in(folder: Path, url: str, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the command, and give the address that it prints."""
    words = command("login", "guild.yaml", "--no-browser", "--port", "0", *more)
    started = subprocess.Popen(
        words, cwd=folder, env=environment(**env(folder, url), PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stdout is not None
    guard = threading.Timer(60, started.kill)
    guard.start()
    try:
        address = next((line.strip() for line in started.stdout if "http" in line), "")
        yield address, started
    finally:
        guard.cancel()
        started.kill()
        started.wait()
        started.stdout.close()
        if started.stderr is not None:
            started.stderr.close()


def ended(started: subprocess.Popen[str]) -> Ran:
    out, err = started.communicate(timeout=60)
    told = out + err
    assert not any(secret in told for secret in SECRETS), told
    return Ran(started.returncode, out, err)


def browse(address: str) -> requests.Response:
    return requests.get(address, timeout=10)


def landing(address: str) -> tuple[str, dict[str, str]]:
    asked = dict(parse_qsl(urlsplit(address).query))
    return asked["redirect_uri"], {"code": "canary-code-x", "state": asked["state"]}


def log_in(folder: Path, url: str) -> Ran:
    with logging_in(folder, url) as (address, started):
        page = browse(address)
        assert "Logged in" in page.text
        assert page.headers["cache-control"] == "no-store"
        return ended(started)


def test_a_person_logs_in_once_and_runs_read(folder: Path) -> None:
    guild = Guild()
    with FaultServer(guild) as server:
        ran = log_in(folder, server.url)
        assert ran.code == ExitCode.OK
        assert "The token is kept, encrypted, in" in ran.out
        for _ in range(2):
            ran = crmmap(folder, "run", "guild.yaml", "--json", env=env(folder, server.url))
            assert ran.code == ExitCode.OK, ran.err
            assert ran.json["counts"]["fetched"] == 1
    # Each run shows the refresh token that the one before has gained.
    assert [form.get("refresh_token") for form in guild.forms] == [
        None, "canary-refresh-1", "canary-refresh-2",
    ]  # fmt: skip
    kept = "".join(file.read_text() for file in (folder / "tokens").iterdir())
    assert "canary" not in kept


def test_a_token_that_nothing_renews_is_used_as_long_as_it_lasts(folder: Path) -> None:
    guild = Guild(refreshes=False)
    with FaultServer(guild) as server:
        log_in(folder, server.url)
        ran = crmmap(folder, "run", "guild.yaml", env=env(folder, server.url))
        assert ran.code == ExitCode.OK, ran.err
        guild.given += 1  # and is then refused
        ran = crmmap(folder, "run", "guild.yaml", env=env(folder, server.url))
    assert ran.code == ExitCode.UNREACHABLE
    assert "the login has ended. Log in first, once: crmmap login MAPPING" in ran.out + ran.err
    assert len(guild.forms) == 1


def test_a_run_before_the_login_says_what_to_do(folder: Path) -> None:
    with FaultServer(Guild()) as server:
        ran = crmmap(folder, "run", "guild.yaml", env=env(folder, server.url))
        assert server.requests == []
    assert ran.code == ExitCode.UNREACHABLE
    assert "nobody has logged in. Log in first, once: crmmap login MAPPING" in ran.out + ran.err


def test_a_person_who_refuses_is_told_so(folder: Path) -> None:
    with FaultServer(Guild()) as server, logging_in(folder, server.url) as (address, started):
        back, said = landing(address)
        page = requests.get(
            back, params={"error": "access_denied", "state": said["state"]}, timeout=10
        )
        assert "did not succeed" in page.text
        ran = ended(started)
    assert ran.code == ExitCode.UNREACHABLE
    assert "the login was refused (access_denied). Start again" in ran.err


def test_what_belongs_to_another_login_is_refused(folder: Path) -> None:
    guild = Guild()
    with FaultServer(guild) as server, logging_in(folder, server.url) as (address, started):
        back, said = landing(address)
        page = requests.get(back, params={**said, "state": "another"}, timeout=10)
        assert page.status_code == 400
        ran = ended(started)
    assert ran.code == ExitCode.UNREACHABLE
    assert "belongs to another login (its state is not ours)" in ran.err
    assert guild.forms == []


def test_a_code_that_the_source_does_not_know_gains_nothing(folder: Path) -> None:
    with FaultServer(Guild()) as server, logging_in(folder, server.url) as (address, started):
        back, said = landing(address)
        requests.get(back, params=said, timeout=10)
        ran = ended(started)
    assert ran.code == ExitCode.UNREACHABLE
    assert "answered 400 (invalid_grant). Log in again" in ran.err
    assert not (folder / "tokens" / "tokens.json").exists()


def test_other_visitors_are_shown_nothing_and_do_not_end_it(folder: Path) -> None:
    with FaultServer(Guild()) as server, logging_in(folder, server.url) as (address, started):
        back, said = landing(address)
        port = urlsplit(back).port
        assert requests.get(f"http://127.0.0.1:{port}/favicon.ico", timeout=10).status_code == 404
        # A page of another name that leads here (DNS rebinding) is no browser coming back.
        foreign = requests.get(back, params=said, headers={"Host": "evil.example:1"}, timeout=10)
        assert foreign.status_code == 404
        with socket.create_connection(("127.0.0.1", port or 0)) as rude:
            rude.sendall(b"\x00\x01 nonsense\r\n\r\n")
        assert "Logged in" in browse(address).text
        assert ended(started).code == ExitCode.OK


def test_nobody_comes(folder: Path) -> None:
    with (
        FaultServer(Guild()) as server,
        logging_in(folder, server.url, "--timeout", "1") as (_, started),
    ):
        ran = ended(started)
    assert ran.code == ExitCode.UNREACHABLE
    assert "nobody logged in within 1 seconds" in ran.err


def test_a_port_that_is_taken(folder: Path) -> None:
    with FaultServer(Guild()) as server:
        words = ("login", "guild.yaml", "--no-browser", "--port", str(server.port))
        ran = crmmap(folder, *words, env=env(folder, server.url))
    assert ran.code == ExitCode.USAGE
    assert "can't be listened on: Address already in use. Give another --port" in ran.err


def test_a_mapping_that_needs_no_login(folder: Path) -> None:
    text = MAPPING.replace("authorization_code", "client_credentials")
    write(folder, other_yaml=text.replace("name: guild", "name: other"))
    ran = crmmap(folder, "login", "other.yaml", env=env(folder, "http://127.0.0.1:1"))
    assert ran.code == ExitCode.USAGE
    assert "other needs no login" in ran.err


def test_the_mock_agrees_at_once_and_asks_for_the_verifier(folder: Path) -> None:
    world = world_of(read_mapping(MAPPING.encode(), "guild.yaml"), {}, records=7)
    with serve(world) as server:
        ran = log_in(folder, server.url)
        assert ran.code == ExitCode.OK
        ran = crmmap(folder, "run", "guild.yaml", "--json", env=env(folder, server.url))
        assert ran.json["counts"]["fetched"] == 7, ran.out
        wrong = {"grant_type": "authorization_code", "code": "mock-code-x", "code_verifier": "y"}
        assert requests.post(f"{server.url}/token", data=wrong, timeout=10).status_code == 400


def test_a_mock_run_needs_no_login(folder: Path) -> None:
    ran = crmmap(folder, "run", "guild.yaml", "--mock", "--json", "--faults", "0.5")
    assert ran.code == ExitCode.OK, ran.err
    assert not (folder / "tokens").exists()


def test_the_challenge_is_that_of_the_rfc() -> None:
    # RFC 7636, appendix B.
    verifier = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
