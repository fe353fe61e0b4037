"""A load on a server of this machine: as light as Python can be, so that what is measured is the server."""

import asyncio
import itertools
import re
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import psutil

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Loaded(NamedTuple):
    """What a load found."""

    rate: float
    """Answers a second."""
    cpu_ms: float
    """The server's CPU time for each answer, in milliseconds."""


def request(path: str, body: bytes) -> bytes:
    """A POST as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


class _Client(asyncio.Protocol):
    """One connection: asks again as soon as it is answered, until the end."""

    def __init__(self, requests: Iterator[bytes], end: float) -> None:
        self._requests = requests
        self._end = end
        self._transport: asyncio.WriteTransport | None = None
        self._missing = 0
        """Bytes of the answer that are still to come; 0 where its head is awaited."""
        self._head = b""
        self.answers = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        else:
            self._head += data
            head, ended, body = self._head.partition(b"\r\n\r\n")
            if not ended:
                return
            length = _LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                self._fail(head + ended + body)
                return
            self._head, self._missing = b"", int(length[1]) - len(body)
        if self._missing:
            return
        self.answers += 1
        assert self._transport is not None
        if time.monotonic() < self._end:
            self._transport.write(next(self._requests))
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc).encode())

    def _fail(self, told: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(AssertionError(told[:500]))


async def load(pid: int, port: int, requests: Iterable[bytes], *, seconds: float, connections: int) -> Loaded:
    """Ask a server for some seconds over some connections, which all wait for their last answers.

    Raises AssertionError where an answer's status is not 200.
    """
    server, loop, turn = psutil.Process(pid), asyncio.get_running_loop(), itertools.cycle(requests)
    began, before = time.monotonic(), _cpu_seconds(server)
    opened = [
        await loop.create_connection(lambda: _Client(turn, began + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    async with asyncio.timeout(seconds + 60):
        await asyncio.gather(*(client.done for _, client in opened))
    answers = sum(client.answers for _, client in opened)
    spent = _cpu_seconds(server) - before
    return Loaded(answers / (time.monotonic() - began), spent * 1000 / answers)


def _cpu_seconds(server: psutil.Process) -> float:
    """CPU time of a process and those it has started."""
    times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))
