"""Operations over a WebSocket: the protocol graphql-transport-ws, and no other.

Source: the protocol's description in the npm package graphql-ws (PROTOCOL.md). Frames are texts. Mutations are refused:
a socket has no status, and no idempotency key, to tell what became of one.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import structlog
from starlette.types import Receive, Scope, Send

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.web.access import Write, at_hand, operation
from app.web.bodies import JsonReader, asked_from
from app.web.graphql import joined_headers
from app.web.operations import Answered, Asked, Subscribe, refusal_json
from app.web.running import REQUEST_SECONDS, Leaving, in_time

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
"""How long a client may take to introduce itself."""
OPERATIONS_MAX = 100
"""Operations at once on one socket."""
MESSAGE_MAX = 1_000_000
"""Characters of a message."""
PING_SECONDS = 20.0
SEND_SECONDS = 20.0
"""How long a client may take to read what it is sent."""
TOKEN_SECONDS = 60.0
"""After how long a token is looked at again while its socket is open, where it does not expire before."""
CLOSE_SECONDS = 2.0
"""How long all clients together may take to be told that the gateway goes away."""
REASON_MAX = 120
ID_MAX = 255

CallerOf = Callable[[Mapping[bytes, bytes], dict[str, Any] | None], Caller | Awaitable[Caller]]

_log = structlog.get_logger(__name__)


class Close(Exception):  # noqa: N818 - the end of a conversation, no fault of the program.
    """The socket is to be closed, with a code of the protocol."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason[:REASON_MAX]


class _Limits(NamedTuple):
    init_seconds: float
    operations_max: int
    message_max: int
    ping_seconds: float
    send_seconds: float
    token_seconds: float
    request_seconds: float


class GraphQLSocket:
    """The ASGI app for WebSockets at /graphql.

    subscribe: runs operations.
    caller_of: who asks, by the headers of the upgrade and the payload of connection_init; raises
        Refusal(UNAUTHENTICATED). May be a coroutine function. It is asked again for each operation and once a minute.
    now: the time, in seconds since the epoch.
    write: takes the access log's line of each operation; None: there is none.
    origins: of other sites, whose pages may open a socket.
    """

    def __init__(
        self,
        subscribe: Subscribe,
        caller_of: CallerOf,
        *,
        init_seconds: float = INIT_SECONDS,
        operations_max: int = OPERATIONS_MAX,
        message_max: int = MESSAGE_MAX,
        ping_seconds: float = PING_SECONDS,
        send_seconds: float = SEND_SECONDS,
        token_seconds: float = TOKEN_SECONDS,
        now: Callable[[], float] = time.time,
        request_seconds: float = REQUEST_SECONDS,
        reader: JsonReader | None = None,
        write: Write | None = None,
        origins: Collection[str] = (),
    ) -> None:
        self.subscribe = subscribe
        self.caller_of = caller_of
        self.now = now
        self.limits = _Limits(
            init_seconds, operations_max, message_max, ping_seconds, send_seconds, token_seconds, request_seconds
        )
        self.reader = reader or JsonReader()
        self.write = write
        self._origins = frozenset(origin.encode("ascii") for origin in origins)
        self._conversations: set[_Conversation] = set()
        self.leaving = Leaving()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        headers = joined_headers(scope["headers"])
        if headers.get(b"origin") not in self._origins and not _is_of_this_site(headers):
            await send({"type": "websocket.close", "code": 1008})
            return
        if PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4406, "reason": "Subprotocol not acceptable"})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        conversation = _Conversation(self, headers, receive, send)
        self._conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self._conversations.discard(conversation)
            conversation.over.set()

    async def close(self) -> None:
        """Close all sockets; clients connect anew, and resume by their place.

        Returns when they have been told so, or don't listen: the server would close them with a code of its own.
        """
        ending = tuple(self._conversations)
        for conversation in ending:
            conversation.end(Close(1001, "The gateway goes away"))
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                for conversation in ending:
                    await conversation.over.wait()


def _is_of_this_site(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser that opens the socket does so for a page of this host; other programs name no origin."""
    origin = headers.get(b"origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get(b"host", b"").lower()
    except ValueError:
        return False


class _Conversation:
    """One socket, from its first message to its end."""

    def __init__(self, of: GraphQLSocket, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        self._of = of
        self._headers = headers
        self._receive = receive
        self._send = send
        self.over = asyncio.Event()
        self._sending = asyncio.Lock()
        self._payload: dict[str, Any] | None = None
        self._admission = asyncio.Event()
        self._is_begun = False
        self._is_alive = True
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._end: asyncio.Future[Close | None] = asyncio.get_running_loop().create_future()

    def end(self, close: Close | None) -> None:
        """End the conversation: with a close, or because the client is gone."""
        if not self._end.done():
            self._end.set_result(close)

    async def run(self) -> None:
        tasks = [
            asyncio.ensure_future(self._watched(work))
            for work in (self._listen, self._ping, self._expect, self._attend)
        ]
        try:
            close = await self._end
        finally:
            await self._of.leaving.cancel(*tasks, *self._operations.values())
        if close is not None:
            with suppress(TimeoutError, OSError, RuntimeError):
                async with asyncio.timeout(self._of.limits.send_seconds):
                    await self._send({"type": "websocket.close", "code": close.code, "reason": close.reason})

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do a part of the conversation; what goes wrong in it ends the whole."""
        try:
            await work()
        except Close as close:
            self.end(close)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the client is told nothing of it.
            _log.exception("socket_failed", error=type(error).__name__)
            self.end(Close(1011, "Internal error"))

    async def _listen(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                at_hand().status = message.get("code")
                self.end(None)
                return
            text = message.get("text")
            if text is None:
                raise Close(4400, "Messages are texts")
            await self._heard(self._read(text))

    def _read(self, text: str) -> dict[str, Any]:
        if len(text) > self._of.limits.message_max:
            raise Close(1009, "The message is too long")
        try:
            message = self._of.reader.read_text(text)
        except Refusal as refusal:
            raise Close(4400, "Invalid message: " + refusal.message) from refusal
        if not isinstance(message, dict):
            raise Close(4400, "Invalid message: it must be an object")
        return message

    async def _heard(self, message: dict[str, Any]) -> None:
        self._is_alive = True
        payload = message.get("payload")
        match message.get("type"):
            case "connection_init":
                await self._begin(payload)
            case "ping":
                _check_payload(payload)
                await self._tell({"type": "pong", **({} if payload is None else {"payload": payload})})
            case "pong":
                _check_payload(payload)
            case "subscribe":
                self._subscribe(message.get("id"), payload)
            case "complete":
                operation = self._operations.pop(_id(message.get("id")), None)
                if operation is not None:
                    operation.cancel()
            case _:
                raise Close(4400, "Invalid message: its type is unknown")

    async def _begin(self, payload: Any) -> None:
        if self._is_begun:
            raise Close(4429, "Too many initialisation requests")
        self._is_begun = True
        _check_payload(payload)
        self._payload = payload
        caller = await self._admitted()
        self._admission.set()
        at_hand().caller = caller.subject
        await self._tell({"type": "connection_ack"})

    async def _admitted(self) -> Caller:
        """Who asks, now: a token that was good may be so no more."""
        try:
            caller = self._of.caller_of(self._headers, self._payload)
            return caller if isinstance(caller, Caller) else await caller
        except Refusal as refusal:
            code = 1013 if refusal.code is Code.UNAVAILABLE else 4403
            raise Close(code, refusal.message) from refusal

    async def _attend(self) -> None:
        """End the conversation when the token does."""
        await self._admission.wait()
        while True:
            left = (await self._admitted()).seconds_left(self._of.now())
            if left is None:
                return
            await asyncio.sleep(min(left, self._of.limits.token_seconds))

    def _subscribe(self, given: Any, payload: Any) -> None:
        if not self._admission.is_set():
            raise Close(4401, "Unauthorized")
        name = _id(given)
        if not isinstance(payload, dict):
            raise Close(4400, "Invalid message: payload must be an object")
        if name in self._operations:
            raise Close(4409, f"Subscriber for {name} already exists")
        try:
            asked = asked_from(payload)
        except Refusal as refusal:
            raise Close(4400, "Invalid message: " + refusal.message) from refusal
        is_full = len(self._operations) >= self._of.limits.operations_max
        work = self._refuse_one(name) if is_full else self._operate(name, asked)
        task = self._operations[name] = asyncio.ensure_future(work)
        task.add_done_callback(lambda done: self._forget(name, done))

    def _forget(self, name: str, done: "asyncio.Task[None]") -> None:
        if self._operations.get(name) is done:
            del self._operations[name]

    async def _refuse_one(self, name: str) -> None:
        limit = self._of.limits.operations_max
        refusal = Refusal(Code.RATE_LIMITED, f"A socket has at most {limit} operations at once.", limit=limit)
        with operation(None, self._of.write):
            at_hand().code = refusal.code
            await self._watched(lambda: self._tell_error(name, [refusal_json(refusal)]))

    async def _operate(self, name: str, asked: Asked) -> None:
        async def work() -> None:
            asking = self._of.subscribe(asked, await self._admitted(), mutations=False)
            try:
                answer = await in_time(asking, self._of.limits.request_seconds)
            except Refusal as refusal:
                await self._tell_error(name, [refusal_json(refusal)])
                return
            if isinstance(answer, Answered) and not answer.ran:
                await self._tell_error(name, json.loads(answer.body)["errors"])
                return
            if isinstance(answer, Answered):
                await self._tell_next(name, answer.body)
            else:
                async with aclosing(answer):
                    try:
                        async for body in answer:
                            await self._tell_next(name, body)
                    except Refusal as refusal:
                        at_hand().code = refusal.code
                        await self._tell_error(name, [refusal_json(refusal)])
                        return
            self._operations.pop(name, None)
            await self._tell({"type": "complete", "id": name})

        with operation(asked.operation_name, self._of.write):
            await self._watched(work)

    async def _tell_error(self, name: str, errors: list[Any]) -> None:
        self._operations.pop(name, None)
        await self._tell({"type": "error", "id": name, "payload": errors})

    async def _tell_next(self, name: str, body: bytes) -> None:
        await self._tell_text(f'{{"id":{json.dumps(name)},"type":"next","payload":{body.decode()}}}')

    async def _tell(self, message: dict[str, Any]) -> None:
        await self._tell_text(json.dumps(message))

    async def _tell_text(self, text: str) -> None:
        """Send a text; nothing more of an operation is made before the client has taken it."""
        try:
            async with asyncio.timeout(self._of.limits.send_seconds), self._sending:
                await self._send({"type": "websocket.send", "text": text})
        except TimeoutError:
            raise Close(1008, "Too slow: what was sent is not read") from None
        except (OSError, RuntimeError):  # The client is gone.
            self.end(None)

    async def _ping(self) -> None:
        while True:
            self._is_alive = False
            await asyncio.sleep(self._of.limits.ping_seconds)
            if self._is_begun:
                if not self._is_alive:
                    await self._probe()
                self._is_alive = True

    async def _probe(self) -> None:
        """Ask a client that was silent for a sign of life."""
        await self._tell({"type": "ping"})
        await asyncio.sleep(self._of.limits.ping_seconds)
        if not self._is_alive:
            raise Close(4499, "No sign of life")

    async def _expect(self) -> None:
        await asyncio.sleep(self._of.limits.init_seconds)
        if not self._is_begun:
            raise Close(4408, "Connection initialisation timeout")


def _check_payload(payload: Any) -> None:
    if payload is not None and not isinstance(payload, dict):
        raise Close(4400, "Invalid message: payload must be an object")


def _id(given: Any) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= ID_MAX:
        raise Close(4400, "Invalid message: id must be a text")
    return given
