"""For how long requests hold the event loop, so that nobody else is answered, on both databases.

The loop turns without rest meanwhile; what it can't turn for is told. The least of some runs counts, as what else the
machine does only ever adds.

Run it with `python -m tests.benchmarks.holding`.
"""

import asyncio
import gc
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphql import get_introspection_query
from starlette.types import Message

from app.domain.callers import LOCAL
from app.web.bodies import VALUES_MAX, JsonReader
from app.web.graphql import GraphQLView
from tests.asking import Gateway
from tests.benchmarks.batch import REGISTER
from tests.benchmarks.measuring import fill, gateways

RUNS = 5
ACCOUNTS = 1_000
LARGE = "{ " + " ".join(f'a{n}: account(id: "account_{n}") {{ {"name " * 88} }}' for n in range(20)) + " }"
PAGE = "{ accounts(first: 1000) { nodes { id name balance currency { code name } currentBalance { id amount } } } }"
PAGES = "{ accounts(first: 100) { nodes { name balances(first: 90) { nodes { amount timestamp } } } } }"
SERIES = """{ accounts(first: 27) { nodes { balanceSeries(from: "2025-11-01T00:00:00Z", before: "2026-01-19T00:00:00Z",
  interval: HOUR) { start open low high close entryCount } } } }"""


class Turning:
    """The longest time for which the loop did not turn."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last: float | None = None

    def turn(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.longest = max(self.longest, now - self._last)
            self._last = now
            asyncio.get_running_loop().call_soon(self.turn)

    @contextmanager
    def turning(self) -> Iterator[None]:
        self._last = time.perf_counter()
        self.turn()
        try:
            yield
        finally:
            self.turn()
            self._last = None


def batch(items: int, run: int) -> dict[str, Any]:
    """A batch of balances that are all good."""
    return {
        "query": REGISTER,
        "variables": {
            "input": {
                "accountBalances": [
                    {
                        "communicationNumber": f"{items}-{run}-{number}",
                        "requester": "financial_institution",
                        "balanceType": "STATEMENT_BALANCE",
                        "accountExtId": f"EXT-{number % ACCOUNTS}",
                        "businessUnit": "default",
                        "balanceAt": f"2026-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z",
                        "value": "1007.0007",
                    }
                    for number in range(items)
                ]
            }
        },
    }


async def asked(view: GraphQLView, body: bytes) -> bytes:
    """The answer to one request, whose body comes as a server hands it on."""
    parts = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
    gone = asyncio.Event()
    answer = bytearray()

    async def receive() -> Message:
        if not parts:
            await gone.wait()
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        answer.extend(message.get("body", b""))

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await view({"type": "http", "method": "POST", "query_string": b"", "headers": headers}, receive, send)
    return bytes(answer)


async def measure(kind: str, gateway: Gateway) -> None:
    await fill(gateway, ACCOUNTS)
    view = GraphQLView(gateway._run, lambda _headers: LOCAL, reader=JsonReader(values_max=VALUES_MAX))
    runs = itertools.count()
    cases: dict[str, Any] = {
        "a batch of 1,000": lambda: batch(1_000, next(runs)),
        "a batch of 10,000": lambda: batch(10_000, next(runs)),
        "a page of 1,000 accounts": lambda: {"query": PAGE},
        "100 accounts of 90 balances": lambda: {"query": PAGES},
        "series of 27 accounts with 1,896 points each": lambda: {"query": SERIES},
        "a document of 2,000 tokens": lambda: {"query": LARGE + f"#{next(runs)}"},
        "the schema": lambda: {"query": get_introspection_query() + f"#{next(runs)}"},
        "6 MB of variables": lambda: {"query": "{ viewer { subject } }", "variables": {"x": ["x" * 600] * 10_000}},
    }
    for name, make in cases.items():
        held, taken = [], []
        for _ in range(RUNS):
            body = json.dumps(make()).encode()
            gc.collect()
            turning, begun = Turning(), time.perf_counter()
            with turning.turning():
                answer = await asked(view, body)
            held.append(turning.longest)
            taken.append(time.perf_counter() - begun)
            assert answer.startswith(b'{"data"'), answer[:200]
        size = len(body) / 1e6
        told = f"held for {min(held) * 1000:.1f} ms of {min(taken) * 1000:.0f}"
        print(f"{kind}, {name} ({size:.2f} MB): {told}")


async def main() -> None:
    gc.freeze()  # As a gateway does when it has started.
    gc.set_threshold(50_000, 20, 50)
    async with gateways() as made:
        for kind, gateway in made.items():
            await measure(kind, gateway)


if __name__ == "__main__":
    asyncio.run(main())
