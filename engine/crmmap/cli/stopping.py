"""Ctrl-C, SIGTERM, SIGHUP: the first asks a run to finish its batch and stop, the next kills it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from types import FrameType
from typing import Literal

from crmmap.errors import ExitCode

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def stopping(say: Callable[[], None], last_words: str) -> Iterator[threading.Event]:
    """Give an event that the first signal sets; `say` is then called, from a thread of its own.

    `last_words` are said when the second one ends the process. The handlers before
    are put back at the end. Outside of the main thread, where Python allows no
    handler, the event is given all the same.
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
    handle = _handler(asked, last_words)
    # What `nohup` has had ignored stays ignored.
    heard = [each for each in SIGNALS
             if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]  # fmt: skip
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        asked.put("over")
        watcher.join()


def _handler(
    asked: SimpleQueue[Literal["stop", "over"]], last_words: str
) -> Callable[[int, FrameType | None], None]:
    signals: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1:
            _end_at_once(last_words)
        asked.put("stop")

    return handle


def _watch(
    asked: SimpleQueue[Literal["stop", "over"]], stop: threading.Event, say: Callable[[], None]
) -> None:
    if asked.get() == "stop":
        stop.set()
        say()


def _end_at_once(last_words: str) -> None:
    # Past Python's own streams, whose locks the interrupted code may hold.
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, SHOW_CURSOR + b"\n")  # the progress bars had hidden it
        os.write(2, f"{last_words}\n".encode())
    os._exit(ExitCode.INTERRUPTED)
