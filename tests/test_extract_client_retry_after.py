from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.extract.retry_after import retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATE = "Sun, 01 Mar 2026 11:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("99999999999", 99999999999.0),
        ("0", None),
        ("-5", None),
        ("garbage", None),
        ("2026-03-01T12:00:30Z", None),
        ("1e5", None),
        ("٣", None),
        ("9" * 5000, None),
        ("Sun, 01 Mar 99999 12:00:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_seconds_are_read_and_garbage_asks_for_nothing(
    text: str | None, seconds: float | None
) -> None:
    assert retry_after(text, date=DATE, now=NOW) == seconds


def test_a_date_counts_from_the_sources_own_clock() -> None:
    asked = "Sun, 01 Mar 2026 11:00:30 GMT"
    assert retry_after(asked, date=DATE, now=NOW) == 30
    assert retry_after(asked, date="nonsense", now=NOW - timedelta(minutes=60)) == 30
    assert retry_after("Sunday, 01-Mar-26 11:00:30 GMT", date=DATE, now=NOW) == 30
    assert retry_after("Sun Mar  1 11:00:30 2026", date=DATE, now=NOW) == 30


@pytest.mark.parametrize("asked", [DATE, "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_a_date_that_is_past_waits_one_second(asked: str) -> None:
    assert retry_after(asked, date=DATE, now=NOW) == 1


@given(st.integers(1, 10**6), st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))
def test_the_wait_is_the_difference_of_the_two_dates(seconds: int, sent: datetime) -> None:
    sent = sent.replace(microsecond=0, tzinfo=UTC)
    asked = format_datetime(sent + timedelta(seconds=seconds), usegmt=True)
    date = format_datetime(sent, usegmt=True)
    assert retry_after(asked, date=date, now=NOW) == seconds


@given(st.text())
def test_no_text_breaks_it_and_no_wait_is_below_zero(text: str) -> None:
    seconds = retry_after(text, date=text, now=NOW)
    assert seconds is None or seconds > 0
