import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.kinds.auth import ApiKey, Bearer
from crmmap.kinds.source import Http
from crmmap.redact import Redactor, secrets_in
from crmmap.values import Secret

SECRET = "a/b+c d\"e'f<ü>&\\9Z=="

FORMS = {
    "plain": SECRET,
    "quoted": quote(SECRET, safe=""),
    "quoted, slashes kept": quote(SECRET),
    "quoted in lower case": re.sub("%..", lambda m: m[0].lower(), quote(SECRET, safe="")),
    "form": quote_plus(SECRET),
    "json": json.dumps(SECRET)[1:-1],
    "json, unicode kept": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "json, slashes escaped": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "repr": repr(SECRET)[1:-1],
    "bytes": repr(SECRET.encode())[2:-1],
    "html": html.escape(SECRET),
    "html, decimal": html.escape(SECRET).replace("&#x27;", "&#39;"),
    "html, quotes kept": html.escape(SECRET, quote=False),
    "mojibake": SECRET.encode().decode("latin-1"),
}


@pytest.mark.parametrize("form", [pytest.param(FORMS[name], id=name) for name in FORMS])
def test_a_secret_is_masked_in_every_encoding(form: str) -> None:
    assert Redactor([Secret(SECRET)]).clean(f"<<{form}>>") == "<<***>>"


@given(st.binary(max_size=5), st.binary(max_size=5), st.text(min_size=6, max_size=40))
def test_a_secret_is_masked_at_any_place_in_base64(
    before: bytes, after: bytes, secret: str
) -> None:
    try:
        data = before + secret.encode() + after
    except UnicodeEncodeError:
        return
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        clean = Redactor([Secret(secret)]).clean(encode(data).decode())
        # At most the characters that the secret shares with its neighbours are left.
        left = clean.split("***")
        assert len(left) >= 2
        assert len("".join(left)) <= 4 * ((len(before) + 2) // 3 + (len(after) + 2) // 3 + 2)


@given(st.lists(st.text("ab", min_size=6, max_size=9), min_size=1, max_size=4), st.text("abc"))
def test_no_part_of_overlapping_secrets_is_left(secrets: list[str], text: str) -> None:
    clean = Redactor(map(Secret, secrets)).clean(text)
    assert not any(secret in clean for secret in secrets)
    covered = set()
    for secret in secrets:
        for at in range(len(text)):
            if text.startswith(secret, at):
                covered |= set(range(at, at + len(secret)))
    kept = "".join(letter for at, letter in enumerate(text) if at not in covered)
    assert clean.replace("***", "") == kept


def test_short_secrets_and_other_text_are_left_alone() -> None:
    assert Redactor([Secret("12345")]).clean("12345 is a number") == "12345 is a number"
    assert Redactor([]).clean("anything") == "anything"


def test_secrets_are_found_wherever_a_source_holds_them() -> None:
    bearer = Http(base_url="https://api.example", auth=Bearer(token=Secret("first-token")))
    keys = Http(
        base_url="https://api.example",
        auth=ApiKey(keys={"a": Secret("one-key"), "b": Secret("two-key")}),
    )
    assert set(secrets_in([bearer, keys])) == {
        Secret("first-token"), Secret("one-key"), Secret("two-key"),
    }  # fmt: skip
