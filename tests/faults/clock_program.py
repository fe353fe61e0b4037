"""The gateway on a machine whose clock jumps: so many seconds off as a file says, or standing still.

`CLOCK=FILE python -m tests.faults.clock_program serve`. The file holds a number of seconds, or the instant (ISO 8601)
at which the clock stands. Beside it FILE.seen tells what was read there last, and how many times. Nothing in the
gateway itself knows of this.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from app import cli, main, runner

TICK_SECONDS = 0.1
"""A test does not wait as long as a runner does."""

_times = 0


def now() -> datetime:
    """What the clock says."""
    global _times  # noqa: PLW0603 - one process has one clock.
    clock = Path(os.environ["CLOCK"])
    told = clock.read_text()
    _times += 1
    new = clock.with_name("seen.new")
    new.write_text(f"{told} {_times}")
    new.replace(clock.with_name(f"{clock.name}.seen"))
    if "T" in told:
        return datetime.fromisoformat(told)
    return datetime.now(UTC) + timedelta(seconds=int(told or 0))


if __name__ == "__main__":
    runner.TICK_SECONDS = TICK_SECONDS
    main.create_app = partial(main.create_app, clock=now)
    cli.main()
