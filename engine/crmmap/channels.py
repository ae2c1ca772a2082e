"""Threads and bounded channels under asyncio: iterate in a thread, and work ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class _End:
    """Marks the end of a channel or an iterator."""


END: Final = _End()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work in a worker thread."""
    return await asyncio.to_thread(function, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Threads:
    """Worker threads, some for each kind of work.

    The system's allocator keeps memory for each thread, as much as the largest job took that it
    ever did. So no thread is to do all kinds.
    """

    reading: Executor
    making: Executor
    writing: Executor

    @classmethod
    def of(cls, most: int) -> Threads:
        """Return at most so many of each kind."""
        return cls(*(ThreadPoolExecutor(most) for _ in range(3)))

    def close(self) -> None:
        """Wait for all of them to end."""
        for each in (self.reading, self.making, self.writing):
            each.shutdown()


async def in_thread_of(threads: Executor | None, function: Callable[[], T]) -> T:
    """Run blocking work in one of certain threads; None: in any."""
    work = partial(copy_context().run, function)
    return await asyncio.get_running_loop().run_in_executor(threads, work)


async def threaded(
    items: Iterator[T], *, within: float = 0.0, threads: Executor | None = None
) -> AsyncIterator[T]:
    """Iterate in worker threads, one item at a time, or as many as come `within` so many seconds.

    To go from thread to thread for each takes longer than some items do. None waits longer than
    that for the next one. What `items` raises is raised here after the items made before.
    """
    found: deque[T | _End] = deque()

    def some() -> None:
        until = monotonic() + within
        while True:
            found.append(item := next(items, END))
            if item is END or monotonic() >= until:
                return

    while True:
        making = asyncio.ensure_future(in_thread_of(threads, some))
        try:
            for seconds in (within, None) if within else (None,):
                await asyncio.wait([making], timeout=seconds)
                while found:
                    if isinstance(item := found.popleft(), _End):
                        return
                    yield item
                    del item  # what is done with it is no longer ours to hold
            making.result()
        finally:
            making.cancel()


async def ahead(
    items: AsyncGenerator[T], *, room: int = 1, weigh: Callable[[T], int] = lambda _: 1
) -> AsyncGenerator[T]:
    """Yield the items, which are made before they are asked for as long as there is room.

    There is, while those that wait weigh less than `room`: so one may wait, however heavy it is,
    and the next is made when it is taken. What `items` raises is raised here after the items made
    before.
    """
    channel: asyncio.Queue[tuple[T, int] | _End] = asyncio.Queue()
    free = asyncio.Event()
    free.set()
    waiting = 0

    def weighs(change: int) -> None:
        nonlocal waiting
        waiting += change
        if waiting < room:
            free.set()
        else:
            free.clear()

    async def fill() -> None:
        try:
            async with aclosing(items):
                async for item in items:
                    weight = weigh(item)
                    weighs(weight)
                    channel.put_nowait((item, weight))
                    del item  # as below
                    await free.wait()
        finally:  # also after a panic of polars', which is no `Exception`
            channel.put_nowait(END)

    filling = asyncio.create_task(fill())
    try:
        while not isinstance(got := await channel.get(), _End):
            item, weight = got
            weighs(-weight)
            del got  # what is done with it is no longer ours to hold
            yield item
            del item
        await filling
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
