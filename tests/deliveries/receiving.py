"""A bare HTTP server, which a test tells what to answer."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

SECONDS = 30
"""How long a test waits for what has to come."""
OK = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n"
"""Says that the connection is closed: who took it for open might send the next event into it, and have to try again."""

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A bare HTTP server, which keeps what it was sent and answers as it is told."""

    def __init__(self, answer: bytes | Answer) -> None:
        self._answer = answer
        self.requests: list[bytes] = []
        self._news = asyncio.Condition()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def has(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(lambda: len(self.requests) >= count)

    @property
    def events(self) -> list[Any]:
        """What it was sent so far, whatever it answered."""
        return [event_of(request) for request in self.requests]

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")
            )
            request = head + await reader.readexactly(length)
            async with self._news:
                self.requests.append(request)
                self._news.notify_all()
            if isinstance(self._answer, bytes):
                writer.write(self._answer)
                await writer.drain()
            else:
                await self._answer(request, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def event_of(request: bytes) -> Any:
    """The event of a whole request."""
    return json.loads(request.partition(b"\r\n\r\n")[2])


@asynccontextmanager
async def receiving(answer: bytes | Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver(answer)
    server = await asyncio.start_server(receiver, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
