"""Channels: order kept, bounded, errors after what came before them, nothing left running."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        async for number in ahead(numbers(5, [], fail=True), room=2):
            got.append(number)  # noqa: PERF401  (what came before the error must be there)

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(work())
    assert got == [0, 1, 2, 3, 4]


def test_no_more_is_made_ahead_than_asked_for() -> None:
    async def work() -> tuple[int, int]:
        made: list[int] = []
        async with aclosing(ahead(numbers(100, made), room=2)) as items:
            async for _ in items:
                await asyncio.sleep(0)
                break
            await asyncio.sleep(0)
            return len(made), len(asyncio.all_tasks())

    made, _ = asyncio.run(work())
    assert made <= 3


def test_a_consumer_that_stops_leaves_nothing_running() -> None:
    async def work() -> int:
        async with aclosing(ahead(ahead(numbers(100, []), room=1), room=1)) as items:
            async for _ in items:
                break
        return len(asyncio.all_tasks())

    assert asyncio.run(work()) == 1


@pytest.mark.parametrize("within", [0, 60])
def test_iterators_run_in_threads_and_fail_after_what_came_before(within: float) -> None:
    got: list[int] = []
    threads: list[int] = []

    def items(*, fail: bool) -> Iterator[int]:
        threads.append(threading.get_ident())
        yield from (1, 2, 3)
        if fail:
            message = "broken"
            raise ValueError(message)

    async def work(*, fail: bool) -> None:
        async for item in threaded(items(fail=fail), within=within):
            got.append(item)  # noqa: PERF401  (what came before the error must be there)

    asyncio.run(work(fail=False))
    assert got == [1, 2, 3]
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(work(fail=True))
    assert got == [1, 2, 3, 1, 2, 3]
    assert threading.get_ident() not in threads


def test_what_came_does_not_wait_for_what_does_not_come() -> None:
    taken = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        assert taken.wait(60)
        yield 3

    async def work() -> None:
        async for item in threaded(items(), within=0.01):
            if item == 2:
                taken.set()

    asyncio.run(asyncio.wait_for(work(), 60))


def test_of_what_came_together_is_held_what_is_still_to_be_taken() -> None:
    class Item:
        pass

    made: list[weakref.ref[Item]] = []

    def items() -> Iterator[Item]:
        for _ in range(5):
            made.append(weakref.ref(item := Item()))
            yield item
            del item

    async def alive() -> list[int]:
        counts = []
        async for item in threaded(items(), within=60):
            del item
            counts.append(sum(each() is not None for each in made))
        return counts

    assert asyncio.run(alive()) == [5, 4, 3, 2, 1]


@given(
    st.lists(st.integers(1, 9), max_size=12), st.integers(1, 12), st.lists(st.integers(0, 5)),
)  # fmt: skip
def test_what_waits_weighs_less_than_the_room_but_for_the_last(weights, room, pauses) -> None:
    made: list[int] = []
    got: list[int] = []

    async def work() -> None:
        items = ahead(numbers(len(weights), made), room=room, weigh=weights.__getitem__)
        async with aclosing(items):
            async for item in items:
                got.append(item)
                for _ in range(pauses[item] if item < len(pauses) else 3):
                    await asyncio.sleep(0)
                # The last one was begun when there was still room beside those that wait.
                assert sum(weights[len(got) : len(made) - 1]) < room

    asyncio.run(work())
    assert got == list(range(len(weights)))


def test_light_items_are_made_far_ahead_while_the_consumer_is_busy() -> None:
    async def work() -> int:
        made: list[int] = []
        async with aclosing(ahead(numbers(100, made), room=20)) as items:
            async for _ in items:
                for _ in range(100):
                    await asyncio.sleep(0)
                return len(made)
        return 0

    assert asyncio.run(work()) == 21  # the one taken, and twenty that wait
