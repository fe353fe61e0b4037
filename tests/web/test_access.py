"""What is told of each request: a line in the log, and an id in the answer."""

import asyncio
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from app.logs import ALIKE_MAX, KINDS_MAX, Kind, Lines, Repeats
from app.store.store import Store
from app.web.access import TEXT_MAX, AccessLog
from app.web.websocket import PROTOCOL
from tests import servers
from tests.databases import KINDS, Databases
from tests.databases import Kind as DatabaseKind
from tests.web.servers import GRAPHQL, JSON, Reply, Served, serving

SECRET = "canary-of-a-secret"
FAILURES = 400
BROKEN = "ALTER TABLE contractors RENAME TO elsewhere"


def lines_of(log: str) -> list[dict[str, Any]]:
    """What a gateway told by its log, save that it has no key; every line of it is JSON."""
    told = [json.loads(line) for line in log.splitlines() if not line.startswith(("GraphiQL:", "A first query:"))]
    return [line for line in told if line["event"] != "no_key"]


def told_of(gateway: servers.GatewayProcess, *ids: str) -> dict[str, dict[str, Any]]:
    """The access lines of these requests, once the gateway has ended."""
    if gateway.is_running:
        gateway.stop()
    found = [line for line in lines_of(gateway.log()) if line["event"] == "request" and line["request_id"] in ids]
    assert len(found) == len(ids)
    return {line["request_id"]: line for line in found}


@pytest.fixture
def gateway(sqlite_url: str, tmp_path: Path) -> Iterator[servers.GatewayProcess]:
    with servers.serving(sqlite_url, tmp_path) as process:
        yield process


def post(gateway: servers.GatewayProcess, id: str, query: str, accept: str = GRAPHQL, **more: Any) -> Reply:
    return Served(gateway.port).post({"query": query, **more}, ("X-Request-Id", id), accept=accept)


def test_a_request_s_line_tells_who_asked_what_and_what_became_of_it(gateway: servers.GatewayProcess) -> None:
    post(gateway, "one", "query Mine { viewer { subject } } query Other { viewer { subject } }", operationName="Mine")
    post(gateway, "two", 'mutation New { createContractor(input: {name: "C"}) { userErrors { code } } }')
    line = told_of(gateway, "one", "two")
    assert line["one"].pop("duration_ms") > 0
    assert line["one"].pop("timestamp").endswith("Z")
    assert line["one"] == {
        "request_id": "one",
        "method": "POST",
        "path": "/graphql",
        "operation": "Mine",
        "type": "query",
        "caller": "local",
        "cost": 1,
        "status": 200,
        "code": None,
        "event": "request",
        "level": "info",
    }
    assert [line["two"][key] for key in ("operation", "type", "cost")] == ["New", "mutation", 2]


def test_a_line_has_the_code_of_the_first_error(gateway: servers.GatewayProcess) -> None:
    served = Served(gateway.port)
    post(gateway, "parse", "{")
    post(gateway, "valid", "{ nothing }")
    post(gateway, "field", "{ accounts(first: -1) { totalCount } }")
    served.ask("DELETE", "/graphql", [("X-Request-Id", "method")])
    served.ask("GET", "/nowhere", [("X-Request-Id", "path")])
    served.ask("GET", "/health", [("X-Request-Id", "host"), ("Host", "evil.example")])
    line = told_of(gateway, "parse", "valid", "field", "method", "path", "host")
    assert {id: (told["status"], told["code"]) for id, told in line.items()} == {
        "parse": (400, "GRAPHQL_PARSE_FAILED"),
        "valid": (400, "GRAPHQL_VALIDATION_FAILED"),
        "field": (200, "BAD_REQUEST"),
        "method": (405, "METHOD_NOT_ALLOWED"),
        "path": (404, None),
        "host": (400, "BAD_REQUEST"),
    }


def test_no_token_no_variable_no_literal_and_no_query_of_an_address_is_told(gateway: servers.GatewayProcess) -> None:
    served = Served(gateway.port)
    headers = [("Authorization", f"Bearer {SECRET}"), ("X-Forwarded-For", SECRET), ("User-Agent", SECRET)]
    document = f'query ($a: Int!) {{ accounts(first: $a, after: "{SECRET}") {{ totalCount }} }} # {SECRET}'
    for variables in ({"a": SECRET}, {"a": 1}, {SECRET: 1}):
        body = json.dumps({"query": document, "variables": variables}).encode()
        served.ask("POST", "/graphql", [("Content-Type", JSON), *headers], body)
    served.ask("GET", f"/graphql?query={{{SECRET.replace('-', '_')}}}&access_token={SECRET}", headers)
    served.ask("GET", f"/nowhere?{SECRET}", headers)
    gateway.stop()
    assert SECRET not in gateway.log()
    assert SECRET.replace("-", "_") not in gateway.log()


def test_a_name_of_an_operation_is_cut_and_escaped(gateway: servers.GatewayProcess) -> None:
    post(gateway, "long", "{ viewer { subject } }", operationName="n" * 1_000_000)
    forged = 'a\n{"event": "request", "level": "error"}\x1b[31m\u2028\u202e'
    post(gateway, "forged", "{ viewer { subject } }", operationName=forged)
    line = told_of(gateway, "long", "forged")
    assert line["long"]["operation"] == "n" * TEXT_MAX + "..."
    assert line["forged"]["operation"] == forged.encode("unicode_escape").decode()


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("4bf92f35-77b3.4da6:a+b/c=_x", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("a b", False),
        ("a;b", False),
        ("ä", False),
        ("a\tb", False),
    ],
)
def test_a_client_s_own_id_is_kept_where_it_is_well_formed(given: str, is_kept: bool) -> None:
    written: list[bytes] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with serving(AccessLog(app, written.append)) as served:
        reply = served.ask("GET", "/", [("X-Request-Id", given)])
        other = served.ask("GET", "/")
    assert (reply.headers["x-request-id"] == given) is is_kept
    assert reply.headers["x-request-id"]
    assert other.headers["x-request-id"] != reply.headers["x-request-id"]
    assert [json.loads(line)["request_id"] for line in written] == [
        reply.headers["x-request-id"],
        other.headers["x-request-id"],
    ]


def test_every_answer_has_an_id(gateway: servers.GatewayProcess) -> None:
    served = Served(gateway.port)
    answers = [
        served.ask("GET", path, [("Accept", "text/html")])
        for path in ("/graphql", "/graphql?query={a}", "/health", "/ready", "/nowhere", "/graphql/schema.graphql")
    ]
    answers += [served.ask("GET", "/health", [("Host", "evil.example")]), served.ask("GET", "/" + "x" * 20_000)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


def test_a_socket_and_each_of_its_operations_have_a_line_of_one_id(gateway: servers.GatewayProcess) -> None:
    headers = {"X-Request-Id": "socket-1"}
    url = f"ws://127.0.0.1:{gateway.port}/graphql"
    with connect(url, subprotocols=[Subprotocol(PROTOCOL)], additional_headers=headers) as socket:
        assert socket.response is not None
        assert socket.response.headers["x-request-id"] == "socket-1"
        socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": SECRET}}))
        socket.recv()
        for id, query, messages in (("1", "query Mine { viewer { subject } }", 2), ("2", "{ nothing }", 1)):
            socket.send(json.dumps({"type": "subscribe", "id": id, "payload": {"query": query}}))
            for _ in range(messages):
                socket.recv()
    gateway.stop()
    of_socket = [line for line in lines_of(gateway.log()) if line["request_id"] == "socket-1"]
    told = [
        tuple(line[key] for key in ("event", "operation", "type", "caller", "code", "status")) for line in of_socket
    ]
    assert told == [
        ("operation", "Mine", "query", "local", None, None),
        ("operation", None, None, "local", "GRAPHQL_VALIDATION_FAILED", None),
        ("request", None, None, "local", None, 1000),
    ]
    assert SECRET not in gateway.log()


def test_a_stream_has_one_line(gateway: servers.GatewayProcess) -> None:
    post(gateway, "stream", "query Mine { viewer { subject } }", accept="text/event-stream")
    line = told_of(gateway, "stream")["stream"]
    assert (line["operation"], line["type"], line["status"], line["code"]) == ("Mine", "query", 200, None)


@pytest.mark.parametrize("setting", [{"access_log": "false"}, {"log_level": "warning"}])
def test_the_access_log_can_be_turned_off(sqlite_url: str, tmp_path: Path, setting: dict[str, str]) -> None:
    with servers.serving(sqlite_url, tmp_path, **setting) as gateway:
        assert post(gateway, "one", "{ viewer { subject } }").headers["x-request-id"] == "one"
    assert lines_of(gateway.log()) == []


def test_what_is_no_http_is_one_line_of_json_too(gateway: servers.GatewayProcess) -> None:
    Served(gateway.port).raw(b"\x16\x03\x01 no http\r\n\r\n")
    gateway.stop()
    told = [line for line in lines_of(gateway.log()) if line["event"] != "request"]
    assert [(line["event"], line["level"]) for line in told] == [("Invalid HTTP request received.", "warning")]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unexpected_failure_is_logged_under_its_id_without_what_was_sent(
    databases: Databases, tmp_path: Path, kind: DatabaseKind
) -> None:
    async def broken(url: str) -> None:
        store = Store(url)
        await store.work(None, lambda work: work.reads._connection.execute(text(BROKEN)))
        await store.close()

    with databases.made(kind) as url, servers.serving(url, tmp_path) as gateway:
        asyncio.run(broken(url))
        query = (
            f'mutation {{ createContractor(input: {{name: "{SECRET}", isVendor: true}}) {{ contractor {{ id }} }} }}'
        )
        reply = post(gateway, "failing", query)
        gateway.stop()
    (error,) = reply.json["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("Internal error.", "INTERNAL")
    (line,) = [line for line in lines_of(gateway.log()) if line["event"] == "internal_error"]
    assert (line["id"], line["request_id"]) == (error["extensions"]["id"], "failing")
    failure = line["exception"][0]
    assert failure["type"] in {"OperationalError", "ProgrammingError"}
    assert any(frame.startswith("app/store/") for frame in failure["frames"])
    assert SECRET not in gateway.log()
    assert "elsewhere" not in reply.body.decode()
    assert len(json.dumps(line)) < 4_000


async def test_lines_come_out_in_order_and_those_that_wait_before_one_that_does_not() -> None:
    file = io.BytesIO()
    lines = Lines(file)
    lines.later(b"1\n")
    lines.later(b"2\n")
    assert file.getvalue() == b""
    lines.now(b"3\n")
    assert file.getvalue() == b"1\n2\n3\n"
    lines.later(b"4\n")
    lines.flush()
    assert file.getvalue() == b"1\n2\n3\n4\n"


async def test_many_lines_do_not_wait_for_the_time() -> None:
    file = io.BytesIO()
    lines = Lines(file)
    for _ in range(100):
        lines.later(b"x" * 999 + b"\n")
    assert len(file.getvalue()) >= 64_000


async def test_a_log_that_takes_nothing_stops_nobody() -> None:
    class Full(io.BytesIO):
        def write(self, _data: Any, /) -> int:
            raise OSError(28, "No space left on device")

    lines = Lines(Full())
    lines.now(b"1\n")
    lines.later(b"2\n")
    lines.flush()


def test_what_is_said_again_and_again_is_counted_and_told_once_a_second() -> None:
    repeats, failed, other = Repeats(), Kind("failed", "ValueError"), Kind("failed", "KeyError")
    written = [repeats.counted(failed, 5 + number / 1000) <= ALIKE_MAX for number in range(900)]
    assert written == [True] * ALIKE_MAX + [False] * (900 - ALIKE_MAX)
    assert repeats.counted(other, 5.9) <= ALIKE_MAX, "a failure of another type is not drowned"
    assert repeats.over(5.99) == {}
    assert repeats.over(6) == {failed: 900 - ALIKE_MAX}
    assert repeats.over(6) == {}
    assert repeats.counted(failed, 6) == 1
    assert repeats.over(7) == {}, "nothing was left out"


def test_kinds_without_number_are_counted_as_one() -> None:
    repeats = Repeats()
    assert sum(repeats.counted(Kind(str(number), None), 0) <= ALIKE_MAX for number in range(5_000)) == (
        KINDS_MAX + ALIKE_MAX
    )
    assert repeats.over(1) == {Kind("other", None): 5_000 - KINDS_MAX - ALIKE_MAX}


def test_a_failure_of_each_request_does_not_fill_the_disk(databases: Databases, tmp_path: Path) -> None:
    """K15: of each there is a line in the access log, and few of the failures are told more of; none is uncounted."""
    import sqlite3  # noqa: PLC0415 - as above.

    with databases.made("sqlite") as url, servers.serving(url, tmp_path) as gateway:
        with sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///")) as database:
            database.execute("ALTER TABLE contractors RENAME TO elsewhere")
        database.close()
        query = 'mutation { createContractor(input: {name: "N", isVendor: true}) { contractor { id } } }'
        begun = time.monotonic()
        with ThreadPoolExecutor(4) as clients:
            replies = list(clients.map(lambda number: post(gateway, f"r{number}", query), range(FAILURES)))
        seconds = time.monotonic() - begun
        told_while_it_runs = _repeated(gateway, FAILURES)
        gateway.stop()
    assert {reply.json["errors"][0]["extensions"]["code"] for reply in replies} == {"INTERNAL"}
    lines = lines_of(gateway.log())
    assert sum(line["event"] == "request" and line["code"] == "INTERNAL" for line in lines) == FAILURES
    written = sum(line["event"] == "internal_error" for line in lines)
    assert ALIKE_MAX <= written <= ALIKE_MAX * (seconds + 2)
    assert written + told_while_it_runs == FAILURES
    assert {(line["of"], line["failure"]) for line in lines if line["event"] == "repeated"} == {
        ("internal_error", "OperationalError")
    }


def _repeated(gateway: servers.GatewayProcess, failures: int) -> int:
    """How many lines were left out, when all are told of, as they are though no other line comes."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = lines_of(gateway.log())
        left_out: int = sum(line["count"] for line in lines if line["event"] == "repeated")
        if left_out + sum(line["event"] == "internal_error" for line in lines) == failures:
            return left_out
        threading.Event().wait(0.05)
    raise AssertionError("not all lines that were left out were told of")
