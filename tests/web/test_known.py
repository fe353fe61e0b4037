"""Requests whose head has come before: answered as if it had not, and past the server's parser."""

import asyncio
import io
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import logs
from app.domain.callers import LOCAL, Caller
from app.domain.refusals import Code, Refusal
from app.logs import Lines
from app.main import create_app
from app.settings import Settings
from app.web.access import AccessLog
from app.web.bodies import JsonReader
from app.web.connections import ConnectionLimits
from app.web.graphql import GraphQLView, Headers
from app.web.guards import LOCAL_HOSTS, FramingGuard, HostGuard, Paths, not_found
from app.web.known import HEAD_BYTES_MAX, HEADS_MAX, Known
from app.web.operations import Answered, Asked, Run
from tests.databases import Databases
from tests.web.fakes import FakeRun, not_run
from tests.web.servers import GRAPHQL, serving
from tests.web.tokens import AUDIENCE, ISSUER, NOW, SECRET, claims, signed
from tests.web.wires import Wire, Wired, alike, turns

ORIGIN = "https://app.example"
VIEWER = b'{"query":"{viewer{subject}}"}'
HOST = b"Host: localhost\r\n"
TYPE = b"Content-Type: application/json\r\n"
LINE = b"POST /graphql HTTP/1.1\r\n"


def a_post(body: bytes = VIEWER, *more: str, line: bytes = LINE, host: bytes = HOST, type_: bytes = TYPE) -> bytes:
    """A whole request; `more` are headers before those that every request has."""
    lines = b"".join([header.encode() + b"\r\n" for header in more])
    return b"%b%b%b%bContent-Length: %d\r\n\r\n%b" % (line, lines, host, type_, len(body), body)


def asking(query: str, **more: Any) -> bytes:
    return json.dumps({"query": query, **more}).encode()


def padded(body: bytes, size: int) -> bytes:
    return body.ljust(size)


class Side(NamedTuple):
    """A gateway, and what it tells of its requests."""

    wired: Wired
    lines: Lines
    file: io.BytesIO

    def told(self) -> list[dict[str, Any]]:
        """The lines since the last time, without what is different each time."""
        self.lines.flush()
        told = [json.loads(line) for line in self.file.getvalue().splitlines()]
        self.file.seek(0)
        self.file.truncate()
        for line in told:
            assert line.pop("request_id")
            assert line.pop("duration_ms") > 0
            assert line.pop("timestamp").endswith("Z")
        return told


class Pair:
    """The same gateway twice: one goes the short way where it may, the other never does."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.seconds = 0.0
        """How long ago it was NOW."""
        self.short: Side
        self.long: Side

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=self.seconds)

    async def open(self, stack: AsyncExitStack, urls: Sequence[str], **given: Any) -> None:
        self.short, self.long = [
            await self._side(stack, url, is_short=is_short, **given)
            for url, is_short in zip(urls, (True, False), strict=True)
        ]

    async def _side(self, stack: AsyncExitStack, url: str, *, is_short: bool, **given: Any) -> Side:
        file = io.BytesIO()
        lines = Lines(file)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logs, "LINES", lines)
            app = create_app(Settings(database_url=url, runner=False, cors_origins=[ORIGIN], **given), self.now)
        wired = Wired(app, app.known if is_short else None)
        await stack.enter_async_context(wired.living())
        return Side(wired, lines, file)

    def twice(self, request: bytes) -> tuple[list[bytes], Wire]:
        """The answers to the same bytes, each time alike on both sides; and the wire of the short one."""

        async def both() -> tuple[list[bytes], Wire]:
            one, other = self.short.wired.connected(), self.long.wired.connected()
            answers = []
            for _ in range(2):
                answer = await self.short.wired.answers(one, request)
                assert answer == await self.long.wired.answers(other, request)
                assert self.short.told() == self.long.told()
                answers.append(answer)
            assert one.is_closing() == other.is_closing()
            assert b"".join(other.fed) == request * (1 if other.is_closing() and not answers[1] else 2)
            hung_up(one, other)
            await self.short.wired.settled(one)
            return answers, one

        return self.runner.run(both())


def hung_up(*wires: Wire) -> None:
    for wire in wires:
        wire.hang_up()


def opened(databases: Databases, **given: Any) -> Iterator[Pair]:
    with asyncio.Runner() as runner, databases.made("sqlite") as one, databases.made("sqlite") as other:
        stack = AsyncExitStack()
        pair = Pair(runner)
        runner.run(pair.open(stack, (one, other), **given))
        try:
            yield pair
        finally:
            runner.run(stack.aclose())


@pytest.fixture(scope="module")
def local(databases: Databases) -> Iterator[Pair]:
    """Gateways without a key."""
    yield from opened(databases, show_plans=True)


@pytest.fixture(scope="module")
def keyed(databases: Databases) -> Iterator[Pair]:
    """Gateways with a key."""
    yield from opened(databases, jwt_key=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_leeway_seconds=0)


@pytest.fixture
def limited(databases: Databases) -> Iterator[Pair]:
    """Gateways that take one request a minute."""
    yield from opened(databases, requests_per_minute=1)


NEW = 'mutation New { createContractor(input: {name: "C"}) { contractor { name } userErrors { code } } }'
SHORT = {
    "a query": a_post(),
    "a query for GraphQL's own media type": a_post(VIEWER, f"Accept: {GRAPHQL}"),
    "a query for any media type": a_post(VIEWER, "Accept: */*"),
    "a query that is kept alive": a_post(VIEWER, "Connection: Keep-Alive"),
    "a query that tells its cost": a_post(VIEWER, "GraphQL-Cost: report"),
    "a query that shows its plan": a_post(VIEWER, "GraphQL-Plan: show"),
    "a named query": a_post(asking("query A { viewer { subject } } query B { __typename }", operationName="B")),
    "a name that no operation has": a_post(asking("{ __typename }", operationName="Z")),
    "a query with variables": a_post(
        asking("query ($n: Int!) { accounts(first: $n) { totalCount } }", variables={"n": 3})
    ),
    "variables that are wrong": a_post(asking("query ($n: Int!) { accounts(first: $n) { totalCount } }", variables={})),
    "a field's error": a_post(asking("{ accounts(first: -1) { totalCount } }"), f"Accept: {GRAPHQL}"),
    "a mutation": a_post(asking(NEW)),
    "a document that is none": a_post(asking("{"), f"Accept: {GRAPHQL}"),
    "a document that is none, for JSON": a_post(asking("{")),
    "a field that there is not": a_post(asking("{ nothing }"), f"Accept: {GRAPHQL}"),
    "a subscription": a_post(asking("subscription { events { id } }"), f"Accept: {GRAPHQL}"),
    "a hash that is not known": a_post(
        b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"%b"}}}' % (b"a" * 64)
    ),
    "a document that is too long": a_post(asking("{ __typename } #" + "x" * 16_000)[:16_300]),
    "no JSON": a_post(b"{"),
    "no object": a_post(b"[]"),
    "a key that stands twice": a_post(b'{"query":"{a}","query":"{b}"}'),
    "no UTF-8": a_post(b'{"query":"\xff"}'),
    "blanks": a_post(b"   "),
    "a body with an end of a head in it": a_post(b'{"query":"{viewer{subject}}"\r\n\r\n}'),
    "a body that is a request": a_post(a_post()),
    "a body of one byte": a_post(b"1"),
    "the longest body": a_post(padded(VIEWER, 16_383)),
    "a longest head": a_post(
        VIEWER, "X-Long: " + "x" * (HEAD_BYTES_MAX - len(a_post(VIEWER, "X-Long: ")) + len(VIEWER))
    ),
    "an origin that is allowed": a_post(VIEWER, f"Origin: {ORIGIN}"),
    "another origin": a_post(VIEWER, "Origin: https://evil.example"),
    "cookies": a_post(VIEWER, "Cookie: a=b"),
    "a header without a value": a_post(VIEWER, "X-Empty:"),
    "a host with a port": a_post(host=b"hOsT: LOCALHOST:80\r\n"),
    "an escaped path": a_post(line=b"POST /%67raphql HTTP/1.1\r\n"),
    "an empty query of the address": a_post(line=b"POST /graphql? HTTP/1.1\r\n"),
    "a charset": a_post(type_=b'content-type: application/JSON; charset="UTF-8"\r\n'),
    "a length with zeros": a_post().replace(b"Length: ", b"Length: 000"),
}


@pytest.mark.parametrize("name", SHORT)
def test_the_second_answer_is_the_first_one_and_went_past_the_parser(local: Pair, name: str) -> None:
    request = SHORT[name]
    (first, second), wire = local.twice(request)
    assert first == second
    assert first.startswith(b"HTTP/1.1 ")
    # Another request may have had the same head; the other side's parser reads each.
    assert wire.fed in ([], [request])


def test_a_head_that_is_known_is_so_on_every_connection_and_with_every_body(local: Pair) -> None:
    bodies = [padded(body, 50) for body in (b"{", VIEWER, asking("{ __typename }"))]
    wired = local.short.wired

    async def answered() -> None:
        for number, body in enumerate(bodies):
            wire, other = wired.connected(), local.long.wired.connected()
            request = a_post(body, "X-Test: bodies")
            assert await wired.answers(wire, request) == await local.long.wired.answers(other, request)
            assert wire.fed == ([] if number else [request])
            hung_up(wire, other)
            await wired.settled(wire)

    local.runner.run(answered())
    assert [line["status"] for line in local.short.told()] == [400, 200, 200]
    local.long.told()


def in_chunks(body: bytes) -> bytes:
    head = a_post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


LONG = {
    "a body in chunks": in_chunks(VIEWER),
    "a length beside chunks": a_post(b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    "an expectation": a_post(VIEWER, "Expect: 100-continue"),
    "another expectation": a_post(VIEWER, "Expect: more"),
    "another protocol": a_post(VIEWER, "Upgrade: h2c"),
    "another protocol that is asked for": a_post(b"", "Upgrade: h2c", "Connection: Upgrade"),
    "another protocol instead of a body": a_post(VIEWER, "Upgrade: h2c", "Connection: Upgrade"),
    "HTTP/1.0": a_post(line=b"POST /graphql HTTP/1.0\r\n"),
    "HTTP/1.0 that is kept alive": a_post(VIEWER, "Connection: keep-alive", line=b"POST /graphql HTTP/1.0\r\n"),
    "the last request": a_post(VIEWER, "Connection: close"),
    "the last request among more": a_post(VIEWER, "Connection: x, Close"),
    "the last request of a proxy": a_post(VIEWER, "Proxy-Connection: close"),
    "an absolute target": a_post(line=b"POST http://localhost/graphql HTTP/1.1\r\n"),
    "a query of the address": a_post(line=b"POST /graphql?query={b} HTTP/1.1\r\n"),
    "another path": a_post(line=b"POST /graphql/ HTTP/1.1\r\n"),
    "a long path": a_post(line=b"POST /graphql%b HTTP/1.1\r\n" % (b"x" * 3_000)),
    "a GET": b"GET /graphql?query={__typename} HTTP/1.1\r\n" + HOST + b"\r\n",
    "another method": a_post(line=b"PUT /graphql HTTP/1.1\r\n"),
    "a preflight": a_post(
        b"", f"Origin: {ORIGIN}", "Access-Control-Request-Method: POST", line=b"OPTIONS /graphql HTTP/1.1\r\n"
    ),
    "a header that goes on": a_post(VIEWER, "X-Folded: a\r\n b"),
    "lines without CR": a_post().replace(b"\r\n", b"\n"),
    "one line without CR": a_post(VIEWER, "X-Bare: a\nX-Next: b"),
    "a line that ends twice": a_post(VIEWER, "X-Bare: a\r"),
    "an empty line before": b"\r\n" + a_post(),
    "a head without headers before": b"\r\n\r\n" + a_post(),
    "two headers of a name": a_post(VIEWER, "X-Twice: a", "x-twice: b"),
    "two lengths": a_post(VIEWER, "Content-Length: 29"),
    "two lengths that differ": a_post(VIEWER, "Content-Length: 1"),
    "a length with a sign": a_post().replace(b"Length: ", b"Length: +"),
    "a length with a blank after it": a_post().replace(b"Length: 29", b"Length: 29 "),
    "a length with many zeros": a_post().replace(b"Length: ", b"Length: 0000"),
    "a body that is too long": a_post(padded(VIEWER, 16_384)),
    "no body": a_post(b""),
    "no host": a_post(host=b""),
    "two hosts": a_post(VIEWER, "Host: localhost"),
    "a host that is not served": a_post(host=b"Host: evil.example\r\n"),
    "a host that is none": a_post(host=b"Host: a b\r\n"),
    "a body that is no JSON by its type": a_post(type_=b"Content-Type: text/plain\r\n"),
    "no type": a_post(type_=b""),
    "a packed body": a_post(VIEWER, "Content-Encoding: gzip"),
    "a media type that there is not": a_post(VIEWER, "Accept: text/plain"),
    "events": a_post(asking("{ __typename }"), "Accept: text/event-stream"),
    "a key for repetitions": a_post(VIEWER, "Idempotency-Key: one"),
    "the client's own id": a_post(VIEWER, "X-Request-Id: one"),
    "a trace": a_post(VIEWER, "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    "a state of a trace": a_post(VIEWER, "Tracestate: a=b"),
    "too many headers": a_post(VIEWER, *[f"X-{number}: a" for number in range(98)]),
    "a head that is too long": a_post(VIEWER, "X-Long: " + "x" * HEAD_BYTES_MAX),
}


@pytest.mark.parametrize("name", LONG)
def test_what_must_be_read_anew_each_time_is(local: Pair, name: str) -> None:
    request = LONG[name]
    (first, second), wire = local.twice(request)
    assert first.startswith(b"HTTP/1.1 ")
    if not wire.is_closing():
        assert (second, wire.fed) == (first, [request, request])
        return

    async def on_another_connection() -> Wire:
        another = local.short.wired.connected()
        assert await local.short.wired.answers(another, request) == first
        return another

    assert local.runner.run(on_another_connection()).fed == [request]
    local.short.told()


def bearing(token: str) -> bytes:
    return a_post(VIEWER, f"Authorization: Bearer {token}")


def test_who_asks_is_found_out_anew_each_time(keyed: Pair) -> None:
    keyed.seconds = 0
    request = bearing(signed(claims()))
    (first, second), wire = keyed.twice(request)
    assert (first, wire.fed) == (second, [request])
    assert first.endswith(b'{"data":{"viewer":{"subject":"ada"}}}')
    keyed.seconds = 601
    (late, later), wire = keyed.twice(request)
    assert (late, wire.fed) == (later, [])
    assert late.startswith(b"HTTP/1.1 401 ")
    assert b"The token has expired." in late


@pytest.mark.parametrize(
    "request_",
    [a_post(), bearing("none"), bearing(signed(claims(), "another secret, which is long enough too: 0123456789"))],
)
def test_who_is_not_known_is_refused_the_short_way_too(keyed: Pair, request_: bytes) -> None:
    keyed.seconds = 0
    (first, second), wire = keyed.twice(request_)
    assert (first, wire.fed) == (second, [request_])
    assert first.startswith(b"HTTP/1.1 401 ")
    assert b"www-authenticate: Bearer\r\n" in first


def test_who_is_refused_with_a_length_that_is_not_read_to_its_end_is_read_anew(keyed: Pair) -> None:
    request = a_post().replace(b"Length: ", b"Length: 0000")
    (first, second), wire = keyed.twice(request)
    assert (second, wire.is_closing()) == (b"", True)
    assert b"connection: close\r\n" in first


def test_what_is_known_counts_as_a_request(limited: Pair) -> None:
    (first, second), wire = limited.twice(a_post())
    assert (first[:12], second[:12], len(wire.fed)) == (b"HTTP/1.1 200", b"HTTP/1.1 429", 1)
    assert b"retry-after: " in second


class Answering:
    """Answers what was asked with itself, after as many turns of the event loop as it says, or when it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended: list[str] = []
        self.waits = False
        self.let_go = asyncio.Event()
        self.size = 0

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered:
        assert (caller, mutations) == (LOCAL, True) or not mutations
        self.asked.append(asked.query)
        try:
            if self.waits:
                await self.let_go.wait()
            for _ in range(asked.variables.get("turns", 0)):
                await asyncio.sleep(0)
        finally:
            self.ended.append(asked.query)
        return Answered(b'{"data":"%b%b"}' % (asked.query.encode(), b"." * self.size), ran=True, code=None)


def admitted(headers: Headers) -> Caller:
    if headers.get(b"authorization") == b"Bearer wrong":
        raise Refusal(Code.UNAUTHENTICATED, "No.")
    return LOCAL


def faked(
    run: Run,
    callers: Callable[[Headers], Caller] = admitted,
    *,
    is_short: bool = True,
    limits: ConnectionLimits | None = None,
    lines: list[bytes] | None = None,
    **more: Any,
) -> Wired:
    """A gateway whose view is what is served, with guards."""
    view = GraphQLView(run, callers, **more)
    host_guard = HostGuard(Paths(not_found, http={"/graphql": view}, websocket={}), LOCAL_HOSTS)
    framing_guard = FramingGuard(host_guard)
    log = AccessLog(framing_guard, None if lines is None else lines.append)
    known = Known(view, "/graphql", log, (framing_guard.fault, host_guard.fault), lambda _scope: [])
    return Wired(log, known if is_short else None, limits)


def a_query(name: str, turns: int = 0) -> bytes:
    return a_post(asking(name, variables={"turns": turns}))


A, B, C = (a_query(name) for name in "abc")


async def met(wired: Wired) -> Wire:
    """A connection on which a request like A was answered, so that the next one goes the short way."""
    wire = wired.connected()
    assert (await wired.answers(wire, A)).startswith(b"HTTP/1.1 200")
    wire.fed.clear()
    return wire


def bodies_of(answers: bytes) -> list[bytes]:
    """What stands between data's quotes in each answer."""
    return [part.partition(b'"}')[0] for part in answers.split(b'{"data":"')[1:]]


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.INTERNAL])
async def test_what_did_not_run_is_told_alike(code: Code) -> None:
    run = FakeRun()
    run.answer = not_run(code)
    await _same_twice(run, admitted)


@pytest.mark.parametrize(
    "failure",
    [ValueError("no"), Refusal(Code.RATE_LIMITED, "No.", retryAfter=7), Refusal(Code.PAYLOAD_TOO_LARGE, "No.")],
)
async def test_what_fails_is_told_alike(failure: Exception) -> None:
    run = FakeRun()
    run.answer = failure
    await _same_twice(run, admitted)


@pytest.mark.parametrize(
    "failure",
    [ValueError("no"), Refusal(Code.UNAVAILABLE, "No.", retryAfter=7), Refusal(Code.UNAUTHENTICATED, "No.")],
)
async def test_callers_that_cannot_be_found_out_are_told_alike(failure: Exception) -> None:
    def failing(_headers: Headers) -> Caller:
        raise failure

    await _same_twice(FakeRun(), failing)


async def _same_twice(run: Run, callers: Callable[[Headers], Caller]) -> None:
    lines: list[bytes] = []
    wired = faked(run, callers, lines=lines)
    for request in (A, a_post(asking("a"), f"Accept: {GRAPHQL}")):
        wire = wired.connected()
        first, second = [await wired.answers(wire, request) for _ in range(2)]
        assert (first, wire.fed) == (second, [request])
        told = [json.loads(line) for line in lines]
        lines.clear()
        assert len(told) == 2
        assert len({json.dumps({**line, "request_id": "", "duration_ms": 0, "timestamp": ""}) for line in told}) == 1


async def test_a_body_with_too_many_values_ends_the_connection_both_ways() -> None:
    wired = faked(FakeRun(), reader=JsonReader(values_max=2))
    request, answers = a_post(b'{"a":[1,2,3,4]}'), []
    for _ in range(2):
        wire = wired.connected()
        answers.append(await wired.answers(wire, request))
        assert wire.is_closing()
    assert (answers[0], wire.fed) == (answers[1], [])
    assert answers[0].startswith(b"HTTP/1.1 413")


async def test_a_replayed_answer_says_so_both_ways() -> None:
    run = FakeRun()
    run.answer = Answered(b"{}", ran=True, code=None, is_replay=True)
    await _same_twice(run, admitted)


# Connections ----------------------------------------------------------------------------------------------------------


async def test_a_body_that_is_still_coming_is_no_request_though_it_looks_like_one() -> None:
    run = Answering()
    wired = faked(run)
    for line in (LINE, b"POST /nowhere HTTP/1.1\r\n"):
        wire = await met(wired)
        first, rest = a_post(A, line=line)[: -len(A)], A
        wire.send(first)
        for _ in range(20):  # By then what needs no body is answered.
            await asyncio.sleep(0)
        wire.send(rest)
        await wired.settled(wire)
        assert wire.fed == [first, rest]
        assert wire.read_all().count(b"HTTP/1.1 ") == 1
    assert run.asked == ["a", "a"]


async def test_chunks_that_look_like_a_request_are_none() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    head = a_post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    wire.send(head + b"%x\r\n" % len(A), A, b"\r\n0\r\n\r\n")
    await wired.settled(wire)
    assert (run.asked, len(wire.fed)) == (["a"], 3)
    assert (await wired.answers(wire, A)).endswith(b'{"data":"a"}')
    assert len(wire.fed) == 3


@pytest.mark.parametrize("is_short", [True, False])
@pytest.mark.parametrize("wanted", ["h2c", "none"])
async def test_a_body_after_another_protocol_was_asked_for_is_no_request(wanted: str, *, is_short: bool) -> None:
    run = Answering()
    wired = faked(run, is_short=is_short)
    for settles in (True, False):
        wire = await met(wired)
        run.asked.clear()
        wire.send(a_post(B, f"Upgrade: {wanted}", "Connection: Upgrade")[: -len(B)])
        if settles:
            await wired.settled(wire)
        wire.send(B)
        await wired.settled()
        assert (run.asked, wire.is_closing()) == ([], True)
        assert wire.read_all().count(b"HTTP/1.1 ") == 1


async def test_a_connection_is_kept_when_another_protocol_was_asked_for_without_a_body() -> None:
    wire = await met(wired := faked(Answering()))
    await wired.answers(wire, UPGRADE)
    assert bodies_of(await wired.answers(wire, B)) == [b"b"]
    assert wire.fed == [UPGRADE]
    await wired.answers(wire, UPGRADE.replace(b"Connection: ", b"Connection: close, "))
    assert wire.is_closing()


@pytest.mark.parametrize("cut", [1, len(LINE), A.find(b"\r\n\r\n") + 2, A.find(b"\r\n\r\n") + 4, len(A) - 10])
async def test_a_known_request_in_pieces_is_answered(cut: int) -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    assert bodies_of(await wired.answers(wire, A[:cut], A[cut:])) == [b"a"]
    assert wire.fed == [A[:cut], A[cut:]]
    assert bodies_of(await wired.answers(wire, A)) == [b"a"]
    assert len(wire.fed) == 2


@pytest.mark.parametrize("begun", [b"P", b"POST /graphql HTTP/1.1\r\nX-A: "])
async def test_a_known_request_after_a_piece_of_another_is_part_of_that(begun: bytes) -> None:
    answers = []
    for is_short in (True, False):
        wired = faked(Answering(), is_short=is_short)
        wire = await met(wired)
        answers.append(await wired.answers(wire, begun, A))
        assert wire.fed == [begun, A]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("stray", [b"\r\n", b"\n", b"\r", b"\r\n\r\n"])
async def test_empty_lines_between_requests_are_passed_over(stray: bytes) -> None:
    wired = faked(Answering())
    wire = await met(wired)
    assert bodies_of(await wired.answers(wire, stray, B)) == [b"b"]
    assert wire.fed == [stray]
    assert bodies_of(await wired.answers(wire, stray + C)) == [b"c"]
    assert wire.fed == [stray, stray + C]


async def test_requests_that_come_while_one_is_answered_wait_for_it() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    run.waits = True
    wire.send(A, B, C, b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n")
    await turns(lambda: len(run.asked) == 2)
    # What came is kept, and no more is read.
    assert (wire.reads, wire.waiting, wire.fed) == (False, 2, [])
    run.let_go.set()
    await wired.settled(wire)
    answers = wire.read_all()
    assert bodies_of(answers) == [b"a", b"b", b"c"]
    assert answers.endswith(b'"message":"Not found.","extensions":{"code":"BAD_REQUEST"}}]}')
    assert len(wire.fed) == 1
    assert wire.reads


async def test_what_is_read_while_one_is_answered_is_kept_in_its_order() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    run.waits = True
    wire.send(A, B, C)
    # Whoever is worth watching is read from again, so that the end of the connection shows.
    await turns(lambda: wire.waiting == 0)
    assert not wire.reads
    run.let_go.set()
    await wired.settled(wire)
    assert bodies_of(wire.read_all()) == [b"a", b"b", b"c"]


async def test_what_waits_on_a_connection_that_is_dropped_is_not_run() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    run.waits = True
    wire.send(A, B)
    await turns(lambda: len(run.asked) == 2)
    run.let_go.set()
    # The answer is made in the very turn in which the connection ends.
    wire.abort()
    await wired.settled(wire)
    assert run.asked == ["a", "a"]


async def test_two_known_requests_at_once_are_answered_in_their_order() -> None:
    wired = faked(Answering())
    wire = await met(wired)
    assert bodies_of(await wired.answers(wire, A + B + C)) == [b"a", b"b", b"c"]
    assert bodies_of(await wired.answers(wire, A)) == [b"a"]
    assert wire.fed == [A + B + C]


async def test_a_known_request_that_follows_one_of_the_long_way_waits_for_it() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    run.waits = True
    wire.send(a_post(asking("z"), "X-Test: new"), A)
    await turns(lambda: len(run.asked) == 2)
    run.let_go.set()
    await wired.settled(wire)
    assert bodies_of(wire.read_all()) == [b"z", b"a"]


async def test_no_part_of_what_is_known_is_enough() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    short_by_one = A.replace(b"Content-Length: ", b"Content-Length: 1")[:-1]
    for sent in (A.replace(b"localhost", b"localhosT"), A.replace(b"POST", b"PUT "), short_by_one):
        another = wired.connected()
        another.send(sent)
        await turns(lambda: another.is_closing() or not wired.state.tasks or sent is short_by_one)  # noqa: B023 - now.
        assert another.fed == [sent]
        another.hang_up()
        await wired.settled(another)
    assert wire.fed == []


async def test_a_client_that_hangs_up_ends_what_it_asked() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    run.waits = True
    wire.send(A)
    await turns(lambda: len(run.asked) == 2)
    wire.hang_up()
    await wired.settled(wire)
    assert run.ended == ["a", "a"]
    assert not run.let_go.is_set()
    assert wired.state.connections == set()
    assert bodies_of(bytes(wire.written)) == [b"a"]


async def test_a_client_that_has_asked_for_more_and_hangs_up_ends_what_it_asked() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    run.waits = True
    wire.send(A, B)
    wire.hang_up()
    await wired.settled(wire)
    assert run.asked == ["a", "a"]
    assert run.ended == ["a", "a"]


async def test_what_cannot_be_written_waits_until_it_can() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    wire.unread_max = 0
    wire.send(A, B, C)
    await turns(lambda: len(run.ended) == 3)
    for _ in range(10):
        await asyncio.sleep(0)
    # The last one is not begun before the answer of the one before was taken.
    assert (run.asked, wire.written.count(b"HTTP/1.1 ")) == (["a", "a", "b"], 2)
    assert bodies_of(wire.read_all()) == [b"a"]
    await turns(lambda: len(run.ended) == 4)
    assert bodies_of(wire.read_all()) == [b"b"]
    await wired.settled(wire)
    assert bodies_of(wire.read_all()) == [b"c"]
    assert wire.fed == []


async def test_who_is_gone_before_the_answer_can_be_written_gets_none() -> None:
    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    wire.unread_max = 0
    wire.send(A, B)
    await turns(lambda: len(run.ended) == 3)
    wire.hang_up()
    await wired.settled(wire)
    assert bodies_of(bytes(wire.written)) == [b"a", b"a"]


@pytest.mark.parametrize("is_short", [True, False])
async def test_a_process_that_ends_tells_who_waits_and_is_not_asked_again(*, is_short: bool) -> None:
    run = Answering()
    wired = faked(run, is_short=is_short)
    wire = await met(wired)
    run.waits = True
    wire.send(B)
    await turns(lambda: len(run.asked) == 2)
    wire.connection.shutdown()
    assert not wire.is_closing()
    run.let_go.set()
    await wired.settled(wire)
    wire.send(C)
    last = alike(bytes(wire.written)).rpartition(b"HTTP/1.1 200 OK")[2]
    head, _, body = last.partition(b"\r\n\r\n")
    assert (head.endswith(b"\r\nconnection: close"), body) == (True, b'{"data":"b"}')
    assert wire.is_closing()
    assert run.asked == ["a", "b"]


async def test_a_process_that_ends_closes_a_connection_whose_last_request_is_answered() -> None:
    wired = faked(Answering())
    wire = await met(wired)
    await wired.answers(wire, A)
    wire.connection.shutdown()
    assert wire.is_closing()


@pytest.mark.parametrize("is_short", [True, False])
async def test_a_process_that_waits_no_longer_says_that_the_outcome_is_unknown(*, is_short: bool) -> None:
    run = Answering()
    wired = faked(run, is_short=is_short)
    wire = await met(wired)
    run.waits = True
    wire.send(A)
    await turns(lambda: len(run.asked) == 2)
    wire.connection.shutdown()
    for task in list(wired.state.tasks):
        task.cancel()
    await wired.settled(wire)
    last = alike(bytes(wire.written)).rpartition(b"HTTP/1.1 ")[2]
    assert last.startswith(b"503 ")
    assert last.count(b"connection: close\r\n") == 1
    assert wire.is_closing()


async def test_an_idle_connection_is_closed_after_a_while_and_one_that_is_used_is_not() -> None:
    run = Answering()
    wired = faked(run)
    idle, busy = await met(wired), await met(wired)
    await wired.answers(idle, A)
    run.waits = True
    busy.send(A)
    await turns(lambda: len(run.asked) == 4)
    now, keep_alive = asyncio.get_running_loop().time(), wired.config.timeout_keep_alive
    wired.watch.look(wired.state.connections, now + keep_alive - 1)
    assert not idle.is_closing()
    wired.watch.look(wired.state.connections, now + keep_alive + 1)
    assert (idle.is_closing(), busy.is_closing()) == (True, False)
    run.let_go.set()
    await wired.settled(busy)
    assert not idle.was_aborted


async def test_an_idle_connection_whose_answer_is_not_read_is_dropped() -> None:
    wired = faked(Answering(), limits=ConnectionLimits(write_seconds=10))
    wire = await met(wired)
    wire.send(A)
    await wired.settled()
    now = asyncio.get_running_loop().time()
    for later, is_aborted in ((6, False), (15, False), (17, True)):
        wired.watch.look(wired.state.connections, now + later)
        assert (wire.is_closing(), wire.was_aborted) == (True, is_aborted)


async def test_a_connection_is_not_slow_while_what_it_asked_first_is_answered() -> None:
    run = Answering()
    wired = faked(run, limits=ConnectionLimits(head_seconds=10))
    await met(wired)
    run.waits = True
    wire = wired.connected()
    wire.send(A)
    await turns(lambda: len(run.asked) == 2)
    wired.watch.look(wired.state.connections, asyncio.get_running_loop().time() + 11)
    assert not wire.is_closing()
    run.let_go.set()
    assert bodies_of(await wired.answers(wire)) == [b"a"]


async def test_a_connection_that_is_one_too_many_is_refused_what_is_known() -> None:
    run = Answering()
    wired = faked(run, limits=ConnectionLimits(connections=1))
    wire = await met(wired)
    surplus = wired.connected()
    assert (await wired.answers(surplus, A)).startswith(b"HTTP/1.1 503")
    assert (surplus.fed, surplus.is_closing(), run.asked) == ([A], True, ["a"])
    assert bodies_of(await wired.answers(wire, A)) == [b"a"]
    assert wire.fed == []


async def test_what_a_surplus_connection_asks_is_not_learnt() -> None:
    wired = faked(Answering(), limits=ConnectionLimits(connections=1))
    wire = wired.connected()
    await wired.answers(wired.connected(), A)
    await wired.answers(wire, A)
    assert wire.fed == [A]


async def test_a_known_head_is_looked_at_once_though_its_requests_come_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wired = faked(Answering())
    wire = await met(wired)
    monkeypatch.delattr(GraphQLView, "head_of")
    assert bodies_of(await wired.answers(wire, A[:-1], A[-1:])) == [b"a"]
    assert wire.fed == [A[:-1], A[-1:]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"expect", b"100-continue"),
        (b"idempotency-key", b"a"),
        (b"x-request-id", b"a"),
    ],
)
async def test_a_head_that_speaks_of_its_request_alone_is_not_kept_whatever_the_parser_lets_pass(
    name: bytes, value: bytes
) -> None:
    known = faked(Answering()).known
    assert known is not None
    head, _, body = A.rpartition(b"\r\n\r\n")
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    headers.append((b"content-length", b"%d" % len(body)))
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/graphql", "query_string": b""}
    scope["raw_path"] = b"/graphql"
    odd = head + b"\r\n%b: %b\r\n\r\n" % (name, value) + body
    known.learn(odd, {**scope, "headers": [*headers, (name, value)]})
    assert known.find(odd) is None
    known.learn(A, {**scope, "headers": headers})
    assert known.find(A) is not None


async def test_only_so_many_heads_are_kept_and_the_newest_ones() -> None:
    wired = faked(Answering())
    heads = [a_post(asking("a"), f"X-Number: {number:05}") for number in range(HEADS_MAX + 1)]
    wire = wired.connected()
    for head in heads:
        await wired.answers(wire, head)
    wire.fed.clear()
    for head in (heads[1], heads[-1], heads[0]):
        await wired.answers(wire, head)
    assert wire.fed == [heads[0]]


async def test_what_comes_after_an_answer_is_not_told_as_part_of_its_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from app.web.access import at_hand  # noqa: PLC0415 - this test alone looks from inside.

    run = Answering()
    wired = faked(run)
    wire = await met(wired)
    ids: list[str] = []
    wire.connection.logger = logging.getLogger("tests.known")

    def noted(_record: object) -> bool:
        ids.append(at_hand().id)
        return True

    wire.connection.logger.addFilter(noted)
    wire.send(A, b"no http\r\n\r\n")
    await wired.settled(wire)
    assert wire.written.endswith(b"Invalid HTTP request received.")
    assert [record.getMessage() for record in caplog.records] == ["Invalid HTTP request received."]
    assert ids == [""]


async def test_an_answer_that_cannot_be_made_ends_the_connection(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wired = faked(Answering())
    wire = await met(wired)

    async def failing(*_arguments: object) -> None:
        raise ValueError("no")

    # Other tests of the same process may have set logging up, which turns loggers off that were there before.
    log = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(log, "disabled", False)
    monkeypatch.setattr(log, "propagate", True)
    monkeypatch.setattr(Known, "answer", failing)
    wire.send(A)
    await wired.settled(wire)
    assert (wire.is_closing(), wire.written.count(b"HTTP/1.1 ")) == (True, 1)
    assert [record.getMessage() for record in caplog.records] == ["A request could not be answered"]


# Any requests, in any pieces ------------------------------------------------------------------------------------------


class Unit(NamedTuple):
    """Bytes of some requests."""

    sent: bytes
    is_alone: bool = False
    """Whether all before it must be answered and it comes in one piece: the server's own protocol answers what is no
    HTTP at once, before what was asked earlier, and reads no further after it was asked for another protocol."""


PLAIN = [a_query(name, turns) for name in "abcd" for turns in (0, 1, 5)]
ODD = [
    a_post(asking("a"), "Authorization: Bearer wrong"),
    a_post(asking("a"), f"Accept: {GRAPHQL}"),
    a_post(asking("a"), "X-Twice: a", "X-Twice: b"),
    a_post(asking("a"), "Idempotency-Key: a"),
    a_post(asking("a"), "Expect: 100-continue"),
    in_chunks(asking("a")),
    a_post(asking("a"), host=b"Host: localhost:80\r\n"),
    a_post(a_query("smuggled")),
    a_post(a_query("smuggled"), line=b"POST /nowhere HTTP/1.1\r\n"),
    a_post(a_query("smuggled"), type_=b"Content-Type: text/plain\r\n"),
    a_post(b"no json"),
    a_post(padded(asking("long"), 17_000)),
    b"GET /graphql?query=g HTTP/1.1\r\n" + HOST + b"\r\n",
    b"\r\n",
]
LAST = [
    a_post(asking("last"), "Connection: close"),
    a_post(asking("last"), "Proxy-Connection: close"),
    a_post(asking("last"), line=b"POST /graphql HTTP/1.0\r\n"),
    a_post(asking("last"), host=b"Host: evil.example\r\n"),
]
NO_HTTP = [
    b"no http\r\n\r\n",
    A.replace(b"\r\n", b"\n"),
    A.replace(b"Host", b" Host"),
    A + b"}",
    A + A[:9] + b"\0" + A[9:],
    a_post(b"0\r\n\r\n", "Transfer-Encoding: chunked"),
]
UPGRADE = a_post(b"", "Upgrade: h2c", "Connection: Upgrade").replace(b"Content-Length: 0\r\n", b"")
UNITS = [Unit(sent) for sent in (*PLAIN * 3, *ODD)] + [Unit(UPGRADE, is_alone=True)]
LAST_UNITS = [Unit(sent) for sent in (b"", *LAST)] + [Unit(sent, is_alone=True) for sent in NO_HTTP]


class Plan(NamedTuple):
    """What is sent on one connection."""

    begun: Sequence[tuple[Unit, bool]]
    """Each with whether the next one comes in one piece with it."""
    ended: Unit
    """What may end the connection."""
    cuts: Sequence[int]
    """More cuts, in what is sent without a wait, modulo its length."""
    pauses: Sequence[int]
    """Turns of the event loop before each segment, again and again."""
    half: bytes
    """What is begun and not ended."""


PLANS = st.builds(
    Plan,
    st.lists(st.tuples(st.sampled_from(UNITS), st.sampled_from([False, False, False, True])), min_size=2, max_size=12),
    st.sampled_from(LAST_UNITS),
    st.lists(st.integers(0, 4_000), max_size=3),
    st.lists(st.sampled_from([0, 1, 2, 5, 60]), min_size=1, max_size=5),
    st.sampled_from([b"\r\n", A[:20], A[:-1], A[:-14], A.replace(b"Length: ", b"Length: 9")]),
)


async def _served(plan: Plan, *, is_short: bool) -> tuple[bytes, bool, list[str], int]:
    """What came back, whether the connection was ended, what was run, and how many pieces the parser was not fed."""
    run = Answering()
    wired = faked(run, is_short=is_short)
    await met(wired)
    wire = wired.connected()
    pauses = [*plan.pauses]

    async def send(segment: bytes) -> None:
        pauses.append(pauses.pop(0))
        for _ in range(pauses[0]):
            await asyncio.sleep(0)
        wire.send(segment)

    for units in _runs([*plan.begun, (plan.ended, False), (Unit(b"\r\n"), False)]):
        joined = b"".join([unit.sent for unit, _ in units])
        cuts = _ends(units) if units[0][0].is_alone else _ends(units) | {cut % len(joined) for cut in plan.cuts}
        await wired.settled(wire)
        for begin, end in itertools.pairwise(sorted({0} | cuts)):
            await send(joined[begin:end])
    await wired.settled(wire)
    is_ended = wire.is_closing()
    await send(plan.half)
    wire.hang_up()
    await wired.settled(wire)
    return alike(bytes(wire.written)), is_ended, run.asked, wire.received - len(wire.fed)


def _runs(units: Sequence[tuple[Unit, bool]]) -> Iterator[Sequence[tuple[Unit, bool]]]:
    """What is sent without a wait in between."""
    for is_alone, group in itertools.groupby(units, lambda pair: pair[0].is_alone):
        together = list(group)
        yield from ([pair] for pair in together) if is_alone else [together]


def _ends(units: Sequence[tuple[Unit, bool]]) -> set[int]:
    """Where the pieces end."""
    ends = itertools.accumulate(len(unit.sent) for unit, _ in units)
    found = {end for end, (_, is_glued) in zip(ends, units, strict=True) if not is_glued}
    return found | {sum(len(unit.sent) for unit, _ in units)}


def test_any_requests_in_any_pieces_are_answered_as_if_none_were_known() -> None:
    passed_over = 0

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(PLANS)
    def check(plan: Plan) -> None:
        nonlocal passed_over

        async def both() -> None:
            nonlocal passed_over
            *short, unfed = await _served(plan, is_short=True)
            *long, _ = await _served(plan, is_short=False)
            assert short == long
            passed_over += unfed

        asyncio.run(both())

    check()
    assert passed_over > 300


# A real network -------------------------------------------------------------------------------------------------------


def test_over_a_real_connection_the_second_answer_is_the_first_one() -> None:
    wired = faked(FakeRun())
    with serving(wired.app, wired.watch.protocol) as served, served.connected() as connection:
        replies = []
        for _ in range(3):
            connection.send(A)
            replies.append(connection.reply())
        ids = [reply.headers.pop("x-request-id") for reply in replies]
        for reply in replies:
            assert reply.headers.pop("date")
        assert replies[0] == replies[1] == replies[2]
        assert len(set(ids)) == 3
