"""Threads that stand ready before they are needed."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

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
