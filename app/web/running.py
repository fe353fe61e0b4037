"""How long requests run: those that take too long are ended, and those that nobody waits for."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

from app.domain.refusals import Code, Refusal, outcome_unknown
from app.web.bodies import ClientGoneError
from app.web.operations import OutcomeUnknown

REQUEST_SECONDS = 30.0
"""How long a request may run."""
LOOK_SECONDS = 0.05
"""After how long a request is worth looking whether its client is still there."""
LEAVE_SECONDS = 0.5
"""How long who cancels something waits for its end: what it asked may be deaf."""

T = TypeVar("T")


class _Request:
    """One request that runs."""

    __slots__ = ("begun", "is_gone", "is_late", "receive", "watch")

    def __init__(self, begun: float, receive: Receive) -> None:
        self.begun = begun
        self.receive = receive
        self.watch: asyncio.Task[None] | None = None
        self.is_gone = False
        self.is_late = False


class Running:
    """Runs what requests ask for, within a time, and no longer than the client stays.

    Most requests are answered before anybody looks: they cost an entry in a table. One timer serves all, so an object
    of this class serves one event loop.
    """

    def __init__(self, seconds: float, look_seconds: float = LOOK_SECONDS) -> None:
        self._seconds = seconds
        self._look_seconds = min(look_seconds, seconds)
        # Both in order of time.
        self._young: dict[asyncio.Task[object], _Request] = {}
        self._watched: dict[asyncio.Task[object], _Request] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def run(self, work: Awaitable[T], receive: Receive) -> T:
        """What the work of the running task answers; `receive` tells when its client is gone.

        Raises Refusal TIMEOUT and ClientGoneError: the work was cancelled, unless it is one that goes on alone.
        """
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        request = self._young[task] = _Request(loop.time(), receive)
        if self._timer is None:
            self._timer = loop.call_later(self._look_seconds, self._look, loop)
        try:
            return await work
        except asyncio.CancelledError as cancelled:
            if not (request.is_gone or request.is_late) or task.uncancel() > 0:
                raise
            if request.is_gone:
                raise ClientGoneError from None
            raise _timeout(self._seconds, cancelled) from None
        finally:
            self._young.pop(task, None)
            self._watched.pop(task, None)
            if request.watch is not None:
                request.watch.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch the clients of what runs for a while, end what is late, and look again as long as anything runs."""
        self._timer = None
        now = loop.time()
        for task, request in list(self._young.items()):
            if request.begun > now - self._look_seconds:
                break
            del self._young[task]
            self._watched[task] = request
            request.watch = loop.create_task(_watch(task, request))
        for task, request in list(self._watched.items()):
            if request.begun > now - self._seconds:
                break
            del self._watched[task]
            request.is_late = True
            task.cancel()
        if self._young or self._watched:
            self._timer = loop.call_later(self._look_seconds, self._look, loop)


class Leaving:
    """Cancels tasks that nobody waits for any more; those that don't end soon do so alone."""

    def __init__(self) -> None:
        self._all: set[asyncio.Future[list[BaseException | None]]] = set()

    async def cancel(self, *tasks: asyncio.Future[None]) -> None:
        """Cancel tasks, which have heard of it when this returns."""
        for task in tasks:
            task.cancel()
        leaving = asyncio.gather(*tasks, return_exceptions=True)
        self._all.add(leaving)
        leaving.add_done_callback(self._all.discard)
        await asyncio.wait({leaving}, timeout=LEAVE_SECONDS)


async def in_time(work: Awaitable[T], seconds: float) -> T:
    """What some work answers, which is not watched otherwise. Raises Refusal TIMEOUT."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except (TimeoutError, OutcomeUnknown) as error:
        if not limit.expired():
            raise
        # Python 3.11 makes no TimeoutError of a kind of CancelledError.
        raise _timeout(seconds, error.__cause__ if isinstance(error, TimeoutError) else error) from None


def _timeout(seconds: float, cancelled: BaseException | None) -> Refusal:
    told = f"The request took longer than {seconds:g} s"
    if isinstance(cancelled, OutcomeUnknown):
        return outcome_unknown(Code.TIMEOUT, told, limit=seconds)
    return Refusal(Code.TIMEOUT, f"{told}.", limit=seconds)


async def _watch(task: asyncio.Task[object], request: _Request) -> None:
    """Cancel a task when its client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
    if not request.is_late:
        request.is_gone = True
        task.cancel()
