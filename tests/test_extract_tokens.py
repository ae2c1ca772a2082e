"""Tokens that are gained over real HTTP: shared, renewed, and kept between runs."""

from __future__ import annotations

import hmac
import json
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import keyring
import pytest
from cryptography.fernet import Fernet
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from crmmap.cli.once import vault_of
from crmmap.errors import SettingError, SourceError, SourceUnreachable
from crmmap.extract.client import Client
from crmmap.extract.vault import Vault
from crmmap.kinds.oauth2 import OAuth2
from crmmap.kinds.retry import Retry
from crmmap.kinds.signing import Hmac
from crmmap.kinds.source import Http
from crmmap.values import Request, Secret
from fault_server import FaultServer, Seen, answer


class Desk:
    """Gives tokens and takes each refresh token once; everything else needs the last token."""

    def __init__(self) -> None:
        self.refresh, self.access, self.given = "canary-refresh-0", "", 0
        self.expires: object = 3600
        self.lock = threading.Lock()

    def __call__(self, seen: Seen) -> bytes:
        with self.lock:
            if not seen.target.startswith("/token"):
                right = seen.headers.get("authorization") == f"Bearer {self.access}"
                return answer(b"[]") if right else answer(b"{}", 401)
            form = parse_qs(seen.body.decode())
            if form["refresh_token"] != [self.refresh]:
                return answer(b'{"error": "invalid_grant"}', 400)
            self.given += 1
            self.refresh = f"canary-refresh-{self.given}"
            self.access = f"canary-access-{self.given}"
            told = {"access_token": self.access, "refresh_token": self.refresh,
                    "expires_in": self.expires}  # fmt: skip
            return answer(json.dumps(told).encode())


class Clock:
    """Gives the time, and `passed` seconds more."""

    passed = 0.0

    def __call__(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.passed)


def client(
    server: FaultServer, vault: Vault | None = None, *, clock: Clock | None = None
) -> Client:
    auth = OAuth2(
        token_url=f"{server.url}/token", grant="refresh_token", client_id=Secret("app"),
        refresh_token=Secret("canary-refresh-0"),
    )  # fmt: skip
    source = Http(base_url=server.url, auth=auth, retry=Retry(base=0.001))
    return Client(source, stop=threading.Event(), clock=clock or Clock(), vault=vault)


def get(server: FaultServer) -> Request:
    return Request(url=f"{server.url}/people")


def test_threads_share_one_token() -> None:
    desk = Desk()
    with FaultServer(desk) as server:
        talking = client(server)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: talking.send(get(server)).body, range(24)))
        talking.close()
    assert answers == [b"[]"] * 24
    assert desk.given == 1


def test_a_token_is_renewed_before_it_expires() -> None:
    desk, clock = Desk(), Clock()
    with FaultServer(desk) as server:
        talking = client(server, clock=clock)
        for seconds in (0, 3500, 50):  # of the hour, a minute is left in the end
            clock.passed += seconds
            talking.send(get(server))
        assert desk.given == 2
        talking.close()


@pytest.mark.parametrize("expires", [0, -1, "soon", 1e30, 1, None])
def test_an_absurd_life_of_a_token_is_no_reason_to_ask_for_another(expires: object) -> None:
    desk, clock = Desk(), Clock()
    desk.expires = expires
    with FaultServer(desk) as server:
        talking = client(server, clock=clock)
        for _ in range(5):
            clock.passed += 1
            talking.send(get(server))
        talking.close()
    assert desk.given == 1


@pytest.mark.parametrize(("life", "passed", "given"), [(40, 19, 1), (40, 21, 2), (12, 11, 2)])
def test_a_token_of_a_short_life_is_used_for_half_of_it(life: int, passed: int, given: int) -> None:
    desk, clock = Desk(), Clock()
    desk.expires = life
    with FaultServer(desk) as server:
        talking = client(server, clock=clock)
        talking.send(get(server))
        clock.passed += passed
        talking.send(get(server))
        talking.close()
    assert desk.given == given


def test_a_token_that_the_source_has_forgotten_is_renewed_once() -> None:
    desk = Desk()
    with FaultServer(desk) as server:
        talking = client(server)
        talking.send(get(server))
        desk.access = "another"
        assert talking.send(get(server)).body == b"[]"
        talking.close()
    assert desk.given == 2


def test_a_refresh_token_outlives_the_process(tmp_path: Path) -> None:
    desk, vault = Desk(), Vault(folder=tmp_path / "tokens")
    with FaultServer(desk) as server:
        for _ in range(3):
            talking = client(server, vault)
            talking.send(get(server))
            talking.close()
    assert desk.given == 3
    kept = tmp_path / "tokens" / "tokens.json"
    assert "canary" not in kept.read_text()
    for file in (kept, tmp_path / "tokens" / "key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_first_refresh_token_is_taken_before_the_kept_one(tmp_path: Path) -> None:
    desk, vault = Desk(), Vault(folder=tmp_path)
    with FaultServer(desk) as server:
        talking = client(server, vault)
        talking.send(get(server))
        talking.close()
        # The user connects the application anew, and gives the new token in the setting.
        desk.refresh = "canary-refresh-new"
        auth = OAuth2(
            token_url=f"{server.url}/token", grant="refresh_token", client_id=Secret("app"),
            refresh_token=Secret("canary-refresh-new"),
        )  # fmt: skip
        source = Http(base_url=server.url, auth=auth)
        again = Client(source, stop=threading.Event(), clock=lambda: datetime.now(UTC), vault=vault)
        assert again.send(get(server)).body == b"[]"
        again.close()


def test_a_refusal_names_the_error_and_no_secret() -> None:
    desk = Desk()
    desk.refresh = "another"
    with FaultServer(desk) as server:
        talking = client(server)
        with pytest.raises(SourceUnreachable) as caught:
            talking.send(get(server))
        talking.close()
    assert "invalid_grant" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_vault_of_another_key_is_not_read(tmp_path: Path) -> None:
    one, other = (Secret(Fernet.generate_key().decode()) for _ in range(2))
    Vault(folder=tmp_path, key=one).put("a", "text")
    assert Vault(folder=tmp_path, key=one).get("a") == "text"
    with pytest.raises(SourceError, match="another key"):
        Vault(folder=tmp_path, key=other).get("a")
    with pytest.raises(SourceError, match="32 bytes"):
        Vault(folder=tmp_path, key=Secret("canary")).get("a")
    (tmp_path / "tokens.json").write_text("{")
    with pytest.raises(SourceError, match="damaged"):
        Vault(folder=tmp_path, key=one).get("a")


def test_what_is_signed_is_what_is_sent() -> None:
    auth = Hmac(
        key=Secret("canary-key"), message=Secret("{method} {path}?{query}\n{body}"),
        headers={"X-Sign": Secret("{signature}")}, encoding="hex",
    )  # fmt: skip

    def check(seen: Seen) -> bytes:
        text = f"{seen.method} {seen.target}\n".encode() + seen.body
        right = hmac.new(b"canary-key", text, "sha256").hexdigest() == seen.headers["x-sign"]
        return answer(b"[]") if right else answer(b"{}", 403)

    with FaultServer(check) as server:
        source = Http(base_url=server.url, auth=auth)
        talking = Client(source, stop=threading.Event(), clock=Clock())
        request = Request(
            method="POST", url=f"{server.url}/a%20b", params=(("q", "a b&c"), ("é", "+~")),
            body={"list": [1, "ü", None], "more": {"a": True}},
        )  # fmt: skip
        assert talking.send(request).body == b"[]"
        assert talking.send(request.with_form({"a b": "ü"})).body == b"[]"
        talking.close()


# --- what the desk may do wrong -----------------------------------------------------------------


def test_many_refused_at_once_gain_one_new_token() -> None:
    desk, everybody = Desk(), threading.Barrier(8, timeout=30)

    def at_once(seen: Seen) -> bytes:
        told = desk(seen)
        if b" 401 " in told:  # none is refused before all have asked
            everybody.wait()
        return told

    with FaultServer(at_once) as server:
        talking = client(server)
        talking.send(get(server))
        desk.access = "another"
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: talking.send(get(server)).body, range(8)))
        talking.close()
    assert answers == [b"[]"] * 8
    assert desk.given == 2


def test_a_token_that_is_refused_as_soon_as_it_is_given_ends_it() -> None:
    desk = Desk()

    def forgetful(seen: Seen) -> bytes:
        desk.access = "another"
        return desk(seen)

    with FaultServer(forgetful) as server:
        talking = client(server)
        with pytest.raises(SourceUnreachable, match="answered 401") as caught:
            talking.send(get(server))
        talking.close()
        assert desk.given == 2
    assert "canary" not in str(caught.value)


def test_once_a_new_token_is_refused_nothing_more_is_asked() -> None:
    desk = Desk()

    def forgetful(seen: Seen) -> bytes:
        desk.access = "another"
        return desk(seen)

    with FaultServer(forgetful) as server:
        talking = client(server)
        told = []
        for _ in range(3):
            with pytest.raises(SourceUnreachable, match="answered 401") as caught:
                talking.send(get(server))
            told.append(str(caught.value))
        talking.close()
        # A token and what is asked with it, twice; the others are told the same, unasked.
        assert len(server.requests) == 4
    assert len(set(told)) == 1


def test_a_token_that_is_refused_only_once_ends_nothing() -> None:
    desk = Desk()
    with FaultServer(desk) as server:
        talking = client(server)
        for at in range(3):
            desk.access = f"another {at}"
            assert talking.send(get(server)).body == b"[]"
        talking.close()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (answer(b"", 307, location="/elsewhere"), "answered 307"),
        (answer(b"<title>Log in</title>canary", content_type="text/html"), "answered 200"),
        (answer(b'{"access_token": "canary\\r\\nX-Evil: 1"}'), "holds a line break"),
        (answer(b'{"access_token": "canary-\xe2\x82\xac"}'), "a character that HTTP can't carry"),
        (answer(b'{"access_token": ["canary"]}'), "the answer holds no access token"),
        (answer(b'["canary"]'), "the answer is no object with an access token"),
    ],
    ids=["redirect", "page", "line break", "euro", "list", "no object"],
)
def test_what_is_no_token_ends_it_and_is_not_shown(told: bytes, message: str) -> None:
    with FaultServer(told) as server:
        talking = client(server)
        with pytest.raises(SourceError, match=message) as caught:
            talking.send(get(server))
        talking.close()
        assert [seen.target for seen in server.requests] == ["/token"]
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("trouble", [429, 503])
def test_a_desk_that_is_busy_is_asked_again(trouble: int) -> None:
    desk, left = Desk(), [2]

    def busy(seen: Seen) -> bytes:
        if seen.target == "/token" and left[0]:
            left[0] -= 1
            return answer(b"{}", trouble)
        return desk(seen)

    with FaultServer(busy) as server:
        talking = client(server)
        assert talking.send(get(server)).body == b"[]"
        talking.close()
    assert desk.given == 1


# --- the keyring --------------------------------------------------------------------------------


class Ring(KeyringBackend):
    """A machine's keyring, in memory."""

    priority = 1

    def __init__(self, *, is_open: bool = True) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.is_open = is_open

    def get_password(self, service: str, username: str) -> str | None:
        if not self.is_open:
            raise KeyringLocked("canary")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[Ring]:
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def test_a_refresh_token_outlives_the_process_in_the_keyring(tmp_path: Path, ring: Ring) -> None:
    desk, vault = Desk(), vault_of({"CRMMAP_VAULT": "keyring", "CRMMAP_TOKENS": str(tmp_path)})
    with FaultServer(desk) as server:
        for _ in range(3):
            talking = client(server, vault)
            talking.send(get(server))
            talking.close()
    assert desk.given == 3
    assert "canary-refresh-3" in "".join(ring.kept.values())
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def test_a_keyring_that_is_locked_is_told_of(tmp_path: Path, ring: Ring) -> None:
    ring.is_open = False
    vault = vault_of({"CRMMAP_VAULT": "keyring", "CRMMAP_TOKENS": str(tmp_path)})
    with pytest.raises(SourceError, match=r"can't be used \(KeyringLocked\): unlock it") as caught:
        vault.get("a")
    assert "canary" not in str(caught.value)


def test_a_vault_of_no_known_kind_is_refused() -> None:
    with pytest.raises(SettingError, match="CRMMAP_VAULT is 'wallet'"):
        vault_of({"CRMMAP_VAULT": "wallet"})
