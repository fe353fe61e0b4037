"""Every row of the catalogue of bad inputs, sent to real gateways on both databases: one process for all rows of each.

The rows are sent once, one after another; the tests then look at what became of each. Between two rows a marker is put
into the log, so that it is known which lines are whose.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests import servers
from tests.databases import KINDS, Databases, contents
from tests.web.catalogue import BODY_MAX, BY_OTHERS, REGISTER, ROWS, SECRET, Http, Raw, Row, Talk
from tests.web.servers import Served

NEIGHBOUR_SECONDS = 1.0
"""Ten times what a neighbour may wait."""
NO_ANSWER = -1
ANSWER_BYTES_MAX = 10_000_000
LOG_BYTES = 4_096
LOG_LINES = 2
OF_OTHERS = ("neighbour", "marker-", "setup")
"""Request ids that are no row's."""

SETTINGS = {"runner": "false", "body_max": str(BODY_MAX), "batch_max": "1000"}
"""Nothing happens by itself, so what is stored changes by rows alone."""

SETUP = [
    'mutation { createContractor(input: {name: "C", isVendor: true}) { contractor { id } } }',
    """mutation { createAccount(input: {name: "A", contractorId: "contractor_1", externalId: "EXT-1",
       uuid: "0190c9f4-7a0e-7000-8000-000000000001"}) { account { id } } }""",
    """mutation { createAccount(input: {name: "B", contractorId: "contractor_1", externalId: "EXT-2"}) {
       account { id } } }""",
    'mutation { createDivision(input: {code: "NO", timezone: "Europe/Oslo"}) { division { id } } }',
    'mutation { createDivision(input: {code: "FREE"}) { division { id } } }',
    """mutation { createAccountBalanceHistoryConfig(input: {divisionCode: "NO", cycleClosingTime: "22:00:00",
       cycleEventDelay: 10}) { balanceHistoryConfig { id } userErrors { code } } }""",
    """mutation { createBankAccountBalance(bankAccountId: "account_2", input: {amount: "922337203685477.5807",
       timestamp: "2025-01-01T00:00:00Z", currency: {code: "EUR"}}) { balance { id } } }""",
]
USED = {
    "accountExtId": "EXT-1",
    "communicationNumber": "USED-1",
    "requester": SECRET,
    "value": 1,
    "balanceAt": "2025-06-01T12:00:00Z",
}


class Outcome(NamedTuple):
    """What became of a row."""

    status: int
    """Of HTTP, or of a WebSocket's close; 0: the connection was ended, or no close came."""
    body: bytes
    is_ended: bool
    """Whether the connection was ended after the answer."""
    seconds: float
    neighbour: float
    """The longest that a neighbour waited meanwhile, in seconds."""
    has_stored: bool
    is_alive: bool
    log: Sequence[str] = ()
    """Its lines."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Neighbour:
    """Somebody else, who asks one small thing after another while a row is sent."""

    def __init__(self, port: int) -> None:
        self._served = Served(port)
        self._waits: list[float] = []
        self._wanted = threading.Event()
        self._asked = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        while True:
            self._wanted.wait()
            if self._is_over:
                return
            begun = time.monotonic()
            reply = self._served.post({"query": "{ __typename }"}, ("X-Request-Id", "neighbour"))
            waited = time.monotonic() - begun if reply.status == 200 else float("inf")
            with self._asked:
                self._waits.append(waited)
                self._asked.notify_all()

    @contextmanager
    def asking(self) -> Iterator[list[float]]:
        """Ask meanwhile, and at least once more after the beginning; how long each question waited."""
        waits: list[float] = []
        self._waits = waits
        self._wanted.set()
        try:
            yield waits
        finally:
            with self._asked:
                self._asked.wait_for(lambda: waits, timeout=servers.START_SECONDS_MAX)
            self._wanted.clear()

    def close(self) -> None:
        self._is_over = True
        self._wanted.set()
        self._thread.join()


def sent_http(served: Served, sent: Http, id: str) -> tuple[int, bytes, bool]:
    headers = [*sent.headers, ("X-Request-Id", id)]
    reply = served.ask(sent.method, sent.path, headers, sent.body)
    return reply.status, reply.body, False


def sent_raw(served: Served, sent: Raw) -> tuple[int, bytes, bool]:
    with served.connected() as connection:
        # An answer may come before all was sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.send(sent.sent)
        try:
            reply = connection.reply()
        except (IndexError, ConnectionResetError):
            return 0, b"", True
        return reply.status, reply.body, sent.is_ended and connection.is_closed()


def talked(served: Served, sent: Talk, id: str) -> tuple[int, bytes, bool]:
    protocols = None if sent.subprotocol is None else [Subprotocol(sent.subprotocol)]
    headers = {**sent.headers, "X-Request-Id": id}
    last = "{}"
    try:
        with connect(
            f"ws://127.0.0.1:{served.port}/graphql",
            subprotocols=protocols,
            additional_headers=headers,
            max_size=None,
            compression=None,
        ) as socket:
            try:
                for message in sent.messages:
                    socket.send(message)
                while True:
                    last = str(socket.recv(timeout=servers.ANSWER_SECONDS_MAX))
                    if json.loads(last)["type"] in {"error", "next"}:
                        return 0, last.encode(), False
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 0, last.encode(), True
    except InvalidStatus as refused:
        return refused.response.status_code, bytes(refused.response.body or b""), True


def sent(served: Served, row: Row, id: str) -> tuple[int, bytes, bool]:
    try:
        match row.sent:
            case Http():
                return sent_http(served, row.sent, id)
            case Raw():
                return sent_raw(served, row.sent)
            case Talk():
                return talked(served, row.sent, id)
    except TimeoutError:
        return NO_ANSWER, b"", False


def outcomes_of(url: str, folder: Path, rows: Sequence[Row], **settings: str) -> Mapping[str, Outcome]:
    """Send all rows, one after another, to one gateway; what became of each."""
    found: dict[str, Outcome] = {}
    with servers.serving(url, folder, **SETTINGS, **settings) as gateway:
        served = Served(gateway.port)
        for query in SETUP:
            reply = served.post({"query": query}, ("X-Request-Id", "setup"))
            assert reply.json["data"] and not reply.json.get("errors"), reply.json
        items = {"v": {"accountBalances": [USED]}}
        served.post({"query": REGISTER, "variables": items}, ("X-Request-Id", "setup"))
        neighbour = Neighbour(gateway.port)
        try:
            with contents(url) as digest:
                before = digest()
                for number, row in enumerate(rows):
                    served.ask("GET", "/health", [("X-Request-Id", f"marker-{number}")])
                    with neighbour.asking() as waits:
                        begun = time.monotonic()
                        status, body, is_ended = sent(served, row, f"row-{number}")
                        seconds = time.monotonic() - begun
                    after = digest()
                    found[row.id] = Outcome(
                        status, body, is_ended, seconds, max(waits), before != after, gateway.is_running
                    )
                    before = after
                served.ask("GET", "/health", [("X-Request-Id", f"marker-{len(rows)}")])
        finally:
            neighbour.close()
        gateway.stop()
        lines = lines_of_rows(gateway.log())
    return {row.id: found[row.id]._replace(log=lines[number]) for number, row in enumerate(rows)}


def lines_of_rows(log: str) -> Mapping[int, Sequence[str]]:
    """The lines of each row: those between its marker and the next one, without those of others."""
    lines: dict[int, list[str]] = {}
    number = -1
    for line in log.splitlines():
        if not line.startswith("{"):
            continue
        id = json.loads(line).get("request_id", "")
        if id.startswith("marker-"):
            number = int(id.removeprefix("marker-"))
            lines[number] = []
        elif id.startswith("row-"):
            # The end of a socket may be told late.
            lines[int(id.removeprefix("row-"))].append(line)
        elif number >= 0 and not id.startswith(OF_OTHERS):
            lines[number].append(line)
    return lines


@pytest.fixture(scope="module", params=KINDS)
def outcomes(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Outcome]:
    """What became of every row, on a database of each kind."""
    found: dict[str, Outcome] = {}
    for production in (False, True):
        with databases.made(request.param) as url:
            of_profile = [row for row in ROWS if row.production is production]
            folder = tmp_path_factory.mktemp("catalogue")
            found |= outcomes_of(url, folder, of_profile, production=str(production).lower())
    return found


def seen(value: Any, path: str) -> Any:
    """What stands in a JSON value at a path; None where there is no such place."""
    for step in path.split("."):
        match value:
            case dict():
                value = value.get(step)
            case list():
                value = value[int(step)] if int(step) < len(value) else None
            case _:
                return None
    return value


def errors_of(outcome: Outcome) -> list[Any]:
    """The errors of an answer, by HTTP or over a WebSocket."""
    told = outcome.json
    found: list[Any] = told["payload"] if told.get("type") == "error" else told.get("errors", [])
    return found


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_row_becomes_what_it_says(outcomes: Mapping[str, Outcome], row: Row) -> None:
    outcome = outcomes[row.id]
    told = outcome.body.decode("utf-8", errors="replace")
    if row.status:
        assert outcome.status in row.status, told[:500]
    is_cut_off = outcome.status == 0 and 0 in row.status
    if row.code is None or is_cut_off:
        is_refused = isinstance(row.sent, Http | Raw) and not 200 <= outcome.status < 300
        assert not is_refused or outcome.body in BY_OTHERS, told[:500]
    else:
        assert errors_of(outcome)[0]["extensions"]["code"] == row.code, told[:500]
    for path, value in row.sees.items():
        assert seen(outcome.json, path) == value, told[:500]
    if isinstance(row.sent, Raw) and row.sent.is_ended:
        assert outcome.is_ended
    if not row.stores:
        assert not outcome.has_stored
    assert len(outcome.body) < ANSWER_BYTES_MAX
    assert outcome.is_alive
    assert outcome.seconds < row.seconds
    assert outcome.neighbour < NEIGHBOUR_SECONDS


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_row_leaves_little_in_the_log_and_no_secret_anywhere(outcomes: Mapping[str, Outcome], row: Row) -> None:
    outcome = outcomes[row.id]
    # Who holds a busy machine's loop is told beside.
    assert len([line for line in outcome.log if json.loads(line)["event"] != "event_loop_held"]) <= LOG_LINES
    assert sum(map(len, outcome.log)) <= LOG_BYTES
    assert SECRET not in "".join(outcome.log)
    for line in outcome.log:
        assert json.loads(line)["level"] in {"info", "warning"}, line
    told = outcome.body.decode("utf-8", errors="replace")
    assert f"Bearer {SECRET}" not in told
    assert not [word for word in ("Traceback", "SELECT ", "INSERT ", "sqlalchemy", ".py") if word in told]


def test_each_row_has_a_name_of_its_own() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_rows_that_store_do_so(outcomes: Mapping[str, Outcome]) -> None:
    """So that it is known that what is stored is seen."""
    assert [row.id for row in ROWS if row.stores and not outcomes[row.id].has_stored] == []


def test_rows_that_reach_the_gateway_have_lines(outcomes: Mapping[str, Outcome]) -> None:
    """So that it is known that what is logged is seen."""
    asked = [row for row in ROWS if isinstance(row.sent, Http)]
    assert [row.id for row in asked if not outcomes[row.id].log] == []
