"""The system calls of processes that run, as strace tells them: one order for all of them."""

import asyncio
import re
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import programs

SECONDS = 30
_BYTES_SHOWN = 65_536
_TRACED = "write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync"
_BEGUN = re.compile(r"(\d+) +(\w+)\(\d+<(.*?)>((?:, |\)| <).*)")
_ENDED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_ATTACHED = re.compile(r"Process (\d+) attached")
_UNFINISHED = "<unfinished ...>"


class Traced(NamedTuple):
    """A system call's begin, or its end; most calls are told as both at once."""

    thread: int
    name: str
    file: str
    """What it is about: a path, or such as TCP:[...]."""
    told: str
    """Its arguments and its result."""
    begun: int
    """The place at which it began, among all."""
    ended: int
    """The place at which it was done."""


def _read(lines: Iterable[str]) -> Iterator[Traced]:
    open_calls: dict[int, Traced] = {}
    for place, line in enumerate(lines):
        begun, ended = _BEGUN.match(line), _ENDED.match(line)
        if begun is not None:
            call = Traced(int(begun[1]), begun[2], begun[3], begun[4], place, place)
            if not call.told.endswith(_UNFINISHED):
                yield call
            else:
                open_calls[call.thread] = call
        elif ended is not None:
            call = open_calls.pop(int(ended[1]))
            yield call._replace(told=call.told + ended[3], ended=place)


class Trace:
    """What strace has told so far."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def calls(self) -> list[Traced]:
        """All calls that are done, in the order in which they began."""
        return sorted(_read(self._file.read_text(errors="replace").splitlines()), key=lambda call: call.begun)


@asynccontextmanager
async def traced(file: Path, *processes: int) -> AsyncIterator[Trace]:
    """Trace processes and all that they start; their calls stand in a file, whole when this is left.

    Skips the test where there is no strace, or the system lets nobody look.
    """
    strace = programs.strace()
    if strace is None:
        pytest.skip("strace is not on this machine")
    options = ["-f", "-y", "-s", str(_BYTES_SHOWN), "-e", f"trace={_TRACED}", "-e", "signal=none", "-o", str(file)]
    attached = [f"--attach={number}" for number in processes]
    tracer = await asyncio.create_subprocess_exec(strace, *options, *attached, stderr=PIPE)
    try:
        await _attached(tracer, set(processes))
        yield Trace(file)
    finally:
        if tracer.returncode is None:
            tracer.send_signal(signal.SIGINT)
        await tracer.communicate()


async def _attached(tracer: Process, waiting: set[int]) -> None:
    """Return when all of the processes are traced."""
    assert tracer.stderr is not None
    async with asyncio.timeout(SECONDS):
        while waiting:
            line = (await tracer.stderr.readline()).decode()
            if "not permitted" in line:
                pytest.skip(f"this system lets nobody look: {line}")
            assert line, "strace has ended"
            found = _ATTACHED.search(line)
            waiting -= {int(found[1])} if found else set()
