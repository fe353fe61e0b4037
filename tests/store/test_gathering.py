"""What comes while something is done is done together, and nobody waits for what takes long."""

import asyncio
from collections.abc import Sequence

import pytest

from app.store.failures import TooMany
from app.store.gathering import AT_ONCE_MAX, TOGETHER_MAX, Gathering
from tests.loops import leaping


class Doing:
    """Does groups when a test lets it, and knows them."""

    def __init__(self, long_seconds: float = 3600.0) -> None:
        self.groups: list[list[int]] = []
        self.allowed: list[asyncio.Event] = []
        self.gathering: Gathering[int, int] = Gathering(self._do, long_seconds=long_seconds)
        self._begun = asyncio.Condition()

    async def _do(self, group: Sequence[int]) -> list[int]:
        allowed = asyncio.Event()
        self.groups.append(list(group))
        self.allowed.append(allowed)
        async with self._begun:
            self._begun.notify_all()
        await allowed.wait()
        if -1 in group:
            raise ValueError(group)
        return [2 * each for each in group]

    def ask(self, *each: int) -> list["asyncio.Task[int]"]:
        return [asyncio.ensure_future(self.gathering.ask(one)) for one in each]

    async def begun(self, groups: int) -> None:
        """Wait until so many have begun."""
        async with self._begun:
            await self._begun.wait_for(lambda: len(self.groups) >= groups)


async def test_the_first_is_done_at_once_and_what_comes_meanwhile_together() -> None:
    doing = Doing()
    first = doing.ask(1)
    await doing.begun(1)
    rest = doing.ask(*range(2, TOGETHER_MAX + 3))
    await asyncio.sleep(0)
    assert doing.groups == [[1]]
    doing.allowed[0].set()
    await doing.begun(2)
    doing.allowed[1].set()
    await doing.begun(3)
    doing.allowed[2].set()
    assert await asyncio.gather(*first, *rest) == [2 * each for each in range(1, TOGETHER_MAX + 3)]
    assert [len(group) for group in doing.groups] == [1, TOGETHER_MAX, 1]


async def test_each_of_a_group_is_told_what_went_wrong_and_the_next_ones_are_done() -> None:
    doing = Doing()
    first = doing.ask(1)
    await doing.begun(1)
    failing = doing.ask(2, -1, 3)
    await asyncio.sleep(0)
    doing.allowed[0].set()
    await doing.begun(2)
    last = doing.ask(4)
    await asyncio.sleep(0)
    doing.allowed[1].set()
    await doing.begun(3)
    doing.allowed[2].set()
    told = await asyncio.gather(*first, *failing, *last, return_exceptions=True)
    assert [each if isinstance(each, int) else type(each) for each in told] == [2, *[ValueError] * 3, 8]


async def test_the_next_group_does_not_wait_for_one_that_takes_long() -> None:
    doing = Doing(long_seconds=0.0)
    slow = doing.ask(1)
    await doing.begun(1)
    quick = doing.ask(2)
    await doing.begun(2)
    doing.allowed[1].set()
    assert await quick[0] == 4
    assert not slow[0].done()
    doing.allowed[0].set()
    assert await slow[0] == 2
    again = doing.ask(3)
    await doing.begun(3)
    doing.allowed[2].set()
    assert await again[0] == 6


async def test_so_many_long_ones_make_the_next_wait() -> None:
    doing = Doing(long_seconds=0.0)
    asked = []
    for number in range(AT_ONCE_MAX):
        asked += doing.ask(number)
        await doing.begun(number + 1)
    last = doing.ask(AT_ONCE_MAX)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(doing.groups) == AT_ONCE_MAX
    doing.allowed[3].set()
    await doing.begun(AT_ONCE_MAX + 1)
    for allowed in doing.allowed:
        allowed.set()
    assert await asyncio.gather(*asked, *last) == [2 * each for each in range(AT_ONCE_MAX + 1)]


async def test_who_does_not_wait_any_more_takes_nobody_along() -> None:
    doing = Doing()
    first = doing.ask(1)
    await doing.begun(1)
    gone, there = doing.ask(2, 3)
    await asyncio.sleep(0)
    gone.cancel()
    doing.allowed[0].set()
    await doing.begun(2)
    doing.allowed[1].set()
    assert await there == 6
    assert await first[0] == 2
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert doing.groups[1] == [2, 3]


async def _told(asking: "Gathering[int, int]", number: int) -> tuple[int | None, float]:
    """The answer, None where it is a refusal, and when it came."""
    try:
        answer: int | None = await asking.ask(number)
    except TooMany:
        answer = None
    return answer, asyncio.get_running_loop().time()


def test_who_waits_while_no_group_gets_on_is_told_so() -> None:
    async def act() -> None:
        let_go = asyncio.Event()

        async def do(group: Sequence[int]) -> Sequence[int]:
            await let_go.wait()
            return group

        gathering = Gathering(do)
        asked = []
        for number in range(AT_ONCE_MAX + 2):
            asked.append(asyncio.create_task(_told(gathering, number)))
            await asyncio.sleep(0.125)
        late = [(None, AT_ONCE_MAX * 0.125 + 2)] * 2
        assert await asyncio.gather(*asked[AT_ONCE_MAX:]) == late
        again = asyncio.create_task(_told(gathering, 99))
        await asyncio.sleep(1)
        let_go.set()
        assert await again == (99, late[0][1] + 1)
        assert await asyncio.gather(*asked[:AT_ONCE_MAX]) == [(number, again.result()[1]) for number in range(8)]
        # Nothing is left that would refuse those who come later.
        let_go.clear()
        last = [asyncio.create_task(_told(gathering, number)) for number in range(3)]
        await asyncio.sleep(10)
        let_go.set()
        assert [answer for answer, _ in await asyncio.gather(*last)] == [0, 1, 2]

    leaping(act)


def test_who_came_while_a_group_waited_in_vain_is_told_with_it() -> None:
    async def act() -> None:
        async def do(_group: Sequence[int]) -> Sequence[int]:
            await asyncio.sleep(2)
            raise TooMany

        gathering = Gathering(do, long_seconds=3600)
        first = asyncio.create_task(_told(gathering, 0))
        await asyncio.sleep(1.5)
        assert await _told(gathering, 1) == await first == (None, 2)

    leaping(act)
