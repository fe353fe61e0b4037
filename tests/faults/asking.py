"""A client over HTTP that knows of faults: it tells an answer from none."""

import http.client
import json
from typing import Any, NamedTuple

from tests.servers import GatewayProcess

SECONDS = 30

Item = dict[str, Any]
"""An AccountBalanceInput, as it is sent."""

SETUP = """mutation {
  createContractor(input: {name: "Acme", isCustomer: true}) { contractor { id } }
  createAccount(input: {name: "Main", contractorId: "contractor_1", externalId: "EXT", balanceHighThreshold: 5}) {
    account { id } userErrors { message } } }"""
REGISTER = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) {
    timeElapsedMs results { errorCode communicationNumber sameContent balance { id amount } }
  }
}"""
READ = '{ account(id: "account_1") { balance balances { totalCount } } }'


class Told(NamedTuple):
    """An answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def results(self) -> list[Any]:
        found: list[Any] = self.body["data"]["registerBatchAccountBalances"]["results"]
        return found

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in self.body.get("errors", [])]


def asked(gateway: GatewayProcess, query: str, key: str | None = None, **variables: Any) -> Told | None:
    """The answer; None where the connection broke before it was whole."""
    headers = {"Content-Type": "application/json", **({} if key is None else {"Idempotency-Key": key})}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=SECONDS)
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query, "variables": variables}), headers)
        with connection.getresponse() as response:
            told = {name.lower(): value for name, value in response.getheaders()}
            return Told(response.status, told, json.loads(response.read()))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def items(prefix: str, count: int) -> list[Item]:
    """A batch: amounts 0, 1, 2, … a minute apart."""
    return [
        {
            "accountExtId": "EXT",
            "communicationNumber": f"{prefix}-{number}",
            "requester": "r",
            "value": number,
            "balanceAt": f"2026-02-01T00:{number:02d}:00Z",
        }
        for number in range(count)
    ]


def numbered(batch: list[Item]) -> dict[str, Item]:
    return {item["communicationNumber"]: item for item in batch}
