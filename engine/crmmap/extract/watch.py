"""Bounds on whole exchanges: one thread that cuts each at its deadline, wherever it hangs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from time import monotonic


class Watch:
    """Cuts one exchange, wherever it hangs.

    `timeout=` bounds a single read, so that a server which sends one byte now and
    then holds a client for ever. The watch holds a duplicate of the socket and shuts
    the connection down through it: the reading thread wakes, and no object that it
    is using changes under its hands.
    """

    def __init__(self) -> None:
        self.passed = False
        self._lock = threading.Lock()
        self._twin: socket.socket | None = None

    def hold(self, connection: socket.socket) -> None:
        """Watch this connection from now on, instead of the one before."""
        self._hold(socket.fromfd(connection.fileno(), connection.family, connection.type))

    def release(self) -> None:
        """Watch nothing any more."""
        self._hold(None)

    def cut(self) -> None:
        """End the exchange now."""
        with self._lock:
            self.passed = True
            self._shut()

    def _hold(self, twin: socket.socket | None) -> None:
        with self._lock:
            if self._twin is not None:
                self._twin.close()
            self._twin = twin
            self._shut()

    def _shut(self) -> None:
        if self.passed and self._twin is not None:
            # The other side may have gone first.
            with suppress(OSError):
                self._twin.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """Cuts the exchanges that last longer than they may, from one thread for all of them.

    All may last equally long: so the first to begin is the first whose time is over, and none
    that begins while the thread sleeps can be over before it wakes. Nobody has to wake it.
    It ends where it finds nothing under way.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._ends: dict[Watch, float] = {}
        self._awake = False
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """Watch one exchange, from now until it leaves. After `close` it is cut at once."""
        watch = Watch()
        with self._lock:
            self._ends[watch] = monotonic() + self._seconds
            if not self._awake:
                self._awake = True
                threading.Thread(target=self._guard, daemon=True).start()
        if self._over.is_set():
            watch.cut()
        try:
            yield watch
        finally:
            with self._lock:
                self._ends.pop(watch, None)
            watch.release()

    def close(self) -> None:
        """Cut what is under way, and whatever begins."""
        self._over.set()
        with self._lock:
            watches = tuple(self._ends)
        for watch in watches:
            watch.cut()

    def _guard(self) -> None:
        while (seconds := self._cut_late()) is not None:
            if self._over.wait(seconds):
                return

    def _cut_late(self) -> float | None:
        """Cut what is late, and return for how long nothing will be; None if nothing is left."""
        with self._lock:
            now = monotonic()
            late = [each for each, _ in takewhile(lambda one: one[1] <= now, self._ends.items())]
            for watch in late:
                del self._ends[watch]
            first = next(iter(self._ends.values()), None)
            self._awake = first is not None
        for watch in late:
            watch.cut()
        return None if first is None else first - now
