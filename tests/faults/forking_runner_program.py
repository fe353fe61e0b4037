"""Runners with a fault, one after another, each in a fork of this process, so that it need not import everything anew.

`python -m tests.faults.forking_runner_program URL` reads lines: a fault, as tests.faults.runner_program knows it, and
the instant by the runner's clock. Each does what is due, then ends; its status is told in a line.
"""

import asyncio
import os
import sys
from datetime import datetime

from app import logs
from tests.faults.cycles import a_runner
from tests.faults.runner_program import aim, plant


async def _once(url: str, now: datetime) -> None:
    async with a_runner(url, lambda: now) as runner:
        await runner.once()


def main(url: str) -> None:
    logs.configure("debug")
    plant()
    for line in sys.stdin:
        fault, _, instant = line.strip().rpartition(" ")
        running = os.fork()
        if not running:
            aim(fault)
            asyncio.run(_once(url, datetime.fromisoformat(instant)))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(running, 0)[1]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
