"""Which status and which headers an answer has."""

import pytest
from structlog.testing import capture_logs

from app.domain.refusals import Code, Refusal
from app.web.operations import Answered
from tests.web.fakes import FakeCallers, FakeRun, not_run
from tests.web.servers import GRAPHQL, JSON, Served

ALWAYS = {
    Code.UNAUTHENTICATED: 401,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.NOT_ACCEPTABLE: 406,
    Code.CONFLICT: 409,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.IDEMPOTENCY_KEY_REUSED: 422,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.TIMEOUT: 504,
}


def status(served: Served, accept: str | None) -> int:
    return served.post({"query": "{a}"}, accept=accept).status


@pytest.mark.parametrize("code", Code)
def test_a_request_that_did_not_run_has_the_status_of_its_code(served: Served, run: FakeRun, code: Code) -> None:
    run.answer = not_run(code)
    assert status(served, GRAPHQL) == ALWAYS.get(code, 400)
    assert status(served, JSON) == ALWAYS.get(code, 200)
    assert status(served, "*/*") == ALWAYS.get(code, 200)
    assert status(served, None) == ALWAYS.get(code, 200)


@pytest.mark.parametrize("code", Code)
def test_a_refusal_that_is_raised_is_answered_alike(served: Served, run: FakeRun, code: Code) -> None:
    run.answer = Refusal(code, "No.", limit=7)
    assert status(served, GRAPHQL) == ALWAYS.get(code, 400)
    reply = served.post({"query": "{a}"}, accept=JSON)
    assert reply.status == ALWAYS.get(code, 200)
    assert reply.json == {"errors": [{"message": "No.", "extensions": {"code": code, "limit": 7}}]}


@pytest.mark.parametrize("accept", [GRAPHQL, JSON, None])
def test_what_ran_has_status_200_even_in_part(served: Served, run: FakeRun, accept: str | None) -> None:
    run.answer = Answered(b'{"data":{"a":null},"errors":[{"message":"No."}]}', ran=True, code=None)
    reply = served.post({"query": "{a}"}, accept=accept)
    assert (reply.status, reply.body) == (200, run.answer.body)


@pytest.mark.parametrize(
    ("accept", "media"), [(GRAPHQL, GRAPHQL), (JSON, JSON), ("*/*", JSON), (None, JSON), ("text/html", JSON)]
)
def test_an_answer_has_these_headers_and_no_others(served: Served, accept: str | None, media: str) -> None:
    reply = served.post({"query": "{a}"}, accept=accept)
    del reply.headers["date"]
    assert reply.headers == {
        "content-type": f"{media}; charset=utf-8",
        "content-length": str(len(reply.body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }


def test_a_mutation_by_get_is_refused_with_the_method_that_is_allowed(served: Served, run: FakeRun) -> None:
    run.answer = not_run(Code.METHOD_NOT_ALLOWED)
    reply = served.ask("GET", "/graphql?query=mutation{a}")
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_with_those_that_are_allowed(served: Served, run: FakeRun, method: str) -> None:
    reply = served.ask(method, "/graphql?query={a}")
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, POST")
    assert run.asked == []


def test_head_runs_nothing(served: Served, run: FakeRun) -> None:
    reply = served.ask("HEAD", "/graphql?query={a}")
    assert (reply.status, reply.headers["allow"], reply.body) == (405, "GET, POST", b"")
    assert run.asked == []


def test_a_method_that_http_does_not_know_is_refused(served: Served) -> None:
    assert served.raw(b"FOO /graphql HTTP/1.1\r\nHost: a\r\n\r\n").status == 400


@pytest.mark.parametrize("code", [Code.RATE_LIMITED, Code.UNAVAILABLE])
def test_who_is_to_come_later_is_told_when(served: Served, run: FakeRun, code: Code) -> None:
    run.answer = not_run(code)
    assert served.post({"query": "{a}"}).headers["retry-after"] == "1"
    run.answer = Refusal(code, "No.", retryAfter=2.5)
    assert served.post({"query": "{a}"}).headers["retry-after"] == "3"


@pytest.mark.parametrize("accept", ["application/xml", "text/html", "application/graphql-response+json;q=0"])
def test_who_accepts_nothing_that_there_is_gets_406(served: Served, run: FakeRun, accept: str) -> None:
    reply = served.post({"query": "{a}"}, accept=accept)
    assert (reply.status, reply.code, reply.media) == (406, "NOT_ACCEPTABLE", JSON)
    assert run.asked == []


def test_a_malformed_accept_of_ten_thousand_bytes_is_not_acceptable(served: Served) -> None:
    assert served.post({"query": "{a}"}, accept=";,=q/" * 2_000).status == 406


def test_an_accept_in_two_headers_is_one(served: Served) -> None:
    assert served.post({"query": "{a}"}, ("Accept", GRAPHQL), accept=f"{JSON};q=0.5").media == GRAPHQL


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain; application/json",
        "application/jsonx",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
    ],
)
def test_what_is_no_json_by_its_type_is_not_read(served: Served, run: FakeRun, content_type: str) -> None:
    reply = served.ask("POST", "/graphql", [("Content-Type", content_type)], b'{"query":"{a}"}')
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert run.asked == []


def test_a_body_without_a_type_is_not_read(served: Served) -> None:
    reply = served.ask("POST", "/graphql", [], b'{"query":"{a}"}')
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_two_types_are_a_bad_request(served: Served) -> None:
    reply = served.post({"query": "{a}"}, ("Content-Type", "text/plain"))
    assert (reply.status, reply.code) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", ""])
def test_an_encoded_body_is_not_read(served: Served, run: FakeRun, encoding: str) -> None:
    reply = served.post({"query": "{a}"}, ("Content-Encoding", encoding))
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert run.asked == []


def test_the_identity_is_no_encoding(served: Served) -> None:
    assert served.post({"query": "{a}"}, ("Content-Encoding", "Identity")).status == 200


def test_a_failure_is_told_by_an_id_and_nothing_else(served: Served, run: FakeRun) -> None:
    run.answer = RuntimeError("dsn postgresql://u:pw@db")
    with capture_logs() as logs:
        reply = served.post({"query": "{a}"})
    (logged,) = logs
    id = logged["id"]
    assert reply.status == 500
    assert reply.json == {"errors": [{"message": "Internal error", "extensions": {"code": "INTERNAL", "id": id}}]}
    assert (logged["event"], logged["exc_info"], len(id)) == ("request_failed", True, 16)


def test_a_failure_to_know_the_caller_is_told_alike(served: Served, callers: FakeCallers) -> None:
    callers.caller = KeyError("secret")
    with capture_logs() as logs:
        reply = served.post({"query": "{a}"})
    assert (reply.status, reply.code) == (500, "INTERNAL")
    assert reply.json["errors"][0]["extensions"]["id"] == logs[0]["id"]


def test_a_connection_outlives_a_failure(served: Served, run: FakeRun) -> None:
    run.answer = RuntimeError()
    with capture_logs():
        reply = served.post({"query": "{a}"})
    assert "connection" not in reply.headers
