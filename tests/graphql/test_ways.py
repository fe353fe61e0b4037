"""A client that asks is told how its operation was answered, where that is allowed."""

import json
from typing import Any

import pytest

from app.domain.callers import LOCAL, Caller, Scope
from app.main import create_operations
from app.settings import Settings
from app.web.operations import Asked
from tests.asking import NOW, Gateway, a_caller

BOTH = """query ($id: ID!) { __typename a: account(id: $id) { name } limits { pageSize } b: accounts(first: 3) {
  nodes { id } } c: events(first: 1) { nodes { id } } }"""
CREATE = 'mutation { createDivision(input: {code: "next"}) { division { code } } }'


class Showing:
    """A gateway that shows plans, and what one answer tells."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def extensions(
        self, document: str, caller: Caller = LOCAL, *, asked: dict[str, Any] | None = None, **settings: Any
    ) -> Any:
        run = create_operations(
            Settings(show_plans=settings.pop("show_plans", True), **settings),
            self._gateway.store,
            self._gateway.feed,
            lambda: NOW,
        )
        wishes = {"wants_plan": True} if asked is None else asked
        request = Asked(document, {"id": "account_1"} if "$id" in document else {}, None, {}, **wishes)
        answer = json.loads((await run(request, caller, mutations=True)).body)
        assert "errors" not in answer or "data" in answer
        return answer.get("extensions")


@pytest.fixture
async def showing(filled: Gateway) -> Showing:
    return Showing(filled)


def _ways(plan: Any) -> dict[str, str]:
    return {each["field"]: each["by"] for each in plan["fields"]}


async def test_each_root_field_is_told_by_its_way(showing: Showing) -> None:
    plan = (await showing.extensions(BOTH))["plan"]
    assert list(plan) == ["fields", "sql"]
    assert list(_ways(plan).items()) == [
        ("__typename", "graphql-core"),
        ("a", "store"),
        ("limits", "resolver"),
        ("b", "store"),
        ("c", "graphql-core"),
    ]


async def test_statements_that_are_asked_by_what_another_tells_are_shown_too(showing: Showing, filled: Gateway) -> None:
    heard: list[str] = []
    filled.store.heard(heard.append)
    document = """{ account(id: "account_1") { balanceSeries(from: "2026-02-20T00:00:00Z",
      before: "2026-02-22T00:00:00Z", interval: DAY) { close } } }"""
    plan = (await showing.extensions(document))["plan"]
    assert _ways(plan) == {"account": "store"}
    assert heard == [plan["sql"], *plan["later"]]


async def test_the_statement_is_the_one_that_ran_and_holds_no_value(showing: Showing, filled: Gateway) -> None:
    heard: list[str] = []
    filled.store.heard(heard.append)
    sql = (await showing.extensions("query ($id: ID!) { account(id: $id) { name } }"))["plan"]["sql"]
    assert heard == [sql]
    found = (
        await showing.extensions('{ accounts(first: 1, filter: {name: {eq: "Secret"}}) { nodes { id } } }', one_unit())
    )["plan"]
    assert found["sql"].count("SELECT") > 1
    assert "Secret" not in found["sql"]
    assert "nordic" not in found["sql"]


def one_unit() -> Caller:
    return a_caller("nordic-bank")


async def test_what_the_plan_did_not_answer_is_told_so(showing: Showing) -> None:
    without = a_caller("default", scopes=frozenset({Scope.BALANCES_READ}))
    document = '{ account(id: "account_1") { name } }'
    by_core = {"fields": [{"field": "account", "by": "graphql-core"}], "sql": None}
    assert (await showing.extensions(document, without))["plan"] == by_core
    assert (await showing.extensions(document, plans=False))["plan"] == by_core


async def test_a_mutation_tells_its_way(showing: Showing) -> None:
    assert _ways((await showing.extensions(CREATE))["plan"]) == {"createDivision": "resolver"}
    keyed = {"wants_plan": True, "idempotency_key": "k"}
    again = CREATE.replace("next", "other")
    assert _ways((await showing.extensions(again, asked=keyed))["plan"]) == {"createDivision": "resolver"}


async def test_the_cost_stands_beside_the_plan(showing: Showing) -> None:
    document = "{ accounts(first: 3) { nodes { id } } }"
    told = await showing.extensions(document, asked={"wants_plan": True, "wants_cost": True})
    assert told["cost"] == {"estimate": 4, "maximum": 10_000}
    assert _ways(told["plan"]) == {"accounts": "store"}


@pytest.mark.parametrize("settings", [{"show_plans": False}, {"production": True}])
async def test_no_plan_is_told_where_it_is_not_allowed(showing: Showing, settings: dict[str, Any]) -> None:
    document = "{ accounts(first: 3) { nodes { id } } }"
    assert await showing.extensions(document, **settings) is None


async def test_nothing_is_told_to_who_does_not_ask(showing: Showing) -> None:
    assert await showing.extensions("{ accounts(first: 3) { nodes { id } } }", asked={}) is None
