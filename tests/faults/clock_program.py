"""The gateway on a machine whose clock jumps: so many seconds off as a file says, or standing still.

`CLOCK=FILE python -m tests.faults.clock_program serve`. The file holds a number of seconds, or the instant (ISO 8601)
at which the clock stands. Nothing in the gateway itself knows of this.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from app import cli, main


def now() -> datetime:
    """What the clock says."""
    told = Path(os.environ["CLOCK"]).read_text()
    if "T" in told:
        return datetime.fromisoformat(told)
    return datetime.now(UTC) + timedelta(seconds=int(told or 0))


if __name__ == "__main__":
    main.create_app = partial(main.create_app, clock=now)
    cli.main()
