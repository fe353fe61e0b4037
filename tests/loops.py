"""An event loop whose time is its own, for what waits long."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Leaping(asyncio.SelectorEventLoop):
    """A loop that does not wait for what is scheduled: its time leaps there as soon as nothing else is to be done."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]  # The stubs leave them out.
        if not ready and scheduled:
            self._now = max(self._now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]  # The same.


def leaping(act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run something in such a loop, to its end."""
    with asyncio.Runner(loop_factory=Leaping) as runner:
        runner.run(act())
