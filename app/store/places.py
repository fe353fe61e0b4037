"""Places of which there are only so many: who comes too late waits for one, in order, but not for long."""

import asyncio
import math
from collections import deque

from app.store.failures import TooMany

STILL_SECONDS = 2.0
"""How long anybody waits while nobody gets a place."""
MOVING_SECONDS = 8.0
"""How long anybody waits for a connection while others get one."""
WRITERS_SECONDS = 20.0
"""The same for the turn to write; less than a request may take, so that it is known that nothing was written."""


class Places:
    """Lends so many places at once, each to one at a time.

    Two limits, as two things make wait. Where nobody gets a place, whoever has them is stuck, and waiting is of no use.
    Where the line moves, it is a burst, and most are served in time. One limit for both would refuse a burst of large
    batches, or keep everybody waiting for what is stuck.
    """

    def __init__(self, most: int, moving_seconds: float = MOVING_SECONDS) -> None:
        self.left = most
        """Places that nobody has; then nobody waits."""
        self._moving_seconds = moving_seconds
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._moved_at = -math.inf

    async def take(self, since: float | None = None) -> None:
        """Have a place. Raises TooMany where that takes too long. `since` is when the waiting began, by the loop's
        time, where it began for something else.
        """
        if self.left:
            self.left -= 1
            return
        loop = asyncio.get_running_loop()
        begun = loop.time() if since is None else since
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        try:
            while not turn.done():
                until = min(max(begun, self._moved_at) + STILL_SECONDS, begun + self._moving_seconds)
                if loop.time() >= until:
                    raise TooMany
                await asyncio.wait([turn], timeout=until - loop.time())
        except BaseException:
            if turn.done():
                self.give()  # It was this one's turn.
            turn.cancel()
            raise

    def give(self) -> None:
        """Give a place back; who has waited longest has it."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._moved_at = turn.get_loop().time()
                turn.set_result(None)
                return
        self.left += 1
