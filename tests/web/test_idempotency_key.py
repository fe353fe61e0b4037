"""The header Idempotency-Key, and the header of what was answered before."""

import pytest

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
