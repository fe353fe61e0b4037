"""A gateway with a little in it."""

from collections.abc import AsyncIterator

import pytest

from tests.asking import Gateway


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(database_url)
    yield gateway
    await gateway.store.close()


@pytest.fixture
async def filled(gateway: Gateway) -> Gateway:
    """One contractor with a contact, one division and one account in the unit "default"."""
    made = await gateway.ask(
        """mutation {
          createContractor(input: {name: "Acme", isCustomer: true}) { contractor { id } }
          createContact(input: {contractorId: "contractor_1", email: "treasury@acme.example"}) { contact { id } }
          createDivision(input: {code: "my-division"}) { division { id } }
          createAccount(
            input: {name: "Main", contractorId: "contractor_1", externalId: "EXT-1", divisionCode: "my-division"}
          ) { account { id } userErrors { message } }
        }"""
    )
    assert made.sound()["createAccount"]["account"] == {"id": "account_1"}
    return gateway
