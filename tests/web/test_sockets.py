"""Requests as bytes: sizes, framings and hosts that a client library would never send."""

import asyncio
import gzip
import threading
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from app.domain.callers import Caller
from app.web.graphql import GraphQLView
from app.web.guards import LOCAL_HOSTS, FramingGuard, HostGuard, Paths, SecurityHeaders, not_found
from app.web.health import Alive
from app.web.operations import Answered, Asked
from tests.web.fakes import FakeCallers, FakeRun
from tests.web.servers import JSON, SECONDS, Served, serving

QUERY = b'{"query":"{a}"}'


def guarded(view: ASGIApp, hosts: frozenset[str] | None = LOCAL_HOSTS) -> ASGIApp:
    """Everything between the server and the view, as the gateway has it."""
    paths = Paths(not_found, http={"/graphql": view, "/health": Alive()}, websocket={})
    return FramingGuard(HostGuard(paths, hosts))


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with serving(guarded(GraphQLView(FakeRun(), FakeCallers(), body_max=100_000))) as served:
        yield served


@pytest.fixture(scope="module")
def open_gateway() -> Iterator[Served]:
    """One that answers for every host, as one with a key does."""
    with serving(guarded(GraphQLView(FakeRun(), FakeCallers()), hosts=None)) as served:
        yield served


def post(*headers: bytes, body: bytes = QUERY, path: bytes = b"/graphql", host: bytes = b"Host: localhost") -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", *([host] if host else []), b"Content-Type: application/json", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LENGTH = b"Content-Length: %d" % len(QUERY)


@pytest.mark.parametrize(
    "host", [b"localhost", b"LOCALHOST:8000", b"127.0.0.1", b"127.0.0.1:65535", b"[::1]", b"[::1]:8000"]
)
def test_this_machine_s_names_are_answered_with_any_port(gateway: Served, host: bytes) -> None:
    assert gateway.raw(post(LENGTH, host=b"Host: " + host)).status == 200


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (b"Host: evil.example", "This host is not served here."),
        (b"Host: localhost.evil.example", "This host is not served here."),
        (b"Host: localhost.", "This host is not served here."),
        (b"Host: 127.0.0.2", "This host is not served here."),
        (b"Host: [::2]", "This host is not served here."),
        (b"Host: a/b?c", "The Host header is malformed."),
        (b"Host: localhost@evil.example", "The Host header is malformed."),
        (b"Host: localhost:x", "The Host header is malformed."),
        (b"Host: localhost:", "The Host header is malformed."),
        (b"Host: localhost, localhost", "The Host header is malformed."),
        (b"Host: loc\xc3\xa4lhost", "The Host header is malformed."),
        (b"Host:", "The Host header is malformed."),
        (b"", "A request has exactly one Host header."),
        (b"Host: localhost\r\nHost: localhost", "A request has exactly one Host header."),
    ],
)
def test_other_hosts_are_refused(gateway: Served, host: bytes, message: str) -> None:
    reply = gateway.raw(post(LENGTH, host=host))
    assert (reply.status, reply.code, reply.message) == (400, "BAD_REQUEST", message)
    assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("host", [b"Host: a/b?c", b"Host:", b"", b"Host: a\r\nHost: a"])
def test_a_gateway_for_every_host_refuses_what_is_none(open_gateway: Served, host: bytes) -> None:
    assert open_gateway.raw(post(LENGTH, host=host)).status == 400


def test_a_gateway_for_every_host_answers_any(open_gateway: Served) -> None:
    assert open_gateway.raw(post(LENGTH, host=b"Host: gateway.example:8443")).status == 200


@pytest.mark.parametrize("path", [b"/graphql/", b"//graphql", b"/x/%2e%2e/graphql", b"/GRAPHQL", b"/"])
def test_no_other_path_leads_to_graphql_nor_is_redirected(open_gateway: Served, path: bytes) -> None:
    reply = open_gateway.raw(post(LENGTH, path=path, host=b"Host: evil.example"))
    assert (reply.status, reply.code) == (404, "BAD_REQUEST")
    assert "location" not in reply.headers


def test_a_foreign_host_is_not_reflected(gateway: Served) -> None:
    reply = gateway.raw(post(LENGTH, path=b"/graphql/", host=b"Host: evil.example"))
    assert reply.status == 400
    assert "evil" not in str(reply)


def test_a_body_of_a_terabyte_is_refused_from_its_header(gateway: Served) -> None:
    reply = gateway.raw(post(b"Content-Length: 1000000000000"))
    assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
    assert reply.json["errors"][0]["extensions"] == {"code": "PAYLOAD_TOO_LARGE", "limit": 100_000}
    assert reply.headers["connection"] == "close"


def test_a_body_of_the_limit_is_read(gateway: Served) -> None:
    body = QUERY[:-1] + b" " * (100_000 - len(QUERY)) + b"}"
    assert gateway.raw(post(b"Content-Length: 100000", body=body)).status == 200


def test_a_body_of_one_byte_more_is_refused_before_it_comes(gateway: Served) -> None:
    assert gateway.raw(post(b"Content-Length: 100001", body=b"")).status == 413


def test_a_client_that_sends_twice_the_limit_reads_the_refusal(gateway: Served) -> None:
    body = b" " * 200_000
    reply = httpx.post(f"{gateway.url}/graphql", content=body, headers={"Content-Type": JSON})
    assert reply.status_code == 413


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_a_chunked_body_is_read(gateway: Served) -> None:
    body = chunk(QUERY[:5]) + chunk(QUERY[5:]) + chunk(b"")
    assert gateway.raw(post(b"Transfer-Encoding: chunked", body=body)).json == {"data": {"answer": 42}}


def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit(gateway: Served) -> None:
    """The last chunk never comes, so that only a server that counts can answer."""
    with gateway.connected() as connection:
        connection.send(post(b"Transfer-Encoding: chunked", body=chunk(b" " * 60_000)))
        connection.send(chunk(b" " * 60_000))
        reply = connection.reply()
        assert (reply.status, reply.code) == (413, "PAYLOAD_TOO_LARGE")
        assert connection.is_closed()


def test_a_zipped_body_is_refused(gateway: Served) -> None:
    body = gzip.compress(QUERY)
    reply = gateway.raw(post(b"Content-Encoding: gzip", b"Content-Length: %d" % len(body), body=body))
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_bomb_is_refused_unread(gateway: Served) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    reply = gateway.raw(post(b"Content-Encoding: gzip", b"Content-Length: %d" % len(bomb), body=bomb))
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Content-Length: +15",
        b"Content-Length: -1",
        b"Content-Length: 15\r\nContent-Length: 16",
        b"Content-Length: 0x0f",
        b"Content-Length: 1 5",
        b"Content-Length: 15\r\n folded",
        b"X-Name : value",
        b"X-Name: a\0b",
    ],
)
def test_what_two_readers_could_frame_differently_is_refused(gateway: Served, header: bytes) -> None:
    with gateway.connected() as connection:
        connection.send(post(header, body=chunk(b"") + post(LENGTH)))
        assert connection.reply().status == 400
        assert connection.is_closed()


@pytest.mark.parametrize(
    "header", [b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"]
)
def test_a_transfer_coding_beside_chunked_is_refused(gateway: Served, header: bytes) -> None:
    with gateway.connected() as connection:
        connection.send(post(header, body=chunk(QUERY) + chunk(b"")))
        reply = connection.reply()
        assert (reply.status, reply.code) == (501, "BAD_REQUEST")
        assert connection.is_closed()


def test_more_than_a_hundred_headers_are_refused(gateway: Served) -> None:
    reply = gateway.raw(post(LENGTH, *[b"X-%d: 1" % number for number in range(5_000)]))
    assert (reply.status, reply.code) == (431, "BAD_REQUEST")


def test_a_long_header_is_refused(gateway: Served) -> None:
    assert gateway.raw(post(LENGTH, b"X-Long: " + b"x" * 70_000)).status == 431


def test_a_long_url_is_refused(gateway: Served) -> None:
    reply = gateway.ask("GET", "/graphql?query=" + "x" * 20_000)
    assert (reply.status, reply.code) == (414, "BAD_REQUEST")


def test_a_url_that_the_server_itself_does_not_read_is_refused(gateway: Served) -> None:
    assert gateway.ask("GET", "/graphql?query=" + "x" * 100_000).status == 400


def test_a_strange_expectation_is_refused(gateway: Served) -> None:
    assert gateway.raw(post(LENGTH, b"Expect: bogus")).status == 417


def test_who_waits_for_a_sign_to_send_gets_it(gateway: Served) -> None:
    with gateway.connected() as connection:
        connection.send(post(LENGTH, b"Expect: 100-continue", body=b""))
        assert connection.read(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(QUERY)
        assert connection.reply().status == 200


def test_who_waits_for_a_sign_to_send_too_much_gets_a_refusal_instead(gateway: Served) -> None:
    assert gateway.raw(post(b"Content-Length: 200000", b"Expect: 100-continue", body=b"")).status == 413


def test_who_waits_for_a_sign_to_send_what_is_refused_anyway_never_gets_it(gateway: Served) -> None:
    refused = post(LENGTH, b"Expect: 100-continue", body=b"").replace(b"application/json", b"text/plain")
    with gateway.connected() as connection:
        connection.send(refused)
        assert connection.reply().status == 415
        assert connection.is_closed()


def test_a_body_that_never_ends_is_given_up() -> None:
    with serving(GraphQLView(FakeRun(), FakeCallers(), body_seconds=0.05)) as served, served.connected() as connection:
        connection.send(post(LENGTH, body=QUERY[:-1]))
        reply = connection.reply()
        assert (reply.status, reply.code, reply.message) == (408, "TIMEOUT", "The body did not arrive within 0.05 s.")
        assert connection.is_closed()


def test_a_refused_request_s_short_body_is_dropped_and_the_next_one_answered(gateway: Served) -> None:
    refused = post(LENGTH).replace(b"application/json", b"text/plain")
    with gateway.connected() as connection:
        connection.send(refused)
        assert connection.reply().status == 415
        connection.send(post(LENGTH))
        assert connection.reply().json == {"data": {"answer": 42}}


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_a_refused_request_s_long_body_ends_the_connection(gateway: Served, framing: bytes) -> None:
    refused = post(framing, body=b"").replace(b"application/json", b"text/plain")
    with gateway.connected() as connection:
        connection.send(refused)
        assert connection.reply().status == 415
        assert connection.is_closed()


def test_two_requests_at_once_are_answered_one_after_the_other(gateway: Served) -> None:
    with gateway.connected() as connection:
        connection.send(post(LENGTH) + post(LENGTH, b"Accept: application/graphql-response+json"))
        first, second = connection.reply(), connection.reply()
    assert (first.media, second.media) == (JSON, "application/graphql-response+json")


class HeldRun:
    """Runs until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = threading.Event()

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered:  # noqa: ARG002
        self._loop, self._held = asyncio.get_running_loop(), asyncio.Event()
        self.begun.set()
        await self._held.wait()
        self.ended.set()
        return Answered(b"{}", ran=True, code=None)

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self._held.set)


def test_an_operation_whose_client_goes_away_runs_to_its_end() -> None:
    run = HeldRun()
    with serving(guarded(GraphQLView(run, FakeCallers()))) as served:
        with served.connected() as connection:
            connection.send(post(LENGTH))
            assert run.begun.wait(SECONDS)
        # The server sees the end of the first connection before it answers a later one.
        assert served.ask("GET", "/health").status == 200
        run.let_go()
        assert run.ended.wait(SECONDS)


def test_a_client_that_hangs_up_within_its_body_runs_nothing_and_is_no_failure() -> None:
    run = FakeRun()
    with serving(GraphQLView(run, FakeCallers())) as served, capture_logs() as logs:
        with served.connected() as connection:
            connection.send(post(LENGTH, body=QUERY[:-1]))
        assert served.post({"query": "{b}"}).status == 200
    assert [asked.query for asked in run.asked] == ["{b}"]
    assert logs == []


def test_every_answer_has_the_safe_headers(gateway: Served) -> None:
    paths = ["/graphql?query={a}", "/graphql", "/health", "/nowhere", "/" + "x" * 20_000]
    for reply in [gateway.ask("GET", path) for path in paths]:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert reply.headers["cache-control"] == "no-store"
        assert "server" not in reply.headers


def test_a_page_keeps_its_own_policy() -> None:
    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"Content-Security-Policy", b"default-src 'self'"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    with serving(SecurityHeaders(page)) as served:
        reply = served.ask("GET", "/")
    assert reply.headers["content-security-policy"] == "default-src 'self'"
    assert reply.headers["x-frame-options"] == "DENY"


HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("host", [b"evil.example", b"localhost"])
def test_a_websocket_to_a_foreign_host_or_to_nowhere_is_not_opened(gateway: Served, host: bytes) -> None:
    assert gateway.raw(HANDSHAKE % host).status == 403
