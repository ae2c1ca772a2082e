"""Ctrl-C and SIGTERM: the first asks the run to finish its batch and stop, the second kills it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Literal

from crmmap.errors import ExitCode

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def stopping(say: Callable[[], None]) -> Iterator[threading.Event]:
    """Give an event that the first signal sets; `say` is then called, from a thread of its own.

    The handlers before are put back at the end. Outside of the main thread,
    where Python allows no handler, the event is given all the same.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    # A handler interrupts whatever the main thread does, even while it holds the locks of an
    # event or of a console. Putting into a SimpleQueue is safe there; all else is the thread's.
    asked: SimpleQueue[Literal["stop", "over"]] = SimpleQueue()
    watcher = threading.Thread(target=_watch, args=(asked, stop, say), daemon=True)
    watcher.start()
    handle = _handler(asked)
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        asked.put("over")
        watcher.join()


def _handler(
    asked: SimpleQueue[Literal["stop", "over"]],
) -> Callable[[int, FrameType | None], None]:
    signals: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1:
            _end_at_once()
        asked.put("stop")

    return handle


def _watch(
    asked: SimpleQueue[Literal["stop", "over"]], stop: threading.Event, say: Callable[[], None]
) -> None:
    if asked.get() == "stop":
        stop.set()
        say()


def _end_at_once() -> None:
    if sys.stderr.isatty():
        os.write(2, SHOW_CURSOR)  # the progress bars had hidden it
    os._exit(ExitCode.INTERRUPTED)
