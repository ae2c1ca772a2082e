"""The pace of a source: never more requests than its rate allows, as its answers correct it.

Time passes only by waiting: the stop event's waits move the timer.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmmap.errors import Interrupted, Throttled
from crmmap.extract.client import Client
from crmmap.extract.pace import Bucket, Pace
from crmmap.extract.patience import Wait
from crmmap.kinds.actions import ACTIONS
from crmmap.kinds.rate import Daily, Rate
from crmmap.kinds.responses import ResponseRule
from crmmap.kinds.retry import Retry
from crmmap.kinds.source import Http
from crmmap.values import Response
from fault_server import Answer, FaultServer, Seen, answer
from test_extract_client import NOW, Hourglass, get, source

BASE = "https://api.example/v1"


class Hand:
    """Moments that are set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def timer(self) -> float:
        return self.seconds


def pace(hand: Hand, *, max_wait: float = 600, **words: object) -> Pace:
    http = Http(base_url=BASE, retry=Retry(max_wait=max_wait), **words)  # type: ignore[arg-type]
    return Pace(http, clock=hand.clock, timer=hand.timer)


def response(status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, body=b"", url=BASE)


@given(
    limit=st.integers(1, 20),
    gaps=st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=80),
)
def test_no_stretch_of_time_holds_more_requests_than_allowed(limit, gaps):
    hand = Hand()
    kept = pace(hand, rate=(Rate(limit=limit, per="10s"),))
    sent = []
    for gap in gaps:
        hand.seconds += gap
        hand.seconds += kept.take(f"{BASE}/people")
        sent.append(hand.seconds)
    for at, moment in enumerate(sent):
        within = [each for each in sent[at:] if each < moment + 10 - 1e-9]
        assert len(within) <= limit


def test_requests_that_are_allowed_need_not_wait() -> None:
    hand = Hand()
    kept = pace(hand, rate=(Rate(limit=3, per="10s"),))
    assert [kept.take(BASE) for _ in range(5)] == [0, 0, 0, 10, 10]
    hand.seconds = 25
    assert kept.take(BASE) == 0


def test_a_path_may_have_a_rate_of_its_own() -> None:
    hand = Hand()
    search = Rate(limit=1, per="4s", path="/objects/*/search")
    kept = pace(hand, rate=(Rate(limit=10, per="1s"), search))
    assert kept.take(f"{BASE}/objects/people/search") == 0
    assert kept.take(f"{BASE}/objects/people") == 0
    assert kept.take(f"{BASE}/objects/deals/search") == 4


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        (None, "/anything", True),
        ("/people", "/people", True),
        ("/people", "/people/7", False),
        ("/people/*", "/people/7", True),
        ("/people/*", "/people/7/calls", False),
        ("/people/**", "/people/7/calls", True),
        ("/*/search", "/people/search", True),
        ("/a.c", "/abc", False),
    ],
)
def test_which_paths_a_pattern_covers(pattern, path, covered):
    assert Rate(limit=1, path=pattern).covers(path) is covered


LEFT = Rate(limit=10, per="10s", remaining="X-Left", max="X-Max", reset="X-Reset")


def free(bucket: Bucket, now: float) -> int:
    """Return how many requests could be sent at once."""
    count = 0
    while bucket.free_at(now) <= now:
        bucket.take(now)
        count += 1
    return count


def learned(rate: Rate, *responses: Response, sent: int = 0) -> Bucket:
    bucket = Bucket(rate)
    for _ in range(sent):
        bucket.take(0.0)
    for each in responses:
        bucket.learn(each, sent=0.0, now=0.0, clock=NOW)
    return bucket


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({}, 8),
        ({"x-left": "8"}, 8),
        # Others have used it up, too.
        ({"x-left": "3"}, 3),
        ({"x-left": "0"}, 0),
        # That more are left than we know of may be an answer's that has come late.
        ({"x-left": "9"}, 8),
        ({"x-max": "5"}, 3),
        ({"x-max": "20"}, 18),
        ({"x-left": "3, 3;w=10"}, 3),
        # What can't be read, or can't be, teaches nothing.
        *(({"x-left": each}, 8) for each in ("", "-1", "many", "1e3", "9" * 40)),
        *(({"x-max": each}, 8) for each in ("0", "-5", "9" * 40, "unlimited")),
    ],
)
def test_headers_correct_what_we_know(headers, left):
    bucket = learned(LEFT, Response(status=200, headers=headers, body=b"", url=BASE), sent=2)
    assert free(bucket, 0.0) == left


def test_a_rate_that_is_used_up_opens_when_the_source_says() -> None:
    bucket = learned(LEFT, response(x_left="0", x_reset="25"))
    assert bucket.free_at(0.0) == 25
    bucket = learned(LEFT, response(x_left="4", x_reset="25"))
    assert bucket.free_at(0.0) == 0
    moment = Rate(limit=10, per="10s", remaining="X-Left", reset="X-Reset", holds="epoch")
    at = str(int(NOW.timestamp()) + 30)
    assert learned(moment, response(x_left="0", x_reset=at)).free_at(0.0) == 30


def test_a_429_halves_the_rate_and_good_answers_bring_it_back() -> None:
    bucket = Bucket(Rate(limit=16, per="1s"))
    bucket.learn(response(429), sent=1.0, now=2.0, clock=NOW)
    assert bucket.allowed == 8
    # Those that were under way when the first came slow us no more.
    bucket.learn(response(429), sent=1.5, now=2.1, clock=NOW)
    assert bucket.allowed == 8
    for at in range(10):
        bucket.learn(response(429), sent=3.0 + at, now=3.5 + at, clock=NOW)
    assert bucket.allowed == 1
    grown = []
    for _ in range(16 * 10):
        bucket.learn(response(), sent=20.0, now=20.0, clock=NOW)
        grown.append(bucket.allowed)
    assert grown == sorted(grown)
    assert grown[-1] >= 15
    assert all(after - before <= 1 for before, after in pairwise(grown))


def test_a_wait_longer_than_allowed_ends_resumably() -> None:
    hand = Hand()
    kept = pace(hand, rate=(Rate(limit=1, per="1h"),))
    kept.take(BASE)
    with pytest.raises(Throttled, match="longer than max_wait"):
        kept.take(BASE)


def test_a_long_queue_is_waited_for() -> None:
    hand = Hand()
    kept = pace(hand, rate=(Rate(limit=1, per="1m"),), max_wait=600)
    assert [kept.take(BASE) for _ in range(20)][-1] == 19 * 60


def test_a_source_that_is_shut_for_long_ends_resumably() -> None:
    hand = Hand()
    kept = pace(hand, rate=(LEFT,), max_wait=600)
    kept.take(BASE)
    kept.learn(BASE, response(x_left="0", x_reset="601"), sent=0)
    with pytest.raises(Throttled, match="used up for 601 s"):
        kept.take(BASE)


def test_the_requests_of_a_day_end_until_midnight() -> None:
    hand = Hand()
    kept = pace(hand, daily=Daily(limit=2, zone="Europe/Berlin"))
    kept.take(BASE)
    kept.take(BASE)
    with pytest.raises(Throttled, match=r"resume after 2026-03-02T00:00:00\+01:00"):
        kept.take(BASE)
    hand.seconds = 11 * 3600
    assert kept.take(BASE) == 0


def test_the_source_counts_the_requests_of_a_day_better() -> None:
    hand = Hand()
    kept = pace(hand, daily=Daily(remaining="X-Today", keep=100))
    kept.take(BASE)
    kept.learn(BASE, response(x_today="101"), sent=0)
    kept.take(BASE)
    kept.learn(BASE, response(x_today="100"), sent=0)
    with pytest.raises(Throttled, match="100 that are kept for others"):
        kept.take(BASE)


def test_a_rule_that_waits_slows_us_whatever_the_status() -> None:
    stop, waits = Hourglass(), list[Wait]()
    busy = ResponseRule(status=(403,), then=ACTIONS["wait"](seconds=5.0))
    with FaultServer(answer(b"", 403), answer()) as server:
        client = client_of(
            server, stop, waits, rate=(Rate(limit=2, per="10s"),), responses=(busy,)
        )  # fmt: skip
        client.send(get(server.url))
        client.close()
    # Of the two that were allowed only one is, and the first was sent 5 s ago.
    assert [round(wait.seconds) for wait in waits] == [5, 5]


# --- over real HTTP -------------------------------------------------------------------------------


def client_of(server: FaultServer, stop: Hourglass, waits: list[Wait], **words: object) -> Client:
    return Client(
        source(server.url, **words), stop=stop, clock=lambda: NOW, observe=waits.append,
        timer=lambda: stop.waited,
    )  # fmt: skip


def test_a_client_waits_before_a_request_that_would_be_one_too_many() -> None:
    stop, waits = Hourglass(), list[Wait]()
    with FaultServer(answer()) as server:
        client = client_of(server, stop, waits, rate=(Rate(limit=2, per="3s"),))
        for _ in range(5):
            client.send(get(server.url))
        client.close()
    assert len(server.requests) == 5
    assert stop.waited == pytest.approx(6, abs=0.5)
    assert str(waits[0]) == "waiting 3 s to keep to the source's rate"


def test_a_wait_for_the_rate_ends_when_the_run_is_stopped() -> None:
    stop, waits = Hourglass(), list[Wait]()
    with FaultServer(answer()) as server:
        client = client_of(server, stop, waits, rate=(Rate(limit=1, per="5m"),))
        client.send(get(server.url))
        stop.set()
        with pytest.raises(Interrupted):
            client.send(get(server.url))
        client.close()
    assert len(server.requests) == 1


def test_threads_share_one_rate() -> None:
    stop, waits = Hourglass(), list[Wait]()
    with FaultServer(answer()) as server:
        client = Client(
            source(server.url, rate=(Rate(limit=4, per="10s"),)), stop=stop, clock=lambda: NOW,
            observe=waits.append, timer=lambda: 0.0,
        )  # fmt: skip
        threads = [threading.Thread(target=client.send, args=(get(server.url),)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
    assert len(server.requests) == 12
    assert sorted(wait.seconds for wait in waits) == [10] * 4 + [20] * 4


def test_a_host_is_sent_no_more_requests_at_a_time_than_allowed() -> None:
    lock, here, most = threading.Lock(), [0], [0]
    gathered = threading.Barrier(2)

    def slow(_: Seen) -> Answer:
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        gathered.wait(10)  # two are here together: fewer would break the barrier
        with lock:
            here[0] -= 1
        return answer()

    with FaultServer(slow) as server:
        client = Client(
            source(server.url, concurrency=2), stop=threading.Event(), clock=lambda: NOW
        )
        threads = [threading.Thread(target=client.send, args=(get(server.url),)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
    assert len(server.requests) == 6
    assert most == [2]


def test_a_daily_quota_ends_a_run_that_goes_on_tomorrow() -> None:
    stop, waits = Hourglass(), list[Wait]()
    with FaultServer(answer(x_today="0")) as server:
        client = client_of(server, stop, waits, daily=Daily(remaining="X-Today"))
        client.send(get(server.url))
        with pytest.raises(Throttled, match=r"resume after 2026-03-02T00:00:00\+00:00"):
            client.send(get(server.url))
        client.close()
    assert len(server.requests) == 1
    assert datetime(2026, 3, 2, tzinfo=UTC) > NOW
