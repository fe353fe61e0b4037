"""A bad network between a gateway and its database: slow, cut off at chosen moments, or a hole that swallows all."""

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal, Self
from urllib.parse import urlsplit

Lost = Literal["question", "answer"]

AT_ONCE = struct.pack("ii", 1, 0)
"""As SO_LINGER: a socket that is closed then is so by RST."""
_CHUNK_BYTES = 65_536


class _Pair:
    """A connection of the gateway and the one to the database that goes on from it."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.is_marked = False
        """Whether the next answer of the database gets lost."""
        self.is_forgotten = False
        """Whether nothing gets through any more, and nobody is told."""

    def reset(self) -> None:
        """End both with RST: neither side is told what was on its way."""
        for writer in self._writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class Proxy:
    """Forwards bytes between a gateway and a database, in a thread of its own, and counts the harm that it does."""

    def __init__(self, database_port: int) -> None:
        self._database_port = database_port
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._passable = asyncio.Event()
        self._passable.set()
        self._mark: tuple[bytes, Lost] | None = None
        self._is_silent = False
        self._chance = random.Random(23)
        self.delay_seconds = 0.0
        self.reset_share = 0.0
        """How many of the chunks end their connection."""
        self.port = 0
        self.delayed = 0
        self.resets = 0
        self.swallowed = 0
        self.forgotten = 0

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._passed, "127.0.0.1", 0), self._loop)
        self._server = server.result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_raised: object) -> None:
        asyncio.run_coroutine_threadsafe(self._closed(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many there are that lead somewhere."""
        return sum(not pair.is_forgotten for pair in self._pairs)

    def lose(self, mark: bytes, lost: Lost, *, silently: bool = False) -> None:
        """Cut the connection on which the gateway says something next: before the database hears of it, or after.

        silently: neither side is told; the connection is there, and leads nowhere from then on.
        """
        self._is_silent = silently
        self._mark = mark, lost

    def cut_all(self) -> None:
        """End whatever there is with RST, and forward what is new."""
        self._told(self._cut_all)

    def forget(self) -> None:
        """Let whatever there is lead nowhere for ever, and forward what is new: neither side is told."""
        self._told(self._forget_all)

    def swallow(self) -> None:
        """Forward nothing any more, and take what comes."""
        self._told(self._passable.clear)

    def resume(self) -> None:
        """Forward what was held back, as a network that has lost packets sends them again."""
        self._told(self._passable.set)

    def _told(self, act: Callable[[], None]) -> None:
        async def acting() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result()

    def _cut_all(self) -> None:
        for pair in list(self._pairs):
            self._reset(pair)
        self._passable.set()

    def _forget_all(self) -> None:
        for pair in self._pairs:
            self._forget(pair)

    def _forget(self, pair: _Pair) -> None:
        self.forgotten += not pair.is_forgotten
        pair.is_forgotten = True

    def _reset(self, pair: _Pair) -> None:
        self.resets += 1
        pair.reset()

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward, answers = await asyncio.open_connection("127.0.0.1", self._database_port)
        except OSError:
            writer.close()
            return
        pair = _Pair(writer, answers)
        self._pairs.add(pair)
        pumps = [
            asyncio.ensure_future(self._pumped(pair, reader, answers, is_question=True)),
            asyncio.ensure_future(self._pumped(pair, onward, writer, is_question=False)),
        ]
        try:
            with suppress(asyncio.CancelledError):  # Streams take it for a failure; it is the end of all.
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            pair.close()
            self._pairs.discard(pair)

    async def _pumped(
        self, pair: _Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_question: bool
    ) -> None:
        with suppress(OSError):
            while True:
                chunk = await reader.read(_CHUNK_BYTES)
                await self._held_back()
                if pair.is_forgotten:
                    if not chunk:  # The other side is not told of the end either.
                        await asyncio.Event().wait()
                    continue
                if not chunk:
                    return
                if self.delay_seconds:
                    self.delayed += 1
                    await asyncio.sleep(self.delay_seconds)
                if self._is_cut(pair, chunk, is_question=is_question):
                    if self._is_silent:
                        self._forget(pair)
                        continue
                    self._reset(pair)
                    return
                writer.write(chunk)
                await writer.drain()

    async def _held_back(self) -> None:
        if not self._passable.is_set():
            self.swallowed += 1
            await self._passable.wait()

    def _is_cut(self, pair: _Pair, chunk: bytes, *, is_question: bool) -> bool:
        if not is_question and pair.is_marked:
            return True
        if is_question and self._mark is not None and self._mark[0] in chunk:
            lost, self._mark = self._mark[1], None
            pair.is_marked = lost == "answer"
            return lost == "question"
        return self._chance.random() < self.reset_share

    async def _closed(self) -> None:
        self._server.close()
        for pair in list(self._pairs):
            pair.reset()
        ours = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)


@contextmanager
def proxied(url: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before a database, and the database's URL by way of it."""
    port = urlsplit(url).port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy, url.replace(f":{port}/", f":{proxy.port}/")
