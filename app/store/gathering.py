"""Things that are asked for one by one and done together: what comes while some are done is done with the next ones.

Nobody waits for company: the first is done at once. The more come at a time, the more share a statement and its commit.
A group that takes long, as where the database makes it wait for a lock, is not waited for. Where none gets on, whoever
waits is told so.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from app.store.failures import TooMany
from app.store.places import STILL_SECONDS

TOGETHER_MAX = 100
"""Things that are done together."""
LONG_SECONDS = 0.01
"""How long the next group waits for one."""
AT_ONCE_MAX = 8
"""Groups that are being done; then the next one waits however long it takes."""

A = TypeVar("A")
R = TypeVar("R")


class Gathering(Generic[A, R]):
    """Does for many what each asks for.

    act: does a group, and answers each in order. What it raises, each of the group is told.
    """

    def __init__(
        self, act: Callable[[Sequence[A]], Awaitable[Sequence[R]]], *, long_seconds: float = LONG_SECONDS
    ) -> None:
        self._act = act
        self._long_seconds = long_seconds
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._doing = 0
        """Groups that are being done, and how many of them take long."""
        self._long = 0
        self._still: asyncio.TimerHandle | None = None
        """When it will be that no group got on for long."""

    async def ask(self, asked: A) -> R:
        """The answer to one. Who does not wait for it any more has asked all the same.

        Raises TooMany where its group can't begin soon.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        self._begin()
        if self._long == AT_ONCE_MAX and self._still is None:
            self._still = future.get_loop().call_later(STILL_SECONDS, self._refuse)
        return await future

    def _begin(self) -> None:
        """Have a group done, if there is one and nobody will."""
        if self._waiting and self._long == self._doing < AT_ONCE_MAX:
            self._doing += 1
            task = asyncio.ensure_future(self._do())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _do(self) -> None:
        try:
            await self._do_groups()
        finally:
            self._doing -= 1

    async def _do_groups(self) -> None:
        """Do what waits, until nothing does or others do it."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._doing == self._long + 1:
            group = [self._waiting.popleft() for _ in range(min(TOGETHER_MAX, len(self._waiting)))]
            if not self._waiting:
                self._got_on()
            is_long = False

            def tell() -> None:
                nonlocal is_long
                is_long = True
                self._long += 1
                self._begin()

            timer = loop.call_later(self._long_seconds, tell)
            try:
                await self._answer(group)
            finally:
                timer.cancel()
                if is_long:
                    self._long -= 1

    def _got_on(self) -> None:
        if self._still is not None:
            self._still.cancel()
            self._still = None

    def _refuse(self) -> None:
        """Tell all who wait that nobody gets on."""
        self._got_on()
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(TooMany())

    async def _answer(self, group: Sequence[tuple[A, "asyncio.Future[R]"]]) -> None:
        try:
            answers = await self._act([asked for asked, _ in group])
        except BaseException as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            if isinstance(error, TooMany):
                self._refuse()  # They came while it waited, for the same.
            if not isinstance(error, Exception):
                raise
            return
        self._got_on()
        for (_, future), answer in zip(group, answers, strict=True):
            if not future.done():
                future.set_result(answer)
