from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from crmmap.errors import SourceError
from crmmap.extract.origin import Origins, address, origin_of, printable
from crmmap.kinds.source import Http

BASE = "https://api.example/v3"
ORIGINS = Origins.of(Http(base_url=BASE, origins=("https://files.example:8443",)))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example/contacts",
        "https://API.Example/contacts?after=2",
        "https://api.example:443/",
        "https://api.example./",
        "https://files.example:8443/x",
    ],
)
def test_the_same_origin_is_allowed_however_it_is_written(url: str) -> None:
    ORIGINS.check(url)
    ORIGINS.check_dialled(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "http://api.example/",
        "https://api.example:8443/",
        "https://files.example/",
        "https://api.example.evil.example/",
        "https://api.example@evil.example/",
        "https://user:word@api.example/",
        "https://evil.example\\@api.example/",
        "https://api.example\\.evil.example/",
        "https://evil.example#@api.example/",
        "https://evil.example?@api.example/",
        "//evil.example/",
        "/contacts",
        "",
        "https:///contacts",
        "https://[::1",
        "https://api.example:99999/",
        "file:///etc/passwd",
        "ftp://api.example/",
        "javascript:alert(1)",
        "https://api.example/a b",
        "https://api.example/\r\nHost: evil.example",
        "https://api.example/\u2028",
        " https://api.example/",
        "https://apı.example/",
        "https://api。example/",
        "https://%61pi.example/",
        "https://api.example/v3/../../oauth",
        "https://api.example/v3/%2E%2e/oauth",
        "https://api.example/.",
        "http://127.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
    ],
)
def test_anything_else_is_refused(url: str) -> None:
    for origins in (ORIGINS, Origins(ORIGINS.allowed)):
        with pytest.raises(SourceError):
            origins.check(url)
        with pytest.raises(SourceError):
            origins.check_dialled(url)


def test_the_message_names_both_origins_and_no_query() -> None:
    with pytest.raises(SourceError) as caught:
        ORIGINS.check("https://evil.example:444/path?api_key=canary-secret")
    message = str(caught.value)
    assert "https://evil.example:444" in message
    assert "https://api.example, https://files.example:8443" in message
    assert "canary" not in message


@given(
    st.sampled_from(["https://", "https:/", "//", "https:\\\\"]),
    st.text("aex.:@\\/#?%[]\t\n 0129", max_size=12),
    st.sampled_from(["", "@api.example/", "api.example/", "api.example"]),
)
def test_what_is_allowed_is_what_will_be_dialled(start: str, middle: str, end: str) -> None:
    url = start + middle + end
    try:
        ORIGINS.check(url)
    except SourceError:
        return
    dialled = parse_url(url)
    host = (dialled.hostname or "").rstrip(".")
    assert (dialled.scheme, host, dialled.port or 443) in {
        ("https", "api.example", 443),
        ("https", "files.example", 8443),
    }


@given(
    st.text("?#@:/\\ .&=%1a\n\u2028é", max_size=8).map("https://api.example/v3?after=1".__add__),
    st.sampled_from(["https://api.example/v3", "https://api.example/v3?after=1"]),
)
def test_what_was_found_sound_before_changes_nothing(url: str, before: str) -> None:
    def judged(origins: Origins, judge: Callable[[Origins, str], None]) -> str:
        try:
            judge(origins, url)
        except SourceError as error:
            return str(error)
        return ""

    for judge in (Origins.check, Origins.check_dialled):
        used = Origins(ORIGINS.allowed)
        judge(used, before)
        assert judged(used, judge) == judged(Origins(ORIGINS.allowed), judge)


@pytest.mark.parametrize("base", ["http://api.example", "http://10.0.0.1", "http://127.1"])
def test_http_is_refused_except_on_this_machine(base: str) -> None:
    with pytest.raises(SourceError, match="unencrypted"):
        Origins.of(Http(base_url=base))


@pytest.mark.parametrize("base", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:80"])
def test_http_is_allowed_on_this_machine(base: str) -> None:
    Origins.of(Http(base_url=base)).check(base)


def test_an_origin_is_written_without_its_default_port() -> None:
    assert str(origin_of("HTTPS://Api.Example:443/x?y")) == "https://api.example"
    assert str(origin_of("http://[::1]:8080/")) == "http://[::1]:8080"


def test_an_address_for_a_message_has_no_query_fragment_or_user() -> None:
    assert address("https://u:p@api.example/a?key=1#f") == "https://api.example/a"
    assert address("https://api.example/\x1b[2J\n") == "https://api.example/\\x1b[2J\\n"


@given(st.text(), st.integers(1, 50))
def test_printable_text_is_one_line_and_short(text: str, length: int) -> None:
    shown = printable(text, length)
    assert shown.isprintable()
    assert len(shown) <= length + 1
