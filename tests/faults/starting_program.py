"""Gateways that are killed while they start, each some time later in its start than the one before, until one listens.

`python -m tests.faults.starting_program PORT SEED` tells in JSON after how many seconds each was killed. A gateway is a
fork of this process, so that it need not import everything anew. What it says goes to the standard error.
"""

import json
import os
import random
import select
import signal
import socket
import sys
from importlib import import_module
from typing import NoReturn

from app import cli

IMPORTED = ("app.main", "app.store.durability", "alembic.config", "alembic.runtime.environment", "alembic.script")
"""What a start imports, by and by."""
FIRST_SECONDS = 0.02
GROWTH_MAX = 0.6
"""How much later than the one before it a gateway is killed, at most."""
LIFE_SECONDS_MAX = 60
"""After that a gateway ends by itself, should nobody be left to kill it."""


def _serve(port: int) -> NoReturn:
    signal.alarm(LIFE_SECONDS_MAX)
    os.dup2(2, 1)
    sys.argv[1:] = ["serve", "--port", str(port)]
    cli.main()
    raise AssertionError


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _killed(port: int, after: float) -> bool:
    """Whether a gateway listened that was killed so long after its start."""
    gateway = os.fork()
    if not gateway:
        _serve(port)
    select.select([], [], [], after)
    listened = _listens(port)
    os.kill(gateway, signal.SIGKILL)
    assert os.waitpid(gateway, 0)[1] == signal.SIGKILL, "a gateway ended by itself"
    return listened


def main(port: int, seed: int) -> None:
    for module in IMPORTED:
        import_module(module)
    chance = random.Random(seed)
    seconds = [FIRST_SECONDS]
    while not _killed(port, seconds[-1]):
        seconds.append(seconds[-1] * (1 + GROWTH_MAX * chance.random()))
    json.dump(seconds, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
