"""Operations over server-sent events: one request, one stream of results (GraphQL over SSE, distinct connections)."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import structlog
from starlette.types import Receive, Send

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.web.access import at_hand
from app.web.graphql import STATUSES
from app.web.guards import SAFE_HEADERS, send_json
from app.web.operations import Answered, Asked, Subscribe, refusal_json

KEEP_ALIVE_SECONDS = 12.0
"""After how long without a result a comment shows that the stream lives."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
    *((name, value) for name, value in SAFE_HEADERS.items() if name != b"content-type"),
]
_COMPLETE = b"event: complete\ndata:\n\n"
_INTERNAL = Refusal(Code.INTERNAL, "Internal error.")

_log = structlog.get_logger(__name__)


class EventStream:
    """Answers requests with a stream of results. See app.web.graphql.Stream."""

    def __init__(self, subscribe: Subscribe, *, keep_alive_seconds: float = KEEP_ALIVE_SECONDS) -> None:
        self._subscribe = subscribe
        self._keep_alive_seconds = keep_alive_seconds
        self._streams: set[asyncio.Task[None]] = set()

    async def __call__(self, asked: Asked, caller: Caller, receive: Receive, send: Send, *, mutations: bool) -> None:
        answer = await self._subscribe(asked, caller, mutations=mutations)
        if isinstance(answer, Answered) and answer.code in STATUSES:
            await send_json(send, STATUSES[answer.code], answer.body)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if isinstance(answer, Answered):
            await send({"type": "http.response.body", "body": _next(answer.body) + _COMPLETE})
            return
        streaming = asyncio.ensure_future(self._streamed(answer, send))
        self._streams.add(streaming)
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({streaming, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.discard(streaming)
            for task in (streaming, gone):
                task.cancel()
            await asyncio.gather(streaming, gone, return_exceptions=True)
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def close(self) -> None:
        """End all streams; clients connect anew, and resume by their place."""
        for task in tuple(self._streams):
            task.cancel()

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
                last = _next(json.dumps({"errors": [refusal_json(refusal)]}).encode()) + _COMPLETE
            except Exception as error:  # noqa: BLE001 - the client is told nothing of it.
                told.code = Code.INTERNAL
                _log.exception("stream_failed", error=type(error).__name__)
                last = _next(json.dumps({"errors": [refusal_json(_INTERNAL)]}).encode()) + _COMPLETE
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
