"""Cycles are closed once, in parts, with exactly the rows and events that the rules say."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select, text

from app.actions.close_cycle import ACCOUNTS_A_WORK, LEASE, Closed, carry_on, close_next
from app.domain import zones
from app.domain.events import ALL, Event, EventType
from app.runner import Runner
from app.store.store import Work
from app.store.tables import closings
from tests.asking import Gateway
from tests.faults import invariants

SETUP = """mutation {
  createContractor(input: {name: "Owner", businessUnit: "bank", isCustomer: true}) { contractor { id } }
  a: createDivision(input: {code: "A", businessUnit: "bank"}) { division { id } userErrors { message } }
  b: createDivision(input: {code: "B", businessUnit: "bank"}) { division { id } userErrors { message } }
}"""
CONFIG = """mutation ($code: String!, $time: String!) {
  createAccountBalanceHistoryConfig(input:
    {divisionCode: $code, businessUnit: "bank", cycleClosingTime: $time, cycleEventDelay: 10}
  ) { userErrors { message } }
}"""
RECONFIGURE = """mutation ($time: String!, $delay: Int!) {
  updateAccountBalanceHistoryConfig(divisionCode: "B", businessUnit: "bank",
    input: {cycleClosingTime: $time, cycleEventDelay: $delay}) { userErrors { message } }
}"""
ACCOUNT = """mutation ($name: String!, $code: String) {
  createAccount(input: {
    name: $name, externalId: $name, contractorId: "contractor_1", businessUnit: "bank", divisionCode: $code
  }) { account { id } userErrors { message path } }
}"""
BALANCE = """mutation ($account: ID!, $amount: Decimal!, $at: DateTime!, $currency: String!) {
  createBankAccountBalance(bankAccountId: $account,
    input: {amount: $amount, timestamp: $at, currency: {code: $currency}}) { balance { id } userErrors { message } }
}"""
MOVE = """mutation ($account: ID!, $code: String) {
  updateAccount(id: $account, input: {divisionCode: $code}) { userErrors { message } }
}"""
HISTORY = """query ($account: ID!) { account(id: $account) { balanceHistory { nodes {
  businessDate closingAt currency { code } opening closing change } } } }"""
LAGOS = """mutation ($code: String!) {
  createDivision(input: {code: $code, businessUnit: "bank", timezone: "Africa/Lagos"}) { userErrors { message } }
}"""
LATER = """mutation ($code: String!) {
  updateAccountBalanceHistoryConfig(divisionCode: $code, businessUnit: "bank", input: {cycleClosingTime: "18:00:00"}) {
    userErrors { message }
  }
}"""
MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)


class Bank:
    """A gateway with two divisions, closing at 20:00 and at 22:00."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def done(self, document: str, **variables: str) -> None:
        (answer,) = (await self.gateway.ask(document, **variables)).sound().values()
        assert answer["userErrors"] == []

    async def account(self, name: str, code: str | None = "A") -> str:
        made = (await self.gateway.ask(ACCOUNT, name=name, code=code)).sound()["createAccount"]
        assert made["userErrors"] == []
        return str(made["account"]["id"])

    async def balance(self, account: str, amount: str, at: datetime, currency: str = "EUR") -> None:
        variables = {"account": account, "amount": amount, "at": at.isoformat(), "currency": currency}
        made = (await self.gateway.ask(BALANCE, **variables)).sound()["createBankAccountBalance"]
        assert made["userErrors"] == []

    async def move(self, account: str, code: str | None) -> None:
        made = (await self.gateway.ask(MOVE, account=account, code=code)).sound()["updateAccount"]
        assert made["userErrors"] == []

    async def close(self, division: int = 1, accounts: int = ACCOUNTS_A_WORK) -> list[Closed]:
        """Close all that is due of a division."""
        done = []
        while (
            closed := await close_next(self.gateway.store, division, clock=self.clock, accounts=accounts)
        ) is not None:
            done.append(closed)
            while not closed.is_complete:
                following = await carry_on(self.gateway.store, closed, clock=self.clock, accounts=accounts)
                assert following is not None
                done.append(closed := following)
        return done

    async def closings(self, division: int) -> list[tuple[date, datetime]]:
        """The days that a division has closed, oldest first, and when."""
        rows = select(closings.c.business_date, closings.c.closing_at).where(closings.c.division_id == division)
        async with self.gateway.store.reading(None) as reads:
            found = await reads._connection.execute(rows.order_by(closings.c.closing_at))
            return [(row.business_date, row.closing_at) for row in found]

    def clock(self) -> datetime:
        return self.gateway.now

    async def history(self, account: str) -> list[tuple[str, ...]]:
        answer = (await self.gateway.ask(HISTORY, account=account)).sound()
        return [
            (row["businessDate"], row["currency"]["code"], row["opening"], row["closing"], row["change"])
            for row in answer["account"]["balanceHistory"]["nodes"]
        ]

    async def events(self, *types: EventType) -> list[Event]:
        async with self.gateway.store.reading(None) as reads:
            end = (await reads.log.bounds()).end
            return await reads.log.page(ALL._replace(types=frozenset(types)), after=0, until=end, limit=1000)


@pytest.fixture
async def bank(database_url: str) -> AsyncIterator[Bank]:
    gateway = Gateway(database_url)
    gateway.now = MORNING
    (await gateway.ask(SETUP)).sound()
    for code, time in (("A", "20:00"), ("B", "22:00")):
        answer = (await gateway.ask(CONFIG, code=code, time=f"{time}:00")).sound()
        assert answer["createAccountBalanceHistoryConfig"]["userErrors"] == []
    yield Bank(gateway)
    await gateway.store.close()


async def test_nothing_is_closed_before_the_delay_has_passed(bank: Bank) -> None:
    await bank.account("one")
    bank.gateway.now = datetime(2026, 3, 1, 20, 9, 59, tzinfo=UTC)
    assert await bank.close() == []
    bank.gateway.now = datetime(2026, 3, 1, 20, 10, tzinfo=UTC)
    assert [closed.run.account_count for closed in await bank.close()] == [1]
    assert await bank.close() == []


async def test_a_row_stands_for_each_day_with_movement_and_currency(bank: Bank) -> None:
    account, still = await bank.account("one"), await bank.account("still")
    await bank.balance(account, "100", MORNING - timedelta(days=1))
    await bank.balance(account, "150.5", MORNING)
    await bank.balance(account, "7", MORNING, "NOK")
    bank.gateway.now = datetime(2026, 3, 3, 21, tzinfo=UTC)
    await bank.balance(account, "90", datetime(2026, 3, 3, 10, tzinfo=UTC))
    await bank.balance(account, "95", datetime(2026, 3, 3, 20, tzinfo=UTC))
    assert len(await bank.close()) == 3
    assert await bank.history(account) == [
        ("2026-03-03", "EUR", "150.5", "90", "-60.5"),
        ("2026-03-01", "EUR", "100", "150.5", "50.5"),
        ("2026-03-01", "NOK", "0", "7", "7"),
    ] or await bank.history(account) == [
        ("2026-03-03", "EUR", "150.5", "90", "-60.5"),
        ("2026-03-01", "NOK", "0", "7", "7"),
        ("2026-03-01", "EUR", "100", "150.5", "50.5"),
    ]
    assert await bank.history(still) == []
    told = await bank.events(EventType.BALANCE_HISTORY)
    assert [(event.account_id, len(event.data["balances"])) for event in told] == [
        (1, 2),
        (2, 0),
        (1, 0),
        (2, 0),
        (1, 1),
        (2, 0),
    ]
    assert told[0].data == {
        "account_id": "account_1",
        "external_account_id": "one",
        "division_code": "A",
        "date": "2026-03-01",
        "cycle_closing_datetime": "2026-03-01T20:00:00Z",
        "balances": [
            {"currency": "EUR", "opening": "100", "closing": "150.5", "change": "50.5"},
            {"currency": "NOK", "opening": "0", "closing": "7", "change": "7"},
        ],
    }
    closings = await bank.events(EventType.DIVISION_CYCLE_CLOSING)
    assert [event.data["business_date"] for event in closings] == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert all(event.subject == "division_1" and event.data["account_count"] == 2 for event in closings)


async def test_a_late_entry_shows_in_the_next_row_and_changes_none(bank: Bank) -> None:
    account = await bank.account("one")
    await bank.balance(account, "100", MORNING)
    bank.gateway.now = datetime(2026, 3, 1, 21, tzinfo=UTC)
    await bank.close()
    await bank.balance(account, "120", MORNING + timedelta(hours=1))
    bank.gateway.now = datetime(2026, 3, 2, 21, tzinfo=UTC)
    await bank.close()
    assert await bank.history(account) == [
        ("2026-03-02", "EUR", "100", "120", "20"),
        ("2026-03-01", "EUR", "0", "100", "100"),
    ]


async def test_an_account_made_after_the_closing_instant_has_no_part_in_it(bank: Bank) -> None:
    bank.gateway.now = datetime(2026, 3, 1, 20, tzinfo=UTC)
    await bank.account("late")
    bank.gateway.now = datetime(2026, 3, 1, 21, tzinfo=UTC)
    assert [closed.run.account_count for closed in await bank.close()] == [0]


async def test_an_account_that_moves_between_two_closings_of_one_evening_is_not_counted_twice(bank: Bank) -> None:
    account = await bank.account("one")
    await bank.balance(account, "100", MORNING)
    bank.gateway.now = datetime(2026, 3, 1, 20, 30, tzinfo=UTC)
    await bank.close(1)
    await bank.move(account, "B")
    bank.gateway.now = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
    await bank.close(2)
    assert await bank.history(account) == [("2026-03-01", "EUR", "0", "100", "100")]
    assert [event.data["division_code"] for event in await bank.events(EventType.BALANCE_HISTORY)] == ["A", "B"]


@pytest.mark.parametrize(
    ("time", "delay", "next_day"), [("22:00:00", 1439, "2026-03-02"), ("20:00:00", 60, "2026-03-03")]
)
async def test_an_account_that_was_closed_elsewhere_up_to_that_instant_gets_no_second_row(
    bank: Bank, time: str, delay: int, next_day: str
) -> None:
    """Its new division closes later than the old one: an earlier instant, or the same."""
    answer = (await bank.gateway.ask(RECONFIGURE, time=time, delay=delay)).sound()
    assert answer["updateAccountBalanceHistoryConfig"]["userErrors"] == []
    account = await bank.account("one")
    for amount, hours in (("100", 0), ("50", 13), ("80", 24)):
        await bank.balance(account, amount, MORNING + timedelta(hours=hours))
    bank.gateway.now = datetime(2026, 3, 2, 20, 30, tzinfo=UTC)
    await bank.close(1)
    await bank.close(2)
    before = await bank.history(account)
    await bank.move(account, "B")
    await bank.balance(account, "70", datetime(2026, 3, 2, 21, tzinfo=UTC))
    bank.gateway.now = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    assert [closed.run.account_count for closed in await bank.close(2)] == [1]
    assert await bank.history(account) == before
    assert before == [("2026-03-02", "EUR", "100", "80", "-20"), ("2026-03-01", "EUR", "0", "100", "100")]
    bank.gateway.now = datetime(2026, 3, 3, 22, 30, tzinfo=UTC)
    await bank.close(2)
    assert await bank.history(account) == [(next_day, "EUR", "80", "70", "-10"), *before]


async def test_an_account_that_goes_to_and_fro_is_closed_up_to_its_latest_closing(bank: Bank) -> None:
    """What its old division has closed is not closed again, whatever earlier closing another one took it into."""
    await bank.gateway.ask(RECONFIGURE, time="22:00:00", delay=1439)
    account = await bank.account("one")
    await bank.balance(account, "100", datetime(2026, 3, 1, 23, tzinfo=UTC))
    bank.gateway.now = datetime(2026, 3, 2, 20, 30, tzinfo=UTC)
    await bank.close(1)
    await bank.move(account, "B")
    bank.gateway.now = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
    await bank.close(2)
    await bank.move(account, "A")
    bank.gateway.now = datetime(2026, 3, 3, 20, 30, tzinfo=UTC)
    await bank.close(1)
    assert await bank.history(account) == [("2026-03-02", "EUR", "0", "100", "100")]


async def test_movement_while_an_account_was_in_no_division_is_in_its_next_row(bank: Bank) -> None:
    account = await bank.account("one")
    await bank.balance(account, "100", MORNING)
    bank.gateway.now = datetime(2026, 3, 1, 21, tzinfo=UTC)
    await bank.close(1)
    await bank.move(account, None)
    await bank.balance(account, "50", datetime(2026, 3, 2, 10, tzinfo=UTC))
    await bank.balance(account, "100", datetime(2026, 3, 2, 11, tzinfo=UTC))
    bank.gateway.now = datetime(2026, 3, 3, 12, tzinfo=UTC)
    await bank.close(2)
    await bank.move(account, "B")
    bank.gateway.now = datetime(2026, 3, 4, 23, tzinfo=UTC)
    await bank.close(2)
    assert await bank.history(account) == [
        ("2026-03-03", "EUR", "100", "100", "0"),
        ("2026-03-01", "EUR", "0", "100", "100"),
    ]


async def test_a_closing_in_many_parts_is_the_same_as_in_one(bank: Bank) -> None:
    accounts = [await bank.account(f"account {number}") for number in range(7)]
    for number, account in enumerate(accounts):
        await bank.balance(account, str(number), MORNING)
    bank.gateway.now = datetime(2026, 3, 1, 21, tzinfo=UTC)
    parts = await bank.close(accounts=3)
    assert [closed.run.account_count for closed in parts] == [3, 6, 7]
    assert [len(await bank.history(account)) for account in accounts] == [1] * 7
    told = await bank.events(EventType.BALANCE_HISTORY)
    assert [event.subject for event in told] == accounts
    listed = await bank.gateway.ask('{ division(code: "A") { cycleClosings { nodes { accountCount closingAt } } } }')
    assert listed.sound()["division"]["cycleClosings"]["nodes"] == [
        {"accountCount": 7, "closingAt": "2026-03-01T20:00:00Z"}
    ]


async def test_a_closing_that_is_not_complete_is_not_listed_and_is_left_to_its_holder(bank: Bank) -> None:
    for number in range(4):
        await bank.account(f"account {number}")
    bank.gateway.now = datetime(2026, 3, 1, 21, tzinfo=UTC)
    first = await close_next(bank.gateway.store, 1, clock=bank.clock, accounts=2)
    assert first is not None
    listed = await bank.gateway.ask('{ division(code: "A") { cycleClosings { totalCount } } }')
    assert listed.sound()["division"]["cycleClosings"]["totalCount"] == 0
    assert await close_next(bank.gateway.store, 1, clock=bank.clock, accounts=2) is None


async def test_who_wakes_after_its_lease_writes_nothing(bank: Bank) -> None:
    for number in range(6):
        await bank.account(f"account {number}")
    bank.gateway.now = datetime(2026, 3, 1, 21, tzinfo=UTC)
    sleeper = await close_next(bank.gateway.store, 1, clock=bank.clock, accounts=2)
    assert sleeper is not None
    bank.gateway.now += LEASE
    other = await close_next(bank.gateway.store, 1, clock=bank.clock, accounts=2)
    assert other is not None
    assert other.run.account_count == 4
    before: Any = await bank.events(EventType.BALANCE_HISTORY)
    assert await carry_on(bank.gateway.store, sleeper, clock=bank.clock, accounts=2) is None
    assert await bank.events(EventType.BALANCE_HISTORY) == before
    rest = await carry_on(bank.gateway.store, other, clock=bank.clock, accounts=2)
    assert rest is not None
    while rest is not None and not rest.is_complete:
        rest = await carry_on(bank.gateway.store, rest, clock=bank.clock, accounts=2)
    told = await bank.events(EventType.BALANCE_HISTORY)
    assert [event.account_id for event in told] == [1, 2, 3, 4, 5, 6]


async def test_a_closing_costs_statements_by_its_parts_alone(bank: Bank) -> None:
    accounts = [await bank.account(f"account {number}") for number in range(5)]
    costs = []
    for day, balances in enumerate((0, 1, 4)):
        for account in accounts:
            for number in range(balances):
                await bank.balance(account, str(number), MORNING + timedelta(days=day, minutes=number))
        bank.gateway.now = datetime(2026, 3, 1 + day, 21, tzinfo=UTC)
        with bank.gateway.statements() as statements:
            assert len(await bank.close(accounts=3)) == 2
        costs.append(len(statements))
    assert len(set(costs)) == 1


async def test_a_division_that_cannot_be_closed_holds_up_no_other(bank: Bank) -> None:
    await bank.account("one", "B")

    async def break_it(work: Work) -> None:
        await work.reads._connection.execute(text("UPDATE divisions SET timezone = 'No/Where' WHERE code = 'A'"))

    await bank.gateway.store.work(None, break_it)
    bank.gateway.now = datetime(2026, 3, 1, 23, tzinfo=UTC)
    runner = Runner(bank.gateway.store, clock=bank.clock, retention=timedelta(days=30), dispatcher=None)
    assert await runner.tick() == 1
    (told,) = await bank.events(EventType.DIVISION_CYCLE_CLOSING)
    assert told.data["division_code"] == "B"


@pytest.mark.parametrize("offset", ["Etc/GMT", "Etc/GMT-2"])
async def test_a_zone_whose_rules_change_closes_no_day_twice_and_passes_over_none(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, offset: str
) -> None:
    """FS16: another tzdata says that a zone's clocks have been others all the time, from one closing to the next."""
    divisions: dict[int, tuple[int, str]] = {}
    """How many closings of each are done before that, and its account."""
    for closed, is_updated, time in product((0, 1, 3), (False, True), ("00:30:00", "23:30:00")):
        code = f"{closed}-{is_updated}-{time[:2]}"
        bank.gateway.now = MORNING
        await bank.done(LAGOS, code=code)
        await bank.done(CONFIG, code=code, time=time)
        division = len(divisions) + 3
        divisions[division] = closed, await bank.account(code, code)
        for day in (0, 2, 4):
            await bank.balance(divisions[division][1], str(day), MORNING + timedelta(days=day, hours=-12))
        bank.gateway.now = MORNING + timedelta(days=closed)
        assert len(await bank.close(division)) == closed
        if is_updated:
            await bank.done(LATER, code=code)
    before = {division: await bank.closings(division) for division in divisions}
    rows = {account: await bank.history(account) for _, account in divisions.values()}

    changed = zones._read(offset)
    monkeypatch.setattr(zones, "_read", lambda _name: changed)
    bank.gateway.now = MORNING + timedelta(days=6)
    for division, (closed, account) in divisions.items():
        await bank.close(division)
        told = await bank.closings(division)
        assert told[:closed] == before[division]
        days = [day for day, _ in told]
        assert days == [days[0] + timedelta(days=number) for number in range(len(days))]
        assert 5 <= len(days) <= 7
        history = await bank.history(account)
        assert history[len(history) - len(rows[account]) :] == rows[account]
    assert await invariants.violations(str(bank.gateway.store.engines[1].url)) == []
