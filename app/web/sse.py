"""Operations over server-sent events: one request, one stream of results (GraphQL over SSE, distinct connections)."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

import structlog
from starlette.types import Receive, Send

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.web.access import at_hand
from app.web.bodies import error_body
from app.web.graphql import STATUSES, headers_for
from app.web.guards import SAFE_HEADERS, send_json
from app.web.idempotency import REPLAYED
from app.web.operations import Answered, Asked, Subscribe, refusal_json
from app.web.running import REQUEST_SECONDS, Leaving, in_time

KEEP_ALIVE_SECONDS = 12.0
"""After how long without a result a comment shows that the stream lives."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
    *((name, value) for name, value in SAFE_HEADERS.items() if name != b"content-type"),
]
_COMPLETE = b"event: complete\ndata:\n\n"
_INTERNAL = Refusal(Code.INTERNAL, "Internal error.")
_EXPIRED = Refusal(Code.UNAUTHENTICATED, "The token has expired.")

_log = structlog.get_logger(__name__)


class EventStream:
    """Answers requests with a stream of results, until the caller's token expires. See app.web.graphql.Stream.

    now: the time, in seconds since the epoch.
    """

    def __init__(
        self,
        subscribe: Subscribe,
        *,
        now: Callable[[], float] = time.time,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._subscribe = subscribe
        self._now = now
        self._request_seconds = request_seconds
        self._keep_alive_seconds = keep_alive_seconds
        self._ends: set[asyncio.Future[None]] = set()
        self._leaving = Leaving()

    async def __call__(self, asked: Asked, caller: Caller, receive: Receive, send: Send, *, mutations: bool) -> None:
        asking = self._subscribe(asked, caller, mutations=mutations)
        try:
            answer = await in_time(asking, self._request_seconds)
        except Refusal as refusal:
            await send_json(send, STATUSES[refusal.code], error_body(refusal.code, refusal.message, refusal.extensions))
            return
        if isinstance(answer, Answered) and answer.code in STATUSES:
            more = headers_for(answer.code, answer.extensions, allow="POST")
            await send_json(send, STATUSES[answer.code], answer.body, *more)
            return
        is_replay = isinstance(answer, Answered) and answer.is_replay
        headers = [*_HEADERS, REPLAYED] if is_replay else _HEADERS
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if isinstance(answer, Answered):
            await send({"type": "http.response.body", "body": _next(answer.body) + _COMPLETE})
            return
        streaming = asyncio.ensure_future(self._streamed(answer, send))
        gone = asyncio.ensure_future(_gone(receive))
        end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.add(end)
        left = caller.seconds_left(self._now())
        try:
            done, _ = await asyncio.wait({streaming, gone, end}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ends.discard(end)
            await self._leaving.cancel(streaming, gone)
        if not done:
            at_hand().code = _EXPIRED.code
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"" if done else _refused(_EXPIRED)})

    async def close(self) -> None:
        """End all streams; clients connect anew, and resume by their place."""
        for end in self._ends:
            if not end.done():
                end.set_result(None)

    async def _streamed(self, results: AsyncGenerator[bytes, None], send: Send) -> None:
        told = at_hand()
        async with aclosing(results):
            coming: asyncio.Future[bytes] | None = None
            try:
                while True:
                    coming = coming or asyncio.ensure_future(anext(results))
                    done, _ = await asyncio.wait({coming}, timeout=self._keep_alive_seconds)
                    part = b":\n\n" if not done else _next(coming.result())
                    coming = None if done else coming
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            except StopAsyncIteration:
                last = _COMPLETE
            except Refusal as refusal:
                told.code = refusal.code
                last = _refused(refusal)
            except Exception as error:  # noqa: BLE001 - the client is told nothing of it.
                told.code = Code.INTERNAL
                _log.exception("stream_failed", error=type(error).__name__)
                last = _refused(_INTERNAL)
            finally:
                if coming is not None:
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
        await send({"type": "http.response.body", "body": last, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _next(body: bytes) -> bytes:
    """A result as an event; JSON text has no line break of its own."""
    return b"event: next\ndata: " + body + b"\n\n"


def _refused(refusal: Refusal) -> bytes:
    """The end of a stream that the gateway ends."""
    return _next(json.dumps({"errors": [refusal_json(refusal)]}).encode()) + _COMPLETE
