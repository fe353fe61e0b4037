"""What a question costs the database: a constant, small number of statements, whatever the size of the page."""

import pytest

from tests.asking import Gateway

SCREEN = """query ($first: Int!) {
  accounts(first: $first) {
    nodes {
      name currency { code } currentBalance { amount timestamp }
      balances(first: 10) { nodes { amount timestamp } }
      contractor { name contacts { nodes { email } } } division { code timezone }
      sendInvoicesTo { email } sendBalanceNotificationsTo { email }
    }
  }
}"""


@pytest.fixture
async def fifty(filled: Gateway) -> Gateway:
    """50 more accounts with 3 entries each."""
    create = """mutation ($input: CreateAccountInput!) { createAccount(input: $input) { userErrors { message } } }"""
    for number in range(50):
        body = {
            "name": f"A{number}",
            "contractorId": "contractor_1",
            "divisionCode": "my-division",
            "externalId": f"A-{number}",
            "sendInvoicesTo": ["contact_1"],
        }
        await filled.ask(create, input=body)
    items = [
        {
            "accountExtId": f"A-{number}",
            "communicationNumber": f"{number}-{day}",
            "requester": "r",
            "value": number,
            "balanceAt": f"2026-01-0{day}T00:00:00Z",
        }
        for number in range(50)
        for day in (1, 2, 3)
    ]
    register = """mutation ($input: BatchAccountBalancesInput!) {
      registerBatchAccountBalances(input: $input) { acceptedCount }
    }"""
    answer = await filled.ask(register, input={"accountBalances": items})
    assert answer.sound()["registerBatchAccountBalances"]["acceptedCount"] == 150
    return filled


@pytest.mark.parametrize("first", [1, 10, 51])
async def test_a_screen_of_accounts_costs_seven_statements(fifty: Gateway, first: int) -> None:
    with fifty.statements() as statements:
        answer = await fifty.ask(SCREEN, first=first)
    assert len(answer.sound()["accounts"]["nodes"]) == first
    # Accounts; their current entries, last entries, contractors, divisions, contacts; the contractors' contacts. The
    # first account has neither entry nor contact.
    assert len(statements) <= 7


async def test_two_aliases_of_a_connection_have_their_own_rows(fifty: Gateway) -> None:
    answer = await fifty.ask(
        """{ accounts(first: 1, filter: {externalId: {eq: "A-7"}}) { nodes {
          newest: balances(first: 1) { nodes { timestamp } }
          oldest: balances(first: 1, orderBy: {field: TIMESTAMP}) { nodes { timestamp } totalCount }
        } } }"""
    )
    assert answer.sound()["accounts"]["nodes"] == [
        {
            "newest": {"nodes": [{"timestamp": "2026-01-03T00:00:00Z"}]},
            "oldest": {"nodes": [{"timestamp": "2026-01-01T00:00:00Z"}], "totalCount": 3},
        }
    ]


async def test_counts_and_totals_are_read_only_when_asked_for(fifty: Gateway) -> None:
    with fifty.statements() as statements:
        await fifty.ask("{ accounts(first: 5) { nodes { id } pageInfo { hasNextPage endCursor } edges { cursor } } }")
    assert len(statements) == 1
    with fifty.statements() as statements:
        answer = await fifty.ask("{ accounts(first: 0) { totalCount totals { accountCount } } }")
    assert answer.sound()["accounts"] == {"totalCount": 51, "totals": [{"accountCount": 51}]}
    assert len(statements) == 1


async def test_every_statement_for_a_caller_with_one_unit_names_its_units(fifty: Gateway) -> None:
    from tests.asking import a_caller  # noqa: PLC0415 - used here alone.

    with fifty.statements() as statements:
        answer = await fifty.ask(SCREEN, first=50, caller=a_caller("default"))
    assert len(answer.sound()["accounts"]["nodes"]) == 50
    assert all("units" in statement for statement in statements), statements


@pytest.mark.parametrize(("field", "is_walked"), [("TIMESTAMP", True), ("RECORDED_AT", True), ("AMOUNT", False)])
async def test_what_no_index_orders_is_looked_at_once_for_all_units(
    fifty: Gateway, field: str, *, is_walked: bool
) -> None:
    """Unit by unit, each would look at all entries."""
    with fifty.statements() as statements:
        answer = await fifty.ask(f"{{ balances(first: 3, orderBy: {{field: {field}}}) {{ nodes {{ id }} }} }}")
    assert len(answer.sound()["balances"]["nodes"]) == 3
    assert ["each_unit" in statement for statement in statements] == [is_walked]
