"""One thread bounds all exchanges: each is cut at its own deadline, and none before."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from crmmap.extract.watch import Watchdog

SECONDS = 0.1


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.settimeout(20)
    with near, far:
        yield near, far


def test_an_exchange_that_hangs_is_cut_at_its_deadline_and_so_is_the_next() -> None:
    watchdog = Watchdog(SECONDS)
    for _ in range(2):  # the thread has ended when the second begins
        begun = monotonic()
        near, far = socket.socketpair()
        with near, far, watchdog.watching() as watch:
            watch.hold(near)
            assert near.recv(1) == b""
            assert watch.passed
        assert monotonic() - begun >= SECONDS


def test_one_that_begins_while_another_is_watched_has_its_own_deadline(ends) -> None:
    watchdog = Watchdog(SECONDS)
    near, _ = ends
    with watchdog.watching() as first:
        first.hold(near)
        near.recv(1)
        begun = monotonic()
        other, far = socket.socketpair()
        with other, far, watchdog.watching() as second:
            second.hold(other)
            other.recv(1)
            assert second.passed
        assert monotonic() - begun >= SECONDS


def test_many_exchanges_have_one_thread() -> None:
    before = threading.active_count()
    watchdog = Watchdog(60)
    for _ in range(50):
        with watchdog.watching() as watch:
            assert not watch.passed
    assert threading.active_count() == before + 1
    watchdog.close()


def test_what_is_under_way_at_the_close_is_cut_and_so_is_what_begins_after_it(ends) -> None:
    near, _ = ends
    watchdog = Watchdog(60)
    with watchdog.watching() as watch:
        watch.hold(near)
        watchdog.close()
        assert near.recv(1) == b""
    with watchdog.watching() as late:
        assert late.passed
