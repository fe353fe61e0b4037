"""Threads that stand ready before they are needed, and what is done in them."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

T = TypeVar("T")

LARGE = 1_000
"""Things of which more are looked at in a thread: the event loop would be held for some milliseconds."""

THREADS = min(32, (os.cpu_count() or 1) + 4)
"""How many asyncio would take by itself."""


def standing_ready(count: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads have all started.

    A thread that gets no memory may die while it starts, and Python waits for its start for ever; where that is the
    event loop's thread, nobody is answered any more.
    """
    threads = ThreadPoolExecutor(count, name)
    all_of_them = Barrier(count)
    for started in [threads.submit(all_of_them.wait) for _ in range(count)]:
        started.result()
    return threads


async def apart(size: int, work: Callable[[], T]) -> T:
    """What some work over so many things gives; it changes nothing and awaits nothing, so it may run in a thread."""
    return await asyncio.to_thread(work) if size > LARGE else work()
