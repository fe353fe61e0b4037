"""Slow senders, slow readers, and too many connections, as a gateway's process meets them."""

import http.client
import resource
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import get_introspection_query

from tests.databases import Databases
from tests.servers import GatewayProcess, serving
from tests.web.servers import SECONDS, Served

GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that waits for a head and for its reader no longer than a second."""
    with databases.made("sqlite") as url:
        folder = tmp_path_factory.mktemp("hasty")
        with serving(url, folder, head_seconds="1", write_seconds="1", body_seconds="1") as gateway:
            yield gateway


HALF_HEADS = [b"", b"POST /grap", b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: app"]


@pytest.mark.parametrize("sent", HALF_HEADS)
def test_who_does_not_finish_a_head_is_dropped(hasty: GatewayProcess, sent: bytes) -> None:
    with Served(hasty.port).connected() as connection:
        connection.send(sent)
        assert connection.is_closed()


@pytest.mark.parametrize("sent", HALF_HEADS)
def test_who_does_not_finish_a_second_head_is_dropped(hasty: GatewayProcess, sent: bytes) -> None:
    with Served(hasty.port).connected() as connection:
        connection.send(GET)
        assert connection.reply().status == 200
        connection.send(sent)
        assert connection.is_closed()


@pytest.mark.parametrize("asked", [GET, GET[:-2] + b"Content-Length: 50\r\n\r\n"])
def test_bytes_that_are_part_of_no_head_keep_no_connection(hasty: GatewayProcess, asked: bytes) -> None:
    with Served(hasty.port).connected() as connection:
        connection.send(asked)
        assert connection.reply().status == 200
        # They end the time that uvicorn gives for a next request.
        connection.send(b"\r\n")
        assert connection.is_closed()


def test_who_sends_a_head_in_drops_is_dropped(hasty: GatewayProcess) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=SECONDS) as connection:
        connection.send(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        with pytest.raises((ConnectionError, TimeoutError)):
            for _ in range(100 * SECONDS):
                connection.send(b"x")
                if select.select([connection], [], [], 0.01)[0]:
                    assert connection.recv(1) == b""
                    raise ConnectionResetError


def test_who_keeps_asking_is_not_dropped(hasty: GatewayProcess) -> None:
    began = time.monotonic()
    with Served(hasty.port).connected() as connection:
        while time.monotonic() < began + 3:
            connection.send(GET)
            assert connection.reply().status == 200


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="tells a process's memory by /proc")


@needs_proc
def test_ten_thousand_requests_on_one_connection_are_answered_and_leave_nothing(hasty: GatewayProcess) -> None:
    def memory() -> int:
        pages = int(Path(f"/proc/{hasty.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    with Served(hasty.port).connected() as connection:

        def ask(count: int) -> None:
            for _ in range(count // 50):
                connection.send(GET * 50)
                assert [connection.reply().status for _ in range(50)] == [200] * 50

        ask(1_000)
        before, files = memory(), len(list(Path(f"/proc/{hasty.pid}/fd").iterdir()))
        ask(9_000)
        assert memory() - before < 20_000_000
        assert len(list(Path(f"/proc/{hasty.pid}/fd").iterdir())) <= files


def test_who_does_not_read_its_answers_is_dropped(hasty: GatewayProcess) -> None:
    body = b'{"query": "' + get_introspection_query().replace("\n", " ").encode() + b'"}'
    asked = (
        b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(SECONDS)
        connection.connect(("127.0.0.1", hasty.port))
        # Far more than the system keeps for a reader that is late.
        poll = select.poll()
        poll.register(connection, select.POLLOUT)
        deadline = time.monotonic() + 2 * SECONDS
        connection.setblocking(False)
        waiting = asked * 100
        while not (events := poll.poll(1_000)) or not events[0][1] & (select.POLLHUP | select.POLLERR):
            assert time.monotonic() < deadline, "it was not dropped"
            if events and waiting:
                waiting = waiting[connection.send(waiting) :]
            if not waiting:
                poll.modify(connection, 0)
    assert Served(hasty.port).ask("GET", "/health").status == 200
    assert "Traceback" not in hasty.log()


def test_too_many_connections_are_told_so_and_the_next_ones_answered(databases: Databases, tmp_path: Path) -> None:
    with databases.made("sqlite") as url, serving(url, tmp_path, connections_max="2") as gateway:
        served = Served(gateway.port)

        def status() -> int:
            try:
                return served.ask("GET", "/health").status
            except (ConnectionError, http.client.HTTPException):
                return 0

        deadline = time.monotonic() + SECONDS
        while status() != 200:  # The connection that asked whether it was ready may be there still.
            assert time.monotonic() < deadline
        with served.connected() as one, served.connected():
            one.send(GET)
            assert one.reply().status == 200
            refused = served.ask("GET", "/health")
            assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "UNAVAILABLE", "1")
            assert refused.headers["connection"] == "close"
            upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
            assert served.ask("GET", "/graphql", [*upgrade, ("Sec-WebSocket-Key", "x" * 24)]).status == 503
            one.send(GET)
            assert one.reply().status == 200
        while status() != 200:
            assert time.monotonic() < deadline
