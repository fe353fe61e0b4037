"""Who waits for a place has it in order, or is told in time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from app.domain.refusals import Code, Refusal
from app.store.places import MOVING_SECONDS, STILL_SECONDS, Places
from app.store.standing import TURN_SECONDS, Standing
from tests.loops import leaping


async def _told(taking: Coroutine[Any, Any, None]) -> tuple[bool, float]:
    """Whether a place was had, and when."""
    try:
        await taking
    except Refusal as refusal:
        assert refusal.code is Code.UNAVAILABLE
        assert "outcome" not in refusal.extensions
        return False, asyncio.get_running_loop().time()
    return True, asyncio.get_running_loop().time()


def test_who_waits_while_nobody_gets_a_place_is_told_after_two_seconds() -> None:
    async def act() -> None:
        places = Places(2)
        await places.take()
        await places.take()
        first = asyncio.create_task(_told(places.take()))
        await asyncio.sleep(1)
        second = asyncio.create_task(_told(places.take()))
        assert [await first, await second] == [(False, 2), (False, 3)]
        # Who is not there any more has no place.
        places.give()
        assert await _told(places.take()) == (True, 3)
        assert places.left == 0

    assert STILL_SECONDS == 2
    leaping(act)


def test_who_waits_in_a_line_that_moves_is_served_in_order() -> None:
    async def hold(places: Places) -> tuple[bool, float]:
        told = await _told(places.take())
        if told[0]:
            await asyncio.sleep(0.75)
            places.give()
        return told

    async def act() -> None:
        places = Places(1)
        told = await asyncio.gather(*(hold(places) for _ in range(14)))
        # Eight seconds are the limit of the others.
        assert told == [*((True, 0.75 * number) for number in range(11)), *[(False, MOVING_SECONDS)] * 3]
        assert places.left == 1

    leaping(act)


def test_whoever_leaves_when_it_is_its_turn_lets_the_next_one_have_it() -> None:
    async def act() -> None:
        places = Places(1)
        await places.take()
        leaving, next_one = [asyncio.create_task(places.take()) for _ in range(2)]
        await asyncio.sleep(0)
        places.give()
        leaving.cancel()
        await next_one
        assert places.left == 0
        assert leaving.cancelled()
        places.give()
        assert places.left == 1

    leaping(act)


def test_who_waits_for_an_account_is_told_when_nobody_of_those_before_gets_on() -> None:
    async def write(standing: Standing, accounts: list[int], seconds: float) -> None:
        async with standing.turn(accounts):
            await asyncio.sleep(seconds)

    async def act() -> None:
        standing = Standing()
        stuck = asyncio.create_task(write(standing, [1], 100))
        others = [asyncio.create_task(write(standing, [2], 0.5)) for _ in range(9)]
        burst = asyncio.create_task(_told(write(standing, [2, 3], 0)))
        await asyncio.sleep(0)
        assert await _told(write(standing, [1, 2], 0)) == (False, 4.5 + TURN_SECONDS), (
            "it was waited for account 2 until then"
        )
        assert await burst == (True, 4.5)
        await asyncio.gather(*others)
        assert await _told(write(standing, [1], 0)) == (False, 4.5 + 2 * TURN_SECONDS)
        stuck.cancel()

    leaping(act)


def test_who_has_one_of_two_places_has_waited_all_the_same() -> None:
    """Two places are needed, and the second is not to be had."""

    async def visit(outer: Places, inner: Places, after: float) -> None:
        await asyncio.sleep(after)
        since = asyncio.get_running_loop().time()
        await outer.take()
        try:
            await inner.take(since)
        finally:
            outer.give()

    async def act() -> None:
        outer, inner = Places(1), Places(0)
        told = await asyncio.gather(*(_told(visit(outer, inner, after)) for after in (0, 0.5, 1, 1.5)))
        assert told == [(False, 2), (False, 2.5), (False, 3), (False, 3.5)]
        assert outer.left == 1

    leaping(act)


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_have_a_place_than_there_are(most: int) -> None:
    async def act() -> None:
        places, here, highest = Places(most), 0, 0

        async def visit(number: int) -> None:
            nonlocal here, highest
            await places.take()
            here += 1
            highest = max(highest, here)
            await asyncio.sleep(0.01 * (number % 4))
            here -= 1
            places.give()

        await asyncio.gather(*map(visit, range(100)))
        assert highest == most
        assert places.left == most

    leaping(act)
