"""What the profile for production keeps to itself, and the twelve questions that auditors' programs ask first.

The questions are those of graphql-cop, asked anew here: aliases, batches, directives, introspection, circular
introspection, queries and mutations by GET, forms, suggestions, an explorer, traces, unhandled errors.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests import servers
from tests.databases import KINDS, Databases
from tests.web.servers import GRAPHQL, JSON, Reply, Served

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(scope="module", params=KINDS)
def production(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A gateway under BALANCE_GATEWAY_PRODUCTION=true."""
    folder = tmp_path_factory.mktemp("production")
    with databases.made(request.param) as url, servers.serving(url, folder, production="true") as gateway:
        yield Served(gateway.port)


@pytest.fixture(scope="module")
def usual(gateway_url: str) -> Served:
    """A gateway as it is by default."""
    return Served(int(gateway_url.rpartition(":")[2]))


def asked(served: Served, query: str, **more: Any) -> Reply:
    return served.post({"query": query, **more})


INTROSPECTION = [
    "{ __schema { types { name } } }",
    '{ __type(name: "Account") { fields { name } } }',
    "{ __schema { queryType { name } } viewer { subject } }",
    "query { ...F } fragment F on Query { __schema { types { name } } }",
    "{ a: __schema { types { name } } }",
]


@pytest.mark.parametrize("query", INTROSPECTION)
def test_introspection_is_off(production: Served, usual: Served, query: str) -> None:
    reply = asked(production, query)
    codes = {error["extensions"]["code"] for error in reply.json["errors"]}
    assert (reply.status, list(reply.json), codes) == (400, ["errors"], {"GRAPHQL_VALIDATION_FAILED"})
    assert "fields of" not in reply.body.decode()
    assert "Viewer" not in reply.body.decode()
    assert asked(usual, query).status == 200


def test_the_name_of_a_type_that_was_asked_for_is_no_introspection(production: Served) -> None:
    assert asked(production, "{ __typename viewer { __typename } }").json["data"] == {
        "__typename": "Query",
        "viewer": {"__typename": "Viewer"},
    }


WRONG_NAMES = [
    ("{ acounts { totalCount } }", {}, "accounts"),
    ("{ accounts(frist: 1) { totalCount } }", {}, "first"),
    ("{ ... on Acount { id } }", {}, "Account"),
    ("{ accounts(orderBy: {field: NAMES}) { totalCount } }", {}, "NAME"),
    ("{ accounts(filter: {nam: {eq: 1}}) { totalCount } }", {}, "name"),
    ("query ($f: AccountFilter) { accounts(filter: $f) { totalCount } }", {"f": {"nam": {}}}, "name"),
    ("query ($o: AccountOrder) { accounts(orderBy: $o) { totalCount } }", {"o": {"field": "NAMES"}}, "NAME"),
]


@pytest.mark.parametrize(("query", "variables", "name"), WRONG_NAMES)
def test_no_name_is_suggested(production: Served, usual: Served, query: str, variables: Any, name: str) -> None:
    told = asked(production, query, variables=variables)
    assert told.status == 400
    assert "Did you mean" not in told.body.decode()
    by_default = asked(usual, query, variables=variables).message
    assert "Did you mean" in by_default
    assert name in by_default.partition("Did you mean")[2]


@pytest.mark.parametrize(
    "path", ["/graphql/schema.graphql", "/graphql/ide/form", "/graphiql", "/playground", "/console"]
)
def test_no_other_address_tells_the_schema_or_explores_it(production: Served, path: str) -> None:
    assert production.ask("GET", path, [("Accept", BROWSER)]).status == 404


def test_a_browser_gets_no_page(production: Served) -> None:
    reply = production.ask("GET", "/graphql", [("Accept", BROWSER)])
    assert (reply.status, reply.headers["allow"], reply.media) == (405, "POST", JSON)


def test_nothing_is_answered_by_get(production: Served) -> None:
    for method in ("GET", "HEAD"):
        reply = production.ask(method, "/graphql?query={__typename}", [("Accept", GRAPHQL)])
        assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_health_is_answered(production: Served) -> None:
    assert [production.ask("GET", path).status for path in ("/health", "/ready")] == [200, 200]


# What graphql-cop asks, in its order.


def test_aliases_are_not_without_bound(production: Served) -> None:
    aliases = " ".join(f"alias{number}: __typename" for number in range(101))
    assert "data" not in asked(production, f"{{ {aliases} }}").json


def test_an_array_of_operations_is_not_answered(production: Served) -> None:
    reply = production.post([{"query": "query { __typename }"}] * 10)
    assert (reply.status, reply.code) == (400, "BAD_REQUEST")


def test_directives_are_not_without_bound(production: Served) -> None:
    reply = asked(production, "query { __typename " + "@aa" * 10 + " }")
    assert len(reply.json["errors"]) < 10


def test_the_schema_is_not_told(production: Served) -> None:
    document = "query { __schema { types { name fields { name } } } }"
    assert "data" not in asked(production, document).json


def test_the_schema_is_not_told_in_circles(production: Served) -> None:
    circle = "types { fields { type { fields { type { fields { type { fields { type { name } } } } } } } } }"
    assert "data" not in asked(production, f"query {{ __schema {{ {circle} }} }}").json


def test_a_query_by_get_is_not_answered(production: Served) -> None:
    assert production.ask("GET", "/graphql?query=query+cop+%7B__typename%7D").status == 405


def test_a_mutation_by_get_is_not_answered(production: Served, usual: Served) -> None:
    for served in (production, usual):
        reply = served.ask("GET", "/graphql?query=mutation+cop+%7B__typename%7D")
        assert (reply.status, "data" in reply.json) == (405, False)


def test_a_form_is_not_answered(production: Served) -> None:
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    reply = production.ask("POST", "/graphql", headers, b"query=query+cop+%7B__typename%7D")
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_wrong_field_suggests_none(production: Served) -> None:
    assert "Did you mean" not in asked(production, "query cop { __schema { directive } }").body.decode()


@pytest.mark.parametrize("path", ["/", "/graphql", "/graphiql", "/playground", "/console"])
def test_there_is_no_explorer(production: Served, path: str) -> None:
    told = production.ask("GET", path, [("Accept", "text/html")]).body.decode().lower()
    assert not [name for name in ("graphiql", "playground", "<html", "<script") if name in told]


def test_no_answer_holds_a_trace(production: Served) -> None:
    for query in ("query cop { __typename }", "query cop { nothing }"):
        told = asked(production, query, extensions={"tracing": True}).body.decode()
        assert not [word for word in ("tracing", "Traceback", "stack") if word in told]


def test_an_error_tells_of_no_exception(production: Served) -> None:
    for body in (b'{"query": "qwerty cop { abc }"}', b'{"query": 5}', b"{", b'{"query": "{ node(id: 5) { id } }"}'):
        told = production.post(body).body.decode()
        assert not [word for word in ("exception", "Exception", "Traceback", ".py", "SELECT") if word in told]
