"""Batches that one statement of PostgreSQL decides, beside those that are decided in Python, under locks."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.refusals import Code, Refusal
from app.store import standing
from tests.asking import Gateway
from tests.databases import Databases

CREATE = """mutation ($name: String!, $low: Decimal, $high: Decimal) { createAccount(input: {
  name: $name, externalId: $name, contractorId: "contractor_1", balanceLowThreshold: $low, balanceHighThreshold: $high
}) { account { id } userErrors { message } } }"""
CONTRACTOR = 'mutation { createContractor(input: {name: "Acme", isCustomer: true}) { contractor { id } } }'
CONTRACTOR_ELSEWHERE = """mutation {
  createContractor(input: {name: "Else", businessUnit: "elsewhere", isVendor: true}) { contractor { id } } }"""
ELSEWHERE = """mutation ($name: String!, $of: ID!) { createAccount(
  input: {name: $name, externalId: $name, contractorId: $of, businessUnit: "elsewhere"}
) { userErrors { message } } }"""
RENAME = """mutation ($id: ID!, $to: String) { updateAccount(id: $id, input: {externalId: $to}) {
  account { id } userErrors { message }
} }"""
REGISTER = """mutation ($items: [AccountBalanceInput!]!) {
  registerBatchAccountBalances(input: {accountBalances: $items}) { acceptedCount rejectedCount results {
    resultType index communicationNumber accountExtId errorCode errorDescription errorField sameContent
    balance { id amount timestamp currency { code } balanceType equivalentValue requester account { externalId } }
  } } }"""
STORED = """query ($ids: [ID!]!) {
  nodes(ids: $ids) { ... on Account { balance thresholdState currentBalances { id balanceType amount }
    balances(first: 100) { nodes { id amount timestamp communicationNumber recordedAt } } } }
}"""
EVENTS = "{ events(first: 1000) { nodes { id type subject } } }"
MOMENTS = [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
ITEM = {"requester": "r", "balanceAt": MOMENTS[0], "value": "1", "communicationNumber": "n", "accountExtId": "a"}


class Pair(NamedTuple):
    """The same gateway on both databases."""

    sqlite: Gateway
    postgresql: Gateway

    async def ask(self, document: str, **variables: Any) -> Any:
        """What both answer."""
        answers = [await gateway.ask(document, **variables) for gateway in self]
        assert answers[0].body == answers[1].body
        return answers[0].sound()


@pytest.fixture
async def pair(databases: Databases) -> AsyncIterator[Pair]:
    with databases.made("sqlite") as one, databases.made("postgresql") as other:
        made = Pair(Gateway(one), Gateway(other))
        await made.ask(CONTRACTOR)
        yield made
        for gateway in made:
            await gateway.store.close()


def items() -> st.SearchStrategy[list[dict[str, Any]]]:
    each = st.fixed_dictionaries(
        {
            "accountExtId": st.sampled_from("aaabbbcccdde"),
            "communicationNumber": st.integers(0, 12).map(str),
            "requester": st.sampled_from(["r", "R", "r", " "]),
            "value": st.sampled_from(["1", "1.0000", "-3", "12", "0.0001", "0.00001"]),
            "balanceAt": st.sampled_from([*MOMENTS, "2026-01-02T01:00:00+01:00"]),
        },
        optional={
            "balanceType": st.sampled_from(["BOOKED", "booked", 'a"b\\c', "{,}", "NULL"]),
            "equivalentValue": st.sampled_from(["7", None]),
        },
    )
    return st.lists(each, min_size=1, max_size=30)


async def test_both_databases_answer_and_keep_the_same(pair: Pair) -> None:
    runs = itertools.count()
    decided: list[bool] = []
    record = pair.postgresql.store.record_batch

    async def noting(*given: Any, **more: Any) -> Any:
        recorded = await record(*given, **more)
        decided.append(recorded is not None)
        return recorded

    pair.postgresql.store.record_batch = noting  # type: ignore[method-assign]  # It only notes.
    loop = asyncio.get_running_loop()

    @settings(max_examples=60, deadline=None)
    @given(batches=st.lists(items(), min_size=1, max_size=4))
    def compare(batches: list[list[dict[str, Any]]]) -> None:
        asyncio.run_coroutine_threadsafe(compared(batches, str(next(runs))), loop).result()

    async def compared(batches: list[list[dict[str, Any]]], run: str) -> None:
        ids = []
        for name, low, high in (("a", None, None), ("b", "0", None), ("c", None, "10"), ("d", "-5", "5")):
            account = await pair.ask(CREATE, name=f"{name}-{run}", low=low, high=high)
            ids.append(account["createAccount"]["account"]["id"])
        for batch in batches:
            named = [
                {
                    **item,
                    "accountExtId": f"{item['accountExtId']}-{run}",
                    "communicationNumber": f"{item['communicationNumber']}-{run}",
                }
                for item in batch
            ]
            await pair.ask(REGISTER, items=named)
        await pair.ask(STORED, ids=ids)

    await asyncio.to_thread(compare)
    await pair.ask(EVENTS)
    assert decided.count(True) > 20, "the statement has decided some"
    assert decided.count(False) > 5, "and left those to a work in which thresholds are crossed"


class Bank(NamedTuple):
    gateway: Gateway
    url: str
    statements: list[bool]
    """Whether each batch was decided by the statement."""

    async def register(self, **item: Any) -> Any:
        answer = await self.gateway.ask(REGISTER, items=[{**ITEM, **item}])
        return answer.sound()["registerBatchAccountBalances"]["results"][0]

    async def account(self, name: str, **more: Any) -> str:
        made = (await self.gateway.ask(CREATE, name=name, **more)).sound()["createAccount"]
        return str(made["account"]["id"])

    async def stored(self, id: str) -> Any:
        return (await self.gateway.ask(STORED, ids=[id])).sound()["nodes"][0]


@pytest.fixture
async def bank(postgresql_url: str) -> AsyncIterator[Bank]:
    gateway = Gateway(postgresql_url)
    statements: list[bool] = []
    record = gateway.store.record_batch

    async def noting(*given: Any, **more: Any) -> Any:
        recorded = await record(*given, **more)
        statements.append(recorded is not None)
        return recorded

    gateway.store.record_batch = noting  # type: ignore[method-assign]  # It only notes.
    (await gateway.ask(CONTRACTOR)).sound()
    yield Bank(gateway, postgresql_url.replace("+asyncpg", ""), statements)
    await gateway.store.close()


async def waited_for(bank: Bank, change: str, ask: Callable[[], Awaitable[Any]]) -> Any:
    """What is answered to a batch whose account another transaction changes while it waits for it."""
    other, watcher = await asyncpg.connect(bank.url), await asyncpg.connect(bank.url)
    writing = other.transaction()
    await writing.start()
    await other.execute(change)
    asking = asyncio.ensure_future(ask())
    while not await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - another process tells.
        await asyncio.sleep(0)
    await writing.commit()
    answer = await asking
    for each in (other, watcher):
        await each.close()
    return answer


async def test_who_waited_for_an_account_decides_by_how_it_stands_then(bank: Bank) -> None:
    id = await bank.account("a", high="100")
    assert (await bank.register(communicationNumber="first"))["errorCode"] is None

    later = f"UPDATE positions SET balance = 50000, at = '{MOMENTS[2]}' WHERE account_id = 1"
    answer = await waited_for(bank, later, lambda: bank.register(balanceAt=MOMENTS[1], communicationNumber="older"))
    assert answer["errorCode"] is None
    # It is recorded, and what the other has written stays current.
    assert (await bank.stored(id))["balance"] == "5"

    watched = "UPDATE positions SET high_threshold = 70000 WHERE account_id = 1"
    answer = await waited_for(bank, watched, lambda: bank.register(balanceAt=MOMENTS[2], value="8"))
    assert answer["errorCode"] is None
    account = await bank.stored(id)
    assert (account["balance"], account["thresholdState"]) == ("8", "HIGH")
    assert bank.statements == [True, True, False]


async def test_a_number_that_another_account_took_while_a_batch_waited_is_taken(bank: Bank) -> None:
    """The statement looked before it waited, and finds the number free: only the unique key knows better."""
    ids = [await bank.account(name) for name in "ab"]
    assert (await bank.register(communicationNumber="first"))["errorCode"] is None
    taken = f"""SELECT FROM positions WHERE account_id = 1 FOR UPDATE;
    INSERT INTO entries (unit_id, account_id, at, amount, currency, communication_number, communication_number_folded,
      recorded_at, recorded_by) VALUES (1, 2, '{MOMENTS[0]}', 10000, 'EUR', 'n', 'n', now(), 'local')"""
    answer = await waited_for(bank, taken, bank.register)
    assert (answer["errorCode"], answer["sameContent"]) == ("O005", False)
    assert answer["balance"]["account"] == {"externalId": "b"}
    numbers = [[each["communicationNumber"] for each in (await bank.stored(id))["balances"]["nodes"]] for id in ids]
    assert numbers == [["first"], ["n"]]
    assert bank.statements == [True, False]


async def test_an_account_is_known_by_its_external_id_as_it_is_now(bank: Bank) -> None:
    first, second = await bank.account("a"), await bank.account("b")
    for name in ("a", "b"):
        assert (await bank.register(accountExtId=name, communicationNumber=name))["errorCode"] is None
    elsewhere = Gateway(bank.url.replace("postgresql:", "postgresql+asyncpg:"))
    for id, name in ((first, "z"), (second, "a"), (first, "b")):
        assert (await elsewhere.ask(RENAME, id=id, to=name)).sound()["updateAccount"]["userErrors"] == []
    await elsewhere.store.close()
    for name, id in (("a", second), ("b", first)):
        for number in range(2):
            answer = await bank.register(accountExtId=name, communicationNumber=f"{name}{number}", value="5")
            assert answer["balance"]["account"] == {"externalId": name}
        assert (await bank.stored(id))["balance"] == "5"
    # The first after the change is done anew, and then all is known.
    assert bank.statements == [True, True, False, True, False, True]


async def test_an_account_that_lost_its_external_id_does_not_exist_for_a_batch(bank: Bank) -> None:
    id = await bank.account("a")
    assert (await bank.register())["errorCode"] is None
    assert (await bank.gateway.ask(RENAME, id=id, to="z")).sound()["updateAccount"]["userErrors"] == []
    for number in ("m", "o"):
        assert (await bank.register(communicationNumber=number))["errorCode"] == "404"
    assert (await bank.stored(id))["balance"] == "1"


async def test_a_kind_is_not_taken_for_known_by_an_item_that_was_not_recorded(bank: Bank) -> None:
    id = await bank.account("a")
    assert (await bank.register(balanceType="BOOKED"))["errorCode"] is None
    taken = await bank.register(balanceType="PENDING")
    assert (taken["errorCode"], taken["sameContent"]) == ("O005", False)
    assert (await bank.register(balanceType="PENDING", communicationNumber="new"))["errorCode"] is None
    assert [each["balanceType"] for each in (await bank.stored(id))["currentBalances"]] == ["BOOKED", "PENDING"]
    assert bank.statements == [True] * 3


async def test_a_batch_whose_holders_can_not_be_asked_for_is_told_unknown(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed by then, so nothing else would be true."""
    await bank.account("a")
    assert (await bank.register())["errorCode"] is None

    async def gone(*_given: Any) -> Any:
        raise Refusal(Code.UNAVAILABLE, "The database does not answer.")

    batch = [{**ITEM, "communicationNumber": number} for number in ("n", "m")]
    with monkeypatch.context() as patched:
        patched.setattr(bank.gateway.store._lanes, "rows", gone)
        (error,) = (await bank.gateway.ask(REGISTER, items=batch)).errors
    assert error["extensions"]["code"] == "UNAVAILABLE"
    assert error["extensions"]["outcome"] == "unknown"
    again = (await bank.gateway.ask(REGISTER, items=batch)).sound()["registerBatchAccountBalances"]
    assert [(each["errorCode"], each["sameContent"]) for each in again["results"]] == [("O005", True)] * 2


async def test_single_balances_after_a_batch_need_no_work(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    id = await bank.account("a")
    add = """mutation ($id: ID!, $amount: Decimal!) { correctAccountBalance(accountId: $id, input: {amount: $amount}) {
      balance { amount } } }"""
    for _ in range(2):
        (await bank.gateway.ask(add, id=id, amount=1)).sound()

    async def no_work(*_given: Any) -> Any:
        raise AssertionError("a position was remembered that the batch has moved")

    monkeypatch.setattr(bank.gateway.store, "work", no_work)
    assert (await bank.register(balanceAt="2027-01-01T00:00:00Z", value="7"))["errorCode"] is None
    for amount in ("8", "9"):
        told = (await bank.gateway.ask(add, id=id, amount=1)).sound()["correctAccountBalance"]
        assert told == {"balance": {"amount": amount}}


async def test_all_of_a_batch_are_refused_or_recorded_where_one_account_is_called_otherwise(bank: Bank) -> None:
    ids = [await bank.account(name) for name in ("a", "b")]
    for name in ("a", "b"):
        assert (await bank.register(accountExtId=name, communicationNumber=name))["errorCode"] is None
    other = await asyncpg.connect(bank.url)
    await other.execute("UPDATE positions SET external_id = 'z' WHERE account_id = 2")
    await other.execute("UPDATE accounts SET external_id = 'z', external_id_folded = 'z' WHERE id = 2")
    await other.close()
    batch = [{**ITEM, "accountExtId": name, "communicationNumber": f"{name}2", "value": "2"} for name in ("a", "b")]
    answer = (await bank.gateway.ask(REGISTER, items=batch)).sound()["registerBatchAccountBalances"]
    assert [each["errorCode"] for each in answer["results"]] == [None, "404"]
    assert [(await bank.stored(id))["balance"] for id in ids] == ["2", "1"]


@pytest.mark.parametrize("most", [0, 2, 5])
async def test_accounts_that_are_forgotten_are_read_anew_and_exist(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(standing, "REMEMBERED_MAX", most)
    names = [f"a{number}" for number in range(4)]
    contractor = (await bank.gateway.ask(CONTRACTOR_ELSEWHERE)).sound()["createContractor"]["contractor"]["id"]
    for name in names:
        await bank.account(name)
        made = await bank.gateway.ask(ELSEWHERE, name=name, of=contractor)
        assert made.sound()["createAccount"]["userErrors"] == []
    for size in (1, 3, 4, 2):
        batch = [
            {**ITEM, "accountExtId": name, "communicationNumber": f"{name}-{size}", "businessUnit": unit}
            for unit in ("default", "elsewhere")
            for name in names[:size]
        ]
        answer = (await bank.gateway.ask(REGISTER, items=batch)).sound()["registerBatchAccountBalances"]
        assert answer["acceptedCount"] == 2 * size
    remembered = bank.gateway.store._standing
    assert len(remembered.named) <= most + 8
    assert len(remembered._kinds) <= most + 8
