"""Threads and bounded channels under asyncio: iterate in a thread, and work ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
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


async def threaded(items: Iterator[T], *, within: float = 0.0) -> AsyncIterator[T]:
    """Iterate in worker threads, one item at a time, or as many as come `within` so many seconds.

    To go from thread to thread for each takes longer than some items do. What `items` raises is
    raised here after the items made before.
    """

    def some() -> tuple[list[T | _End], BaseException | None]:
        until, found = monotonic() + within, [next(items, END)]
        try:
            while found[-1] is not END and monotonic() < until:
                found.append(next(items, END))
        except BaseException as error:  # noqa: BLE001  (it is raised once its time has come)
            return found, error
        return found, None

    while True:
        found, error = await asyncio.to_thread(some)
        found.reverse()
        while found:
            if isinstance(item := found.pop(), _End):
                return
            yield item
            del item  # what is done with it is no longer ours to hold
        if error is not None:
            raise error


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
