"""The bodies of the four documented systems go in unchanged as variables, and answer as documented."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.asking import Gateway

CREATE_BALANCE = """mutation ($id: ID!, $input: CreateBankAccountBalanceInput!) {
  createBankAccountBalance(bankAccountId: $id, input: $input) {
    balance { id amount timestamp currency { code } recordedBy account { balance } } userErrors { code message path }
  }
}"""
REGISTER = """mutation ($input: BatchAccountBalancesInput!) {
  registerBatchAccountBalances(input: $input) {
    acceptedCount rejectedCount timeElapsedMs
    results {
      resultType index communicationNumber accountExtId businessUnit errorCode errorDescription sameContent errorField
      timeElapsedMs balance { id amount equivalentValue balanceType timestamp requester }
    }
  }
}"""
CREATE_CONFIG = """mutation ($input: CreateAccountBalanceHistoryConfigInput!) {
  createAccountBalanceHistoryConfig(input: $input) {
    balanceHistoryConfig { id cycleClosingTime cycleEventDelay cycleConfigValidity { start end } status }
    userErrors { code message path documentedCode }
  }
}"""
UPDATE_CONFIG = """mutation ($code: String!, $input: UpdateAccountBalanceHistoryConfigInput!) {
  updateAccountBalanceHistoryConfig(divisionCode: $code, input: $input) {
    balanceHistoryConfig { cycleClosingTime cycleEventDelay cycleConfigValidity { start end } status }
    userErrors { code message path documentedCode }
  }
}"""
CREATE_ACCOUNT = """mutation ($input: CreateAccountInput!) {
  createAccount(input: $input) {
    account {
      id uuid name externalId businessUnit balance minBalance maxBalance vat originationCapacity terminationCapacity
      totalCapacity balanceLowThreshold balanceHighThreshold sendBalanceNotificationsTo { id } sendInvoicesTo { id }
      timezone contractor { id } invoicePeriod invoiceTemplate { id } thresholdState currency { code }
      destinationRateLimit maxCallDuration currentBalance { id }
    }
    userErrors { code message path documentedCode }
  }
}"""


async def test_24sevenoffice_example_is_recorded(filled: Gateway) -> None:
    body = {"amount": 1100, "timestamp": "2024-06-01T12:00:00.000Z", "currency": {"code": "NOK"}}
    answer = (await filled.ask(CREATE_BALANCE, id="account_1", input=body)).sound()["createBankAccountBalance"]
    assert answer == {
        "balance": {
            "id": "balance_1",
            "amount": "1100",
            "timestamp": "2024-06-01T12:00:00Z",
            "currency": {"code": "NOK"},
            "recordedBy": "local",
            "account": {"balance": "0"},
        },
        "userErrors": [],
    }


async def test_everything_wrong_with_a_balance_is_told_at_once(filled: Gateway) -> None:
    body = {"amount": "0.00001", "timestamp": "2099-06-01T12:00:00Z", "currency": {"code": "nok"}}
    answer = (await filled.ask(CREATE_BALANCE, id="account_2", input=body)).sound()["createBankAccountBalance"]
    assert answer["balance"] is None
    assert [(error["code"], error["path"]) for error in answer["userErrors"]] == [
        ("NOT_FOUND", ["bankAccountId"]),
        ("OUT_OF_RANGE", ["input", "amount"]),
        ("OUT_OF_RANGE", ["input", "timestamp"]),
        ("INVALID", ["input", "currency", "code"]),
    ]


def amlyze(moment_key: str, first: str = "accountExtId0", second: str = "accountExtId1") -> dict[str, Any]:
    return {
        "accountBalances": [
            {
                "communicationNumber": "commNumber0",
                "requester": "financial_institution",
                "balanceType": "DAILY_BALANCE",
                "accountExtId": first,
                "businessUnit": "businessUnit0",
                moment_key: "2023-09-05T08:07:34.605Z",
                "value": 11111111111.00,
                "equivalentValue": 33333.00,
            },
            {
                "communicationNumber": "commNumber1",
                "requester": "financial_institution",
                "balanceType": "DAILY_BALANCE",
                "accountExtId": second,
                "businessUnit": "businessUnit1",
                moment_key: "2023-09-05T08:07:34.605Z",
                "value": 11111111111,
            },
        ]
    }


@pytest.fixture
async def two_units(gateway: Gateway) -> Gateway:
    for unit in ("businessUnit0", "businessUnit1"):
        contractor = await gateway.ask(
            """mutation ($unit: String!) {
              createContractor(input: {name: "C", businessUnit: $unit, isVendor: true}) { contractor { id } }
            }""",
            unit=unit,
        )
        id = contractor.sound()["createContractor"]["contractor"]["id"]
        made = await gateway.ask(
            CREATE_ACCOUNT,
            input={"name": "A", "contractorId": id, "businessUnit": unit, "externalId": "accountExtId" + unit[-1]},
        )
        assert made.sound()["createAccount"]["userErrors"] == []
    return gateway


@pytest.mark.parametrize("moment_key", ["balanceAt", "updateAt"])
async def test_amlyze_batch_is_accepted_and_sent_twice_is_O005(two_units: Gateway, moment_key: str) -> None:  # noqa: N802
    first = (await two_units.ask(REGISTER, input=amlyze(moment_key))).sound()["registerBatchAccountBalances"]
    assert (first["acceptedCount"], first["rejectedCount"]) == (2, 0)
    assert first["results"][0]["balance"] == {
        "id": "balance_1",
        "amount": "11111111111",
        "equivalentValue": "33333",
        "balanceType": "DAILY_BALANCE",
        "timestamp": "2023-09-05T08:07:34.605Z",
        "requester": "financial_institution",
    }
    again = (await two_units.ask(REGISTER, input=amlyze(moment_key))).sound()["registerBatchAccountBalances"]
    assert [
        (
            result["resultType"],
            result["errorCode"],
            result["errorDescription"],
            result["sameContent"],
            result["balance"]["id"],
        )
        for result in again["results"]
    ] == [
        ("REQUEST_REJECTED", "O005", "CommunicationNumber already used", True, "balance_1"),
        ("REQUEST_REJECTED", "O005", "CommunicationNumber already used", True, "balance_2"),
    ]


async def test_a_batch_is_answered_item_by_item_with_the_first_code_that_applies(filled: Gateway) -> None:
    good = {
        "communicationNumber": "n",
        "requester": "r",
        "accountExtId": "EXT-1",
        "value": 1,
        "balanceAt": "2026-01-01T00:00:00Z",
    }
    items = [
        good,
        {**good, "value": "1.0"},
        {**good, "value": "2"},
        {**good, "communicationNumber": " "},
        {**good, "requester": "", "value": "0.00001"},
        {**good, "communicationNumber": "x", "balanceAt": None},
        {**good, "communicationNumber": "x" * 256},
        {**good, "communicationNumber": "a\nb"},
        {**good, "communicationNumber": "x", "value": "922337203685477.5808"},
        {**good, "communicationNumber": "x", "equivalentValue": "0.00001"},
        {**good, "communicationNumber": "x", "balanceAt": "2099-01-01T00:00:00Z"},
        {**good, "communicationNumber": "x", "businessUnit": "nowhere"},
        {**good, "communicationNumber": "x", "accountExtId": "EXT-2"},
        {**good, "communicationNumber": "x"},
    ]
    answer = (await filled.ask(REGISTER, input={"accountBalances": items})).sound()["registerBatchAccountBalances"]
    assert [
        (each["index"], each["errorCode"], each["errorField"], each["errorDescription"]) for each in answer["results"]
    ] == [
        (0, None, None, None),
        (1, "O005", "communicationNumber", "CommunicationNumber already used"),
        (2, "O005", "communicationNumber", "CommunicationNumber already used"),
        (3, "O001", "communicationNumber", "communicationNumber is mandatory"),
        (4, "O001", "requester", "requester is mandatory"),
        (5, "O001", "balanceAt", "balanceAt is mandatory"),
        (6, "G001", "communicationNumber", "communicationNumber must be a maximum of 255 characters in length"),
        (7, "G001", "communicationNumber", "communicationNumber has characters that are not allowed"),
        (8, "G002", "value", "value is out of range"),
        (9, "G002", "equivalentValue", "equivalentValue must have at most 4 decimal places"),
        (10, "G005", "balanceAt", "balanceAt is too far in the future"),
        (11, "G004", "businessUnit", "Business unit does not exist"),
        (12, "404", "accountExtId", "Account with given extId does not exist"),
        (13, None, None, None),
    ]
    assert [each["sameContent"] for each in answer["results"][1:3]] == [True, False]
    assert [each["balance"]["id"] for each in answer["results"][:3]] == ["balance_1", "balance_1", "balance_1"]
    assert sum(each["timeElapsedMs"] for each in answer["results"]) <= answer["timeElapsedMs"]


async def test_validating_a_batch_stores_nothing_and_takes_no_number(filled: Gateway) -> None:
    item = {
        "communicationNumber": "n",
        "requester": "r",
        "accountExtId": "EXT-1",
        "value": 1,
        "balanceAt": "2026-01-01T00:00:00Z",
    }
    validate = REGISTER.replace("mutation", "query").replace("registerBatch", "validateBatch")
    for _ in range(2):
        answer = (await filled.ask(validate, input={"accountBalances": [item, item]})).sound()
        results = answer["validateBatchAccountBalances"]["results"]
        assert [(each["errorCode"], each["balance"]) for each in results] == [(None, None), ("O005", None)]
    assert (await filled.ask("{ balances { totalCount } }")).sound() == {"balances": {"totalCount": 0}}


async def test_a_single_update_is_a_batch_of_one(filled: Gateway) -> None:
    answer = await filled.ask(
        """mutation ($input: AccountBalanceInput!) {
          updateAccountBalance(input: $input) { resultType index balance { amount } }
        }""",
        input={
            "communicationNumber": "n",
            "requester": "r",
            "accountExtId": "EXT-1",
            "value": "1.50",
            "updateAt": "2026-01-01T00:00:00Z",
        },
    )
    assert answer.sound()["updateAccountBalance"] == {
        "resultType": "REQUEST_ACCEPTED",
        "index": 0,
        "balance": {"amount": "1.5"},
    }


async def test_pismo_example_starts_with_the_next_closing_and_its_delay(filled: Gateway) -> None:
    filled.now = datetime(2023, 5, 1, 18, tzinfo=UTC)
    body = {"divisionCode": "my-division", "cycleClosingTime": "22:00:00", "cycleEventDelay": 10}
    answer = (await filled.ask(CREATE_CONFIG, input=body)).sound()["createAccountBalanceHistoryConfig"]
    assert answer["userErrors"] == []
    assert answer["balanceHistoryConfig"] == {
        "id": "history_config_1",
        "cycleClosingTime": "22:00:00",
        "cycleEventDelay": 10,
        "cycleConfigValidity": {"start": "2023-05-01T22:10:00Z", "end": None},
        "status": "PENDING",
    }


@pytest.mark.parametrize(
    ("change", "code", "message", "path", "documented"),
    [
        ({"divisionCode": ""}, "REQUIRED", "division_code is a required field", "divisionCode", "WCFG0002"),
        (
            {"divisionCode": "x" * 37},
            "TOO_LONG",
            "division_code must be a maximum of 36 characters in length",
            "divisionCode",
            "WCFG0002",
        ),
        (
            {"cycleClosingTime": ""},
            "REQUIRED",
            "cycle_closing_time is a required field",
            "cycleClosingTime",
            "WCFG0002",
        ),
        (
            {"cycleClosingTime": "022:00:00"},
            "TOO_LONG",
            "cycle_closing_time must be a maximum of 8 characters in length",
            "cycleClosingTime",
            "WCFG0002",
        ),
        (
            {"cycleClosingTime": "22:00"},
            "INVALID",
            "cycle_closing_time has an invalid time format: 22:00",
            "cycleClosingTime",
            "WCFG0002",
        ),
        (
            {"cycleEventDelay": 4},
            "OUT_OF_RANGE",
            "cycle_event_delay must be 5 or greater",
            "cycleEventDelay",
            "WCFG0002",
        ),
        (
            {"cycleEventDelay": 1440},
            "OUT_OF_RANGE",
            "cycle_event_delay must be 1,439 or less",
            "cycleEventDelay",
            "WCFG0002",
        ),
        ({"divisionCode": "other"}, "NOT_FOUND", "Division not found", "divisionCode", "WCFG0003"),
    ],
)
async def test_pismo_refusals_are_told_verbatim(
    filled: Gateway, change: dict[str, Any], code: str, message: str, path: str, documented: str
) -> None:
    body = {"divisionCode": "my-division", "cycleClosingTime": "22:00:00", "cycleEventDelay": 10, **change}
    answer = (await filled.ask(CREATE_CONFIG, input=body)).sound()["createAccountBalanceHistoryConfig"]
    assert answer == {
        "balanceHistoryConfig": None,
        "userErrors": [{"code": code, "message": message, "path": ["input", path], "documentedCode": documented}],
    }


async def test_a_division_is_configured_once(filled: Gateway) -> None:
    body = {"divisionCode": "my-division", "cycleClosingTime": "9:5:3", "cycleEventDelay": 5}
    first = (await filled.ask(CREATE_CONFIG, input=body)).sound()["createAccountBalanceHistoryConfig"]
    assert first["balanceHistoryConfig"]["cycleClosingTime"] == "09:05:03"
    again = (await filled.ask(CREATE_CONFIG, input=body)).sound()["createAccountBalanceHistoryConfig"]
    assert again["userErrors"] == [
        {
            "code": "CONFLICT",
            "message": "Division already configured",
            "path": ["input", "divisionCode"],
            "documentedCode": "WCFG0004",
        }
    ]


async def test_a_pending_configuration_is_replaced_in_place(filled: Gateway) -> None:
    filled.now = datetime(2023, 5, 1, 18, tzinfo=UTC)
    await filled.ask(
        CREATE_CONFIG, input={"divisionCode": "my-division", "cycleClosingTime": "22:00:00", "cycleEventDelay": 10}
    )
    filled.now = datetime(2023, 5, 1, 22, 10, tzinfo=UTC)
    answer = await filled.ask(UPDATE_CONFIG, code="my-division", input={"cycleClosingTime": "23:00:00"})
    assert answer.sound()["updateAccountBalanceHistoryConfig"]["balanceHistoryConfig"] == {
        "cycleClosingTime": "23:00:00",
        "cycleEventDelay": 10,
        "cycleConfigValidity": {"start": "2023-05-01T22:10:00Z", "end": None},
        "status": "IN_FORCE",
    }


async def test_a_running_configuration_is_followed_after_the_second_next_closing(filled: Gateway) -> None:
    filled.now = datetime(2023, 4, 1, tzinfo=UTC)
    await filled.ask(
        CREATE_CONFIG, input={"divisionCode": "my-division", "cycleClosingTime": "22:00:00", "cycleEventDelay": 10}
    )
    filled.now = datetime(2023, 5, 1, 18, tzinfo=UTC)
    answer = await filled.ask(UPDATE_CONFIG, code="my-division", input={"cycleEventDelay": 30})
    assert answer.sound()["updateAccountBalanceHistoryConfig"]["balanceHistoryConfig"] == {
        "cycleClosingTime": "22:00:00",
        "cycleEventDelay": 30,
        "cycleConfigValidity": {"start": "2023-05-02T22:30:00Z", "end": None},
        "status": "PENDING",
    }
    division = await filled.ask(
        """{ division(code: "my-division") {
          nextClosingAt
          balanceHistoryConfig { cycleEventDelay cycleConfigValidity { end } }
          pendingBalanceHistoryConfig { cycleEventDelay }
          balanceHistoryConfigs { totalCount nodes { cycleEventDelay status } }
        } }"""
    )
    assert division.sound()["division"] == {
        "nextClosingAt": "2023-05-01T22:00:00Z",
        "balanceHistoryConfig": {"cycleEventDelay": 10, "cycleConfigValidity": {"end": "2023-05-02T22:30:00Z"}},
        "pendingBalanceHistoryConfig": {"cycleEventDelay": 30},
        "balanceHistoryConfigs": {
            "totalCount": 2,
            "nodes": [{"cycleEventDelay": 30, "status": "PENDING"}, {"cycleEventDelay": 10, "status": "IN_FORCE"}],
        },
    }


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (
            "my-division",
            {},
            ("REQUIRED", "cycle_closing_time or cycle_event_delay params must be provided", ["input"], "WCFG0002"),
        ),
        (
            "my-division",
            {"cycleEventDelay": 9},
            ("NOT_FOUND", "Account balance history config not found", ["divisionCode"], "WCFG0005"),
        ),
        ("other", {"cycleEventDelay": 9}, ("NOT_FOUND", "Division not found", ["divisionCode"], "WCFG0003")),
    ],
)
async def test_updates_of_nothing_are_refused(
    filled: Gateway, code: str, body: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    answer = (await filled.ask(UPDATE_CONFIG, code=code, input=body)).sound()["updateAccountBalanceHistoryConfig"]
    assert [tuple(error.values()) for error in answer["userErrors"]] == [expected]


async def test_yeti_example_comes_back_as_sent(filled: Gateway) -> None:
    body = {
        "name": "name",
        "minBalance": 1,
        "maxBalance": 10,
        "vat": 11,
        "originationCapacity": 100,
        "terminationCapacity": 110,
        "totalCapacity": 100,
        "balanceLowThreshold": 90,
        "balanceHighThreshold": 95,
        "sendBalanceNotificationsTo": ["contact_1"],
        "timezone": "Europe/Kyiv",
        "contractorId": "contractor_1",
    }
    answer = (await filled.ask(CREATE_ACCOUNT, input=body)).sound()["createAccount"]
    assert answer["userErrors"] == []
    account = answer["account"]
    assert len(account.pop("uuid")) == 36
    assert account == {
        "id": "account_2",
        "name": "name",
        "externalId": None,
        "businessUnit": "default",
        "balance": "0",
        "minBalance": "1",
        "maxBalance": "10",
        "vat": "11",
        "originationCapacity": 100,
        "terminationCapacity": 110,
        "totalCapacity": 100,
        "balanceLowThreshold": "90",
        "balanceHighThreshold": "95",
        "sendBalanceNotificationsTo": [{"id": "contact_1"}],
        "sendInvoicesTo": [],
        "timezone": "Europe/Kyiv",
        "contractor": {"id": "contractor_1"},
        "invoicePeriod": None,
        "invoiceTemplate": None,
        "thresholdState": "NONE",
        "currency": {"code": "EUR"},
        "destinationRateLimit": None,
        "maxCallDuration": None,
        "currentBalance": None,
    }


async def test_all_rules_of_an_account_are_told_at_once(filled: Gateway) -> None:
    body = {
        "name": " ",
        "contractorId": "contractor_9",
        "minBalance": 1,
        "vat": "100.5",
        "balanceLowThreshold": 5,
        "balanceHighThreshold": 5,
        "originationCapacity": 0,
        "totalCapacity": 32768,
        "destinationRateLimit": -1,
        "maxCallDuration": 0,
        "externalId": "EXT-1",
        "timezone": "Europe/Nowhere",
        "divisionCode": "nowhere",
        "sendInvoicesTo": ["contact_9"],
    }
    answer = (await filled.ask(CREATE_ACCOUNT, input=body)).sound()["createAccount"]
    assert answer["account"] is None
    assert {(error["path"][-1], error["code"], error["message"]) for error in answer["userErrors"]} == {
        ("name", "REQUIRED", "can't be blank"),
        ("contractorId", "NOT_FOUND", "must exist"),
        ("maxBalance", "OUT_OF_RANGE", "must be greater than or equal to 1"),
        ("vat", "OUT_OF_RANGE", "must be less than or equal to 100"),
        ("balanceLowThreshold", "OUT_OF_RANGE", "must be less than balance high threshold"),
        ("originationCapacity", "OUT_OF_RANGE", "must be greater than 0"),
        ("totalCapacity", "OUT_OF_RANGE", "must be less than or equal to 32767"),
        ("destinationRateLimit", "OUT_OF_RANGE", "must be greater than or equal to 0"),
        ("maxCallDuration", "OUT_OF_RANGE", "must be greater than 0"),
        ("externalId", "TAKEN", "has already been taken"),
        ("timezone", "INVALID", "Europe/Nowhere is not a valid timezone"),
        ("divisionCode", "NOT_FOUND", "must exist"),
        ("sendInvoicesTo", "NOT_FOUND", "contact_9 must exist"),
    }
    assert (await filled.ask("{ accounts { totalCount } }")).sound() == {"accounts": {"totalCount": 1}}


UPDATE_ACCOUNT = """mutation ($id: ID!, $input: UpdateAccountInput!) {
  updateAccount(id: $id, input: $input) {
    account { name externalId balanceLowThreshold vat thresholdState updatedAt createdAt division { code } }
    userErrors { code message path documentedCode }
  }
}"""


async def test_an_update_leaves_what_is_absent_and_clears_what_is_null(filled: Gateway) -> None:
    await filled.ask(UPDATE_ACCOUNT, id="account_1", input={"balanceLowThreshold": "7.5", "vat": 5})
    answer = await filled.ask(
        UPDATE_ACCOUNT, id="account_1", input={"externalId": None, "divisionCode": None, "name": "New"}
    )
    account = answer.sound()["updateAccount"]["account"]
    assert (
        account["name"],
        account["externalId"],
        account["balanceLowThreshold"],
        account["vat"],
        account["division"],
    ) == (
        "New",
        None,
        "7.5",
        "5",
        None,
    )


async def test_what_every_account_has_can_not_be_cleared(filled: Gateway) -> None:
    body = dict.fromkeys(("name", "contractorId", "minBalance", "maxBalance", "vat", "timezone"))
    answer = (await filled.ask(UPDATE_ACCOUNT, id="account_1", input=body)).sound()["updateAccount"]
    assert {(error["path"][-1], error["code"]) for error in answer["userErrors"]} == {(key, "REQUIRED") for key in body}


async def test_the_rules_hold_for_the_account_as_it_would_be(filled: Gateway) -> None:
    answer = (await filled.ask(UPDATE_ACCOUNT, id="account_1", input={"minBalance": 5})).sound()["updateAccount"]
    assert [(error["path"], error["message"]) for error in answer["userErrors"]] == [
        (["input", "maxBalance"], "must be greater than or equal to 5")
    ]


async def test_thresholds_follow_the_balance_and_the_bounds(filled: Gateway) -> None:
    entry = {"amount": 10, "timestamp": "2026-01-01T00:00:00Z", "currency": {"code": "EUR"}}
    first = await filled.ask(
        UPDATE_ACCOUNT, id="account_1", input={"balanceLowThreshold": 10, "balanceHighThreshold": 20}
    )
    assert first.sound()["updateAccount"]["account"]["thresholdState"] == "NONE"
    states = []
    for amount, day in ((10, 1), ("9.9999", 2), (10, 3), (21, 4), (20, 5)):
        body = {**entry, "amount": amount, "timestamp": f"2026-01-0{day}T00:00:00Z"}
        answer = await filled.ask(
            CREATE_BALANCE.replace("account { balance }", "account { thresholdState }"), id="account_1", input=body
        )
        states.append(answer.sound()["createBankAccountBalance"]["balance"]["account"]["thresholdState"])
    assert states == ["NONE", "LOW", "NONE", "HIGH", "NONE"]
    changed = await filled.ask(UPDATE_ACCOUNT, id="account_1", input={"balanceHighThreshold": 19})
    assert changed.sound()["updateAccount"]["account"]["thresholdState"] == "HIGH"
    cleared = await filled.ask(UPDATE_ACCOUNT, id="account_1", input={"balanceHighThreshold": None})
    assert cleared.sound()["updateAccount"]["account"]["thresholdState"] == "NONE"
