"""Threads and bounded channels under asyncio: iterate in a thread, and work ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import Final, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


class _End:
    """Marks the end of a channel or an iterator."""


END: Final = _End()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run blocking work in a worker thread."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def threaded(items: Iterator[T]) -> AsyncIterator[T]:
    """Iterate in worker threads, one item at a time."""
    while not isinstance(item := await asyncio.to_thread(next, items, END), _End):
        yield item


async def ahead(items: AsyncIterator[T], *, depth: int) -> AsyncGenerator[T]:
    """Yield the items, of which up to `depth` are made before they are asked for.

    What `items` raises is raised here after the items made before it.
    """
    channel: asyncio.Queue[T | _End] = asyncio.Queue(depth)

    async def fill() -> None:
        try:
            async for item in items:
                await channel.put(item)
        except asyncio.CancelledError:
            raise
        except BaseException:  # also a panic of polars', which is no `Exception`
            await channel.put(END)
            raise
        await channel.put(END)

    filling = asyncio.create_task(fill())
    try:
        while not isinstance(item := await channel.get(), _End):
            yield item
        await filling
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
