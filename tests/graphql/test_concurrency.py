"""Many at once leave exactly what they were told."""

import asyncio
from typing import Any

from tests.asking import Gateway

CORRECT = """mutation { correctAccountBalance(accountId: "account_1", input: {amount: "0.01"}) {
  balance { amount } userErrors { message }
} }"""
REGISTER = """mutation ($input: BatchAccountBalancesInput!) {
  registerBatchAccountBalances(input: $input) { results { errorCode communicationNumber } }
}"""
ADD = """mutation ($amount: Decimal!, $at: DateTime!) {
  createBankAccountBalance(
    bankAccountId: "account_1", input: {amount: $amount, timestamp: $at, currency: {code: "EUR"}}
  ) {
    balance { id } userErrors { message }
  }
}"""
CREATE = """mutation ($name: String!) {
  createAccount(input: {name: $name, contractorId: "contractor_1"}) { account { id } userErrors { code path } }
}"""


async def test_a_hundred_corrections_at_once_add_up(filled: Gateway) -> None:
    answers = await asyncio.gather(*(filled.ask(CORRECT) for _ in range(100)))
    amounts = {answer.sound()["correctAccountBalance"]["balance"]["amount"] for answer in answers}
    assert len(amounts) == 100
    account = (await filled.ask('{ account(id: "account_1") { balance balances { totalCount } } }')).sound()["account"]
    assert account == {"balance": "1", "balances": {"totalCount": 100}}


async def test_64_balances_at_once_are_all_recorded_and_the_latest_is_current(filled: Gateway) -> None:
    at = [f"2026-01-01T00:{minute:02d}:00Z" for minute in range(60)]
    answers = await asyncio.gather(*(filled.ask(ADD, amount=n, at=at[n % 60]) for n in range(64)))
    assert all(answer.sound()["createBankAccountBalance"]["userErrors"] == [] for answer in answers)
    account = await filled.ask('{ account(id: "account_1") { balance balances { totalCount } } }')
    assert account.sound()["account"] == {"balance": "59", "balances": {"totalCount": 64}}


async def test_64_batches_at_once_accept_each_number_once(filled: Gateway) -> None:
    def batch(offset: int) -> dict[str, Any]:
        # Overlapping numbers in opposite orders: the shape of a deadlock.
        numbers = range(20) if offset % 2 else reversed(range(20))
        item = {"accountExtId": "EXT-1", "requester": "r", "value": 1, "balanceAt": "2026-01-01T00:00:00Z"}
        return {"accountBalances": [{**item, "communicationNumber": f"n{number}"} for number in numbers]}

    answers = await asyncio.gather(*(filled.ask(REGISTER, input=batch(n)) for n in range(64)))
    results = [result for answer in answers for result in answer.sound()["registerBatchAccountBalances"]["results"]]
    accepted = [result["communicationNumber"] for result in results if result["errorCode"] is None]
    assert sorted(accepted) == sorted(f"n{number}" for number in range(20))
    assert {result["errorCode"] for result in results} == {None, "O005"}
    assert (await filled.ask("{ balances { totalCount } }")).sound() == {"balances": {"totalCount": 20}}


async def test_64_creations_of_one_name_give_one_account(filled: Gateway) -> None:
    answers = await asyncio.gather(*(filled.ask(CREATE, name="Same") for _ in range(64)))
    made = [answer.sound()["createAccount"] for answer in answers]
    assert sum(each["account"] is not None for each in made) == 1
    refused = [each["userErrors"] for each in made if each["account"] is None]
    assert refused == [[{"code": "TAKEN", "path": ["input", "name"]}]] * 63


async def test_64_first_contractors_bring_one_business_unit_into_being(gateway: Gateway) -> None:
    create = (
        'mutation { createContractor(input: {name: "C", isVendor: true, businessUnit: "new"}) { contractor { id } } }'
    )
    answers = await asyncio.gather(*(gateway.ask(create) for _ in range(64)))
    ids = {answer.sound()["createContractor"]["contractor"]["id"] for answer in answers}
    assert len(ids) == 64
    assert (await gateway.ask("{ viewer { businessUnits } }")).sound() == {"viewer": {"businessUnits": ["new"]}}


async def test_64_configurations_of_a_division_give_one(filled: Gateway) -> None:
    create = """mutation { createAccountBalanceHistoryConfig(
      input: {divisionCode: "my-division", cycleClosingTime: "22:00:00", cycleEventDelay: 5}
    ) { balanceHistoryConfig { id } userErrors { documentedCode } } }"""
    answers = await asyncio.gather(*(filled.ask(create) for _ in range(64)))
    made = [answer.sound()["createAccountBalanceHistoryConfig"] for answer in answers]
    assert sorted(len(each["userErrors"]) for each in made) == [0] + [1] * 63


async def test_64_updates_of_one_account_leave_the_last_and_lose_no_other_field(filled: Gateway) -> None:
    update = """mutation ($input: UpdateAccountInput!) { updateAccount(id: "account_1", input: $input) {
      account { vat totalCapacity } userErrors { message }
    } }"""
    bodies = [{"vat": n} if n % 2 else {"totalCapacity": n + 1} for n in range(64)]
    answers = await asyncio.gather(*(filled.ask(update, input=body) for body in bodies))
    assert all(answer.sound()["updateAccount"]["userErrors"] == [] for answer in answers)
    account = (await filled.ask('{ account(id: "account_1") { vat totalCapacity name } }')).sound()["account"]
    assert int(account["vat"]) % 2 == 1
    assert account["totalCapacity"] % 2 == 1
    assert account["name"] == "Main"


async def test_64_singles_with_one_number_record_one(filled: Gateway) -> None:
    item = {
        "accountExtId": "EXT-1",
        "communicationNumber": "n",
        "requester": "r",
        "value": 1,
        "balanceAt": "2026-01-01T00:00:00Z",
    }
    single = (
        "mutation ($input: AccountBalanceInput!) { updateAccountBalance(input: $input) { errorCode balance { id } } }"
    )
    answers = await asyncio.gather(*(filled.ask(single, input=item) for _ in range(64)))
    told = [answer.sound()["updateAccountBalance"] for answer in answers]
    assert sorted(str(each["errorCode"]) for each in told) == ["None"] + ["O005"] * 63
    assert len({each["balance"]["id"] for each in told}) == 1


async def test_64_creations_of_everything_else_at_once(filled: Gateway) -> None:
    create = """mutation ($code: String!, $email: String!) {
      createDivision(input: {code: $code}) { division { id } userErrors { code documentedCode } }
      createContact(input: {contractorId: "contractor_1", email: $email}) { contact { id } }
      createInvoiceTemplate(input: {name: $code}) { invoiceTemplate { id } }
    }"""
    given = [{"code": f"D{n // 2}", "email": f"{n}@acme.example"} for n in range(64)]
    answers = [answer.sound() for answer in await asyncio.gather(*(filled.ask(create, **each) for each in given))]
    refused = [each["createDivision"]["userErrors"] for each in answers if each["createDivision"]["division"] is None]
    assert refused == [[{"code": "TAKEN", "documentedCode": "WDIV0016"}]] * 32
    counted = await filled.ask(
        """{ divisions { totalCount } invoiceTemplates { totalCount }
          contractors { nodes { contacts { totalCount } } } }"""
    )
    assert counted.sound() == {
        "divisions": {"totalCount": 33},
        "invoiceTemplates": {"totalCount": 64},
        "contractors": {"nodes": [{"contacts": {"totalCount": 65}}]},
    }
