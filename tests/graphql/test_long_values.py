"""Values that are longer than a database takes parameters, or than any number is."""

import pytest

from tests.asking import Gateway
from tests.faults.asking import SETUP

PARAMETERS_MAX = 65_535
"""How many parameters PostgreSQL's protocol has room for; SQLite takes fewer."""

LONG_LISTS = {
    "names": ("query ($of: [String!]) { it: accounts(filter: {name: {in: $of}}) { totalCount } }", "Main"),
    "no names": ("query ($of: [String!]) { it: accounts(filter: {name: {notIn: $of}}) { totalCount } }", "Other"),
    "ids": ("query ($of: [ID!]) { it: balances(filter: {accountIds: $of}) { totalCount } }", "account_1"),
}


@pytest.mark.parametrize("plans", [True, False], ids=["by plans", "by resolvers"])
@pytest.mark.parametrize("asked", LONG_LISTS)
async def test_a_list_may_be_longer_than_parameters_are_many(database_url: str, asked: str, *, plans: bool) -> None:
    """L05: the one that counts comes last."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    balance = """mutation { createBankAccountBalance(bankAccountId: "account_1", input: {amount: 4,
      timestamp: "2026-02-01T00:00:00Z", currency: {code: "EUR"}}) { userErrors { message } } }"""
    (await gateway.ask(balance)).sound()
    if not plans:
        gateway._run._plans = None
    document, last = LONG_LISTS[asked]
    others = [f"account_{number}" for number in range(2, PARAMETERS_MAX + 3)]
    assert (await gateway.ask(document, of=[*others, last])).sound() == {"it": {"totalCount": 1}}
    assert (await gateway.ask(document, of=others)).sound() == {"it": {"totalCount": int(asked == "no names")}}
    await gateway.store.close()


@pytest.mark.parametrize("digits", ["9" * 100_000, "0." + "1" * 100_000, "-" + "0" * 100_000 + "1"])
async def test_a_number_of_a_hundred_thousand_digits_is_refused_and_not_repeated(
    database_url: str, digits: str
) -> None:
    """E11."""
    gateway = Gateway(database_url)
    (await gateway.ask(SETUP)).sound()
    correct = """mutation ($amount: Decimal!) {
      correctAccountBalance(accountId: "account_1", input: {amount: $amount}) { userErrors { message } } }"""
    answer = await gateway.ask(correct, amount=digits)
    assert (answer.data, answer.codes) == (None, ["BAD_REQUEST"])
    assert digits[:100] not in str(answer.body)
    assert (await gateway.ask("{ balances { totalCount } }")).sound() == {"balances": {"totalCount": 0}}
    await gateway.store.close()
