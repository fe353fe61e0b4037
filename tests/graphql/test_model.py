"""Any sequence of operations has the same answers from a model in plain Python, from SQLite and from PostgreSQL.

By the same sequences each time; with MODEL_EXAMPLES by so many others, of MODEL_STEPS steps each. What fails is printed
as a program of its steps, with the seed that finds it again (MODEL_SEED).
"""

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from graphql import FieldNode, OperationDefinitionNode, parse
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.domain.callers import Caller
from app.domain.idempotency import KEPT
from app.domain.ids import parse_id
from app.runner import Runner
from app.web.bodies import JsonReader
from app.web.operations import Asked
from schema import schema
from tests.asking import Gateway, a_caller
from tests.databases import KINDS, Databases
from tests.faults import invariants
from tests.graphql import model_documents as documents
from tests.graphql import model_inputs as given
from tests.graphql import model_reads as reads
from tests.graphql.model import KINDS as BALANCE_KINDS
from tests.graphql.model import Account, Model, in_order
from tests.graphql.model_cycles import Ref
from tests.graphql.test_idempotency import once

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "7"))
STEPS = int(os.environ.get("MODEL_STEPS", "60"))
SEED = 20260301

CALLERS = {
    "north": a_caller("north", subject="of north"),
    "south": a_caller("south", subject="of south"),
    "all": a_caller("north", "south", "default", subject="of all"),
    "both": a_caller("north", "south", subject="of both"),
}
NOT_ASKED = {"currencies", "limits"}
"""What is the same whatever was done."""
NOBODYS = "account_404404"
FOLLOWED, FOLLOWED_SECONDS_MAX = 5, 30
"""So many answers of a subscription are looked at, all of which are there already."""
PAGES = 4
"""So many pages of a list are turned at once."""


class Keyed(NamedTuple):
    """A mutation that was asked with a key, and what each gateway answered."""

    key: str
    asked_at: datetime
    caller: Caller
    name: str
    variables: Mapping[str, Any]
    bodies: list[Any]


class Reading(NamedTuple):
    """A list that is read in pages."""

    caller: Caller
    document: str
    variables: Mapping[str, Any]
    listed: Callable[[], reads.Listed]
    """What the model lists now."""


class Held(NamedTuple):
    """A place in a list, and each gateway's cursor of it."""

    reading: Reading
    place: Any
    cursors: list[str]
    backward: bool


class Side:
    """A gateway on one of the databases, and what it calls the model's things."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._ids: dict[Ref, str] = {}
        self._refs: dict[str, Ref] = {}

    def open(self, now: datetime, *, with_plans: bool) -> None:
        self.gateway = Gateway(
            self.url, with_plans=with_plans, balance_types=BALANCE_KINDS, series_points=reads.POINTS_MAX
        )
        self.gateway.now = now

    async def followed(self, caller: Caller, document: str, variables: Mapping[str, Any], count: int) -> list[Any]:
        """The first so many answers of a subscription."""
        asked = Asked(document, JsonReader().read_text(json.dumps(variables)), None, {})
        coming: Any = await self.gateway.subscribe(asked, caller, mutations=False)
        try:
            async with asyncio.timeout(FOLLOWED_SECONDS_MAX):
                return [json.loads(await anext(coming))["data"]["line"] for _ in range(count)]
        finally:
            await coming.aclose()

    def given(self, value: Any) -> Any:
        """Variables as this gateway is given them."""
        return _shown(value, lambda ref: self._ids[ref])

    def ref(self, id: str) -> Ref:
        return self._refs[id]

    def heard(self, expected: Any, answered: Any) -> Any:
        """An answer in the model's words; what it made is called from now on as is expected."""
        self._learn(expected, answered)
        return self._said(answered)

    def _learn(self, expected: Any, answered: Any) -> None:
        match expected, answered:
            case dict(), dict():
                for key in expected.keys() & answered.keys():
                    self._learn(expected[key], answered[key])
            case list(), list():
                for mine, theirs in zip(expected, answered, strict=False):
                    self._learn(mine, theirs)
            case Ref(), str() if expected not in self._ids:
                assert answered not in self._refs, f"{answered} is {self._refs[answered]} already"
                self._ids[expected], self._refs[answered] = answered, expected

    def _said(self, value: Any) -> Any:
        match value:
            case dict():
                said = {key: self._said(each) for key, each in value.items()}
                if "userErrors" in said:
                    said["userErrors"] = in_order(said["userErrors"])
                if "currentBalances" in said:
                    by_number = sorted(value["currentBalances"], key=lambda each: parse_id(each["id"]) or ())
                    said["currentBalances"] = self._said(by_number)
                return said
            case list():
                return [self._said(each) for each in value]
            case str():
                return self._refs.get(value, value)
        return value


def _shown(value: Any, ref: Callable[[Ref], Any] = lambda ref: ref) -> Any:
    """A value as JSON has it."""
    match value:
        case Ref():
            return ref(value)
        case Decimal():
            return f"{value:f}"
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case dict():
            return {key: _shown(each, ref) for key, each in value.items()}
        case list() | tuple():
            return [_shown(each, ref) for each in value]
    return value


def _told(value: Any) -> Any:
    """What the model answers, as a gateway tells it."""
    match value:
        case Decimal():
            return f"{value.normalize():f}"
        case dict():
            return {key: _told(each) for key, each in value.items()}
        case list() | tuple():
            return [_told(each) for each in value]
    return _shown(value)


class Machine(RuleBasedStateMachine):
    """The three of them, asked the same."""

    databases: Databases

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._left = ExitStack()
        self._model = Model(given.START)
        self._sides = [Side(self._left.enter_context(self.databases.made(kind))) for kind in KINDS]
        self._left.callback(self._loop.close)
        self._are_alike = False
        """Whether nothing differed so far: what fails first is told."""
        self._keyed: list[Keyed] = []
        self._batches: list[tuple[str, list[dict[str, Any]]]] = []
        self._held: list[Held] = []

    def teardown(self) -> None:
        with self._left:
            if self._are_alike:
                for who in CALLERS:
                    self.look_over(who)
                self._shut()
                for side in self._sides:
                    assert self._loop.run(invariants.violations(side.url, clock_stands=True)) == []

    def _shut(self) -> None:
        for side in self._sides:
            self._loop.run(side.gateway.store.close())

    # --- asking ---

    def _mutate(self, who: str, name: str, variables: Mapping[str, Any], *, keyed: bool = False) -> None:
        """Ask all three for a mutation; with a key it can be asked again."""
        self._do(CALLERS[who], name, variables, f"key {len(self._keyed)}" if keyed else None)

    def _do(self, caller: Caller, name: str, variables: Mapping[str, Any], key: str | None) -> None:
        self._are_alike = False
        bodies = [self._body(side, caller, name, variables, key, is_replay=False) for side in self._sides]
        expected = _told(self._model.do(caller, name, variables))
        for side, body in zip(self._sides, bodies, strict=True):
            assert "errors" not in body, body
            assert side.heard(expected, body["data"]["made"]) == expected
        if key is not None:
            self._keyed.append(Keyed(key, self._model.now, caller, name, variables, bodies))

    def _body(
        self, side: Side, caller: Caller, name: str, variables: Mapping[str, Any], key: str | None, *, is_replay: bool
    ) -> Any:
        document, told = documents.mutation(name), side.given(variables)
        if key is None:
            return self._loop.run(side.gateway.ask(document, caller=caller, **told)).body
        body, answered = self._loop.run(once(side.gateway, document, key, caller=caller, **told))
        assert answered.is_replay == is_replay
        return body

    def _read(self, caller: Caller, document: str, variables: Mapping[str, Any], expected: Callable[[], Any]) -> None:
        """Ask all three for what changes nothing; `expected` is the model's data, or raises why there is none."""
        self._are_alike = False
        try:
            told, code = _told(expected()), None
        except reads.Refused as refused:
            told, code = None, str(refused)
        for side in self._sides:
            answer = self._loop.run(side.gateway.ask(document, caller=caller, **side.given(variables)))
            if code is not None:
                assert answer.codes == [code]
            else:
                assert side.heard(told, answer.sound()) == told
        self._are_alike = True

    # --- naming ---

    def _pick(self, who: str, things: Sequence[Any], which: int) -> str:
        """The id of one of the things, most often of the caller's own."""
        own = reads.seen(CALLERS[who], things)
        others = [each for each in things if each not in own]
        if which < given.OTHERS and own:
            return Ref(own[which % len(own)].ref)
        if which == given.OTHERS and others:
            return Ref(others[-1].ref)
        return NOBODYS if which == given.NOBODYS else Ref(self._model.contractors[0].ref)

    def _referring(self, who: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """An account's input, with ids for which of the things it refers to."""
        model, told = self._model, dict(values)
        for name, things in (("contractorId", model.contractors), ("invoiceTemplateId", model.templates)):
            if told.get(name) is not None:
                told[name] = self._pick(who, things, told[name])
        for name in ("sendInvoicesTo", "sendBalanceNotificationsTo"):
            if told.get(name) is not None:
                refs = [self._pick(who, model.contacts, which) for which in told[name]]
                told[name] = list(dict.fromkeys(refs)) if reads.seen(CALLERS[who], model.contacts) else []
        return told

    def _items(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Items with moments for how far they are from now."""
        moments = ("balanceAt", "updateAt")
        now = self._model.now
        return [
            {name: now + value if name in moments and value is not None else value for name, value in each.items()}
            for each in items
        ]

    # --- what is done ---

    @initialize(with_plans=st.booleans())
    def set_up(self, with_plans: bool) -> None:
        for side in self._sides:
            side.open(self._model.now, with_plans=with_plans)
        self._left.callback(self._shut)
        for who in ("north", "south", "all"):
            self._mutate(who, "createContractor", {"input": {"name": "Acme", "isCustomer": True}})
            self._mutate(who, "createDivision", {"input": {"code": "D1"}})
            account = {"name": "a", "externalId": "e1", "contractorId": 2, "divisionCode": "D1"}
            self.create_account(who, account | {"balanceLowThreshold": Decimal(2)}, keyed=False)
            self.report(who, 2, Decimal(5), timedelta(hours=-30), "EUR")
        self._mutate("north", "createDivision", {"input": {"code": "D2", "timezone": "Europe/Oslo"}})
        account = {"name": "B", "externalId": "e2", "contractorId": 0, "divisionCode": "D2"}
        self.create_account("north", account, keyed=False)
        self.report("north", 1, Decimal(5), timedelta(hours=-30), "EUR")
        for code, at, delay in (("D1", "12:00:00", 1439), ("D2", "13:00:00", 5)):
            config = {"divisionCode": code, "cycleClosingTime": at, "cycleEventDelay": delay}
            self.configure("north", config, None, keyed=False)
        self.create_contact("north", 0, "a@b.example", None, keyed=False)
        self._mutate("north", "createInvoiceTemplate", {"input": {"name": "Plain"}})

    @rule(who=given.CALLERS, values=given.ACCOUNT, keyed=st.booleans())
    def create_account(self, who: str, values: dict[str, Any], keyed: bool) -> None:
        self._mutate(who, "createAccount", {"input": self._referring(who, values)}, keyed=keyed)

    @rule(who=given.CALLERS, which=given.WHICH, changes=given.CHANGES | given.THRESHOLDS, keyed=st.booleans())
    def update_account(self, who: str, which: int, changes: dict[str, Any], keyed: bool) -> None:
        account = self._pick(who, self._model.accounts, which)
        self._mutate(who, "updateAccount", {"id": account, "input": self._referring(who, changes)}, keyed=keyed)

    @rule(who=st.sampled_from(["north", "all"]), which=given.OWN, to=given.some("D1", "D2", rarely=(None,), times=2))
    def move_account(self, who: str, which: int, to: str | None) -> None:
        self.update_account(who, which, {"divisionCode": to}, keyed=False)

    @rule(who=given.CALLERS, which=given.OWN, amount=given.GOOD_MONEY, ago=given.PAST, code=given.CODES)
    def report(self, who: str, which: int, amount: Decimal, ago: timedelta, code: str) -> None:
        """A balance that nothing is wrong with."""
        self.add(who, which, amount, ago, code, keyed=False)

    @rule(who=given.CALLERS, items=st.lists(given.GOOD_ITEM, max_size=6))
    def report_many(self, who: str, items: list[dict[str, Any]]) -> None:
        """Items that hardly anything is wrong with."""
        self.register(who, items, keyed=False)

    @rule(
        who=given.CALLERS,
        which=given.WHICH,
        amount=given.MONEY,
        ago=given.HOURS,
        currency=given.CURRENCIES,
        keyed=st.booleans(),
    )
    def add(self, who: str, which: int, amount: Decimal, ago: timedelta, currency: str, keyed: bool) -> None:
        account = self._pick(who, self._model.accounts, which)
        input = {"amount": amount, "timestamp": self._model.now + ago, "currency": {"code": currency}}
        self._mutate(who, "createBankAccountBalance", {"bankAccountId": account, "input": input}, keyed=keyed)

    @rule(
        who=given.CALLERS,
        which=given.WHICH,
        amount=given.MONEY,
        ago=st.none() | given.HOURS,
        requester=given.some(None, "r", rarely=("x" * 101,)),
        keyed=st.booleans(),
    )
    def correct(
        self, who: str, which: int, amount: Decimal, ago: timedelta | None, requester: str | None, keyed: bool
    ) -> None:
        account = self._pick(who, self._model.accounts, which)
        moment = None if ago is None else self._model.now + ago
        input = {"amount": amount, "timestamp": moment, "requester": requester}
        self._mutate(who, "correctAccountBalance", {"accountId": account, "input": input}, keyed=keyed)

    @rule(who=given.CALLERS, items=st.lists(given.ITEM, max_size=6), keyed=st.booleans())
    def register(self, who: str, items: list[dict[str, Any]], keyed: bool) -> None:
        batch = self._items(items)
        self._mutate(who, "registerBatchAccountBalances", {"input": {"accountBalances": batch}}, keyed=keyed)
        self._batches.append((who, batch))

    @rule(which=given.WHICH, who=st.none() | given.CALLERS, changed=given.CHANGED)
    def register_again(self, which: int, who: str | None, changed: dict[str, Any]) -> None:
        """A batch is sent again, as it was or with something changed, by the same caller or another one."""
        if self._batches:
            by, items = self._batches[-1 - which % len(self._batches)]
            batch = {"input": {"accountBalances": [{**item, **changed} for item in items]}}
            self._mutate(who or by, "registerBatchAccountBalances", batch)

    @rule(who=given.CALLERS, item=given.ITEM, is_old=given.some(False, False, True), keyed=st.booleans())
    def update_balance(self, who: str, item: dict[str, Any], is_old: bool, keyed: bool) -> None:
        """A batch of one, by PUT's older form too: with updateAt alone, or without any moment."""
        item = {**item, "balanceAt": None} if is_old else item
        self._mutate(who, "updateAccountBalance", {"input": self._items([item])[0]}, keyed=keyed)

    @rule(who=given.CALLERS, items=st.lists(given.ITEM, max_size=6))
    def validate(self, who: str, items: list[dict[str, Any]]) -> None:
        batch, caller = {"input": {"accountBalances": self._items(items)}}, CALLERS[who]
        self._read(
            caller,
            documents.VALIDATE,
            batch,
            lambda: {"made": self._model.validate_batch_account_balances(caller, batch)},
        )

    @rule(who=given.CALLERS, config=given.CONFIG, unit=given.UNITS, keyed=st.booleans())
    def configure(self, who: str, config: dict[str, Any], unit: str | None, keyed: bool) -> None:
        input = {"input": {**config, "businessUnit": unit}}
        self._mutate(who, "createAccountBalanceHistoryConfig", input, keyed=keyed)

    @rule(
        who=given.CALLERS,
        code=given.DIVISION_CODES,
        unit=given.UNITS,
        changes=given.CONFIG_CHANGES | given.CONFIG_CHANGES | given.NO_CHANGES,
        keyed=st.booleans(),
    )
    def reconfigure(self, who: str, code: str, unit: str | None, changes: dict[str, Any], keyed: bool) -> None:
        variables = {"divisionCode": code, "businessUnit": unit, "input": changes}
        self._mutate(who, "updateAccountBalanceHistoryConfig", variables, keyed=keyed)

    @rule(who=given.CALLERS, input=given.DIVISION, keyed=st.booleans())
    def create_division(self, who: str, input: dict[str, Any], keyed: bool) -> None:
        self._mutate(who, "createDivision", {"input": input}, keyed=keyed)

    @rule(who=given.CALLERS, input=given.CONTRACTOR, keyed=st.booleans())
    def create_contractor(self, who: str, input: dict[str, Any], keyed: bool) -> None:
        self._mutate(who, "createContractor", {"input": input}, keyed=keyed)

    @rule(who=given.CALLERS, which=given.WHICH, email=given.EMAILS, name=st.none() | given.NAMES, keyed=st.booleans())
    def create_contact(self, who: str, which: int, email: str, name: str | None, keyed: bool) -> None:
        contractor = self._pick(who, self._model.contractors, which)
        self._mutate(
            who, "createContact", {"input": {"contractorId": contractor, "email": email, "name": name}}, keyed=keyed
        )

    @rule(who=given.CALLERS, name=given.NAMES, unit=given.UNITS, keyed=st.booleans())
    def create_invoice_template(self, who: str, name: str, unit: str | None, keyed: bool) -> None:
        self._mutate(who, "createInvoiceTemplate", {"input": {"name": name, "businessUnit": unit}}, keyed=keyed)

    @rule(who=given.CALLERS, input=given.WEBHOOK, keyed=st.booleans())
    def create_webhook(self, who: str, input: dict[str, Any], keyed: bool) -> None:
        self._mutate(who, "createWebhook", {"input": input}, keyed=keyed)

    @rule(who=given.CALLERS, which=given.WHICH, keyed=st.booleans())
    def delete_webhook(self, who: str, which: int, keyed: bool) -> None:
        self._mutate(who, "deleteWebhook", {"id": self._pick(who, self._model.webhooks, which)}, keyed=keyed)

    # --- what happens to the gateways ---

    @rule(which=given.WHICH, is_other=st.booleans())
    def ask_again(self, which: int, is_other: bool) -> None:
        """A request with a key; or another one with its key. What is too old to be known is done anew."""
        if not self._keyed:
            return
        asked = self._keyed[-1 - which % len(self._keyed)]
        key, asked_at, caller, name, variables, bodies = asked
        if self._model.now - asked_at >= KEPT:
            self._keyed.remove(asked)
            self._do(caller, name, variables, key)
        elif is_other:
            for side in self._sides:
                other = self._body(side, caller, "deleteWebhook", {"id": "webhook_404404"}, key, is_replay=False)
                assert [error["extensions"]["code"] for error in other["errors"]] == ["IDEMPOTENCY_KEY_REUSED"]
        else:
            for side, body in zip(self._sides, bodies, strict=True):
                assert self._body(side, caller, name, variables, key, is_replay=True) == self._still(side, body)

    def _still(self, side: Side, body: Any) -> Any:
        """What was answered, but for a webhook that is no more."""
        webhook = body["data"]["made"].get("webhook")
        if webhook is None or side.ref(webhook["id"]) in [each.ref for each in self._model.webhooks]:
            return body
        return {"data": {"made": {**body["data"]["made"], "webhook": None}}}

    @rule(hours=st.integers(1, 60))
    def wait(self, hours: int) -> None:
        self._set_clock(self._model.now + timedelta(hours=hours))

    @rule(hours=st.integers(-60, 0), is_closing=st.booleans())
    def turn_back(self, hours: int, is_closing: bool) -> None:
        self._set_clock(self._model.now + timedelta(hours=hours))
        if is_closing:
            self._close_cycles()

    @rule(hours=st.integers(1, 60))
    def close(self, hours: int) -> None:
        """A few closings come due and are made up."""
        self._set_clock(self._model.now + timedelta(hours=hours))
        self._close_cycles()

    @rule(hours=st.integers(0, 12))
    def close_soon(self, hours: int) -> None:
        """Hardly one comes due."""
        self.close(hours)

    def _set_clock(self, now: datetime) -> None:
        self._model.now = now
        for side in self._sides:
            side.gateway.now = now

    def _close_cycles(self) -> None:
        self._model.tick()
        for side in self._sides:
            runner = Runner(
                side.gateway.store, clock=lambda: self._model.now, retention=timedelta(days=30), dispatcher=None
            )
            self._loop.run(runner.tick())

    @rule(with_plans=st.booleans())
    def restart(self, with_plans: bool) -> None:
        self._shut()
        for side in self._sides:
            side.open(self._model.now, with_plans=with_plans)

    # --- what is read ---

    @invariant()
    def all_three_are_alike(self) -> None:
        """What most steps change; the rest shows in what is read now and then, and at the end."""
        caller = CALLERS["all"]
        self._read(caller, documents.GLANCE, {}, lambda: reads.glance(self._model, caller))

    @rule(who=given.CALLERS)
    def look_over(self, who: str) -> None:
        caller = CALLERS[who]
        self._read(caller, documents.EVERYTHING, {}, lambda: reads.everything(self._model, caller))

    @rule(
        who=given.CALLERS,
        key=st.sampled_from(["name", "externalId", "id"]),
        which=given.WHICH,
        unit=given.UNITS,
    )
    def look_up(self, who: str, key: str, which: int, unit: str | None) -> None:
        """An account by what it is known by."""
        model, caller = self._model, CALLERS[who]
        account = model.accounts[which % len(model.accounts)]
        known = account.ref if key == "id" else account.values[key] or "nobody's"
        identifier = {"id": known} if key == "id" else {key: {key: known, "businessUnit": unit}}
        among = None if key == "id" else unit
        self._read(
            caller,
            documents.IDENTIFIED,
            {"identifier": identifier},
            lambda: {"accountByIdentifier": reads.identified(model, caller, key, known, among)},
        )

    @rule(who=given.CALLERS, code=given.DIVISION_CODES, unit=given.UNITS)
    def look_up_division(self, who: str, code: str, unit: str | None) -> None:
        caller = CALLERS[who]
        variables = {"code": code, "unit": unit}
        self._read(
            caller, documents.DIVISION, variables, lambda: {"division": reads.division(self._model, caller, code, unit)}
        )

    @rule(who=given.CALLERS)
    def look_at_nodes(self, who: str) -> None:
        """The newest things by their ids; what is another one's is none."""
        model, caller = self._model, CALLERS[who]
        of: list[Any] = [*model.accounts, *model.contractors, *model.contacts, *model.templates, *model.divisions]
        things = [(each.ref, each.unit) for each in [*of, *model.webhooks]]
        things += [(config.ref, each.unit) for each in model.divisions for config in each.configs]
        things += [(entry.ref, entry.account.unit) for entry in model.entries[-9:]]
        told = [{"id": ref} if caller.may_see(unit) else None for ref, unit in things]
        self._read(
            caller,
            documents.NODES,
            {"ids": [ref for ref, _ in things], "one": things[-1][0]},
            lambda: {"nodes": told, "node": told[-1]},
        )

    @rule(
        who=given.CALLERS,
        which=given.WHICH,
        ago=st.none() | given.HOURS,
        currency=st.none() | given.CURRENCIES,
        kind=given.SEEN_KINDS,
    )
    def look_back(self, who: str, which: int, ago: timedelta | None, currency: str | None, kind: str | None) -> None:
        """The balance as of an instant, or as of the moment of the account's newest entry."""
        account, before = self._pick(who, self._model.accounts, which), self._model.now + (ago or timedelta(0))
        of = self._model.account(CALLERS[who], account)
        if ago is None and of is not None and of.entries:
            before = of.entries[-1].at
        variables = {"account": account, "before": before, "currency": currency, "kind": kind}
        self._read_of(
            who,
            account,
            documents.AS_OF,
            variables,
            lambda of: {"balanceAsOf": reads.as_of(of, before, currency, kind)},
        )

    @rule(
        who=given.CALLERS,
        which=given.WHICH,
        interval=st.sampled_from(["HOUR", "DAY", "DAY", "WEEK", "MONTH"]),
        ago=given.HOURS,
        hours=st.integers(-5, 70),
        currency=st.none() | given.CURRENCIES,
        zone=st.none() | given.ZONES,
    )
    def look_along(
        self, who: str, which: int, interval: str, ago: timedelta, hours: int, currency: str | None, zone: str | None
    ) -> None:
        """A series of balances; of hours or of as many days."""
        account, since = self._pick(who, self._model.accounts, which), self._model.now + ago
        before = since + timedelta(hours=hours if interval == "HOUR" else 20 * hours)
        series = (since, before, interval, currency, zone)
        variables = dict(
            zip(("account", "from", "before", "interval", "currency", "zone"), (account, *series), strict=True)
        )
        self._read_of(
            who, account, documents.SERIES, variables, lambda of: {"balanceSeries": reads.series(of, *series)}
        )

    def _read_of(
        self, who: str, account: str, document: str, variables: Mapping[str, Any], expected: Callable[[Account], Any]
    ) -> None:
        of = self._model.account(CALLERS[who], account)
        self._read(CALLERS[who], document, variables, lambda: {"account": None if of is None else expected(of)})

    # --- pages ---

    @rule(
        who=given.CALLERS,
        filter=given.ACCOUNT_FILTERS,
        order=given.orders(given.ACCOUNT_ORDERS),
        size=given.SIZES,
        backward=st.booleans(),
    )
    def page_accounts(self, who: str, filter: Any, order: Any, size: int, backward: bool) -> None:
        caller, variables = CALLERS[who], {"filter": filter, "orderBy": order}
        self._walk(
            Reading(
                caller, documents.ACCOUNTS, variables, lambda: reads.accounts_listed(self._model, caller, variables)
            ),
            size,
            backward=backward,
        )

    @rule(
        who=given.CALLERS,
        of=st.none() | given.WHICH,
        filter=given.ENTRY_FILTERS,
        order=given.orders(given.ENTRY_ORDERS),
        size=given.SIZES,
        backward=st.booleans(),
    )
    def page_entries(self, who: str, of: int | None, filter: Any, order: Any, size: int, backward: bool) -> None:
        model, caller = self._model, CALLERS[who]
        if filter is not None and "accountIds" in filter:
            filter = filter | {"accountIds": [self._pick(who, model.accounts, which) for which in filter["accountIds"]]}
        variables = {"filter": filter, "orderBy": order}
        if of is None:
            reading = Reading(
                caller, documents.ENTRIES, variables, lambda: reads.entries_listed(model, caller, None, variables)
            )
            self._walk(reading, size, backward=backward)
            return
        account = self._pick(who, model.accounts, of)
        self._walk_of(
            who,
            account,
            documents.ENTRIES_OF_ONE,
            variables,
            lambda of: reads.entries_listed(model, caller, of, variables),
            size,
            backward=backward,
        )

    @rule(who=given.CALLERS, which=given.WHICH, bounds=given.HISTORY, size=given.SIZES, backward=st.booleans())
    def page_history(self, who: str, which: int, bounds: dict[str, Any], size: int, backward: bool) -> None:
        account = self._pick(who, self._model.accounts, which)
        self._walk_of(
            who,
            account,
            documents.HISTORY,
            bounds,
            lambda of: reads.history_listed(of, bounds),
            size,
            backward=backward,
        )

    @rule(who=given.CALLERS, bounds=given.EVENTS, size=given.SIZES, backward=st.booleans())
    def page_events(self, who: str, bounds: dict[str, Any], size: int, backward: bool) -> None:
        model, caller = self._model, CALLERS[who]
        if "subjects" in bounds:
            subjects = [*model.accounts, *model.divisions]
            bounds = bounds | {"subjects": [self._pick(who, subjects, which) for which in bounds["subjects"]]}
        reading = Reading(caller, documents.EVENTS, bounds, lambda: reads.events_listed(model, caller, bounds))
        self._walk(reading, size, backward=backward)

    @rule(which=given.WHICH, size=given.SIZES)
    def read_on(self, which: int, size: int) -> None:
        """A list that was read before is read on, whatever has happened since."""
        if self._held:
            held = self._held[-1 - which % len(self._held)]
            self._turn(held.reading, size, held, backward=held.backward)

    @rule(which=given.WHICH)
    def follow_events(self, which: int) -> None:
        """What came behind a place where a page of the log ended once, as a subscription tells it."""
        ended = [held for held in self._held if held.reading.document == documents.EVENTS and not held.backward]
        held = ended[which % len(ended)] if ended else None
        if held is not None and "time" not in held.reading.variables:
            lines, _ = held.reading.listed().page(FOLLOWED, held.place, backward=False)
            self._follow(held.reading.caller, documents.FOLLOWED_EVENTS, held.reading.variables, held.cursors, lines)

    @rule(who=given.CALLERS, of=st.none() | st.lists(given.WHICH, max_size=2), after=given.WHICH)
    def follow_entries(self, who: str, of: list[int] | None, after: int) -> None:
        """What was recorded after an entry, of all accounts or of some."""
        model, caller = self._model, CALLERS[who]
        accounts = None if of is None else [self._pick(who, model.accounts, which) for which in of]
        lines = reads.entries_recorded(model, caller, accounts).lines
        everything = reads.entries_recorded(model, caller, None).lines
        if everything:
            first = everything[after % len(everything)]
            behind = [line for line in lines if line.place > first.place][:FOLLOWED]
            variables = {"accountIds": accounts, "after": first.told["id"]}
            self._follow(caller, documents.FOLLOWED_ENTRIES, variables, None, behind)

    def _follow(
        self,
        caller: Caller,
        document: str,
        variables: Mapping[str, Any],
        cursors: Sequence[str] | None,
        lines: Sequence[reads.Line],
    ) -> None:
        self._are_alike = False
        expected = _told([line.told for line in lines])
        for place, side in enumerate(self._sides):
            given = side.given(variables) | ({} if cursors is None else {"after": cursors[place]})
            answers = self._loop.run(side.followed(caller, document, given, len(lines)))
            assert side.heard(expected, answers) == expected

    def _walk_of(
        self,
        who: str,
        account: str,
        document: str,
        variables: Mapping[str, Any],
        listed: Callable[[Account], reads.Listed],
        size: int,
        *,
        backward: bool,
    ) -> None:
        of, variables = self._model.account(CALLERS[who], account), {**variables, "account": account}
        if of is None:
            self._read(CALLERS[who], document, variables, lambda: {"of": None})
            return
        self._walk(Reading(CALLERS[who], document, variables, lambda: listed(of)), size, backward=backward)

    def _walk(self, reading: Reading, size: int, *, backward: bool) -> None:
        """Turn some pages, forward from the first or backward from the last one."""
        held: Held | None = None
        for _ in range(PAGES):
            following = self._turn(reading, size, held, backward=backward)
            if following is None:
                break
            held = following
        if held is not None:
            self._held = [*self._held[-9:], held]

    def _turn(self, reading: Reading, size: int, held: Held | None, *, backward: bool) -> Held | None:
        """Read the page behind a place; the place where it ends, unless the list ends there or nothing was read."""
        self._are_alike = False
        names = ("last", "before") if backward else ("first", "after")
        lines: Sequence[reads.Line] = ()
        try:
            lines, told = reading.listed().page(size, None if held is None else held.place, backward=backward)
            expected, codes = _told(told), []
        except reads.Refused as refused:
            expected, codes = None, [str(refused)]
        cursors = []
        for place, side in enumerate(self._sides):
            cursor = None if held is None else held.cursors[place]
            variables = side.given(reading.variables) | dict(zip(names, (size, cursor), strict=True))
            answer = self._loop.run(side.gateway.ask(reading.document, caller=reading.caller, **variables))
            assert answer.codes == codes
            if expected is not None:
                page = answer.data.get("of", answer.data)["page"]
                assert side.heard(expected, _without_cursors(page)) == expected
                cursors += [each["cursor"] for each in page["edges"][: 1 if backward else None][-1:]]
        return Held(reading, lines[0 if backward else -1].place, cursors, backward) if lines else None


def _without_cursors(page: Any) -> Any:
    """A page as the model tells it; its cursors are those of its first and last edge."""
    info, edges = page["pageInfo"], page["edges"]
    start, end = info.pop("startCursor"), info.pop("endCursor")
    if edges:
        assert (start, end) == (edges[0]["cursor"], edges[-1]["cursor"])
    return {"totalCount": page["totalCount"], "pageInfo": info, "nodes": [edge["node"] for edge in edges]}


def test_every_operation_is_asked() -> None:
    assert schema.mutation_type is not None
    assert schema.query_type is not None
    assert schema.subscription_type is not None
    assert set(documents.MUTATIONS) == set(schema.mutation_type.fields)
    asked = {field for document in documents.READS for field in fields_of(document)}
    assert asked == {*schema.query_type.fields, *schema.subscription_type.fields} - NOT_ASKED


def fields_of(document: str) -> set[str]:
    """The fields of the root that a document asks for."""
    operation = parse(document).definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return {each.name.value for each in operation.selection_set.selections if isinstance(each, FieldNode)}


def test_the_gateway_and_the_model_answer_alike(databases: Databases) -> None:
    """What fails is printed as a program that fails again, and so is the seed of the whole run."""
    is_longer = "MODEL_EXAMPLES" in os.environ
    chance = int(os.environ.get("MODEL_SEED") or (random.randrange(2**32) if is_longer else SEED))
    print(f"MODEL_SEED={chance} MODEL_EXAMPLES={EXAMPLES} MODEL_STEPS={STEPS}")
    machine = seed(chance)(type("Machine", (Machine,), {"databases": databases}))
    bounded = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=False,
        print_blob=True,
        phases=[Phase.generate, Phase.shrink],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=bounded)
