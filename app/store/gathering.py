"""Things that are asked for one by one and done together: what comes while some are done is done with the next ones.

Nobody waits for company: the first is done at once. The more come at a time, the more share a statement and its commit.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

TOGETHER_MAX = 100
"""Things that are done together."""
AT_ONCE_MAX = 2
"""Groups that are done at the same time: one waits for the database while another one is made ready."""

A = TypeVar("A")
R = TypeVar("R")


class Gathering(Generic[A, R]):
    """Does for many what each asks for.

    act: does a group, and answers each in order. What it raises, each of the group is told.
    """

    def __init__(self, act: Callable[[Sequence[A]], Awaitable[Sequence[R]]]) -> None:
        self._act = act
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._doing: set[asyncio.Task[None]] = set()

    async def ask(self, asked: A) -> R:
        """The answer to one. Who does not wait for it any more has asked all the same."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if len(self._doing) < AT_ONCE_MAX:
            task = asyncio.ensure_future(self._do())
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)
        return await future

    async def _do(self) -> None:
        """Do what waits, until nothing does."""
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(TOGETHER_MAX, len(self._waiting)))]
            try:
                answers = await self._act([asked for asked, _ in group])
            except BaseException as error:
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), answer in zip(group, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
