"""1,000 subscribers on one process and one write that reaches all: how long from its commit to the last of them.

Run it with `python -m tests.benchmarks.subscribers`; numbers set how many subscribers and how many writes. The gateway
and the subscribers are two processes; each subscriber is a WebSocket that does no more than note when it was told.
"""

import asyncio
import base64
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import uvicorn
from sqlalchemy import Engine, event

from app.main import create_app
from app.settings import Settings
from app.store.migrations import migrate
from app.store.store import Store
from tests.databases import Databases, free_port, scratch

SUBSCRIBERS, WRITES = 1_000, 200
CONNECTING_AT_ONCE = 50
SECONDS = 30

SETUP = """mutation { createContractor(input: {name: "C", isVendor: true}) { contractor { id } }
  createAccount(input: {name: "A", contractorId: "contractor_1"}) { account { id } } }"""
ADD = """mutation ($amount: Decimal!) { createBankAccountBalance(bankAccountId: "account_1", input:
  {amount: $amount, timestamp: "2026-03-01T12:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""
SUBSCRIPTION = (
    "subscription ($after: String) { balanceCreated(after: $after) { id amount timestamp account { id balance } } }"
)


def serve(url: str, port: int, commits: Connection) -> None:
    """The gateway's process; says when a commit has come about, by the clock that all processes share."""

    def committed(_connection: Any) -> None:
        commits.send(time.monotonic())

    event.listen(Engine, "commit", committed)
    recorded = Store._recorded

    async def recording(store: Store, *given: Any) -> Any:
        """A statement of its own, which no transaction of SQLAlchemy's surrounds."""
        answer = await recorded(store, *given)
        committed(None)
        return answer

    setattr(Store, recorded.__name__, recording)
    application = create_app(Settings(database_url=url, port=port, runner=False))
    options: Any = {"ws": "websockets-sansio", "ws_ping_interval": None, "ws_per_message_deflate": False}
    uvicorn.run(application, host="127.0.0.1", port=port, log_level="warning", access_log=False, **options)


@contextmanager
def serving(url: str) -> Iterator[tuple[int, int, Connection]]:
    """A gateway's process: its port, its number, and where it tells of commits."""
    port = free_port()
    heard, telling = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(url, port, telling))
    process.start()
    assert process.pid is not None
    try:
        yield port, process.pid, heard
    finally:
        process.terminate()
        process.join(SECONDS)


def ask(port: int, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"content-type": "application/json"})
    with urlopen(request, timeout=SECONDS) as answer:
        told = json.load(answer)
    assert "errors" not in told, told
    return told["data"]


def frame(text: str) -> bytes:
    """A client's text frame; masked with zeros, which leaves it as it is."""
    body = text.encode()
    assert 126 <= len(body) < 65_536 or len(body) < 126
    length = bytes([0x80 | len(body)]) if len(body) < 126 else bytes([0x80 | 126, *len(body).to_bytes(2, "big")])
    return b"\x81" + length + bytes(4) + body


class Told:
    """When all subscribers were told of a write."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.left = 0
        self.last = 0.0
        self.all = asyncio.Event()

    def expect(self) -> None:
        self.left = self.count
        self.all.clear()

    def one(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.last = time.monotonic()
            self.all.set()


class Subscriber(asyncio.Protocol):
    """A WebSocket that subscribes."""

    def __init__(self, port: int, told: Told, after: str) -> None:
        self._port = port
        self._told = told
        self._after = after
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /graphql HTTP/1.1",
            f"Host: 127.0.0.1:{self._port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: graphql-transport-ws",
        ]
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b'"type":"next"')):
            self._told.one()
        if data.startswith(b"HTTP/1.1 101"):
            self._transport.write(frame('{"type":"connection_init"}'))
        if b'"connection_ack"' in data:
            payload = {"query": SUBSCRIPTION, "variables": {"after": self._after}}
            self._transport.write(frame(json.dumps({"id": "1", "type": "subscribe", "payload": payload})))
            self.begun.set_result(None)
        assert b'"error"' not in data, data
        if b'"ping"' in data:
            self._transport.write(frame('{"type":"pong"}'))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(error or ConnectionError("The socket was closed."))


async def subscribed(port: int, told: Told, after: str) -> list[Subscriber]:
    """Subscribers to what comes after an entry."""
    count = told.count
    loop = asyncio.get_running_loop()
    made: list[Subscriber] = []
    while len(made) < count:
        some = min(CONNECTING_AT_ONCE, count - len(made))
        for _ in range(some):
            _, subscriber = await loop.create_connection(lambda: Subscriber(port, told, after), "127.0.0.1", port)
            made.append(subscriber)
        await asyncio.gather(*(each.begun for each in made[-some:]))
    return made


def last_commit(commits: Connection) -> float:
    at: float | None = None
    while commits.poll() or at is None:
        at = commits.recv()
    return at


async def write(port: int, told: Told, commits: Connection, amount: int) -> float:
    """Seconds from the commit of a write until the last subscriber was told."""
    told.expect()
    await asyncio.to_thread(ask, port, ADD, amount=amount)
    await asyncio.wait_for(told.all.wait(), SECONDS)
    return told.last - last_commit(commits)


def resident(process: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(kind: str, url: str, subscribers: int, writes: int) -> None:
    with serving(url) as (port, number, commits):
        await until_ready(port)
        await asyncio.to_thread(ask, port, SETUP)
        after = (await asyncio.to_thread(ask, port, ADD, amount=0))["createBankAccountBalance"]["balance"]["id"]
        warm, told = Told(10), Told(subscribers)
        for each in await subscribed(port, warm, after):
            each._transport.close()
        before = resident(number)
        await subscribed(port, told, after)
        await write(port, told, commits, 1)
        memory = (resident(number) - before) / subscribers
        took = [await write(port, told, commits, amount) for amount in range(writes)]
        lived = (resident(number) - before) / subscribers
        low = statistics.median(took) * 1000
        high = statistics.quantiles(took, n=100)[98] * 1000
        print(
            f"{kind}: {subscribers} subscribers, {writes} writes: from the commit to the last one {low:.1f} ms "
            f"(median), {high:.1f} ms (p99); {memory / 1000:.1f} kB a subscriber, {lived / 1000:.1f} "
            "kB after the writes"
        )


async def until_ready(port: int) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            await asyncio.to_thread(ask, port, "{ __typename }")
        except OSError:
            await asyncio.sleep(0.05)
        else:
            return
    raise TimeoutError("The gateway does not answer.")


async def main(subscribers: int, writes: int) -> None:
    with scratch() as folder, tempfile.TemporaryDirectory(dir=Path.cwd()) as disk:
        databases = Databases(folder, migrate)
        sqlite = f"sqlite+aiosqlite:///{disk}/gateway.db"
        await migrate(sqlite)
        await measure("sqlite", sqlite, subscribers, writes)
        with databases.made("postgresql") as url:
            await measure("postgresql", url, subscribers, writes)
        await asyncio.to_thread(databases.close)


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1:]]
    asyncio.run(main(*(given or (SUBSCRIBERS, WRITES))))
