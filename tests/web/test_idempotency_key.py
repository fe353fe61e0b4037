"""The header Idempotency-Key, and the header of what was answered before."""

import json
from urllib.request import Request, urlopen

import pytest

from tests.faults.asking import asked
from tests.servers import GatewayProcess
from tests.web.fakes import DATA, FakeRun
from tests.web.servers import GRAPHQL, JSON, Served

MUTATION = {"query": "mutation{a}"}


@pytest.mark.parametrize("key", ["k", "!~", "k" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_a_key_is_handed_on(served: Served, run: FakeRun, key: str) -> None:
    assert served.post(MUTATION, ("Idempotency-Key", key)).status == 200
    assert [asked.idempotency_key for asked in run.asked] == [key]


def test_no_key_is_none(served: Served, run: FakeRun) -> None:
    served.post(MUTATION)
    assert [asked.idempotency_key for asked in run.asked] == [None]


@pytest.mark.parametrize("keys", [[""], ["k" * 256], ["a b"], ["a\tb"], ["é"], ["a", "b"], ["a", "a"]])
def test_what_is_no_key_is_refused_whatever_is_accepted(served: Served, run: FakeRun, keys: list[str]) -> None:
    for accept in (GRAPHQL, JSON):
        reply = served.post(MUTATION, *(("Idempotency-Key", key) for key in keys), accept=accept)
        assert (reply.status, reply.code) == (400, "BAD_REQUEST")
    assert run.asked == []


def test_what_was_answered_before_is_said_to_be_so(served: Served, run: FakeRun) -> None:
    assert "idempotency-replayed" not in served.post(MUTATION).headers
    run.answer = DATA._replace(is_replay=True)
    assert served.post(MUTATION).headers["idempotency-replayed"] == "true"


def test_a_retry_over_http_is_answered_alike_and_says_so(server: GatewayProcess) -> None:
    create = (
        "mutation ($name: String!) { createContractor(input: {name: $name, isVendor: true}) { contractor { id } } }"
    )
    first = asked(server, create, "key", name="Acme")
    again = asked(server, create, "key", name="Acme")
    other = asked(server, create, "key", name="Other")
    assert first is not None
    assert again is not None
    assert other is not None
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status, other.codes) == (422, ["IDEMPOTENCY_KEY_REUSED"])
    two = asked(server, 'mutation { a: deleteWebhook(id: "x") { __typename } b: __typename }', "new key")
    assert two is not None
    assert (two.codes, "data" in two.body) == (["BAD_REQUEST"], False)
    counted = asked(server, "{ contractors { totalCount } }")
    assert counted is not None
    assert counted.body["data"] == {"contractors": {"totalCount": 1}}


def test_a_retry_by_a_stream_says_so_too(server: GatewayProcess) -> None:
    body = json.dumps({"query": 'mutation { createInvoiceTemplate(input: {name: "T"}) { invoiceTemplate { id } } }'})
    headers = {"Content-Type": JSON, "Accept": "text/event-stream", "Idempotency-Key": "key"}
    told = []
    for _ in range(2):
        with urlopen(Request(f"{server.url}/graphql", body.encode(), headers), timeout=30) as answer:
            told.append((answer.headers.get("idempotency-replayed"), answer.read()))
    (first, events), (second, again) = told
    assert (first, second, again) == (None, "true", events)
