"""Settings that make no address and no header are refused before anything is attempted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.errors import ExitCode, SettingError
from crmmap.extract.origin import Origins
from crmmap.kinds.source import Http
from crmmap.plan import resolve_settings
from crmmap.spec.addresses import unsafe
from invented import load, mapping, mock, sqlite

MAPPING = """
crmmap: 1
name: demo
settings:
  base_url: {env: H_BASE}
  other: {default: "https://files.example"}
  zone: {required: false}
  token: {env: H_TOKEN, secret: true, required: false}
source:
  kind: http
  base_url: "{{ settings.base_url }}/v1"
  origins: ["{{ settings.other }}"]
  headers: {X-Zone: "zone-{{ settings.zone }}-{{ settings.other }}"}
  auth: {kind: bearer, token: "{{ settings.token }}"}
streams:
  people:
    request: {path: /people}
    table: {name: people, key: id}
    fields: {id: id}
"""
FINE = {"base_url": "https://api.example", "token": "t0ken"}


def refusal(text: str = MAPPING, **changes: str) -> str:
    with pytest.raises(SettingError) as caught:
        resolve_settings(mapping(text), {}, {**FINE, **changes})
    assert caught.value.exit_code == ExitCode.USAGE
    return str(caught.value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("not a url", "is not an address: it has no scheme. Write https://HOST"),
        ("api.example", "is not an address: it has no scheme. Write https://HOST"),
        ("http://", "names no host. Write https://HOST"),
        ("https://api.example:99999", "port 99999 is above 65535"),
        ("https://api.example:0", "port 0 can't be asked. Write another one, or leave it out"),
        ("https://api.example:https", "names a port that is not a number"),
        ("ftp://x/y", "has the scheme 'ftp'. Write https://HOST"),
        ("https://canary:canary@api.example", "holds a user or a password"),
        ("http://api.example", "would send credentials in the clear. Write https"),
        ("https://api.example/?key=canary", "holds a query or a fragment"),
        ("https://api.example#canary", "holds a query or a fragment"),
        ("https://api.example/a\nb", "holds a blank, a control character or a backslash"),
        ("https://exämple.org", "names a host that can't exist"),
        ("https://a..example", "names a host that can't exist"),
        (f"https://{'a' * 64}.example", "names a host that can't exist"),
        ("https://[::1", "is not an address"),
        ("https://[::1]2", "has something between its host and its path"),
        ("https://api.example/..", "holds '.' or '..' as a part of its path"),
    ],
)
def test_an_address_that_can_not_be_asked_is_refused_by_the_settings_name(
    address: str, expected: str
) -> None:
    message = refusal(base_url=address)
    assert message.startswith(f"setting base_url (H_BASE): {expected}")
    assert "canary" not in message


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("canary\nword", "holds a line break or another control character"),
        ("canary\0", "holds a line break or another control character"),
        ("canary…", "holds a character outside of Latin-1"),
        (" ", "is empty, or begins or ends with a blank"),
    ],
)
def test_a_token_that_no_header_carries_is_refused_and_not_shown(token: str, expected: str) -> None:
    message = refusal(token=token)
    assert message.startswith(f"setting token (H_TOKEN): {expected}")
    assert "'Authorization'" in message
    assert "canary" not in message


def test_a_header_of_two_settings_names_both() -> None:
    assert refusal(zone="a\nb").startswith("settings other, zone: holds a line break")


def test_all_that_is_wrong_is_listed_at_once() -> None:
    lines = refusal(base_url="ftp://x", other="https://x?y", token="a\nb").splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "setting base_url (H_BASE)", "setting other", "setting token (H_TOKEN)",
    ]  # fmt: skip


def test_an_optional_address_that_is_empty_is_refused() -> None:
    text = MAPPING.replace('{default: "https://files.example"}', "{required: false}")
    assert refusal(text).startswith("setting other: is empty")


@pytest.mark.parametrize(
    "address", ["https://api.example/", "http://127.0.0.1:8080", "http://[::1]:1", "HTTPS://A_b.c."]
)
def test_good_settings_are_taken(address: str) -> None:
    given_settings = {**FINE, "base_url": address, "token": "tökén"}
    assert resolve_settings(mapping(MAPPING), {}, given_settings)["base_url"] == address


def test_a_key_in_a_query_may_hold_anything() -> None:
    text = MAPPING.replace(
        '{kind: bearer, token: "{{ settings.token }}"}',
        '{kind: api_key, into: query, keys: {key: "{{ settings.token }}"}}',
    )
    assert resolve_settings(mapping(text), {}, {**FINE, "token": "…"})


@given(
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp"]),
        st.sampled_from(["localhost", "127.0.0.1", "[::1]", "a.example"])
        | st.text("aA1.-_%[]:@é\\ /", max_size=12),
        st.sampled_from(["", ":", ":0", ":80", ":65535", ":65536", ":x"]),
        st.text("/.%2eE?#a\\ ", max_size=8),
    )
)
def test_what_passes_here_is_never_refused_by_the_client(address: str) -> None:
    if unsafe(address) is None:
        origins = Origins.of(Http(base_url=address))
        origins.check_dialled(address)


SIGNED = MAPPING.replace(
    '{kind: bearer, token: "{{ settings.token }}"}',
    """
    kind: hmac
    key: "{{ settings.token }}"
    key_encoding: base64
    message: "{epoch}"
    headers: {X-Signature: "{signature}"}""",
)


def test_a_key_to_sign_with_must_be_written_as_the_mapping_says() -> None:
    text = refusal(SIGNED, token="canary key!")
    expected = "setting token (H_TOKEN): the key to sign with is not base64: look at its setting"
    assert text == expected
    assert resolve_settings(mapping(SIGNED), {}, {**FINE, "token": "a2V5"})


def test_an_invented_key_is_one(tmp_path: Path) -> None:
    with mock(records=3, text=SIGNED) as plan:
        (people,) = load(plan, sqlite(tmp_path)).streams
    assert people.counts.inserted == 3
