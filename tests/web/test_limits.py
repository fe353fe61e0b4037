"""Every limit is a setting: a gateway that is set low refuses early, each with its code, its status and its limit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets

from app.main import connection_limits, operation_limits
from app.settings import Settings
from app.web.connections import ConnectionLimits
from schema.execution.limits import OperationLimits
from tests.databases import Databases
from tests.servers import GatewayProcess, serving
from tests.web.servers import GRAPHQL, JSON, Served
from tests.web.test_subscriptions import begun, connecting, said, subscribing

LOW = {
    "document_chars_max": "500",
    "document_tokens_max": "60",
    "depth_max": "4",
    "aliases_max": "1",
    "root_fields_max": "2",
    "mutations_max": "1",
    "directives_max": "1",
    "fragments_max": "1",
    "fields_max": "5",
    "cost_max": "100",
    "batch_max": "2",
    "page_max": "60",
    "body_max": "3000",
    "json_depth_max": "5",
    "json_number_max": "20",
    "socket_message_max": "1000",
    "socket_init_seconds": "0.5",
    "socket_operations_max": "1",
}
DELETED = 'deleteWebhook(id: "webhook_1") { deletedId }'
TOO_COMPLEX = [
    ('{ division(code: "X") { parent { parent { parent { id } } } } }', "depth", 4),
    ("{ limits { a: pageSize b: batchItems } }", "aliases", 1),
    ("{ limits { pageSize } currencies { code } viewer { subject } }", "rootFields", 2),
    (f"mutation {{ {DELETED} other: {DELETED} }}", "mutations", 1),
    ("{ limits @skip(if: false) { pageSize @skip(if: false) } }", "directives", 1),
    ("{ ...F ...F } fragment F on Query { __typename }", "fragments", 1),
    ("{ limits { pageSize batchItems seriesPoints balanceTypes __typename } }", "fields", 5),
]
BATCH = """query ($items: [AccountBalanceInput!]!) {
  validateBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }"""


@pytest.fixture(scope="module")
def low(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with (
        databases.made("sqlite") as url,
        serving(url, tmp_path_factory.mktemp("low"), **LOW) as gateway,
    ):
        yield gateway


def refused(gateway: GatewayProcess, asked: dict[str, Any]) -> dict[str, Any]:
    """The extensions of a refusal, which has status 400, and 200 for clients of the older media type."""
    served = Served(gateway.port)
    reply, older = served.post(asked, accept=GRAPHQL), served.post(asked, accept=JSON)
    assert (reply.status, older.status) == (400, 200)
    assert reply.json == older.json
    assert list(reply.json) == ["errors"]
    extensions: dict[str, Any] = reply.json["errors"][0]["extensions"]
    return extensions


@pytest.mark.parametrize(("query", "name", "maximum"), TOO_COMPLEX)
def test_a_document_that_is_too_involved_is_refused(low: GatewayProcess, query: str, name: str, maximum: int) -> None:
    assert refused(low, {"query": query}) == {"code": "QUERY_TOO_COMPLEX", "limit": name, "maximum": maximum}


@pytest.mark.parametrize(
    ("asked", "extensions"),
    [
        ({"query": "{ __typename } #" + "x" * 500}, {"code": "DOCUMENT_TOO_LARGE", "limit": 500, "unit": "characters"}),
        (
            {"query": "{ limits { " + "id " * 60 + "} }"},
            {"code": "DOCUMENT_TOO_LARGE", "limit": 60, "unit": "tokens"},
        ),
        (
            {"query": "{ accounts(first: 60) { nodes { currency { code } } } }"},
            {"code": "COST_LIMIT_EXCEEDED", "limit": 100, "estimate": 121},
        ),
        ({"query": BATCH, "variables": {"items": [{}] * 3}}, {"code": "BATCH_TOO_LARGE", "limit": 2}),
    ],
)
def test_what_is_too_much_is_refused(low: GatewayProcess, asked: dict[str, Any], extensions: dict[str, Any]) -> None:
    assert refused(low, asked) == extensions


@pytest.mark.parametrize(
    ("body", "status", "extensions"),
    [
        ({"query": "{ __typename }" + " " * 3_000}, 413, {"code": "PAYLOAD_TOO_LARGE", "limit": 3_000}),
        ({"query": "{ __typename }", "variables": {"a": [[[[]]]]}}, 400, {"code": "BAD_REQUEST", "limit": 5}),
        (b'{"query": "{a}", "variables": {"a": 1%s}}' % (b"0" * 20), 400, {"code": "BAD_REQUEST", "limit": 20}),
    ],
)
def test_a_body_that_is_too_much_is_refused(
    low: GatewayProcess, body: object, status: int, extensions: dict[str, Any]
) -> None:
    reply = Served(low.port).post(body)
    assert (reply.status, reply.json["errors"][0]["extensions"]) == (status, extensions)


def test_a_page_that_is_too_large_is_an_error_of_its_field(low: GatewayProcess) -> None:
    reply = Served(low.port).post({"query": "{ accounts(first: 61) { totalCount } }"})
    assert (reply.status, reply.json["data"]) == (200, {"accounts": None})
    assert reply.json["errors"][0]["extensions"] == {"code": "PAGE_TOO_LARGE", "limit": 60}


def test_an_answer_tells_its_cost_to_who_asks(low: GatewayProcess) -> None:
    reply = Served(low.port).post({"query": "{ accounts(first: 9) { nodes { id } } }"}, ("GraphQL-Cost", "report"))
    assert reply.json == {"data": {"accounts": {"nodes": []}}, "extensions": {"cost": {"estimate": 10, "maximum": 100}}}


async def test_a_socket_has_its_limits_too(low: GatewayProcess) -> None:
    async with connecting(low) as silent:
        with pytest.raises(websockets.ConnectionClosed):
            await silent.recv()
        assert silent.close_code == 4408
    async with connecting(low) as long:
        await begun(long)
        await long.send(json.dumps({"type": "ping", "payload": {"x": "x" * 1_000}}))
        with pytest.raises(websockets.ConnectionClosed):
            await long.recv()
        assert long.close_code == 1009
    async with connecting(low) as many:
        await begun(many)
        await many.send(subscribing("1", "subscription { events { id } }"))
        await many.send(subscribing("2", "subscription { events { id } }"))
        told = await said(many)
        assert (told["id"], told["payload"][0]["extensions"]) == ("2", {"code": "RATE_LIMITED", "limit": 1})
    async with connecting(low) as costly:
        await begun(costly)
        await costly.send(subscribing("1", "{ accounts(first: 60) { nodes { currency { code } } } }"))
        told = await said(costly)
        assert told["payload"][0]["extensions"]["code"] == "COST_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("settings", "unit"), [({"requests_per_minute": "3"}, "requests"), ({"cost_per_minute": "3"}, "cost")]
)
def test_rates_are_told_with_the_time_to_wait(
    database_url: str, tmp_path: Path, settings: dict[str, str], unit: str
) -> None:
    with serving(database_url, tmp_path, **settings) as gateway:
        served = Served(gateway.port)
        # Where a minute ends in between, the next one has as many.
        replies = [served.post({"query": "{ limits { pageSize } }"}) for _ in range(9)]
        assert [reply.status for reply in replies[:3]] == [200, 200, 200]
        refused = next(reply for reply in replies if reply.status != 200)
        streamed = served.post({"query": "{ limits { pageSize } }"}, accept="text/event-stream")
    assert (refused.status, refused.code) == (429, "RATE_LIMITED")
    extensions = refused.json["errors"][0]["extensions"]
    assert (extensions["limit"], extensions["unit"]) == (3, unit)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    if streamed.status != 200:
        assert (streamed.status, streamed.code) == (429, "RATE_LIMITED")
        assert 1 <= int(streamed.headers["retry-after"]) <= 60


def test_the_defaults_are_the_same_everywhere() -> None:
    settings = Settings()
    assert operation_limits(settings) == OperationLimits()
    assert connection_limits(settings) == ConnectionLimits()
