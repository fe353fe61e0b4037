"""A socket asks again and again whether its token is still good: for each operation, once a minute, and at its end."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import pytest

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.web.operations import Answered, Asked
from app.web.websocket import CLOSE_SECONDS, PROTOCOL, TOKEN_SECONDS, GraphQLSocket
from tests.web.fakes import DATA

SECONDS = 30
NOW = 1_800_000_000.0
ADA = Caller("ada", frozenset(), frozenset({"default"}), "issuer", NOW + 600)
PAYLOAD = {"authorization": "Bearer a"}


class Client:
    """What a socket's client sends, and what it is sent; and who the gateway takes it for."""

    def __init__(self, **limits: Any) -> None:
        self.caller: Caller | Refusal = ADA
        self.asked_with: list[tuple[Mapping[bytes, bytes], Any]] = []
        self.operations: list[Caller] = []
        self.now = NOW
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._received: asyncio.Queue[Any] = asyncio.Queue()
        self._socket = GraphQLSocket(self._subscribe, self._caller_of, now=lambda: self.now, **limits)

    async def __aenter__(self) -> Self:
        headers = [(b"host", b"localhost"), (b"authorization", b"Bearer x"), (b"authorization", b"Bearer y")]
        scope = {"type": "websocket", "headers": headers, "subprotocols": [PROTOCOL]}
        self._running = asyncio.ensure_future(self._socket(scope, self._sent.get, self._received.put))
        await self._sent.put({"type": "websocket.connect"})
        assert (await self.told())["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self._sent.put({"type": "websocket.disconnect"})
        await self._running

    async def say(self, **message: Any) -> None:
        await self._sent.put({"type": "websocket.receive", "text": json.dumps(message)})

    async def told(self) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            message: dict[str, Any] = await self._received.get()
        return message

    async def begin(self) -> None:
        await self.say(type="connection_init", payload=PAYLOAD)
        assert json.loads((await self.told())["text"]) == {"type": "connection_ack"}

    async def closed(self) -> tuple[int, str]:
        while (message := await self.told())["type"] != "websocket.close":
            continue
        return message["code"], message["reason"]

    def _caller_of(self, headers: Mapping[bytes, bytes], payload: Any) -> Caller:
        self.asked_with.append((headers, payload))
        if isinstance(self.caller, Refusal):
            raise self.caller
        return self.caller

    async def _subscribe(
        self, asked: Asked, caller: Caller, *, mutations: bool
    ) -> AsyncGenerator[bytes, None] | Answered:
        assert not mutations
        self.operations.append(caller)
        return DATA if asked.query == "{a}" else _endless()


async def _endless() -> AsyncGenerator[bytes, None]:
    await asyncio.Event().wait()
    yield b""


EXPIRED = Refusal(Code.UNAUTHENTICATED, "The token has expired.")


async def test_each_operation_is_asked_for_who_is_there_then() -> None:
    async with Client() as client:
        await client.begin()
        await client.say(type="subscribe", id="1", payload={"query": "{a}"})
        assert [json.loads((await client.told())["text"])["type"] for _ in range(2)] == ["next", "complete"]
        client.caller = EXPIRED
        await client.say(type="subscribe", id="2", payload={"query": "{a}"})
        assert await client.closed() == (4403, EXPIRED.message)
    assert client.operations == [ADA]
    # Two headers of one name are one that is neither.
    assert client.asked_with[0] == ({b"host": b"localhost", b"authorization": b"Bearer x, Bearer y"}, PAYLOAD)


async def test_a_token_that_is_withdrawn_ends_its_socket_within_a_minute() -> None:
    assert TOKEN_SECONDS == 60
    async with Client(token_seconds=0.01) as client:
        await client.begin()
        await client.say(type="subscribe", id="1", payload={"query": "subscription {b}"})
        client.caller = EXPIRED
        assert await client.closed() == (4403, EXPIRED.message)


async def test_a_socket_that_says_nothing_ends_with_its_token() -> None:
    async with Client() as client:
        client.caller = ADA._replace(expires_at=NOW + 0.01)
        await client.begin()
        client.caller = EXPIRED
        assert await client.closed() == (4403, EXPIRED.message)


@pytest.mark.parametrize(("code", "closed"), [(Code.UNAUTHENTICATED, 4403), (Code.UNAVAILABLE, 1013)])
async def test_who_is_not_let_in_is_told_whether_to_come_again(code: Code, closed: int) -> None:
    async with Client() as client:
        client.caller = Refusal(code, "No.")
        await client.say(type="connection_init")
        assert await client.closed() == (closed, "No.")


async def test_who_is_found_out_slowly_is_waited_for() -> None:
    async def slowly(found: Caller) -> Caller:
        return found

    async with Client() as client:
        given: Callable[..., Any] = client._caller_of
        client._socket.caller_of = lambda headers, payload: slowly(given(headers, payload))
        await client.begin()
        await client.say(type="subscribe", id="1", payload={"query": "{a}"})
        assert json.loads((await client.told())["text"])["type"] == "next"
    assert client.operations == [ADA]


async def test_a_socket_s_end_waits_for_no_operation_that_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    held = asyncio.Event()

    async def deaf() -> AsyncGenerator[bytes, None]:
        while not held.is_set():
            with suppress(asyncio.CancelledError):
                await held.wait()
        yield b""

    monkeypatch.setitem(globals(), "_endless", deaf)
    async with Client() as client:
        await client.begin()
        await client.say(type="subscribe", id="1", payload={"query": "subscription {b}"})
        await client.say(type="ping")
        assert json.loads((await client.told())["text"]) == {"type": "pong"}
        begun = time.monotonic()
        await client._socket.close()
        took = time.monotonic() - begun
        held.set()
        assert await client.closed() == (1001, "The gateway goes away")
    assert took < CLOSE_SECONDS
