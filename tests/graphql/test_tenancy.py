"""What a caller may not see does not exist for it, and a scope that is missing refuses its fields alone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.callers import Caller, Scope
from tests.asking import Answer, Gateway, a_caller

Ids = dict[str, dict[str, str]]

UNITS = ("unit-a", "unit-b", "unit-c")
NEW = {"name": "New", "contractorId": "contractor_1"}
CREATE_ACCOUNT = """mutation ($input: CreateAccountInput!) {
  createAccount(input: $input) { account { id businessUnit } userErrors { code path } }
}"""
UPDATE_ACCOUNT = """mutation ($id: ID!, $input: UpdateAccountInput!) {
  updateAccount(id: $id, input: $input) { account { id name } userErrors { code path } }
}"""
REGISTER = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) {
    results { index errorCode errorField errorDescription businessUnit sameContent balance { id } }
  }
}"""
ITEM = {
    "communicationNumber": "n-1",
    "requester": "r",
    "accountExtId": "EXT",
    "value": 1,
    "balanceAt": "2026-01-02T00:00:00Z",
}
# Each line makes one object in a unit, all with the same names as in the other units.
FILL = """mutation ($unit: String!) {
  contractor: createContractor(input: {name: "Acme", businessUnit: $unit, isVendor: true}) { made: contractor { id } }
  division: createDivision(input: {code: "d", businessUnit: $unit}) { made: division { id } }
  template: createInvoiceTemplate(input: {name: "T", businessUnit: $unit}) { made: invoiceTemplate { id } }
  config: createAccountBalanceHistoryConfig(
    input: {divisionCode: "d", businessUnit: $unit, cycleClosingTime: "22:00:00", cycleEventDelay: 5}
  ) { made: balanceHistoryConfig { id } }
}"""
FILL_MORE = """mutation ($contractor: ID!, $unit: String!, $template: ID!) {
  contact: createContact(input: {contractorId: $contractor, email: "a@b.example"}) { made: contact { id } }
  account: createAccount(input: {
    name: "Main", contractorId: $contractor, businessUnit: $unit, externalId: "EXT", divisionCode: "d"
    invoiceTemplateId: $template, uuid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
  }) { made: account { id } }
}"""
FILL_ENTRY = """mutation ($account: ID!) {
  balance: createBankAccountBalance(
    bankAccountId: $account, input: {amount: 5, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}
  ) { made: balance { id } }
}"""


@pytest.fixture(params=[True, False], ids=["plans", "resolvers"])
async def gateway(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Gateway]:
    """One whose answers the database writes, and one whose resolvers give them."""
    gateway = Gateway(database_url, with_plans=request.param)
    yield gateway
    await gateway.store.close()


@pytest.fixture
async def ids(gateway: Gateway) -> Ids:
    """Three units with the same in each; the ids of it by unit and kind."""
    made: Ids = {}
    for unit in UNITS:
        found = (await gateway.ask(FILL, unit=unit)).sound()
        known = {"contractor": found["contractor"]["made"]["id"], "template": found["template"]["made"]["id"]}
        found |= (await gateway.ask(FILL_MORE, unit=unit, **known)).sound()
        found |= (await gateway.ask(FILL_ENTRY, account=found["account"]["made"]["id"])).sound()
        made[unit] = {kind: each["made"]["id"] for kind, each in found.items()}
    return made


A, AB = a_caller("unit-a"), a_caller("unit-a", "unit-b")


# --- reading ------------------------------------------------------------------------------------------------------


async def test_foreign_objects_are_no_nodes(gateway: Gateway, ids: Ids) -> None:
    document = "query ($id: ID!) { node(id: $id) { __typename id } }"
    for kind, foreign in ids["unit-b"].items():
        assert (await gateway.ask(document, id=foreign, caller=A)).body == {"data": {"node": None}}, kind
        own = (await gateway.ask(document, id=ids["unit-a"][kind], caller=A)).sound()
        assert own["node"]["id"] == ids["unit-a"][kind]


async def test_nodes_keep_their_length_and_order_around_what_is_foreign(gateway: Gateway, ids: Ids) -> None:
    asked = [
        id for kind in ids["unit-a"] for id in (ids["unit-b"][kind], ids["unit-a"][kind], "nonsense", "account_999")
    ]
    asked += [ids["unit-a"]["account"]] * 2
    answer = await gateway.ask("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=asked, caller=A)
    own = set(ids["unit-a"].values())
    assert answer.sound()["nodes"] == [{"id": id} if id in own else None for id in asked]


@pytest.mark.parametrize(
    "id", ["", "account", "account_", "account_01", "account_-1", "Account_1", "account_1 ", "account_x"]
)
async def test_a_malformed_id_is_nothing(gateway: Gateway, ids: Ids, id: str) -> None:
    answer = await gateway.ask(
        "query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } account(id: $id) { id } }", id=id
    )
    assert ids
    assert answer.sound() == {"node": None, "nodes": [None], "account": None}


@pytest.mark.parametrize(
    "id", ["account_99999999999999999999999", "account_\u0661", "account_1\n", "1", "balance_1", "event_1"]
)
async def test_an_id_of_another_type_or_of_no_size_is_no_account(gateway: Gateway, ids: Ids, id: str) -> None:
    answer = await gateway.ask("query ($id: ID!) { account(id: $id) { id } }", id=id)
    assert ids
    assert answer.sound() == {"account": None}


async def test_a_foreign_account_is_null_as_an_unknown_one(gateway: Gateway, ids: Ids) -> None:
    document = "query ($id: ID!) { account(id: $id) { id name } }"
    foreign = await gateway.ask(document, id=ids["unit-b"]["account"], caller=A)
    unknown = await gateway.ask(document, id="account_999", caller=A)
    assert foreign.body == unknown.body == {"data": {"account": None}}


IDENTIFY = """query ($identifier: AccountIdentifier!) { accountByIdentifier(identifier: $identifier) { id } }"""
UUID = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
NATURAL = [("name", {"name": "Main"}), ("externalId", {"externalId": "EXT"}), ("uuid", {"uuid": UUID})]


@pytest.mark.parametrize(("key", "value"), NATURAL)
async def test_an_identifier_finds_only_what_the_caller_sees(
    gateway: Gateway, ids: Ids, key: str, value: dict[str, str]
) -> None:
    async def find(caller: Caller, **more: str) -> Answer:
        return await gateway.ask(IDENTIFY, identifier={key: {**value, **more}}, caller=caller)

    own = {"accountByIdentifier": {"id": ids["unit-a"]["account"]}}
    assert (await find(A)).sound() == own
    assert (await find(AB, businessUnit="unit-a")).sound() == own
    for unit in ("unit-c", "nowhere"):
        assert (await find(AB, businessUnit=unit)).body == {"data": {"accountByIdentifier": None}}
    several = await find(AB)
    assert (several.codes, several.data) == (["BAD_REQUEST"], {"accountByIdentifier": None})
    message = several.errors[0]["message"]
    assert "unit-a" in message
    assert "unit-b" in message
    assert "unit-c" not in message


async def test_an_identifier_with_an_id_is_an_account(gateway: Gateway, ids: Ids) -> None:
    own = await gateway.ask(IDENTIFY, identifier={"id": ids["unit-a"]["account"]}, caller=A)
    assert own.sound() == {"accountByIdentifier": {"id": ids["unit-a"]["account"]}}
    for id in (ids["unit-b"]["account"], "account_999", "x"):
        assert (await gateway.ask(IDENTIFY, identifier={"id": id}, caller=A)).sound() == {"accountByIdentifier": None}


@pytest.mark.parametrize("identifier", [{}, {"id": None}, {"id": "account_1", "name": {"name": "Main"}}])
async def test_an_identifier_has_exactly_one_key(gateway: Gateway, ids: Ids, identifier: dict[str, Any]) -> None:
    answer = await gateway.ask(IDENTIFY, identifier=identifier, caller=A)
    assert ids
    assert answer.codes == ["BAD_REQUEST"]
    assert answer.data is None


LISTS = """{
  accounts { totalCount nodes { id businessUnit } totals { accountCount sum } }
  balances { totalCount nodes { id account { businessUnit } } }
  contractors { totalCount nodes { id businessUnit accounts { totalCount } contacts { totalCount } } }
  invoiceTemplates { totalCount nodes { id businessUnit } }
  divisions { totalCount nodes { id businessUnit accounts { totalCount } } }
}"""


@pytest.mark.parametrize(
    ("caller", "units"), [(A, 1), (AB, 2), (a_caller("unit-a", "nowhere"), 1), (a_caller("no"), 0)]
)
async def test_lists_counts_and_totals_hold_the_callers_units_alone(
    gateway: Gateway, ids: Ids, caller: Caller, units: int
) -> None:
    assert ids
    data = (await gateway.ask(LISTS, caller=caller)).sound()
    seen = set(UNITS[:units])
    for name in ("accounts", "contractors", "invoiceTemplates", "divisions"):
        assert {node["businessUnit"] for node in data[name]["nodes"]} == seen, name
        assert data[name]["totalCount"] == units
    assert {node["account"]["businessUnit"] for node in data["balances"]["nodes"]} == seen
    assert data["balances"]["totalCount"] == units
    assert data["accounts"]["totals"] == ([{"accountCount": units, "sum": str(5 * units)}] if units else [])
    for node in data["contractors"]["nodes"]:
        assert (node["accounts"], node["contacts"]) == ({"totalCount": 1}, {"totalCount": 1})


async def test_filters_by_what_is_foreign_find_nothing(gateway: Gateway, ids: Ids) -> None:
    answer = await gateway.ask(
        """query ($account: ID!, $contractor: ID!) {
          balances(filter: {accountIds: [$account]}) { totalCount nodes { id } pageInfo { hasNextPage } }
          contractor: accounts(filter: {contractorId: $contractor}) { totalCount totals { sum } nodes { id } }
          unit: accounts(filter: {businessUnit: {eq: "unit-b"}}) { totalCount totals { sum } nodes { id } }
          divisions(filter: {businessUnit: {eq: "unit-b"}}) { totalCount }
          division(code: "d", businessUnit: "unit-b") { id }
        }""",
        **{kind: ids["unit-b"][kind] for kind in ("account", "contractor")},
        caller=A,
    )
    assert answer.sound() == {
        "balances": {"totalCount": 0, "nodes": [], "pageInfo": {"hasNextPage": False}},
        "contractor": {"totalCount": 0, "totals": [], "nodes": []},
        "unit": {"totalCount": 0, "totals": [], "nodes": []},
        "divisions": {"totalCount": 0},
        "division": None,
    }


async def test_nothing_foreign_shows_in_flags_behind_a_cursor_of_somebody_elses(gateway: Gateway, ids: Ids) -> None:
    document = """query ($after: String) {
      accounts(first: 1, after: $after) { nodes { businessUnit } pageInfo { hasNextPage hasPreviousPage endCursor } }
    }"""
    assert ids
    theirs = (await gateway.ask(document, caller=a_caller("unit-b"))).sound()["accounts"]["pageInfo"]
    assert (theirs["hasNextPage"], theirs["hasPreviousPage"]) == (False, False)
    answer = await gateway.ask(document, after=theirs["endCursor"], caller=a_caller("unit-c"))
    assert answer.codes in ([], ["BAD_REQUEST"])
    if not answer.errors:
        nodes = answer.data["accounts"]["nodes"]
        assert nodes == [{"businessUnit": "unit-c"}]
        assert answer.data["accounts"]["pageInfo"]["hasPreviousPage"] is False


async def test_a_division_in_several_units_is_refused_naming_those_the_caller_sees(gateway: Gateway, ids: Ids) -> None:
    document = '{ division(code: "d") { id } }'
    assert (await gateway.ask(document, caller=A)).sound() == {"division": {"id": ids["unit-a"]["division"]}}
    several = await gateway.ask(document, caller=AB)
    assert (several.codes, several.data) == (["BAD_REQUEST"], {"division": None})
    message = several.errors[0]["message"]
    assert [unit for unit in UNITS if unit in message] == ["unit-a", "unit-b"]


# --- writing ------------------------------------------------------------------------------------------------------


async def everything(gateway: Gateway) -> Any:
    """What all the units hold, and how much has happened."""
    return (
        await gateway.ask(
            """{ accounts { nodes { id name updatedAt contractor { id } } } balances { totalCount }
            contractors { totalCount } invoiceTemplates { totalCount }
            divisions { nodes { id balanceHistoryConfigs { nodes { id cycleEventDelay } } } } }"""
        )
    ).sound()


@pytest.mark.parametrize(
    ("keys", "paths"),
    [
        ({"contractorId": "contractor"}, [["input", "contractorId"]]),
        ({"sendInvoicesTo": "contact"}, [["input", "sendInvoicesTo"]]),
        ({"sendBalanceNotificationsTo": "contact"}, [["input", "sendBalanceNotificationsTo"]]),
        ({"invoiceTemplateId": "template"}, [["input", "invoiceTemplateId"]]),
    ],
)
async def test_an_account_refers_to_nothing_in_another_unit(
    gateway: Gateway, ids: Ids, keys: dict[str, str], paths: list[list[str]]
) -> None:
    (key, kind), before = next(iter(keys.items())), await everything(gateway)
    foreign: Any = ids["unit-b"][kind]
    changed = {key: [foreign] if kind == "contact" else foreign}
    # The caller sees both units, and still they don't mix.
    for caller in (A, AB):
        body = {"name": "New", "contractorId": ids["unit-a"]["contractor"], "businessUnit": "unit-a", **changed}
        made = (await gateway.ask(CREATE_ACCOUNT, input=body, caller=caller)).sound()["createAccount"]
        assert made["account"] is None
        assert [(error["code"], error["path"][:2]) for error in made["userErrors"]] == [
            ("NOT_FOUND", path) for path in paths
        ]
        updated = await gateway.ask(UPDATE_ACCOUNT, id=ids["unit-a"]["account"], input=changed, caller=caller)
        errors = updated.sound()["updateAccount"]["userErrors"]
        assert [(error["code"], error["path"][:2]) for error in errors] == [("NOT_FOUND", path) for path in paths]
    assert await everything(gateway) == before


async def test_an_account_is_in_no_division_of_another_unit(gateway: Gateway, ids: Ids) -> None:
    made = await gateway.ask(
        'mutation { createDivision(input: {code: "x", businessUnit: "unit-b"}) { userErrors { code } } }'
    )
    assert made.sound()["createDivision"]["userErrors"] == []
    updated = await gateway.ask(UPDATE_ACCOUNT, id=ids["unit-a"]["account"], input={"divisionCode": "x"}, caller=AB)
    assert updated.sound()["updateAccount"]["userErrors"] == [{"code": "NOT_FOUND", "path": ["input", "divisionCode"]}]


FOREIGN_WRITES = {
    "updateAccount": ('updateAccount(id: $account, input: {name: "Stolen"})', ["id"]),
    "createBankAccountBalance": (
        """createBankAccountBalance(
          bankAccountId: $account, input: {amount: 1, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}
        )""",
        ["bankAccountId"],
    ),
    "correctAccountBalance": ("correctAccountBalance(accountId: $account, input: {amount: 1})", ["accountId"]),
    "createContact": (
        'createContact(input: {contractorId: $contractor, email: "a@b.example"})',
        ["input", "contractorId"],
    ),
    "createAccountBalanceHistoryConfig": (
        """createAccountBalanceHistoryConfig(
          input: {divisionCode: "d", businessUnit: "unit-b", cycleClosingTime: "22:00:00", cycleEventDelay: 5}
        )""",
        None,
    ),
    "updateAccountBalanceHistoryConfig": (
        'updateAccountBalanceHistoryConfig(divisionCode: "d", businessUnit: "unit-b", input: {cycleEventDelay: 9})',
        None,
    ),
    "createContractor": (
        'createContractor(input: {name: "N", isVendor: true, businessUnit: "unit-b"})',
        ["input", "businessUnit"],
    ),
    "createDivision": ('createDivision(input: {code: "n", businessUnit: "unit-b"})', ["input", "businessUnit"]),
    "createInvoiceTemplate": (
        'createInvoiceTemplate(input: {name: "N", businessUnit: "unit-b"})',
        ["input", "businessUnit"],
    ),
}


@pytest.mark.parametrize("name", FOREIGN_WRITES)
async def test_what_is_foreign_is_not_found_and_not_changed(gateway: Gateway, ids: Ids, name: str) -> None:
    field, path = FOREIGN_WRITES[name]
    before = await everything(gateway)
    own = {kind: ids["unit-b"][kind] for kind in ("account", "contractor") if f"${kind}" in field}
    answer = await gateway.ask(f"mutation {_head(own)} {{ {field} {{ userErrors {{ code path }} }} }}", **own, caller=A)
    errors = answer.sound()[name]["userErrors"]
    assert [error["code"] for error in errors] == ["NOT_FOUND"]
    if path is not None:
        assert errors[0]["path"] == path
    assert await everything(gateway) == before


def _head(variables: dict[str, str]) -> str:
    return f"({', '.join(f'${name}: ID!' for name in variables)})" if variables else ""


async def test_a_foreign_account_is_refused_as_an_unknown_one(gateway: Gateway, ids: Ids) -> None:
    document = """mutation ($id: ID!) { updateAccount(id: $id, input: {name: " ", vat: 101}) {
      account { id } userErrors { code message path documentedCode }
    } }"""
    foreign = await gateway.ask(document, id=ids["unit-b"]["account"], caller=A)
    unknown = await gateway.ask(document, id="account_999", caller=A)
    assert foreign.body == unknown.body


async def test_a_unit_that_is_not_the_callers_is_refused_as_one_that_does_not_exist(gateway: Gateway, ids: Ids) -> None:
    document = """mutation ($unit: String!, $contractor: ID!) {
      createContractor(input: {name: "N", isVendor: true, businessUnit: $unit}) { userErrors { code message path } }
      createAccount(input: {name: "N", contractorId: $contractor, businessUnit: $unit}) {
        account { id } userErrors { code message path }
      }
    }"""
    bodies = [
        (await gateway.ask(document, unit=unit, contractor=ids["unit-b"]["contractor"], caller=A)).body
        for unit in ("unit-b", "nowhere")
    ]
    assert bodies[0] == bodies[1]
    assert "NOT_FOUND" in str(bodies[0]["data"])


async def test_names_are_taken_only_within_a_unit(gateway: Gateway, ids: Ids) -> None:
    body = {
        "name": "Other",
        "externalId": "ONLY-B",
        "contractorId": ids["unit-b"]["contractor"],
        "businessUnit": "unit-b",
    }
    assert (await gateway.ask(CREATE_ACCOUNT, input=body)).sound()["createAccount"]["userErrors"] == []
    mine = {**body, "contractorId": ids["unit-a"]["contractor"], "businessUnit": "unit-a"}
    answer = (await gateway.ask(CREATE_ACCOUNT, input=mine, caller=A)).sound()["createAccount"]
    assert answer["userErrors"] == []
    again = (await gateway.ask(CREATE_ACCOUNT, input=mine, caller=A)).sound()["createAccount"]
    assert [(error["code"], error["path"][-1]) for error in again["userErrors"]] == [
        ("TAKEN", "name"),
        ("TAKEN", "externalId"),
    ]


# --- batches ------------------------------------------------------------------------------------------------------


async def register(gateway: Gateway, caller: Caller, *items: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await gateway.ask(REGISTER, items=list(items), caller=caller)
    results: list[dict[str, Any]] = answer.sound()["registerBatchAccountBalances"]["results"]
    return results


async def test_a_foreign_unit_in_an_item_does_not_exist(gateway: Gateway, ids: Ids) -> None:
    assert ids
    foreign, unknown, own = await register(
        gateway,
        A,
        {**ITEM, "businessUnit": "unit-b"},
        {**ITEM, "businessUnit": "no"},
        {**ITEM, "businessUnit": "unit-a"},
    )
    assert (foreign["errorCode"], foreign["errorField"]) == ("G004", "businessUnit")
    ignored = {"index": 0, "businessUnit": None}
    assert {**foreign, **ignored} == {**unknown, **ignored}
    assert own["errorCode"] is None


async def test_an_external_id_of_another_unit_is_as_unknown_as_any(gateway: Gateway, ids: Ids) -> None:
    body = {
        "name": "Other",
        "externalId": "ONLY-B",
        "contractorId": ids["unit-b"]["contractor"],
        "businessUnit": "unit-b",
    }
    assert (await gateway.ask(CREATE_ACCOUNT, input=body)).sound()["createAccount"]["userErrors"] == []
    foreign, unknown = await register(gateway, A, {**ITEM, "accountExtId": "ONLY-B"}, {**ITEM, "accountExtId": "NO"})
    assert (foreign["errorCode"], foreign["errorField"]) == ("404", "accountExtId")
    assert {**foreign, "index": 0} == {**unknown, "index": 0}


async def test_a_number_is_used_once_in_each_unit(gateway: Gateway, ids: Ids) -> None:
    (first,) = await register(gateway, a_caller("unit-b"), ITEM)
    (mine,) = await register(gateway, A, {**ITEM, "value": 2})
    assert (first["errorCode"], mine["errorCode"]) == (None, None)
    (again,) = await register(gateway, A, ITEM)
    assert (again["errorCode"], again["sameContent"]) == ("O005", False)
    assert again["balance"] == mine["balance"]
    assert ids


@pytest.mark.parametrize(
    ("caller", "code", "unit"),
    [
        (A, None, "unit-a"),
        (AB, "G004", None),
        (a_caller("unit-a", "default"), "G004", "default"),
        (a_caller("no"), "G004", "no"),
    ],
)
async def test_an_item_without_a_unit_is_of_the_callers_default(
    gateway: Gateway, ids: Ids, caller: Caller, code: str | None, unit: str | None
) -> None:
    (result,) = await register(gateway, caller, ITEM)
    assert result["errorCode"] == code
    if code is None:
        own = await gateway.ask(
            "query ($id: ID!) { node(id: $id) { ... on Balance { account { businessUnit } } } }",
            id=result["balance"]["id"],
        )
        assert own.sound()["node"]["account"] == {"businessUnit": unit}
    assert ids


async def test_validating_tells_what_registering_tells(gateway: Gateway, ids: Ids) -> None:
    assert ids
    await register(gateway, a_caller("unit-b"), ITEM)
    document = (
        REGISTER.replace("mutation", "query").replace("registerBatch", "validateBatch").replace("balance { id }", "")
    )
    items = [ITEM, {**ITEM, "businessUnit": "unit-b"}, {**ITEM, "accountExtId": "NO"}]
    answer = await gateway.ask(document, items=items, caller=A)
    results = answer.sound()["validateBatchAccountBalances"]["results"]
    assert [result["errorCode"] for result in results] == [None, "G004", "404"]


# --- the default unit ---------------------------------------------------------------------------------------------

CREATORS = {
    "createContractor": 'input: {name: "N", isVendor: true}) { made: contractor { businessUnit }',
    "createDivision": 'input: {code: "n"}) { made: division { businessUnit }',
    "createInvoiceTemplate": 'input: {name: "N"}) { made: invoiceTemplate { businessUnit }',
}


@pytest.mark.parametrize("name", CREATORS)
@pytest.mark.parametrize(
    ("caller", "unit"),
    [
        (A, "unit-a"),
        (AB, None),
        (a_caller("unit-a", "default"), "default"),
        (Caller("all", frozenset(Scope), None), "default"),
    ],
)
async def test_what_is_made_without_a_unit_is_in_the_callers_default(
    filled: Gateway, ids: Ids, name: str, caller: Caller, unit: str | None
) -> None:
    assert ids
    document = f"mutation {{ {name}({CREATORS[name]} userErrors {{ code path }} }} }}"
    made = (await filled.ask(document, caller=caller)).sound()[name]
    if unit is None:
        assert made == {"made": None, "userErrors": [{"code": "REQUIRED", "path": ["input", "businessUnit"]}]}
    else:
        assert made == {"made": {"businessUnit": unit}, "userErrors": []}


async def test_an_account_without_a_unit_needs_a_default_too(gateway: Gateway, ids: Ids) -> None:
    body = {"name": "N", "contractorId": ids["unit-a"]["contractor"]}
    refused = (await gateway.ask(CREATE_ACCOUNT, input=body, caller=AB)).sound()["createAccount"]
    assert refused["account"] is None
    assert {"code": "REQUIRED", "path": ["input", "businessUnit"]} in refused["userErrors"]
    made = (await gateway.ask(CREATE_ACCOUNT, input=body, caller=A)).sound()["createAccount"]
    assert made["account"]["businessUnit"] == "unit-a"


async def test_a_unit_comes_into_being_when_a_caller_that_names_it_makes_something(gateway: Gateway) -> None:
    caller = a_caller("brand-new", "unit-a")
    made = await gateway.ask(
        """mutation { createContractor(input: {name: "N", isVendor: true, businessUnit: "brand-new"}) {
          contractor { businessUnit } userErrors { code }
        } }""",
        caller=caller,
    )
    assert made.sound()["createContractor"] == {"contractor": {"businessUnit": "brand-new"}, "userErrors": []}


@pytest.mark.parametrize("unit", ["*", "", " ", "x" * 256])
async def test_some_texts_name_no_unit(gateway: Gateway, unit: str) -> None:
    answer = await gateway.ask(
        """mutation ($unit: String!) {
          createContractor(input: {name: "N", isVendor: true, businessUnit: $unit}) {
            contractor { id } userErrors { code }
          }
        }""",
        unit=unit,
    )
    assert answer.codes == ["BAD_REQUEST"] or (
        answer.sound()["createContractor"]["contractor"] is None and answer.data["createContractor"]["userErrors"]
    )


# --- who is asking ------------------------------------------------------------------------------------------------

VIEWER = "{ viewer { subject scopes businessUnits allBusinessUnits } }"


async def test_the_viewer_is_told_its_rights(gateway: Gateway, ids: Ids) -> None:
    assert ids
    caller = a_caller("unit-b", "unit-a", scopes=frozenset({Scope.EVENTS_READ}), subject="somebody")
    viewer = (await gateway.ask(VIEWER, caller=caller)).sound()["viewer"]
    assert {**viewer, "businessUnits": sorted(viewer["businessUnits"])} == {
        "subject": "somebody",
        "scopes": ["events:read"],
        "businessUnits": ["unit-a", "unit-b"],
        "allBusinessUnits": False,
    }


async def test_a_viewer_of_all_units_is_told_their_names(gateway: Gateway, ids: Ids) -> None:
    assert ids
    viewer = (await gateway.ask(VIEWER)).sound()["viewer"]
    assert (viewer["subject"], viewer["allBusinessUnits"]) == ("local", True)
    assert sorted(viewer["businessUnits"]) == list(UNITS)
    assert sorted(viewer["scopes"]) == sorted(scope.value for scope in Scope)


# --- scopes -------------------------------------------------------------------------------------------------------

READS = {
    "account": ("account(id: $account) { id }", Scope.ACCOUNTS_READ),
    "accountByIdentifier": ("accountByIdentifier(identifier: {id: $account}) { id }", Scope.ACCOUNTS_READ),
    "accounts": ("accounts { totalCount }", Scope.ACCOUNTS_READ),
    "contractors": ("contractors { totalCount }", Scope.ACCOUNTS_READ),
    "invoiceTemplates": ("invoiceTemplates { totalCount }", Scope.ACCOUNTS_READ),
    "division": ('division(code: "d") { id }', Scope.ACCOUNTS_READ),
    "divisions": ("divisions { totalCount }", Scope.ACCOUNTS_READ),
    "balances": ("balances { totalCount }", Scope.BALANCES_READ),
    "events": ("events { totalCount }", Scope.EVENTS_READ),
    "webhooks": ("webhooks { totalCount }", Scope.WEBHOOKS_WRITE),
}


@pytest.mark.parametrize("name", READS)
async def test_a_root_field_without_its_scope_is_null_beside_the_rest(gateway: Gateway, ids: Ids, name: str) -> None:
    field, scope = READS[name]
    variables = "($account: ID!)" if "$account" in field else ""
    own = {"account": ids["unit-a"]["account"]} if variables else {}
    document = (
        f"query {variables} {{ viewer {{ subject }} refused: {field} currencies {{ code }} limits {{ pageSize }} }}"
    )
    answer = await gateway.ask(document, **own, caller=a_caller("unit-a", scopes=frozenset(Scope) - {scope}))
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [("FORBIDDEN", ["refused"])]
    assert answer.data["refused"] is None
    assert answer.data["viewer"] == {"subject": "tester"}
    assert answer.data["currencies"]
    assert answer.data["limits"] == {"pageSize": 1000}
    allowed = await gateway.ask(document, **own, caller=a_caller("unit-a", scopes=frozenset({scope})))
    assert "FORBIDDEN" not in allowed.codes


ACCOUNT_PARTS = {
    "currentBalances": "currentBalances { amount }",
    "balanceAsOf": 'balanceAsOf(before: "2026-02-01T00:00:00Z") { amount }',
    "balances": "balances { totalCount }",
    "balanceHistory": "balanceHistory { totalCount }",
    "balanceSeries": """balanceSeries(from: "2026-01-01T00:00:00Z", before: "2026-01-02T00:00:00Z", interval: DAY)
        { close }""",
}


@pytest.mark.parametrize("name", ACCOUNT_PARTS)
async def test_an_accounts_entries_need_a_scope_and_its_balance_does_not(gateway: Gateway, ids: Ids, name: str) -> None:
    answer = await gateway.ask(
        f"""query ($id: ID!) {{ account(id: $id) {{
          id balance currentBalance {{ amount }} thresholdState {ACCOUNT_PARTS[name]}
        }} }}""",
        id=ids["unit-a"]["account"],
        caller=a_caller("unit-a", scopes=frozenset({Scope.ACCOUNTS_READ})),
    )
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [
        ("FORBIDDEN", ["account", name])
    ]
    assert answer.data["account"] == {
        "id": ids["unit-a"]["account"],
        "balance": "5",
        "currentBalance": {"amount": "5"},
        "thresholdState": "NONE",
        name: None,
    }


DIVISION_PARTS = {
    "balanceHistoryConfig": "balanceHistoryConfig { id }",
    "pendingBalanceHistoryConfig": "pendingBalanceHistoryConfig { id }",
    "balanceHistoryConfigs": "balanceHistoryConfigs { totalCount }",
    "cycleClosings": "cycleClosings { totalCount }",
}


@pytest.mark.parametrize("name", DIVISION_PARTS)
async def test_a_divisions_configurations_need_a_scope_and_its_name_does_not(
    gateway: Gateway, ids: Ids, name: str
) -> None:
    caller = a_caller("unit-a", scopes=frozenset({Scope.ACCOUNTS_READ}))
    answer = await gateway.ask(
        f'{{ division(code: "d") {{ code name timezone {DIVISION_PARTS[name]} }} }}', caller=caller
    )
    assert ids
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [
        ("FORBIDDEN", ["division", name])
    ]
    assert answer.data["division"] == {"code": "d", "name": None, "timezone": "UTC", name: None}


async def test_the_account_of_an_entry_needs_its_own_scope(gateway: Gateway, ids: Ids) -> None:
    caller = a_caller("unit-a", scopes=frozenset({Scope.BALANCES_READ}))
    answer = await gateway.ask("{ balances { nodes { id amount account { id } } } }", caller=caller)
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [
        ("FORBIDDEN", ["balances", "nodes", 0, "account"])
    ]
    assert answer.data["balances"]["nodes"] == [{"id": ids["unit-a"]["balance"], "amount": "5", "account": None}]


NODE_SCOPES = {
    "account": Scope.ACCOUNTS_READ,
    "contractor": Scope.ACCOUNTS_READ,
    "contact": Scope.ACCOUNTS_READ,
    "template": Scope.ACCOUNTS_READ,
    "division": Scope.ACCOUNTS_READ,
    "balance": Scope.BALANCES_READ,
    "config": Scope.CONFIG_READ,
}


@pytest.mark.parametrize("kind", NODE_SCOPES)
async def test_a_node_without_its_scope_is_refused(gateway: Gateway, ids: Ids, kind: str) -> None:
    caller = a_caller("unit-a", scopes=frozenset(Scope) - {NODE_SCOPES[kind]})
    answer = await gateway.ask("query ($id: ID!) { node(id: $id) { id } }", id=ids["unit-a"][kind], caller=caller)
    assert answer.data == {"node": None}
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [("FORBIDDEN", ["node"])]
    foreign = await gateway.ask("query ($id: ID!) { node(id: $id) { id } }", id=ids["unit-b"][kind], caller=caller)
    unknown = await gateway.ask(
        "query ($id: ID!) { node(id: $id) { id } }", id=ids["unit-b"][kind].rsplit("_", 1)[0] + "_99999", caller=caller
    )
    assert foreign.body == unknown.body


WRITES = {
    "createAccount": ('input: {name: "N", contractorId: $contractor}', Scope.ACCOUNTS_WRITE),
    "updateAccount": ('id: $account, input: {name: "N"}', Scope.ACCOUNTS_WRITE),
    "createContractor": ('input: {name: "N", isVendor: true}', Scope.ACCOUNTS_WRITE),
    "createContact": ('input: {contractorId: $contractor, email: "x@y.example"}', Scope.ACCOUNTS_WRITE),
    "createInvoiceTemplate": ('input: {name: "N"}', Scope.ACCOUNTS_WRITE),
    "createBankAccountBalance": (
        'bankAccountId: $account, input: {amount: 1, timestamp: "2026-02-01T00:00:00Z", currency: {code: "EUR"}}',
        Scope.BALANCES_WRITE,
    ),
    "correctAccountBalance": ("accountId: $account, input: {amount: 1}", Scope.BALANCES_WRITE),
    "createDivision": ('input: {code: "n"}', Scope.CONFIG_WRITE),
    "createAccountBalanceHistoryConfig": (
        'input: {divisionCode: "d", cycleClosingTime: "22:00:00", cycleEventDelay: 5}',
        Scope.CONFIG_WRITE,
    ),
    "updateAccountBalanceHistoryConfig": ('divisionCode: "d", input: {cycleEventDelay: 9}', Scope.CONFIG_WRITE),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_mutation_without_its_scope_changes_nothing(gateway: Gateway, ids: Ids, name: str) -> None:
    arguments, scope = WRITES[name]
    before = await everything(gateway)
    kinds = [kind for kind in ("account", "contractor") if f"${kind}" in arguments]
    own = {kind: ids["unit-a"][kind] for kind in kinds}
    document = f"mutation {_head(own)} {{ refused: {name}({arguments}) {{ userErrors {{ code }} }} }}"
    answer = await gateway.ask(document, **own, caller=a_caller("unit-a", scopes=frozenset(Scope) - {scope}))
    assert answer.data == {"refused": None}
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [("FORBIDDEN", ["refused"])]
    assert await everything(gateway) == before
    (await gateway.ask(document, **own, caller=a_caller("unit-a", scopes=frozenset({scope})))).sound()


@pytest.mark.parametrize("name", ["registerBatchAccountBalances", "updateAccountBalance"])
async def test_a_batch_without_its_scope_is_refused(gateway: Gateway, ids: Ids, name: str) -> None:
    before = await everything(gateway)
    single = name == "updateAccountBalance"
    document = (
        f"mutation ($input: {'AccountBalanceInput' if single else 'BatchAccountBalancesInput'}!) "
        f"{{ {name}(input: $input) {{ timeElapsedMs }} }}"
    )
    caller = a_caller("unit-a", scopes=frozenset(Scope) - {Scope.BALANCES_WRITE})
    answer = await gateway.ask(document, input=ITEM if single else {"accountBalances": [ITEM]}, caller=caller)
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [("FORBIDDEN", [name])]
    assert await everything(gateway) == before
    assert ids


async def test_what_was_allowed_is_done_beside_what_was_refused(gateway: Gateway, ids: Ids) -> None:
    assert ids
    answer = await gateway.ask(
        """mutation {
          refused: createDivision(input: {code: "n"}) { division { id } }
          done: createContractor(input: {name: "Done", isVendor: true}) { contractor { name } }
        }""",
        caller=a_caller("unit-a", scopes=frozenset({Scope.ACCOUNTS_WRITE, Scope.ACCOUNTS_READ})),
    )
    assert [(error["extensions"]["code"], error["path"]) for error in answer.errors] == [("FORBIDDEN", ["refused"])]
    assert answer.data == {"refused": None, "done": {"contractor": {"name": "Done"}}}


async def test_a_caller_without_scopes_is_told_who_it_is(gateway: Gateway) -> None:
    answer = await gateway.ask(VIEWER, caller=a_caller("unit-a", scopes=frozenset()))
    assert answer.sound()["viewer"]["scopes"] == []
