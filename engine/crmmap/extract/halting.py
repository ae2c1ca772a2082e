"""What is under way when a run is to stop: it may end by itself for a while, then it is cut."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GLANCE = 0.2
GRACE = 5.0
"""Seconds that a request or a statement is given, so that its page is not read in vain."""


@contextmanager
def halting(stop: threading.Event, halt: Callable[[], None]) -> Iterator[None]:
    """Call `halt`, from a thread of its own, where work goes on for long after `stop` is set."""
    over = threading.Event()

    def watch() -> None:
        while not stop.wait(GLANCE):
            if over.is_set():
                return
        if not over.wait(GRACE):
            halt()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()  # nobody waits for the watch, which looks up soon
