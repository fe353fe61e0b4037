"""Any sequence of operations has the same answers from a model in plain Python, from SQLite and from PostgreSQL."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from app.domain.idempotency import KEPT
from app.runner import Runner
from tests.asking import NOW, Gateway
from tests.databases import KINDS, Databases
from tests.faults import invariants
from tests.graphql.model import DIVISION, Model
from tests.graphql.test_idempotency import once

SETUP = """mutation {
  createContractor(input: {name: "Acme", isCustomer: true}) { contractor { id } }
  createDivision(input: {code: "D"}) { division { id } } }"""
CREATE = """mutation ($name: String!, $code: String, $low: Decimal, $high: Decimal) {
  made: createAccount(input: {name: $name, externalId: $name, contractorId: "contractor_1", divisionCode: $code,
    balanceLowThreshold: $low, balanceHighThreshold: $high}) { account { id } userErrors { code path } } }"""
UPDATE = """mutation ($account: ID!, $low: Decimal, $high: Decimal) {
  made: updateAccount(id: $account, input: {balanceLowThreshold: $low, balanceHighThreshold: $high}) {
    account { id } userErrors { code path } } }"""
ADD = """mutation ($account: ID!, $amount: Decimal!, $at: DateTime!, $currency: String!) {
  made: createBankAccountBalance(bankAccountId: $account,
    input: {amount: $amount, timestamp: $at, currency: {code: $currency}}) {
    balance { amount timestamp } userErrors { code } } }"""
CORRECT = """mutation ($account: ID!, $amount: Decimal!) {
  made: correctAccountBalance(accountId: $account, input: {amount: $amount}) {
    balance { amount timestamp } userErrors { code } } }"""
REGISTER = """mutation ($items: [AccountBalanceInput!]!) {
  made: registerBatchAccountBalances(input: {accountBalances: $items}) { results { errorCode sameContent } } }"""
CONFIGURE = """mutation ($at: String!, $delay: Int!) { made: createAccountBalanceHistoryConfig(
  input: {divisionCode: "D", cycleClosingTime: $at, cycleEventDelay: $delay}) { userErrors { documentedCode } } }"""
RECONFIGURE = """mutation ($at: String!, $delay: Int!) { made: updateAccountBalanceHistoryConfig(
  divisionCode: "D", input: {cycleClosingTime: $at, cycleEventDelay: $delay}) { userErrors { documentedCode } } }"""
ALL = """{
  accounts { nodes { id name balance thresholdState currentBalance { amount timestamp } balances { totalCount }
    balanceHistory { nodes { businessDate currency { code } opening closing } } } }
  division(code: "D") { id cycleClosings { nodes { businessDate closingAt accountCount } } }
  events(first: 1000) { nodes { type subject data } } }"""

NAMES = st.sampled_from(["a", "b", "c"])
KNOWN = st.sampled_from(["a", "b"])
CURRENCIES = st.sampled_from(["EUR", "EUR", "NOK"])
AMOUNTS = st.sampled_from([Decimal(text) for text in ("-3", "0", "0.5", "2", "7.25", "100")])
LIMITS = st.none() | AMOUNTS
HOURS = st.integers(-60, 30).map(lambda hours: timedelta(hours=hours))
CLOCKS = st.sampled_from([time(0), time(6, 30), time(12), time(22, 0, 5)])
DELAYS = st.sampled_from([5, 90, 1439])
NUMBERS = st.sampled_from([f"n{number}" for number in range(6)])


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


class Machine(RuleBasedStateMachine):
    """The three of them, asked the same."""

    databases: Databases

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._left = ExitStack()
        self._urls = [self._left.enter_context(self.databases.made(kind)) for kind in KINDS]
        self._gateways = [Gateway(url) for url in self._urls]
        self._model = Model(NOW)
        self._ids: dict[str, list[str]] = {}
        self._keyed: tuple[str, list[dict[str, Any]], list[Any], datetime] | None = None
        self._keys = 0

    def teardown(self) -> None:
        self._close()
        for url in self._urls:
            assert self._loop.run(invariants.violations(url)) == []
        self._loop.close()
        self._left.close()

    def _close(self) -> None:
        for gateway in self._gateways:
            self._loop.run(gateway.store.close())

    def _ask(self, document: str, of: Callable[[int], dict[str, Any]], *, keyed: bool) -> list[Any]:
        """What each gateway answers; with a key it can be asked again."""
        variables = [of(place) for place in range(len(self._gateways))]
        if not keyed:
            return [
                self._loop.run(gateway.ask(document, **given)).sound()
                for gateway, given in zip(self._gateways, variables, strict=True)
            ]
        self._keys += 1
        bodies = self._ask_once(document, variables, is_replay=False)
        self._keyed = document, variables, bodies, self._model.now
        assert all("errors" not in body for body in bodies), bodies
        return [body["data"] for body in bodies]

    def _ask_once(self, document: str, variables: list[dict[str, Any]], *, is_replay: bool | None) -> list[Any]:
        bodies = []
        for gateway, given in zip(self._gateways, variables, strict=True):
            body, answered = self._loop.run(once(gateway, document, f"key-{self._keys}", **given))
            assert is_replay is None or answered.is_replay == is_replay
            bodies.append(body)
        return bodies

    def _with_account(self, name: str, **given: Any) -> Callable[[int], dict[str, Any]]:
        return lambda place: {"account": self._ids[name][place], **given}

    @initialize()
    def set_up(self) -> None:
        self._ask(SETUP, lambda _: {}, keyed=False)
        self.create("a", Decimal(1), Decimal(50), in_division=True, keyed=False)
        self.create("b", None, Decimal(2), in_division=False, keyed=False)
        self.add("a", Decimal(7), timedelta(hours=-30), "EUR", keyed=True)

    @rule(name=NAMES, low=LIMITS, high=LIMITS, in_division=st.booleans(), keyed=st.booleans())
    def create(self, name: str, low: Decimal | None, high: Decimal | None, in_division: bool, keyed: bool) -> None:
        expected = self._model.create(name, low, high, in_division=in_division)
        given: dict[str, Any] = {
            "name": name,
            "code": "D" if in_division else None,
            "low": _shown(low),
            "high": _shown(high),
        }
        answers = self._ask(CREATE, lambda _: given, keyed=keyed)
        for answer in answers:
            assert _faults(answer) == expected
        if not expected:
            self._ids[name] = [answer["made"]["account"]["id"] for answer in answers]

    @rule(name=KNOWN, low=LIMITS, high=LIMITS, keyed=st.booleans())
    def set_thresholds(self, name: str, low: Decimal | None, high: Decimal | None, keyed: bool) -> None:
        expected = self._model.set_thresholds(name, low, high)
        given = self._with_account(name, low=_shown(low), high=_shown(high))
        for answer in self._ask(UPDATE, given, keyed=keyed):
            assert _faults(answer) == expected

    @rule(name=KNOWN, amount=AMOUNTS, ago=HOURS, currency=CURRENCIES, keyed=st.booleans())
    def add(self, name: str, amount: Decimal, ago: timedelta, currency: str, keyed: bool) -> None:
        at = self._model.now + ago
        self._model.add(name, amount, at, currency)
        expected = {"amount": _plain(amount), "timestamp": _text(at)}
        given = self._with_account(name, amount=_shown(amount), at=_text(at), currency=currency)
        for answer in self._ask(ADD, given, keyed=keyed):
            assert answer["made"] == {"balance": expected, "userErrors": []}

    @rule(name=KNOWN, amount=AMOUNTS, keyed=st.booleans())
    def correct(self, name: str, amount: Decimal, keyed: bool) -> None:
        entry = self._model.correct(name, amount)
        expected = {"amount": _plain(entry.amount), "timestamp": _text(entry.at)}
        for answer in self._ask(CORRECT, self._with_account(name, amount=_shown(amount)), keyed=keyed):
            assert answer["made"] == {"balance": expected, "userErrors": []}

    @rule(items=st.lists(st.tuples(NAMES, NUMBERS, AMOUNTS, HOURS), max_size=5), keyed=st.booleans())
    def register(self, items: list[tuple[str, str, Decimal, timedelta]], keyed: bool) -> None:
        batch = [(name, number, amount, self._model.now + ago) for name, number, amount, ago in items]
        expected = [{"errorCode": code, "sameContent": same} for code, same in self._model.register(batch)]
        given = [
            {
                "accountExtId": name,
                "communicationNumber": number,
                "requester": "r",
                "value": _shown(amount),
                "balanceAt": _text(at),
            }
            for name, number, amount, at in batch
        ]
        for answer in self._ask(REGISTER, lambda _: {"items": given}, keyed=keyed):
            assert answer["made"]["results"] == expected

    @rule(at=CLOCKS, delay=DELAYS, is_first=st.booleans(), keyed=st.booleans())
    def configure(self, at: time, delay: int, is_first: bool, keyed: bool) -> None:
        code = (self._model.configure if is_first else self._model.reconfigure)(at, delay)
        broken = [] if code is None else [{"documentedCode": code}]
        given: dict[str, Any] = {"at": at.isoformat(), "delay": delay}
        for answer in self._ask(CONFIGURE if is_first else RECONFIGURE, lambda _: given, keyed=keyed):
            assert answer["made"]["userErrors"] == broken

    @rule(hours=st.integers(1, 60), is_closing=st.booleans())
    def wait(self, hours: int, is_closing: bool) -> None:
        self._model.now += timedelta(hours=hours)
        for gateway in self._gateways:
            gateway.now = self._model.now
        if is_closing:
            self._model.tick()
            for gateway in self._gateways:
                self._loop.run(self._runner(gateway).tick())

    def _runner(self, gateway: Gateway) -> Runner:
        return Runner(gateway.store, clock=lambda: self._model.now, retention=timedelta(days=30), dispatcher=None)

    @rule(is_other=st.booleans())
    def ask_again(self, is_other: bool) -> None:
        """The last request with a key; or another one with its key."""
        if self._keyed is None or self._model.now - self._keyed[3] >= KEPT:
            return
        document, variables, bodies, _ = self._keyed
        if not is_other:
            assert self._ask_once(document, variables, is_replay=True) == bodies
            return
        other = 'mutation { deleteWebhook(id: "webhook_1") { userErrors { code } } }'
        for body in self._ask_once(other, [{}] * len(self._gateways), is_replay=False):
            assert [error["extensions"]["code"] for error in body["errors"]] == ["IDEMPOTENCY_KEY_REUSED"]

    @rule()
    def restart(self) -> None:
        self._close()
        self._gateways = [Gateway(url) for url in self._urls]
        for gateway in self._gateways:
            gateway.now = self._model.now

    @invariant()
    def all_three_are_alike(self) -> None:
        expected = json.loads(json.dumps(_expected(self._model)))
        for gateway in self._gateways:
            assert _seen(self._loop.run(gateway.ask(ALL)).sound()) == expected


def _shown(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _faults(answer: Any) -> set[tuple[str, str]]:
    return {(error["code"], error["path"][-1]) for error in answer["made"]["userErrors"]}


def _expected(model: Model) -> dict[str, Any]:
    accounts = {}
    for account in model.accounts.values():
        current = account.current
        accounts[account.name] = [
            _plain(current.amount) if current else "0",
            account.state,
            {"amount": _plain(current.amount), "timestamp": _text(current.at)} if current else None,
            len(account.entries),
            sorted((str(day), code, _plain(opening), _plain(closing)) for day, code, opening, closing in account.rows),
        ]
    closings = [(str(day), _text(closing), count) for day, closing, count in model.closed]
    return {"accounts": accounts, "closings": closings, "events": model.events}


def _seen(told: Any) -> dict[str, Any]:
    """What a gateway told, by names instead of ids."""
    accounts, names = {}, {}
    for node in told["accounts"]["nodes"]:
        names[node["id"]] = node["name"]
        rows = [
            [row["businessDate"], row["currency"]["code"], row["opening"], row["closing"]]
            for row in node["balanceHistory"]["nodes"]
        ]
        facts = [node["balance"], node["thresholdState"], node["currentBalance"], node["balances"]["totalCount"]]
        accounts[node["name"]] = [*facts, sorted(rows)]
    division = told["division"]
    if division is not None:
        names[division["id"]] = DIVISION
    closings = [] if division is None else division["cycleClosings"]["nodes"]
    events = defaultdict(list)
    for event in told["events"]["nodes"]:
        amount = event["data"]["amount"] if event["type"] == "balance_change" else None
        events[names[event["subject"]]].append([event["type"], amount])
    dates = [[each["businessDate"], each["closingAt"], each["accountCount"]] for each in reversed(closings)]
    return {"accounts": accounts, "closings": dates, "events": dict(events)}


def test_the_gateway_and_the_model_answer_alike(databases: Databases) -> None:
    """What fails is printed as a program that fails again."""
    machine = type("Machine", (Machine,), {"databases": databases})
    bounded = settings(
        max_examples=6,
        stateful_step_count=25,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounded)
