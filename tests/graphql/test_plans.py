"""The answer by a plan is the answer of the resolvers, whatever is asked, by whom, on either database."""

import json
import random
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest
from graphql import GraphQLInterfaceType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import demo
from app.deliveries.webhooks import WebhookSender
from app.dispatch import Dispatcher
from app.domain import ids
from app.domain.callers import LOCAL, Caller, Scope
from app.domain.refusals import Code, Refusal
from app.runner import Runner as Clockwork
from app.web.operations import Asked
from resolvers.context import Context
from schema import schema
from schema.execution import run
from schema.execution.limits import OperationLimits
from schema.execution.run import Runner
from tests.asking import NOW, Gateway, a_caller
from tests.databases import Databases, Kind
from tests.graphql.documents import Document, Maker

LIMITS = OperationLimits(characters=10**6, tokens=10**5, depth=100, aliases=10**4, root_fields=1000, cost=10**12)
READERS = frozenset({Scope.ACCOUNTS_READ, Scope.BALANCES_READ})
CALLERS = (
    LOCAL,
    a_caller("nordic-bank"),
    a_caller("nordic-bank", "default", "nowhere"),
    a_caller("nowhere"),
    a_caller("nordic-bank", scopes=READERS),
    a_caller("nordic-bank", scopes=frozenset({Scope.ACCOUNTS_READ})),
)
HARD = (
    "mutation ($input: CreateAccountInput!) { createAccount(input: $input) { account { id } userErrors { message } } }"
)
NAMES = [
    'quote " and \\',
    "tab\tno",
    "line\u2028break",
    "Ünïcode ✓ 😀",
    "%like_",
    "infinity",
    "'; DROP TABLE accounts; --",
]
CORNERS = """mutation { createWebhook(input: {url: "https://receiver.example/"}) { webhook { id } }
  createInvoiceTemplate(input: {name: "Monthly \\"best\\""}) { invoiceTemplate { id } } }"""
BATCH = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount } }"""


async def stock(url: str) -> None:
    """Sample data, a closing of each division, and what is hard to write."""
    gateway = Gateway(url)
    gateway.now = NOW - timedelta(days=2)
    await demo.seed(gateway.store, demo.Sizes(12, 15), now=gateway.now, progress=lambda _count: None)
    (await gateway.ask(CORNERS)).sound()
    for number, name in enumerate(NAMES):
        body = {"name": name, "contractorId": "contractor_1", "externalId": f"X-{number}", "businessUnit": None}
        await gateway.ask(HARD, input=body)
    items = [
        {
            "accountExtId": "ACC-00001",
            "communicationNumber": f"n-{number}",
            "requester": 'r"\\',
            "value": value,
            "balanceAt": moment,
            "balanceType": kind,
            "businessUnit": unit,
        }
        for unit in ("nordic-bank", "default")
        for number, (value, moment, kind) in enumerate(
            [
                ("922337203685477.5807", "2026-02-26T00:00:00Z", None),
                ("-922337203685477.5807", "2026-02-26T00:00:00.000001Z", 'B"'),
                ("0.0001", "1969-12-31T23:59:59.5Z", "T"),
                ("-0.5", "0001-01-01T00:00:00Z", "T"),
                ("10.10", "2030-01-01T00:00:00Z", None),
            ]
        )
    ]
    (await gateway.ask(BATCH, items=items)).sound()
    gateway.now = NOW
    sender = WebhookSender()
    dispatcher = Dispatcher(gateway.store, sender=sender, mailer=None, source="t", clock=lambda: gateway.now)
    clockwork = Clockwork(
        gateway.store, clock=lambda: gateway.now, retention=timedelta(days=300), dispatcher=dispatcher
    )
    await clockwork.tick()
    await sender.close()
    await gateway.store.close()


class Both:
    """The gateway with plans and without, on one database."""

    def __init__(self, url: str) -> None:
        self.gateway = Gateway(url)
        store, limits, feed = self.gateway.store, self.gateway.limits, self.gateway.feed

        def context_of(caller: Caller) -> Context:
            return Context(caller, store, NOW, limits, feed)

        self.planned = Runner(schema, context_of, limits=LIMITS)
        self.resolved = Runner(schema, context_of, limits=LIMITS, with_plans=False)
        self.cursors: list[str] = []

    async def answers(self, document: Document, caller: Caller) -> tuple[Any, Any]:
        asked = Asked(document.text, document.variables, None, {})
        planned = json.loads((await self.planned(asked, caller, mutations=False)).body)
        resolved = json.loads((await self.resolved(asked, caller, mutations=False)).body)
        return _steady(planned), _steady(resolved)


def _steady(body: Any) -> Any:
    """An answer whose errors stand in order of their places; keys keep their order."""
    errors = sorted(body.get("errors", []), key=lambda error: json.dumps([error.get("path"), error["message"]]))
    return {"errors": errors, "data": json.dumps(body.get("data"), ensure_ascii=False)}


def _cursors_in(data: Any) -> Iterator[str]:
    match data:
        case dict():
            for value in data.values():
                yield from _cursors_in(value)
        case list():
            for value in data:
                yield from _cursors_in(value)
        case str() if data.count(".") == 3 and data[:12].isalnum():
            yield data


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stocked_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    kind: Kind = request.param
    with databases.made(kind) as url:
        yield url


@pytest.fixture
async def both(stocked_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Both]:
    both = Both(stocked_url)
    if await both.gateway.store.is_empty():
        await stock(stocked_url)

    def failed(event: str, **told: Any) -> None:
        # SQLite's parser takes no statement of any depth: then resolvers answer.
        assert told["error"] == "OperationalError", (event, told)
        assert both.gateway.store.dialect.name == "sqlite"

    monkeypatch.setattr(run._log, "warning", failed, raising=False)
    yield both
    await both.gateway.store.close()


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(seed=st.integers(0, 10**9), caller=st.sampled_from(CALLERS))
async def test_a_plan_answers_what_the_resolvers_answer(both: Both, seed: int, caller: Caller) -> None:
    document = Maker(random.Random(seed), both.cursors[-20:], []).document()
    planned, resolved = await both.answers(document, caller)
    assert planned == resolved, document
    both.cursors += list(_cursors_in(json.loads(planned["data"])))


SHAPES = {
    "one account": '{ account(id: "account_3") { id balance currentBalance { id amount timestamp } } }',
    "accounts and their balances": "{ accounts(first: 5) { nodes { id balances(first: 3) { nodes { amount } } } } }",
    "nesting": """{ account(id: "account_1") { contractor { accounts(first: 2) { nodes {
      balances(first: 1) { nodes { account { name } } } } } } } }""",
    "page facts": """{ accounts(first: 2, orderBy: {field: NAME, direction: DESC}, filter: {name: {contains: "o"}}) {
      totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { name } }
      totals { currency { code name minorUnits } sum } } }""",
    "two aliases": """{ account(id: "account_1") { a: balances(first: 1) { nodes { id } }
      b: balances(last: 2, orderBy: {field: AMOUNT}) { nodes { id } totalCount } } }""",
    "history": "{ accounts(first: 3) { nodes { balanceHistory(first: 2) { nodes { businessDate change } } } } }",
    "as of": '{ accounts(first: 3) { nodes { balanceAsOf(before: "2026-02-25T00:00:00Z") { amount } } } }',
    "as of an entry's own moment": '{ accounts { nodes { balanceAsOf(before: "2026-02-26T00:00:00Z") { amount } } } }',
    "latest of each kind": "{ accounts(first: 3) { nodes { currentBalances { amount balanceType } } } }",
    "contacts": "{ accounts(first: 9) { nodes { sendInvoicesTo { email } sendBalanceNotificationsTo { id } } } }",
    "a node": '{ node(id: "account_2") { __typename id ... on Account { name currency { name } } } }',
    "a node that is nobody's": '{ node(id: "account_0") { id } }',
    "nodes": """{ nodes(ids: ["contractor_1", "account_3", "nonsense", "account_3", "balance_9", "account_99"]) { id
      ... on Account { name currency { name } balances(first: 2) { nodes { amount account { id } } } }
      ... on Contractor { name } } }""",
    "nodes of one kind": '{ nodes(ids: ["balance_12", "balance_9"]) { ... on Balance { amount account { id } } } }',
    "no nodes": '{ a: nodes(ids: []) { id } b: nodes(ids: ["", "x"]) { id } }',
    "entries": "{ balances(last: 3) { nodes { amount account { division { code } } } pageInfo { startCursor } } }",
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_stands_in_the_store_is_one_statement(both: Both, shape: str) -> None:
    for caller in CALLERS[:3]:
        document = Document(SHAPES[shape], {})
        planned, resolved = await both.answers(document, caller)
        assert planned == resolved
        heard: list[str] = []
        both.gateway.store.heard(heard.append)
        with both.gateway.statements() as statements:
            both.gateway.store.heard(heard.append)
            await both.planned(Asked(document.text, {}, None, {}), caller, mutations=False)
        assert (len(heard), statements) == (1, [])


async def test_what_a_plan_cannot_carry_is_resolved_beside_it(both: Both) -> None:
    document = Document(
        """{ viewer { subject } a: account(id: "account_1") { name } limits { pageSize } __typename
          b: account(id: "account_1") { balanceSeries(from: "2026-02-20T00:00:00Z", before: "2026-02-22T00:00:00Z",
            interval: DAY) { close } } }""",
        {},
    )
    planned, resolved = await both.answers(document, LOCAL)
    assert planned == resolved
    assert list(json.loads(planned["data"])) == ["viewer", "a", "limits", "__typename", "b"]


async def test_a_fault_of_a_statement_is_told_and_the_rest_is_answered(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_arguments: Any, **_more: Any) -> Any:
        raise Refusal(Code.TIMEOUT, "The question took too long.")

    monkeypatch.setattr(both.gateway.store, "answer", refuses)
    asked = Asked('{ a: account(id: "account_1") { name } currencies { code } }', {}, None, {})
    answer = json.loads((await both.planned(asked, LOCAL, mutations=False)).body)
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["a"], "TIMEOUT")]
    assert answer["data"]["a"] is None
    assert len(answer["data"]["currencies"]) > 100


KINDS = [kind.value for kind in ids.Kind]
NODE = cast("GraphQLInterfaceType", schema.type_map["Node"])


@pytest.mark.parametrize("caller", CALLERS)
async def test_an_object_of_each_kind_is_found_by_its_id(both: Both, caller: Caller) -> None:
    listed = Asked("{ balances(last: 1) { nodes { id } } }", {}, None, {})
    (balance,) = json.loads((await both.planned(listed, LOCAL, mutations=False)).body)["data"]["balances"]["nodes"]
    named = json.dumps([balance["id"], *[f"{kind}_{number}" for number in (1, 2) for kind in KINDS]])
    every = [f'{kind}: node(id: "{kind}_1") {{ __typename id }}' for kind in KINDS]
    told = set()
    for text in (f"{{ nodes(ids: {named}) {{ __typename id }} }}", *(f"{{ {each} }}" for each in every)):
        planned, resolved = await both.answers(Document(text, {}), caller)
        assert planned == resolved
        told |= {each["__typename"] for each in _objects_in(json.loads(planned["data"]))}
    assert caller is not LOCAL or told == {each.name for each in schema.get_possible_types(NODE)}


def _objects_in(data: Any) -> Iterator[dict[str, Any]]:
    for value in data.values():
        yield from [each for each in (value if isinstance(value, list) else [value]) if each is not None]


async def test_one_of_what_is_never_null_leaves_nothing(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuses(*_arguments: Any, **_more: Any) -> Any:
        raise Refusal(Code.TIMEOUT, "The question took too long.")

    monkeypatch.setattr(both.gateway.store, "answer", refuses)
    asked = Asked('{ nodes(ids: ["account_1"]) { id } viewer { subject } }', {}, None, {})
    answer = json.loads((await both.planned(asked, LOCAL, mutations=False)).body)
    assert answer["data"] is None
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["nodes"], "TIMEOUT")]


async def test_many_ids_are_not_compared_with_each_other(both: Both) -> None:
    """On SQLite, which has no table of two lists, one list is looked into by an index that is made for it."""
    if both.gateway.store.dialect.name != "sqlite":
        return
    for text in (SHAPES["nodes"], SERIES["of one account"][0]):
        with both.gateway.statements() as statements:
            await both.planned(Asked(text, {}, None, {}), LOCAL, mutations=False)
        sql = statements[-1]
        async with both.gateway.store.reading(None) as reads:
            told = await reads._connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (None,) * sql.count("?"))
        assert any("USING AUTOMATIC" in detail and "(place=?)" in detail for *_, detail in told), sql


FEBRUARY = 'from: "2026-02-01T00:00:00Z", before: "2026-03-01T00:00:00Z"'
SERIES = {
    "of one account": (
        f'{{ account(id: "account_1") {{ id balanceSeries({FEBRUARY}, interval: DAY) {{ start close }} }} }}',
        2,
    ),
    "of many accounts, twice": (
        f"""{{ accounts(first: 9) {{ nodes {{ a: balanceSeries({FEBRUARY}, interval: DAY) {{ ...P }}
          b: balanceSeries({FEBRUARY}, interval: WEEK, currency: "EUR", timezone: "Asia/Kathmandu") {{ ...P }} }} }} }}
        fragment P on BalancePoint {{ __typename at: start open low high close entryCount }}""",
        3,
    ),
    "behind a node": (
        (
            f'{{ nodes(ids: ["account_2", "account_2"]) {{ ... on Account {{ balanceSeries({FEBRUARY}, interval: HOUR) '
            "{ open } } } }"
        ),
        2,
    ),
    "without an interval": (
        (
            '{ account(id: "account_1") { balanceSeries(from: "2026-02-02T00:00:00Z", before: "2026-02-01T00:00:00Z", '
            'interval: DAY, currency: "XX") { start } } }'
        ),
        1,
    ),
    "from the calendar's first day": (
        (
            '{ accounts { nodes { balanceSeries(from: "0001-01-01T00:00:00Z", before: "0001-02-01T00:00:00Z", '
            'interval: DAY, timezone: "UTC") { start open low close entryCount } } } }'
        ),
        2,
    ),
    "of nobody": (f'{{ account(id: "account_99") {{ balanceSeries({FEBRUARY}, interval: DAY) {{ start }} }} }}', 1),
}


@pytest.mark.parametrize("series", SERIES)
async def test_series_take_one_statement_more(both: Both, series: str) -> None:
    text, count = SERIES[series]
    for caller in CALLERS[:3]:
        planned, resolved = await both.answers(Document(text, {}), caller)
        assert planned == resolved
        with both.gateway.statements() as statements:
            await both.planned(Asked(text, {}, None, {}), caller, mutations=False)
        assert len(statements) == count or caller is not LOCAL


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (f'{FEBRUARY}, interval: DAY, timezone: "Nowhere/Else"', "BAD_REQUEST"),
        (f'{FEBRUARY}, interval: DAY, currency: "XX"', "BAD_REQUEST"),
        ('from: "2020-01-01T00:00:00Z", before: "2026-03-01T00:00:00Z", interval: HOUR', "SERIES_TOO_LONG"),
        ('from: "9999-12-31T00:00:00Z", before: "9999-12-31T23:59:59Z", interval: MONTH', None),
    ],
)
async def test_what_is_wrong_with_a_series_is_told_of_it(both: Both, arguments: str, code: str | None) -> None:
    text = f'{{ account(id: "account_1") {{ name bad: balanceSeries({arguments}) {{ start }} }} }}'
    planned, resolved = await both.answers(Document(text, {}), LOCAL)
    assert planned == resolved
    assert [(each["path"], each["extensions"]["code"]) for each in planned["errors"]] == (
        [] if code is None else [(["account", "bad"], code)]
    )


async def test_an_instant_at_the_calendars_edge_is_told_like_any_other(both: Both) -> None:
    document = Document(
        '{ balances(filter: {timestamp: {before: "1000-01-01T00:00:00Z"}}) { nodes { timestamp amount } } }', {}
    )
    planned, resolved = await both.answers(document, LOCAL)
    assert planned == resolved
    assert '"0001-01-01T00:00:00Z"' in planned["data"]


@pytest.mark.parametrize(
    "filter",
    [
        '{not: {currency: {in: []}, name: {contains: "o"}}}',
        '{or: [{not: {name: {contains: "o"}, currency: {in: []}}}, {balance: {gt: "0"}}]}',
    ],
)
async def test_values_that_decide_nothing_shift_no_others(both: Both, filter: str) -> None:
    after = ""
    for _ in range(2):
        page = f"accounts(first: 2, filter: {filter}, orderBy: {{field: BALANCE}}{after})"
        facts = "pageInfo { hasNextPage hasPreviousPage endCursor } totalCount"
        planned, resolved = await both.answers(
            Document(f"{{ {page} {{ nodes {{ id balance }} {facts} }} }}", {}), LOCAL
        )
        assert planned == resolved
        (cursor,) = _cursors_in(json.loads(planned["data"]))
        after = f', after: "{cursor}"'
