"""Balances that come at the same time share a statement, and nothing else: each is judged and answered by itself."""

import asyncio
from typing import Any

import asyncpg
import pytest

from app.domain.refusals import Code, Refusal
from tests.asking import Gateway, a_caller

ADD = """mutation ($id: ID!, $amount: Decimal!, $at: DateTime!, $currency: String = "EUR") {
  createBankAccountBalance(
    bankAccountId: $id, input: {amount: $amount, timestamp: $at, currency: {code: $currency}}
  ) { balance { id amount } userErrors { code } }
}"""
CORRECT = """mutation ($id: ID!, $amount: Decimal!) { correctAccountBalance(accountId: $id, input: {amount: $amount}) {
  balance { amount requester } userErrors { code }
} }"""
CREATE = """mutation ($name: String!, $thresholds: Decimal) { createAccount(
  input: {name: $name, contractorId: "contractor_1", balanceHighThreshold: $thresholds}
) { account { id } userErrors { message } } }"""
CONTRACTOR = 'mutation { createContractor(input: {name: "Acme", isCustomer: true}) { contractor { id } } }'
AT = "2026-01-01T00:00:00Z"


async def accounts(gateway: Gateway, *more: dict[str, Any]) -> list[str]:
    made = [await gateway.ask(CREATE, name=f"account {n}", **each) for n, each in enumerate(more)]
    return [each.sound()["createAccount"]["account"]["id"] for each in made]


async def test_sixty_at_once_need_few_statements(filled: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = ["account_1", *await accounts(filled, *[{}] * 9)]
    recorded = 0
    record = filled.store.record_as_seen

    async def counted(*given: Any, **more: Any) -> Any:
        nonlocal recorded
        recorded += 1
        return await record(*given, **more)

    monkeypatch.setattr(filled.store, "record_as_seen", counted)
    answers = await asyncio.gather(*(filled.ask(ADD, id=ids[n % 10], amount=n, at=AT) for n in range(60)))
    made = [each.sound()["createBankAccountBalance"] for each in answers]
    assert [each["balance"]["amount"] for each in made] == [str(n) for n in range(60)]
    assert len({each["balance"]["id"] for each in made}) == 60
    if filled.store.records_as_seen:
        assert 1 <= recorded <= 5
    current = await filled.ask("{ accounts { nodes { id balance balances { totalCount } } } }")
    told = {each["id"]: each for each in current.sound()["accounts"]["nodes"]}
    # Of equal moments the last recorded is current.
    assert [told[id] for id in ids] == [
        {"id": id, "balance": str(50 + n), "balances": {"totalCount": 6}} for n, id in enumerate(ids)
    ]


async def test_each_of_those_that_come_together_is_judged_by_itself(filled: Gateway) -> None:
    (watched,) = await accounts(filled, {"thresholds": "10"})
    mine, other = a_caller("default", subject="mine"), a_caller("elsewhere", subject="other")
    good, late, unknown, foreign, crossing, after, money, corrected = await asyncio.gather(
        filled.ask(ADD, id="account_1", amount=1, at=AT, caller=mine),
        filled.ask(ADD, id="account_1", amount=2, at="2999-01-01T00:00:00Z"),
        filled.ask(ADD, id="account_999", amount=3, at=AT),
        filled.ask(ADD, id="account_1", amount=4, at=AT, caller=other),
        filled.ask(ADD, id=watched, amount=11, at=AT),
        filled.ask(CORRECT, id=watched, amount="0.5"),
        filled.ask(ADD, id="account_1", amount=5, at=AT, currency="XXY"),
        filled.ask(CORRECT, id="account_1", amount="0.25"),
    )
    assert good.sound()["createBankAccountBalance"]["balance"]["amount"] == "1"
    codes = [
        [error["code"] for error in each.sound()["createBankAccountBalance"]["userErrors"]]
        for each in (late, unknown, foreign, money)
    ]
    assert codes == [["OUT_OF_RANGE"], ["NOT_FOUND"], ["NOT_FOUND"], ["INVALID"]]
    assert crossing.sound()["createBankAccountBalance"]["userErrors"] == []
    assert after.sound()["correctAccountBalance"]["userErrors"] == []
    assert corrected.sound()["correctAccountBalance"]["balance"]["amount"] == "1.25"
    told = await filled.ask(
        """query ($id: ID!) { account(id: "account_1") { balance balances { nodes { recordedBy } } }
          watched: account(id: $id) { balance } }""",
        id=watched,
    )
    account = told.sound()["account"]
    assert account["balance"] == "1.25"
    assert sorted(each["recordedBy"] for each in account["balances"]["nodes"]) == ["local", "mine"]


async def test_an_account_that_stands_otherwise_by_now_keeps_back_no_other(filled: Gateway) -> None:
    """Another process has written to it since this one saw it."""
    (second,) = await accounts(filled, {})
    for id in ("account_1", second):
        (await filled.ask(ADD, id=id, amount=1, at=AT)).sound()
    url = filled.store.engines[1].url.render_as_string(hide_password=False)
    elsewhere = Gateway(url)
    (await elsewhere.ask(ADD, id=second, amount=100, at=AT)).sound()
    await elsewhere.store.close()
    answers = await asyncio.gather(*(filled.ask(CORRECT, id=id, amount=1) for id in ("account_1", second) * 3))
    amounts = [each.sound()["correctAccountBalance"]["balance"]["amount"] for each in answers]
    assert sorted(map(int, amounts)) == [2, 3, 4, 101, 102, 103]


async def test_all_of_a_group_are_told_that_their_outcome_is_unknown(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    (await filled.ask(ADD, id="account_1", amount=1, at=AT)).sound()

    async def lost(*_given: Any, **_more: Any) -> Any:
        raise Refusal(Code.UNAVAILABLE, "The outcome is unknown.")

    for name in ("work", "record_as_seen"):  # Whichever of them does it.
        monkeypatch.setattr(filled.store, name, lost)
    answers = await asyncio.gather(*(filled.ask(ADD, id="account_1", amount=n, at=AT) for n in range(3)))
    assert [each.codes for each in answers] == [["UNAVAILABLE"]] * 3
    assert {error["message"] for each in answers for error in each.errors} == {"The outcome is unknown."}


@pytest.mark.parametrize("others", [0, 2])
async def test_who_waited_for_a_lock_writes_by_what_the_locked_row_says_then(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    """Alone, and with entries of accounts that stand as they were seen."""
    gateway = Gateway(postgresql_url)
    made = await gateway.ask(CONTRACTOR)
    assert not made.errors
    ids = await accounts(gateway, *[{}] * (others + 1))
    for id in ids:
        (await gateway.ask(ADD, id=id, amount=1, at=AT)).sound()
    noted = []
    record = gateway.store.record_as_seen

    async def noting(*given: Any, **more: Any) -> Any:
        recorded = await record(*given, **more)
        noted.append(recorded if recorded is None else [each is not None for each in recorded])
        return recorded

    monkeypatch.setattr(gateway.store, "record_as_seen", noting)
    other = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    watcher = await asyncpg.connect(postgresql_url.replace("+asyncpg", ""))
    writing = other.transaction()
    await writing.start()
    await other.execute("UPDATE positions SET high_threshold = 15 * 10000 WHERE account_id = 1")
    asking = [asyncio.create_task(gateway.ask(CORRECT, id=id, amount=9)) for id in ids]
    while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - another process tells.
        await asyncio.sleep(0)
    await writing.commit()
    answers = [each.sound()["correctAccountBalance"] for each in await asyncio.gather(*asking)]
    assert [each["balance"]["amount"] for each in answers] == ["10"] * (others + 1)
    assert noted == [[False, *[True] * others]]
    await asyncio.gather(*(gateway.ask(CORRECT, id=id, amount=9) for id in ids))
    state = await gateway.ask("query ($id: ID!) { account(id: $id) { balance thresholdState } }", id=ids[0])
    assert state.sound()["account"] == {"balance": "19", "thresholdState": "HIGH"}
    for each in (other, watcher):
        await each.close()
    await gateway.store.close()


async def test_an_account_that_crossed_a_threshold_is_written_to_as_seen_again(
    filled: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    (watched,) = await accounts(filled, {"thresholds": "10"})
    works = 0
    work = filled.store.work

    async def counted(*given: Any) -> Any:
        nonlocal works
        works += 1
        return await work(*given)

    monkeypatch.setattr(filled.store, "work", counted)
    item = {"accountExtId": "EXT-9", "requester": "r", "balanceAt": AT}
    update = (
        "mutation ($id: ID!, $input: UpdateAccountInput!) { updateAccount(id: $id, input: $input) { account { id } } }"
    )
    (await filled.ask(update, id=watched, input={"externalId": "EXT-9"})).sound()
    works = 0
    for amount in (1, 11, 12, 13):
        (await filled.ask(ADD, id=watched, amount=amount, at=AT)).sound()
    batch = """mutation ($input: BatchAccountBalancesInput!) {
      registerBatchAccountBalances(input: $input) { acceptedCount } }"""
    for number, value in enumerate((1, 2, 3)):
        items = [{**item, "communicationNumber": f"n{number}", "value": value}]
        assert (await filled.ask(batch, input={"accountBalances": items})).sound()["registerBatchAccountBalances"] == {
            "acceptedCount": 1
        }
    # Each time that a threshold is crossed, and no more.
    assert works == (2 if filled.store.records_as_seen else 7)
