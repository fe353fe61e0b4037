"""Subscriptions over WebSocket and server-sent events, as the clients of the npm world and a bare socket see them."""

import asyncio
import http.client
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Origin, Subprotocol

from tests import npm
from tests.servers import GatewayProcess

CLIENTS = Path(__file__).parent / "clients"
SECONDS = 30
PROTOCOL = Subprotocol("graphql-transport-ws")

SETUP = """mutation { createContractor(input: {name: "Fjord", isCustomer: true}) { contractor { id } }
  createAccount(input: {name: "Main", externalId: "main", contractorId: "contractor_1", balanceLowThreshold: 10}) {
    account { id } userErrors { message } } }"""
ADD = """mutation ($amount: Decimal!) { createBankAccountBalance(bankAccountId: "account_1", input:
  {amount: $amount, timestamp: "2026-03-01T12:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""
BALANCES = "subscription { balanceCreated { amount account { balance } } }"
EVENTS = "subscription ($after: String) { events(after: $after) { id type data } }"
END = "{ events(first: 0) { pageInfo { endCursor } } }"


def ask(url: str, query: str, **variables: Any) -> Any:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(f"{url}/graphql", body, {"content-type": "application/json"})
    with urlopen(request, timeout=SECONDS) as answer:
        told = json.load(answer)
    assert "errors" not in told, told
    return told["data"]


@pytest.fixture
def gateway(database_url: str, tmp_path: Path) -> Iterator[GatewayProcess]:
    settings = {"BALANCE_GATEWAY_SUBSCRIPTION_BACKLOG": "50"}
    with GatewayProcess(database_url, tmp_path, settings) as process:
        ask(process.url, SETUP)
        yield process


class Client:
    """A client's process, whose lines are read as they come."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reading.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __init__(self, node: Path, kind: str, url: str, query: str, count: int, **variables: Any) -> None:
        npm.install(CLIENTS)
        command = [str(node), str(CLIENTS / "subscribe.mjs"), kind, f"{url}/graphql", query, str(count)]
        self._process = subprocess.Popen([*command, json.dumps(variables)], stdout=subprocess.PIPE, text=True)
        self._lines: Queue[str] = Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def next(self) -> Any:
        return json.loads(self._lines.get(timeout=SECONDS))

    def end(self) -> int:
        return self._process.wait(SECONDS)


@pytest.mark.parametrize("kind", ["ws", "sse", "apollo"])
def test_each_client_is_told_what_comes(gateway: GatewayProcess, node: Path, kind: str) -> None:
    start = ask(gateway.url, END)["events"]["pageInfo"]["endCursor"]
    with Client(node, kind, gateway.url, EVENTS, 5, after=start) as client:
        assert client.next() == "connected"
        for amount in ("50.5", "5", "1100"):
            ask(gateway.url, ADD, amount=amount)
        told = [client.next()["data"]["events"] for _ in range(5)]
        assert [(event["type"], event["data"].get("amount")) for event in told] == [
            ("balance_change", "50.5"),
            ("balance_change", "5"),
            ("AccountLowThresholdReached", None),
            ("balance_change", "1100"),
            ("AccountLowThresholdCleared", None),
        ]
        assert client.end() == 0


@pytest.mark.parametrize("kind", ["ws", "sse"])
def test_a_client_that_asks_wrongly_is_told_so(gateway: GatewayProcess, node: Path, kind: str) -> None:
    with Client(node, kind, gateway.url, 'subscription { events(types: ["nonsense"]) { id } }', 1) as client:
        assert client.next() == "connected"
        told = client.next()
        errors = told["failed"] if kind == "ws" else told["errors"]
        assert errors[0]["extensions"]["code"] == "BAD_REQUEST"


def test_a_client_that_connects_anew_after_a_restart_misses_nothing(gateway: GatewayProcess, node: Path) -> None:
    start = ask(gateway.url, END)["events"]["pageInfo"]["endCursor"]
    with Client(node, "ws", gateway.url, EVENTS, 100, after=start) as client:
        assert client.next() == "connected"
        ask(gateway.url, ADD, amount="20")
        first = client.next()["data"]["events"]["id"]
        gateway.stop()
        gateway.start()
        seen = [first]
        ask(gateway.url, ADD, amount="30")
        while (line := client.next()) == "connected" or line["data"]["events"]["data"]["amount"] != "30":
            if line != "connected":
                seen.append(line["data"]["events"]["id"])
        assert set(seen) == {first}, "its cursor says where it began: it is told that again, and all that came"


# --- a bare socket ------------------------------------------------------------------------------------------------


def connecting(gateway: GatewayProcess, **more: Any) -> Any:
    url = gateway.url.replace("http", "ws", 1) + "/graphql"
    return websockets.connect(url, **{"subprotocols": [PROTOCOL], **more})


async def said(socket: ClientConnection) -> Any:
    async with asyncio.timeout(SECONDS):
        text = await socket.recv()
    assert isinstance(text, str), "frames are texts"
    return json.loads(text)


async def begun(socket: ClientConnection) -> None:
    await socket.send('{"type":"connection_init"}')
    assert await said(socket) == {"type": "connection_ack"}


def subscribing(name: str, query: str, **variables: Any) -> str:
    return json.dumps({"id": name, "type": "subscribe", "payload": {"query": query, "variables": variables}})


WRONG = [
    ("an array", ["[]"], 4400),
    ("a number", ["1"], 4400),
    ("null", ["null"], 4400),
    ("no JSON", ["{"], 4400),
    ("a double key", ['{"type":"ping","type":"pong"}'], 4400),
    ("an unknown type", ['{"type":"start"}'], 4400),
    ("no type", ["{}"], 4400),
    ("bytes", [b'{"type":"connection_init"}'], 4400),
    ("a payload that is a list", ['{"type":"connection_init","payload":[]}'], 4400),
    ("subscribing before the beginning", [subscribing("1", BALANCES)], 4401),
    ("beginning twice", ['{"type":"connection_init"}', '{"type":"connection_init"}'], 4429),
    ("an id that is a list", ['{"type":"connection_init"}', '{"type":"subscribe","id":[],"payload":{}}'], 4400),
    ("an empty id", ['{"type":"connection_init"}', subscribing("", BALANCES)], 4400),
    ("no query", ['{"type":"connection_init"}', '{"type":"subscribe","id":"1","payload":{}}'], 4400),
    ("an id twice", ['{"type":"connection_init"}', subscribing("1", BALANCES), subscribing("1", BALANCES)], 4409),
    ("completing nothing", ['{"type":"connection_init"}', '{"type":"complete"}'], 4400),
]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("quiet")
    with GatewayProcess(f"sqlite+aiosqlite:///{folder}/gateway.db", folder) as process:
        ask(process.url, SETUP)
        yield process


@pytest.mark.parametrize(("messages", "code"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_a_wrong_message_closes_the_socket_with_its_code(
    quiet: GatewayProcess, messages: list[str | bytes], code: int
) -> None:
    async with connecting(quiet) as socket:
        for message in messages:
            await socket.send(message)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            while True:
                await said(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert "Traceback" not in quiet.log()


@pytest.mark.parametrize("protocols", [None, [Subprotocol("graphql-ws")]])
async def test_other_protocols_are_refused(quiet: GatewayProcess, protocols: Any) -> None:
    with pytest.raises((websockets.ConnectionClosed, websockets.NegotiationError)) as refused:
        async with connecting(quiet, subprotocols=protocols) as socket:
            await said(socket)
    if isinstance(refused.value, websockets.ConnectionClosed):
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 4406


async def test_no_compression_is_agreed_to(quiet: GatewayProcess) -> None:
    """So no small frame becomes a large message."""
    async with connecting(quiet, compression="deflate") as socket:
        assert list(socket.protocol.extensions) == []
        await begun(socket)


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
async def test_a_page_of_another_site_opens_no_socket(quiet: GatewayProcess, origin: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connecting(quiet, origin=Origin(origin)):
            pass
    assert refused.value.response.status_code == 403


async def test_queries_run_and_mutations_are_refused(quiet: GatewayProcess) -> None:
    async with connecting(quiet, origin=Origin(quiet.url)) as socket:
        await begun(socket)
        await socket.send(subscribing("q", "{ accounts { totalCount } }"))
        payload = {"data": {"accounts": {"totalCount": 1}}}
        assert await said(socket) == {"id": "q", "type": "next", "payload": payload}
        assert await said(socket) == {"type": "complete", "id": "q"}
        await socket.send(subscribing("q", ADD, amount="1"))
        refused = await said(socket)
        assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "METHOD_NOT_ALLOWED")
        await socket.send(subscribing("q", "{ nonsense }"))
        refused = await said(socket)
        assert (refused["type"], refused["payload"][0]["extensions"]["code"]) == ("error", "GRAPHQL_VALIDATION_FAILED")
        await socket.send('{"type":"ping","payload":{"a":1}}')
        assert await said(socket) == {"type": "pong", "payload": {"a": 1}}


async def test_a_completed_subscription_tells_no_more_and_its_id_is_free(quiet: GatewayProcess) -> None:
    async with connecting(quiet) as socket:
        await begun(socket)
        end = (await asyncio.to_thread(ask, quiet.url, END))["events"]["pageInfo"]["endCursor"]
        await socket.send(subscribing("1", EVENTS, after=end))
        await asyncio.to_thread(ask, quiet.url, ADD, amount="77")
        assert (await said(socket))["payload"]["data"]["events"]["data"]["amount"] == "77"
        await socket.send('{"type":"complete","id":"1"}')
        await socket.send(subscribing("1", EVENTS, after=end))
        assert (await said(socket))["payload"]["data"]["events"]["data"]["amount"] == "77"


async def test_operations_at_once_are_limited_one_by_one(quiet: GatewayProcess) -> None:
    async with connecting(quiet) as socket:
        await begun(socket)
        for number in range(101):
            await socket.send(subscribing(str(number), BALANCES))
        refused = await said(socket)
        assert (refused["id"], refused["type"]) == ("100", "error")
        assert refused["payload"][0]["extensions"] == {"code": "RATE_LIMITED", "limit": 100}


async def test_each_event_is_answered_with_what_is_true_then(quiet: GatewayProcess) -> None:
    async with connecting(quiet) as socket:
        await begun(socket)
        await socket.send(subscribing("1", BALANCES))
        await socket.send(subscribing("q", "{ __typename }"))
        assert [(await said(socket))["type"] for _ in range(2)] == ["next", "complete"]
        await listening(quiet)
        for amount in ("41", "42"):
            await asyncio.to_thread(ask, quiet.url, ADD, amount=amount)
            told = (await said(socket))["payload"]["data"]["balanceCreated"]
            assert told == {"amount": amount, "account": {"balance": amount}}


async def listening(gateway: GatewayProcess) -> None:
    """Wait until what was subscribed before is heard of: a subscription behind it is told of an event."""
    async with connecting(gateway) as socket:
        await begun(socket)
        end = (await asyncio.to_thread(ask, gateway.url, END))["events"]["pageInfo"]["endCursor"]
        await socket.send(subscribing("1", EVENTS, after=end))
        document = """mutation ($code: String!) { createDivision(input: {code: $code}) { division { id } }
          createAccountBalanceHistoryConfig(input:
            {divisionCode: $code, cycleClosingTime: "22:00:00", cycleEventDelay: 10}) { userErrors { message } } }"""
        await asyncio.to_thread(ask, gateway.url, document, code=f"D{id(socket)}")
        await said(socket)


def test_a_stream_keeps_its_form_and_ends_with_its_client(quiet: GatewayProcess) -> None:
    end = ask(quiet.url, END)["events"]["pageInfo"]["endCursor"]
    address = urlsplit(quiet.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=SECONDS)
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    connection.request("POST", "/graphql", json.dumps({"query": EVENTS, "variables": {"after": end}}), headers)
    response = connection.getresponse()
    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    ask(quiet.url, ADD, amount="123")
    assert response.readline() == b"event: next\n"
    data = response.readline()
    assert data.startswith(b'data: {"data":{"events":{')
    assert response.readline() == b"\n"
    connection.close()
    query = {"query": "{ accounts { totalCount } }"}
    connection.request("POST", "/graphql", json.dumps(query), headers)
    whole = connection.getresponse().read()
    assert whole == b'event: next\ndata: {"data":{"accounts":{"totalCount":1}}}\n\nevent: complete\ndata:\n\n'
    connection.close()


async def test_who_reads_too_slowly_is_let_go_and_nobody_waits(gateway: GatewayProcess) -> None:
    document = """mutation ($items: [AccountBalanceInput!]!) {
      registerBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }"""

    def items(start: int) -> list[dict[str, str]]:
        return [
            {
                "accountExtId": "main",
                "communicationNumber": f"number {number} " + "x" * 200,
                "requester": "test",
                "value": "50",
                "balanceAt": "2026-03-02T12:00:00Z",
            }
            for number in range(start, start + 5_000)
        ]

    async with connecting(gateway, max_queue=1) as socket:
        await begun(socket)
        await socket.send(subscribing("1", EVENTS))
        await listening(gateway)
        for start in range(0, 20_000, 5_000):
            done = await asyncio.to_thread(ask, gateway.url, document, items=items(start))
            assert done["registerBatchAccountBalances"]["acceptedCount"] == 5_000
        message: Any = {"type": "next"}
        while message["type"] == "next":
            message = await said(socket)
        assert (message["type"], message["payload"][0]["extensions"]["code"]) == ("error", "SUBSCRIPTION_LAGGED")
