"""Requests that take too long, whose client goes away, or that are too many bytes at once."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from app.domain.callers import LOCAL, Caller
from app.web.bodies import ClientGoneError
from app.web.graphql import LARGE_BODY, GraphQLView
from app.web.operations import Answered, Asked, OutcomeUnknown
from app.web.running import Running, in_time
from tests.web.fakes import DATA, FakeCallers, FakeRun
from tests.web.servers import GRAPHQL, JSON, SECONDS, Served, serving


class Endless:
    """An operation that never ends by itself; it tells what became of it."""

    def __init__(self, ended: type[BaseException] | None = None) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()
        self._ended = ended

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered:
        del asked, caller, mutations
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            if self._ended is not None:
                raise self._ended from None
            raise
        return DATA


def head(length: int) -> bytes:
    return (
        f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {JSON}\r\nAccept: {GRAPHQL}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("seconds", [0.01, 0.2])
def test_a_request_that_takes_too_long_is_cancelled_and_told(seconds: float) -> None:
    run = Endless()
    with serving(GraphQLView(run, lambda _headers: LOCAL, request_seconds=seconds)) as served:
        reply = served.post({"query": "{a}"})
    assert (reply.status, reply.code) == (504, "TIMEOUT")
    assert reply.message == f"The request took longer than {seconds:g} s."
    assert reply.json["errors"][0]["extensions"]["limit"] == seconds
    assert run.cancelled.is_set()


def test_of_a_mutation_that_takes_too_long_the_outcome_is_unknown() -> None:
    with serving(GraphQLView(Endless(OutcomeUnknown), lambda _headers: LOCAL, request_seconds=0.05)) as served:
        reply = served.post({"query": "mutation {a}"})
    assert (reply.status, reply.code) == (504, "TIMEOUT")
    assert "whether this was done is unknown" in reply.message
    assert reply.json["errors"][0]["extensions"] == {"code": "TIMEOUT", "outcome": "unknown", "limit": 0.05}


def test_when_the_client_goes_away_the_work_stops() -> None:
    run = Endless()
    body = b'{"query": "{a}"}'
    with serving(GraphQLView(run, lambda _headers: LOCAL)) as served:
        with served.connected() as connection:
            connection.send(head(len(body)) + body)
            assert run.begun.wait(SECONDS)
            assert not run.cancelled.is_set()
        assert run.cancelled.wait(SECONDS)


async def test_a_request_that_is_answered_leaves_nothing_behind() -> None:
    running = Running(30, look_seconds=0.01)

    async def never() -> Any:
        await asyncio.Event().wait()

    async def slow() -> int:
        await asyncio.sleep(0.05)
        return 42

    async def quick() -> int:
        return 43

    assert await running.run(quick(), never) == 43
    assert await running.run(slow(), never) == 42
    assert not running._young
    assert not running._watched
    async with asyncio.timeout(SECONDS):
        while running._timer is not None:  # noqa: ASYNC110 - no event tells of it.
            await asyncio.sleep(0.005)
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    running = Running(30)

    async def never() -> Any:
        await asyncio.Event().wait()

    task = asyncio.create_task(running.run(never(), never))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_is_gone_from_the_start_is_noticed() -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ClientGoneError):
        await Running(30, look_seconds=0.01).run(never(), gone)


@pytest.mark.parametrize(("ended", "is_unknown"), [(None, False), (OutcomeUnknown, True)])
async def test_what_is_not_watched_has_a_time_too(ended: type[BaseException] | None, is_unknown: bool) -> None:
    with pytest.raises(Exception, match=r"longer than 0\.01 s") as raised:
        await in_time(Endless(ended)(Asked("", {}, None, {}), LOCAL, mutations=True), 0.01)
    assert ("is unknown" in str(raised.value)) is is_unknown


def test_the_cost_is_told_to_who_asks_for_it() -> None:
    run = FakeRun()
    with serving(GraphQLView(run, FakeCallers())) as served:
        served.post({"query": "{a}"}, ("GraphQL-Cost", "report"))
        served.post({"query": "{a}"}, ("GraphQL-Cost", "other"))
        served.post({"query": "{a}"})
    assert [asked.wants_cost for asked in run.asked] == [True, False, False]


def test_the_plan_is_told_to_who_asks_for_it() -> None:
    run = FakeRun()
    with serving(GraphQLView(run, FakeCallers())) as served:
        served.post({"query": "{a}"}, ("GraphQL-Plan", "show"), ("GraphQL-Cost", "report"))
        served.post({"query": "{a}"}, ("GraphQL-Plan", "other"))
        served.post({"query": "{a}"})
    assert [(asked.wants_plan, asked.wants_cost) for asked in run.asked] == [
        (True, True),
        (False, False),
        (False, False),
    ]


def test_a_large_body_is_read_like_a_small_one() -> None:
    run = FakeRun()
    values = ["x" * 100] * (LARGE_BODY // 100)
    with serving(GraphQLView(run, FakeCallers())) as served:
        assert served.post({"query": "{a}", "variables": {"a": values}}).status == 200
        reply = served.post(json.dumps({"query": "{a}", "variables": {"a": values}}).encode()[:-1])
        assert (reply.status, reply.code) == (400, "BAD_REQUEST")
    assert run.asked[0].variables == {"a": values}


def until(told: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not told():
        assert time.monotonic() < deadline


@contextlib.contextmanager
def answering(run: Callable[..., Awaitable[Answered]], **limits: int) -> Iterator[Served]:
    with serving(GraphQLView(run, lambda _headers: LOCAL, **limits)) as served:  # type: ignore[arg-type]  # Numbers all.
        yield served


def test_bodies_that_are_too_much_together_are_refused_for_a_while() -> None:
    large = b'{"query": "{a}", "variables": {"a": "' + b"x" * 60_000 + b'"}}'
    with answering(FakeRun(), bodies_max=100_000) as served:
        with served.connected() as connection:
            connection.send(head(len(large)) + large[:-1])
            until(lambda: served.post(large).status == 503)
            refused = served.post(large)
            assert (refused.code, refused.headers["retry-after"]) == ("UNAVAILABLE", "1")
            assert refused.json["errors"][0]["extensions"]["limit"] == 100_000
            assert served.post({"query": "{a}"}).status == 200
            connection.send(large[-1:])
            assert connection.reply().status == 200
        assert served.post(large).status == 200
