"""Which pages of other origins may read answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from app.web.cors import Cors, is_origin
from app.web.graphql import GraphQLView
from app.web.websocket import PROTOCOL
from tests import servers
from tests.cli.test_commands import run
from tests.web.fakes import FakeCallers, FakeRun
from tests.web.servers import GRAPHQL, JSON, Reply, Served, serving

ORIGIN = "https://app.example"
OTHERS = [
    "null",
    "*",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example/",
    "https://APP.example",
    "https://app.example.evil.com",
    "https://appXexample",
    "https://evil.example",
    "https://sub.app.example",
    f"{ORIGIN}, {ORIGIN}",
    "",
]


@pytest.fixture(scope="module")
def served_to_one() -> Iterator[Served]:
    """A gateway whose answers pages of one origin may read."""
    with serving(Cors(GraphQLView(FakeRun(), FakeCallers()), [ORIGIN, "http://[::1]:3000"])) as served:
        yield served


def preflight(served: Served, origin: str) -> Reply:
    headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type"),
    ]
    return served.ask("OPTIONS", "/graphql", headers)


def allowing(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


def test_a_page_of_a_named_origin_may_read_the_answer(served_to_one: Served) -> None:
    reply = served_to_one.post({"query": "{a}"}, ("Origin", ORIGIN))
    assert (reply.status, reply.headers["vary"]) == (200, "Origin")
    assert allowing(reply) == {
        "access-control-allow-origin": ORIGIN,
        "access-control-expose-headers": "X-Request-Id, Retry-After, Idempotency-Replayed",
    }


def test_it_may_read_why_it_was_refused_too(served_to_one: Served) -> None:
    reply = served_to_one.post(b"{", ("Origin", ORIGIN))
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (400, ORIGIN)


def test_a_browser_that_asks_before_is_told_what_may_be_sent(served_to_one: Served) -> None:
    reply = preflight(served_to_one, ORIGIN)
    assert (reply.status, reply.body, reply.headers["vary"]) == (204, b"", "Origin")
    assert reply.headers["x-content-type-options"] == "nosniff"
    told = allowing(reply)
    assert told["access-control-allow-origin"] == ORIGIN
    assert told["access-control-allow-methods"] == "GET, POST"
    assert {"Content-Type", "Authorization", "Idempotency-Key"} <= set(told["access-control-allow-headers"].split(", "))
    assert told["access-control-max-age"] == "600"


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origins_are_told_nothing(served_to_one: Served, origin: str) -> None:
    for reply in (served_to_one.post({"query": "{a}"}, ("Origin", origin)), preflight(served_to_one, origin)):
        assert allowing(reply) == {}
        assert reply.headers["vary"] == "Origin"
    assert preflight(served_to_one, origin).status == 405


def test_two_origins_are_none(served_to_one: Served) -> None:
    assert allowing(served_to_one.post({"query": "{a}"}, ("Origin", ORIGIN), ("Origin", ORIGIN))) == {}


def test_who_has_no_origin_is_answered_as_ever(served_to_one: Served) -> None:
    reply = served_to_one.post({"query": "{a}"})
    assert (reply.status, allowing(reply), reply.headers["vary"]) == (200, {}, "Origin")


def test_options_that_ask_nothing_are_no_preflight(served_to_one: Served) -> None:
    assert served_to_one.ask("OPTIONS", "/graphql", [("Origin", ORIGIN)]).status == 405


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_page_may_send_without_asking_before_is_not_run(served_to_one: Served, content_type: str) -> None:
    headers = [("Origin", "https://evil.example"), ("Content-Type", content_type), ("Cookie", "session=1")]
    assert served_to_one.ask("POST", "/graphql", headers, b'{"query": "mutation {a}"}').status == 415


def test_it_is_off_by_default(gateway_url: str) -> None:
    served = Served(int(gateway_url.rpartition(":")[2]))
    answered = served.post({"query": "{ viewer { subject } }"}, ("Origin", ORIGIN))
    asked_before = preflight(served, ORIGIN)
    assert (answered.status, asked_before.status) == (200, 405)
    for reply in (answered, asked_before):
        assert allowing(reply) == {}
        assert "vary" not in reply.headers


def test_the_setting_names_who_may_read_and_open_sockets(sqlite_url: str, tmp_path: Path) -> None:
    with servers.serving(sqlite_url, tmp_path, cors_origins=f'["{ORIGIN}"]') as gateway:
        reply = Served(gateway.port).post({"query": "{ viewer { subject } }"}, ("Origin", ORIGIN), accept=JSON)
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        url = f"ws://127.0.0.1:{gateway.port}/graphql"
        with connect(url, subprotocols=[Subprotocol(PROTOCOL)], origin=Origin(ORIGIN)) as socket:
            assert socket.subprotocol == PROTOCOL
        with pytest.raises(InvalidStatus):
            connect(url, subprotocols=[Subprotocol(PROTOCOL)], origin=Origin("https://evil.example"))


@pytest.mark.parametrize(
    "origin", ["https://app.example", "http://localhost:3000", "http://127.0.0.1:5173", "https://[2001:db8::1]"]
)
def test_an_origin_is_written_as_browsers_send_it(origin: str) -> None:
    assert is_origin(origin)


@pytest.mark.parametrize(
    "text", ["*", "null", "app.example", "https://*.app.example", "https://App.example", "https://app.example/", ""]
)
def test_what_no_browser_sends_is_no_origin(text: str) -> None:
    assert not is_origin(text)


@pytest.mark.parametrize("text", ["https://app.example:443", "http://app.example:80"])
def test_a_usual_port_is_never_sent(text: str) -> None:
    assert not is_origin(text)


def test_a_wildcard_stops_the_start(tmp_path: Path) -> None:
    done = run("migrate", folder=tmp_path, BALANCE_GATEWAY_CORS_ORIGINS='["*"]')
    assert done.returncode == 2
    assert "BALANCE_GATEWAY_CORS_ORIGINS" in done.stderr


def test_an_event_stream_may_be_read_by_the_same_pages(sqlite_url: str, tmp_path: Path) -> None:
    with servers.serving(sqlite_url, tmp_path, cors_origins=f'["{ORIGIN}"]') as gateway:
        headers = [("Content-Type", JSON), ("Accept", "text/event-stream"), ("Origin", ORIGIN)]
        reply = Served(gateway.port).ask("POST", "/graphql", headers, b'{"query": "{ viewer { subject } }"}')
    assert (reply.media, reply.headers["access-control-allow-origin"]) == ("text/event-stream", ORIGIN)
    assert GRAPHQL not in reply.media
