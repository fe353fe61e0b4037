"""Every root field asks for its scope, and a refused field is null while the rest is answered."""

from contextlib import aclosing

import pytest

from app.domain.callers import Scope
from app.web.operations import Answered, Asked
from schema import schema
from tests.asking import Answer, Gateway, a_caller

QUERIES = {
    "node": '{ node(id: "account_1") { id } }',
    "nodes": '{ nodes(ids: ["account_1"]) { id } }',
    "account": '{ account(id: "account_1") { id } }',
    "accountByIdentifier": '{ accountByIdentifier(identifier: {name: {name: "Main"}}) { id } }',
    "accounts": "{ accounts { totalCount } }",
    "balances": "{ balances { totalCount } }",
    "validateBatchAccountBalances": "{ validateBatchAccountBalances(input: {accountBalances: []}) { acceptedCount } }",
    "contractors": "{ contractors { totalCount } }",
    "invoiceTemplates": "{ invoiceTemplates { totalCount } }",
    "division": '{ division(code: "my-division") { id } }',
    "divisions": "{ divisions { totalCount } }",
    "events": "{ events { totalCount } }",
    "webhooks": "{ webhooks { totalCount } }",
}
OPEN = {"viewer", "currencies", "limits"}
MUTATIONS = {
    "createAccount": '(input: {name: "N", contractorId: "contractor_1"}) { userErrors { code } }',
    "updateAccount": '(id: "account_1", input: {vat: 1}) { userErrors { code } }',
    "createBankAccountBalance": """(bankAccountId: "account_1",
        input: {amount: 1, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}) { userErrors { code } }""",
    "correctAccountBalance": '(accountId: "account_1", input: {amount: 1}) { userErrors { code } }',
    "registerBatchAccountBalances": "(input: {accountBalances: []}) { acceptedCount }",
    "updateAccountBalance": """(input: {accountExtId: "EXT-1", communicationNumber: "n", requester: "r", value: 1,
        balanceAt: "2026-01-01T00:00:00Z"}) { errorCode }""",
    "createAccountBalanceHistoryConfig": """(input: {divisionCode: "my-division", cycleClosingTime: "1:1:1",
        cycleEventDelay: 5}) { userErrors { code } }""",
    "updateAccountBalanceHistoryConfig": """(divisionCode: "my-division", input: {cycleEventDelay: 5})
        { userErrors { code } }""",
    "createDivision": '(input: {code: "x"}) { userErrors { code } }',
    "createContractor": '(input: {name: "x", isVendor: true}) { userErrors { code } }',
    "createContact": '(input: {contractorId: "contractor_1", email: "a@b.example"}) { userErrors { code } }',
    "createInvoiceTemplate": '(input: {name: "x"}) { userErrors { code } }',
    "createWebhook": '(input: {url: "https://hooks.example/"}) { userErrors { code } }',
    "deleteWebhook": '(id: "webhook_1") { userErrors { code } }',
}
SUBSCRIPTIONS = {
    "balanceCreated": "subscription { balanceCreated { id } }",
    "events": "subscription { events { id } }",
}

nobody = a_caller("default", scopes=frozenset())
COUNTS = "{ accounts { totalCount } balances { totalCount } contractors { totalCount } divisions { totalCount } }"


def test_every_root_field_is_tried() -> None:
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    assert set(schema.query_type.fields) == QUERIES.keys() | OPEN
    assert set(schema.mutation_type.fields) == MUTATIONS.keys()
    assert schema.subscription_type is not None
    assert set(schema.subscription_type.fields) == SUBSCRIPTIONS.keys()


async def test_root_fields_refuse_a_caller_without_scopes(filled: Gateway) -> None:
    before = (await filled.ask(COUNTS)).sound()
    for name, query in QUERIES.items():
        answer = await filled.ask(query, caller=nobody)
        assert answer.codes == ["FORBIDDEN"], name
        assert answer.data == {name: [None] if name == "nodes" else None}
    for name, rest in MUTATIONS.items():
        answer = await filled.ask(f"mutation {{ {name}{rest} }}", caller=nobody)
        assert (answer.codes, answer.data) == (["FORBIDDEN"], {name: None})
    assert (await filled.ask(COUNTS)).sound() == before


async def test_subscriptions_refuse_a_caller_without_scopes(filled: Gateway) -> None:
    for name, document in SUBSCRIPTIONS.items():
        answered = await filled.subscribe(Asked(document, {}, None, {}), nobody, mutations=False)
        assert isinstance(answered, Answered), name
        assert (answered.ran, Answer(answered.body).codes) == (False, ["FORBIDDEN"])


async def test_listeners_with_other_rights_are_answered_apart_about_one_event(filled: Gateway) -> None:
    add = """mutation { createBankAccountBalance(bankAccountId: "account_1", input: {amount: 1,
      timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""
    first, _ = [(await filled.ask(add)).sound()["createBankAccountBalance"]["balance"]["id"] for _ in range(2)]
    document = f'subscription {{ balanceCreated(after: "{first}") {{ amount account {{ name }} }} }}'
    full = a_caller("default")
    less = a_caller("default", scopes=frozenset({Scope.BALANCES_READ, Scope.EVENTS_READ}))
    told = []
    for caller in (full, less, full):
        coming = await filled.subscribe(Asked(document, {}, None, {}), caller, mutations=False)
        assert not isinstance(coming, Answered), coming
        async with aclosing(coming):
            told.append(Answer(await anext(coming)))
    assert [answer.codes for answer in told] == [[], ["FORBIDDEN"], []]
    assert [answer.data["balanceCreated"]["account"] for answer in told] == [{"name": "Main"}, None, {"name": "Main"}]


@pytest.mark.parametrize(
    "field",
    [
        "currentBalances { id }",
        "balances { totalCount }",
        "balanceHistory { totalCount }",
        "division { nextClosingAt }",
    ],
)
async def test_a_refused_field_is_null_and_the_rest_is_answered(filled: Gateway, field: str) -> None:
    reader = a_caller("default", scopes=frozenset({Scope.ACCOUNTS_READ}))
    answer = await filled.ask(f'{{ account(id: "account_1") {{ name {field} }} }}', caller=reader)
    name = field.split(" ", maxsplit=1)[0]
    assert answer.codes == ["FORBIDDEN"]
    assert answer.errors[0]["path"][:2] == ["account", name]
    assert answer.data["account"]["name"] == "Main"
    assert answer.data["account"][name] in (None, {"nextClosingAt": None})
