"""What is a GraphQL request, by POST and by GET, and what it becomes."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest

from app.domain.callers import LOCAL, Caller
from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from app.web.graphql import GraphQLView
from app.web.operations import Asked
from tests.web.fakes import FakeCallers, FakeRun
from tests.web.servers import GRAPHQL, JSON, Served, serving


def get(served: Served, *headers: tuple[str, str], **parameters: str) -> Any:
    return served.ask("GET", f"/graphql?{urlencode(parameters)}", [("Accept", GRAPHQL), *headers])


def test_a_post_is_handed_on_whole(served: Served, run: FakeRun) -> None:
    reply = served.post(
        {"query": "query Q { a }", "variables": {"a": [1]}, "operationName": "Q", "extensions": {"b": 2}}
    )
    assert (reply.status, reply.json) == (200, {"data": {"answer": 42}})
    assert run.asked == [Asked("query Q { a }", {"a": [1]}, "Q", {"b": 2})]


def test_a_post_may_hold_a_mutation_and_a_get_may_not(served: Served, run: FakeRun) -> None:
    served.post({"query": "{a}"})
    get(served, query="{a}")
    assert run.mutations == [True, False]


@pytest.mark.parametrize("rest", [{}, {"variables": None, "operationName": None, "extensions": None}, {"else": [1]}])
def test_null_is_as_absent_and_other_members_are_passed_over(served: Served, run: FakeRun, rest: Any) -> None:
    assert served.post({"query": "{a}", **rest}).status == 200
    assert run.asked == [Asked("{a}", {}, None, {})]


def test_a_number_of_a_variable_keeps_its_digits(served: Served, run: FakeRun) -> None:
    served.post(b'{"query": "{a}", "variables": {"amount": 11111111111.00}}')
    amount = run.asked[0].variables["amount"]
    assert isinstance(amount, JsonNumber)
    assert amount.text == "11111111111.00"


def test_a_number_of_a_variable_in_a_url_keeps_its_digits(served: Served, run: FakeRun) -> None:
    get(served, query="{a}", variables='{"amount": 0.10}')
    assert run.asked[0].variables["amount"].text == "0.10"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "There is no body."),
        (b"null", "The body must be a JSON object, not null."),
        (b"123", "The body must be a JSON object, not a number."),
        (b"1.5", "The body must be a JSON object, not a number."),
        (b'"x"', "The body must be a JSON object, not a text."),
        (b"true", "The body must be a JSON object, not a boolean."),
        (b"[]", "A batch of operations is not answered: the body must be one JSON object."),
        (b'[{"query": "{a}"}]', "A batch of operations is not answered: the body must be one JSON object."),
        (b"{}", '"query" is missing or empty.'),
        (b'{"query": null}', '"query" is missing or empty.'),
        (b'{"query": ""}', '"query" is missing or empty.'),
        (b'{"query": 5}', '"query" must be a text, not a number.'),
        (b'{"query": ["{a}"]}', '"query" must be a text, not an array.'),
        (b'{"query": "{a}", "variables": [1]}', '"variables" must be a JSON object, not an array.'),
        (b'{"query": "{a}", "variables": "x"}', '"variables" must be a JSON object, not a text.'),
        (b'{"query": "{a}", "variables": 0}', '"variables" must be a JSON object, not a number.'),
        (b'{"query": "{a}", "extensions": false}', '"extensions" must be a JSON object, not a boolean.'),
        (b'{"query": "{a}", "operationName": {}}', '"operationName" must be a text, not an object.'),
        (b'{"query": "{a}", "operationName": 5}', '"operationName" must be a text, not a number.'),
        (b'{"query": "{a}", "query": "{b}"}', 'The key "query" stands twice in one object.'),
        (b'{"query": "{a}"', "Not valid JSON: Expecting ',' delimiter (line 1 column 16)."),
        (b'{"query": "\\u0000"}', "A text has the character U+0000."),
    ],
)
@pytest.mark.parametrize("accept", [GRAPHQL, JSON, None])
def test_what_is_no_graphql_request_is_refused_whatever_is_accepted(
    served: Served, run: FakeRun, body: bytes, message: str, accept: str | None
) -> None:
    reply = served.post(body, accept=accept)
    assert (reply.status, reply.code, reply.message) == (400, "BAD_REQUEST", message)
    assert run.asked == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", '"query" is missing or empty.'),
        ("?", '"query" is missing or empty.'),
        ("?query=", '"query" is missing or empty.'),
        ("?query={a}&query={b}", "The parameter query stands twice in the URL."),
        ("?query={a}&variables=[", "variables: Not valid JSON: Expecting value (line 1 column 2)."),
        ("?query={a}&variables=[1]", '"variables" must be a JSON object, not an array.'),
        ("?query={a}&variables={%22a%22:1,%22a%22:2}", 'variables: The key "a" stands twice in one object.'),
        ("?query={a}&extensions=5", '"extensions" must be a JSON object, not a number.'),
        ("?query=%ff", "The URL's query is not in UTF-8."),
        ("?query=%00", "A text has the character U+0000."),
        ("?query=%ed%a0%80", "The URL's query is not in UTF-8."),
    ],
)
def test_a_url_that_is_no_graphql_request_is_refused(served: Served, run: FakeRun, query: str, message: str) -> None:
    reply = served.ask("GET", f"/graphql{query}", [("Accept", GRAPHQL)])
    assert (reply.status, reply.code, reply.message) == (400, "BAD_REQUEST", message)
    assert run.asked == []


def test_a_url_is_handed_on_whole(served: Served, run: FakeRun) -> None:
    query, variables = 'query Ö { a(b: 1 + 2, c: "&=😀") }', '{"a": "x y"}'
    reply = get(served, query=query, variables=variables, operationName="Ö", extensions="{}", other="passed over")
    assert reply.status == 200
    assert run.asked == [Asked(query, {"a": "x y"}, "Ö", {})]


def test_an_empty_parameter_is_as_an_absent_one(served: Served, run: FakeRun) -> None:
    assert get(served, query="{a}", variables="", operationName="", extensions="").status == 200
    assert run.asked == [Asked("{a}", {}, None, {})]


def test_the_query_may_be_absent_where_a_persisted_one_stands_for_it(served: Served, run: FakeRun) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}
    assert served.post({"extensions": extensions}).status == 200
    assert get(served, extensions='{"persistedQuery": {}}').status == 200
    assert run.asked == [Asked("", {}, None, extensions), Asked("", {}, None, {"persistedQuery": {}})]


def test_a_sender_s_key_is_repeated_shortened_and_escaped(served: Served) -> None:
    key = "<é\\n" + "x" * 1_000
    reply = served.post(f'{{"{key}": 1, "{key}": 2}}'.encode())
    assert reply.message == 'The key "<\\u00e9\\n' + "x" * 37 + '\\u2026" stands twice in one object.'


def test_the_caller_is_handed_on(served: Served, run: FakeRun, callers: FakeCallers) -> None:
    callers.caller = Caller("ada", frozenset(), frozenset({"default"}))
    served.post({"query": "{a}"})
    assert run.callers == [callers.caller]


def test_a_caller_that_is_found_out_slowly_is_waited_for() -> None:
    run = FakeRun()

    async def slowly(_headers: object) -> Caller:
        return LOCAL

    with serving(GraphQLView(run, slowly)) as served:
        assert served.post({"query": "{a}"}).status == 200
    assert run.callers == [LOCAL]


def test_a_header_that_was_sent_twice_is_joined(served: Served, callers: FakeCallers) -> None:
    served.post({"query": "{a}"}, ("Authorization", "Bearer a"), ("authorization", "Bearer b"))
    assert callers.headers[0][b"authorization"] == b"Bearer a, Bearer b"


def test_who_is_not_known_is_refused_before_the_body_is_read(
    served: Served, run: FakeRun, callers: FakeCallers
) -> None:
    callers.caller = Refusal(Code.UNAUTHENTICATED, "The token has expired.")
    reply = served.post(b"no json")
    assert (reply.status, reply.code, reply.message) == (401, "UNAUTHENTICATED", "The token has expired.")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert run.asked == []


def test_a_get_with_cookies_needs_a_preflight_header(served: Served, run: FakeRun) -> None:
    reply = get(served, ("Cookie", "session=1"), query="{a}")
    assert (reply.status, reply.code) == (400, "CSRF_PREVENTION")
    assert run.asked == []


@pytest.mark.parametrize(
    "header",
    [
        ("GraphQL-Require-Preflight", "1"),
        ("Apollo-Require-Preflight", "true"),
        ("X-Apollo-Operation-Name", "Q"),
        ("Content-Type", JSON),
    ],
)
def test_a_get_with_cookies_and_a_preflight_header_is_answered(served: Served, header: tuple[str, str]) -> None:
    assert get(served, ("Cookie", "session=1"), header, query="{a}").status == 200


def test_a_get_without_cookies_needs_none(served: Served) -> None:
    assert get(served, query="{a}").status == 200


def test_queries_by_get_can_be_off() -> None:
    with serving(GraphQLView(FakeRun(), FakeCallers(), get=False)) as served:
        reply = get(served, query="{a}")
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")


def test_a_url_of_a_post_is_passed_over(served: Served, run: FakeRun) -> None:
    body = b'{"query": "{a}"}'
    served.ask("POST", f"/graphql?query={quote('{b}')}", [("Content-Type", JSON)], body)
    assert run.asked == [Asked("{a}", {}, None, {})]


def test_method_overrides_are_passed_over(served: Served, run: FakeRun) -> None:
    get(served, ("X-HTTP-Method-Override", "POST"), query="{a}", _method="POST")
    assert run.mutations == [False]
