"""Channels: order kept, bounded, errors after what came before them, nothing left running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from crmmap.channels import ahead, threaded


async def numbers(count: int, made: list[int], *, fail: bool = False) -> AsyncGenerator[int]:
    for number in range(count):
        made.append(number)
        yield number
    if fail:
        message = "broken"
        raise ValueError(message)


def test_items_come_in_order_and_an_error_after_them() -> None:
    got: list[int] = []

    async def work() -> None:
        async for number in ahead(numbers(5, [], fail=True), depth=2):
            got.append(number)  # noqa: PERF401  (what came before the error must be there)

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(work())
    assert got == [0, 1, 2, 3, 4]


def test_no_more_is_made_ahead_than_asked_for() -> None:
    async def work() -> tuple[int, int]:
        made: list[int] = []
        async with aclosing(ahead(numbers(100, made), depth=2)) as items:
            async for _ in items:
                await asyncio.sleep(0)
                break
            await asyncio.sleep(0)
            return len(made), len(asyncio.all_tasks())

    made, _ = asyncio.run(work())
    assert made <= 4


def test_a_consumer_that_stops_leaves_nothing_running() -> None:
    async def work() -> int:
        async with aclosing(ahead(ahead(numbers(100, []), depth=1), depth=1)) as items:
            async for _ in items:
                break
        return len(asyncio.all_tasks())

    assert asyncio.run(work()) == 1


def test_iterators_run_in_threads() -> None:
    async def work() -> list[int]:
        return [item async for item in threaded(iter([1, 2, 3]))]

    assert asyncio.run(work()) == [1, 2, 3]
