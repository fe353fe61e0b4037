"""Writers that are killed, one after another, each at some moment after its first answer.

`python -m tests.faults.forking_program URL COUNT SEED` tells in JSON which batches were sent, and which were answered.
A writer is the gateway without its sockets, in a fork of this process, so that it need not import everything anew.
"""

import asyncio
import json
import os
import random
import select
import signal
import sys
from itertools import count
from typing import NoReturn

from tests.asking import Gateway
from tests.faults.asking import REGISTER, items

SECONDS_MAX = 0.02
"""How long a writer goes on after its first answer, at most: some batches."""
BATCH = 5


async def _write(url: str, name: str, told: int) -> NoReturn:
    """Write batches without end; each is told when it is sent, and when it is answered."""
    gateway = Gateway(url)
    for number in count():
        prefix = f"{name}-{number}"
        os.write(told, f"+{prefix}\n".encode())
        answer = (await gateway.ask(REGISTER, items=items(prefix, BATCH))).sound()
        results = answer["registerBatchAccountBalances"]["results"]
        assert [result["errorCode"] for result in results] == [None] * BATCH
        os.write(told, f"={prefix}\n".encode())
    raise AssertionError


def _killed(url: str, name: str, after: float) -> str:
    """What a writer told until it was killed, so long after its first answer."""
    hearing, told = os.pipe()
    writer = os.fork()
    if not writer:
        os.close(hearing)
        asyncio.run(_write(url, name, told))
    os.close(told)
    heard = b""
    while b"=" not in heard:
        some = os.read(hearing, 4096)
        assert some, "a writer ended by itself"
        heard += some
    select.select([], [], [], after)
    os.kill(writer, signal.SIGKILL)
    assert os.waitpid(writer, 0)[1] == signal.SIGKILL
    while some := os.read(hearing, 65_536):
        heard += some
    os.close(hearing)
    return heard.decode()


def main(url: str, times: int, seed: int) -> None:
    chance = random.Random(seed)
    told = "".join(_killed(url, f"{seed}-{number}", chance.random() * SECONDS_MAX) for number in range(times))
    lines = told.splitlines()
    by_mark = {mark: [line[1:] for line in lines if line[0] == mark] for mark in "+="}
    json.dump({"sent": by_mark["+"], "answered": by_mark["="]}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
