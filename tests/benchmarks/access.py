"""What the access log costs a request: the same app with and without it, in this process, without a server."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from time import perf_counter

from starlette.types import Message, Receive, Scope, Send

from app.logs import Lines
from app.web.access import AccessLog, at_hand

REQUESTS = 5_000
ROUNDS = 20

HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/graphql-response+json"),
    (b"authorization", b"Bearer x"),
    (b"content-length", b"120"),
]
SCOPE = {"type": "http", "method": "POST", "path": "/graphql", "headers": HEADERS}


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    request = at_hand()
    request.caller, request.name, request.type = "somebody@example", "AccountsOfMonth", "query"
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


async def receive() -> Message:
    return {"type": "http.request"}


async def send(_message: Message) -> None:
    return


async def microseconds(app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> float:
    """Of one request."""
    begun = perf_counter()
    for _ in range(REQUESTS):
        await app(dict(SCOPE), receive, send)
    return (perf_counter() - begun) / REQUESTS * 1e6


async def main() -> None:
    logged = AccessLog(answer, Lines(io.BytesIO()).later)
    rounds = [(await microseconds(answer), await microseconds(logged)) for _ in range(ROUNDS)]
    # The least of each: whatever else the machine does only ever adds.
    bare, told = (min(each) for each in zip(*rounds, strict=True))
    print(f"A request without the access log {bare:.1f} us, with it {told:.1f} us: {told - bare:.1f} us more")


if __name__ == "__main__":
    asyncio.run(main())
