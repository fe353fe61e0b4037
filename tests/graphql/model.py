"""The gateway's rules once more, in plain Python over lists: what each mutation does and answers.

What is asked and answered has the contract's names. An id is a Ref here, an amount a Decimal, an instant a datetime.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from zoneinfo import available_timezones

from app.domain.callers import Caller
from tests.graphql.model_cycles import DAY, Config, Ref, closing_at, closings, governing, next_closing

CURRENCIES = {"EUR", "NOK", "JPY"}
KINDS = frozenset({"DAILY", "STATEMENT"})
"""The types of balances that the gateways are set to take."""
AHEAD_MAX = timedelta(days=3660)
LARGEST = Decimal("922337203685477.5807")
EVENT_TYPES = {
    *("balance_change", "balance_history", "balance_history_config_creation", "balance_history_config_change"),
    *("division_cycle_closing", "AccountLowThresholdReached", "AccountLowThresholdCleared"),
    *("AccountHighThresholdReached", "AccountHighThresholdCleared"),
}

Given = Mapping[str, Any]
Fault = dict[str, Any]


@dataclass(eq=False)
class Contractor:
    ref: Ref
    unit: str
    name: str
    external_id: str | None
    is_customer: bool
    is_vendor: bool


@dataclass(eq=False)
class Contact:
    ref: Ref
    unit: str
    contractor: Contractor
    email: str
    name: str | None


@dataclass(eq=False)
class Template:
    ref: Ref
    unit: str
    name: str


@dataclass(eq=False)
class Division:
    ref: Ref
    unit: str
    code: str
    name: str | None
    timezone: str
    parent: "Division | None"
    configs: list[Config] = field(default_factory=list)
    closed: list[tuple[date, datetime, int, datetime]] = field(default_factory=list)
    """Business day, closing, accounts, and when it was carried out."""


class Entry(NamedTuple):
    at: datetime
    place: int
    ref: Ref
    account: "Account"
    amount: Decimal
    currency: str
    kind: str | None
    equivalent: Decimal | None
    number: str | None
    requester: str | None
    recorded_at: datetime
    recorded_by: str


class Row(NamedTuple):
    """What a closing says of an account in one currency."""

    closing_at: datetime
    place: int
    day: date
    currency: str
    opening: Decimal
    closing: Decimal


@dataclass(eq=False)
class Account:
    ref: Ref
    unit: str
    number: int
    uuid: str
    currency: str
    created: datetime
    updated: datetime
    values: dict[str, Any]
    """By the names of its input; references are the things themselves."""
    entries: list[Entry] = field(default_factory=list)
    state: str = "NONE"
    rows: list[Row] = field(default_factory=list)
    closings: list[datetime] = field(default_factory=list)
    """Those that it had part in."""

    def last(self, currency: str, before: datetime | None = None, kind: str | None = None) -> Entry | None:
        of = [each for each in self.entries if each.currency == currency and (kind is None or each.kind == kind)]
        return max((each for each in of if before is None or each.at < before), default=None, key=lambda each: each[:2])

    @property
    def current(self) -> Entry | None:
        return self.last(self.currency)

    @property
    def balance(self) -> Decimal:
        return self.current.amount if self.current else Decimal(0)


@dataclass(eq=False)
class Webhook:
    ref: Ref
    unit: str
    url: str
    types: list[str] | None
    created: datetime
    position: int


class Event(NamedTuple):
    place: int
    type: str
    subject: Ref
    unit: str
    time: datetime
    data: dict[str, Any]


class Verdict(NamedTuple):
    code: str | None
    field: str | None
    same: bool | None = None
    holder: Ref | None = None
    holder_place: int | None = None
    """That of the item which holds the number, where one of the same batch does."""


T = TypeVar("T", Contractor, Contact, Template, Division, Account, Webhook)

VALUES: Given = {
    **dict.fromkeys(("name", "externalId", "divisionCode", "contractorId", "invoiceTemplateId", "invoicePeriod")),
    **dict.fromkeys(("balanceLowThreshold", "balanceHighThreshold", "destinationRateLimit")),
    **dict.fromkeys(("originationCapacity", "terminationCapacity", "totalCapacity", "maxCallDuration")),
    **dict.fromkeys(("minBalance", "maxBalance", "vat"), Decimal(0)),
    **dict.fromkeys(("sendInvoicesTo", "sendBalanceNotificationsTo"), ()),
    "timezone": "UTC",
}
"""What can be changed of an account, and what it is unless said otherwise."""
AMOUNTS = ("minBalance", "maxBalance", "balanceLowThreshold", "balanceHighThreshold", "vat", "destinationRateLimit")
CAPACITIES = ("originationCapacity", "terminationCapacity", "totalCapacity")


class Model:
    """What a gateway with the same past answers."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.units: set[str] = set()
        self.contractors: list[Contractor] = []
        self.contacts: list[Contact] = []
        self.templates: list[Template] = []
        self.divisions: list[Division] = []
        self.accounts: list[Account] = []
        self.entries: list[Entry] = []
        self.webhooks: list[Webhook] = []
        self.log: list[Event] = []
        self._made = 0

    def do(self, caller: Caller, name: str, given: Given) -> Any:
        """What a mutation answers, by its name and arguments; it is done where nothing speaks against it."""
        method = getattr(self, re.sub("([A-Z])", lambda letter: f"_{letter[1].lower()}", name))
        return method(caller, given)

    def account(self, caller: Caller, ref: str) -> Account | None:
        """The account with an id, where it exists for a caller."""
        return self._known(caller, self.accounts, ref)

    def _ref(self, kind: str) -> Ref:
        self._made += 1
        return Ref(f"<{kind} {self._made}>")

    def _known(self, caller: Caller, things: Iterable[T], ref: Any) -> T | None:
        """The thing with an id, where it exists for a caller."""
        return next((each for each in things if each.ref == ref and caller.may_see(each.unit)), None)

    @staticmethod
    def _of(things: Iterable[T], unit: str | None, **named: Any) -> T | None:
        """The thing in a unit with such values."""
        for each in things:
            if each.unit == unit and all(getattr(each, name) == value for name, value in named.items()):
                return each
        return None

    def _find(self, unit: str, name: str, value: Any) -> Account | None:
        """The account of a unit by one of its unique keys."""
        of = [each for each in self.accounts if each.unit == unit and value is not None]
        return next((each for each in of if (each.uuid if name == "uuid" else each.values[name]) == value), None)

    # --- what accounts refer to ---

    def create_contractor(self, caller: Caller, given: Given) -> Any:
        input = given["input"]
        unit, broken = unit_of(caller, input.get("businessUnit"))
        broken += name_faults(input["name"])
        external_id = input.get("externalId") or None
        broken += text_faults(external_id, "externalId")
        if not input.get("isCustomer") and not input.get("isVendor"):
            broken.append(fault("REQUIRED", "isCustomer", documented="100"))
        if external_id and self._of(self.contractors, unit, external_id=external_id):
            broken.append(fault("TAKEN", "externalId", documented="100"))
        if broken:
            return refused("contractor", broken)
        assert unit is not None
        kinds = bool(input.get("isCustomer")), bool(input.get("isVendor"))
        made = Contractor(self._ref("contractor"), unit, input["name"], external_id, *kinds)
        self.units.add(unit)
        self.contractors.append(made)
        return answered("contractor", made.ref)

    def create_contact(self, caller: Caller, given: Given) -> Any:
        input = given["input"]
        contractor = self._known(caller, self.contractors, input["contractorId"])
        broken = [] if contractor else [fault("NOT_FOUND", "contractorId")]
        email = input["email"]
        if not email.strip():
            broken.append(fault("REQUIRED", "email"))
        elif len(email) > 254:
            broken.append(fault("TOO_LONG", "email"))
        elif not re.fullmatch(r"[^\s@]+@[^\s@]+", email):
            broken.append(fault("INVALID", "email"))
        broken += text_faults(input.get("name"), "name")
        if broken or contractor is None:
            return refused("contact", broken)
        made = Contact(self._ref("contact"), contractor.unit, contractor, email, input.get("name"))
        self.contacts.append(made)
        return answered("contact", made.ref)

    def create_invoice_template(self, caller: Caller, given: Given) -> Any:
        unit, broken = unit_of(caller, given["input"].get("businessUnit"))
        broken += name_faults(given["input"]["name"])
        if broken or unit is None:
            return refused("invoiceTemplate", broken)
        made = Template(self._ref("template"), unit, given["input"]["name"])
        self.units.add(unit)
        self.templates.append(made)
        return answered("invoiceTemplate", made.ref)

    def create_division(self, caller: Caller, given: Given) -> Any:
        input = given["input"]
        unit, broken = unit_of(caller, input.get("businessUnit"))
        code, parent_code, zone = input["code"], input.get("parentCode"), input.get("timezone")
        broken += code_faults(code, "code")
        broken += code_faults(parent_code, "parentCode") if parent_code else []
        broken += (
            [] if zone is None or zone in available_timezones() else [fault("INVALID", "timezone", documented=DIV)]
        )
        broken += [each | {"documentedCode": DIV} for each in text_faults(input.get("name"), "name", longest=40)]
        parent = self._of(self.divisions, unit, code=parent_code)
        if unit is not None:
            if self._of(self.divisions, unit, code=code):
                broken.append(fault("TAKEN", "code", documented="WDIV0016"))
            if parent_code is not None and parent is None:
                broken.append(fault("NOT_FOUND", "parentCode", documented="WDIV0017"))
        if broken or unit is None:
            return refused("division", broken)
        zone = zone or (parent.timezone if parent else "UTC")
        made = Division(self._ref("division"), unit, code, input.get("name"), zone, parent)
        self.units.add(unit)
        self.divisions.append(made)
        return answered("division", made.ref)

    # --- accounts ---

    def create_account(self, caller: Caller, given: Given) -> Any:
        input = {name: value for name, value in given["input"].items() if value is not None}
        unit, broken = unit_of(caller, input.get("businessUnit"))
        values = {**VALUES, **{name: value for name, value in input.items() if name in VALUES}}
        values["externalId"] = values["externalId"] or None
        broken += own_faults(values)
        currency = input.get("currency", {"code": "EUR"})["code"]
        if currency not in CURRENCIES:
            broken.append(fault("INVALID", "currency", "code", documented="100"))
        broken += self._refer(unit, values)
        broken += self._taken(unit, {**values, "uuid": input.get("uuid")}, None)
        if broken:
            return refused("account", broken)
        assert unit is not None
        ref = self._ref("account")
        uuid = input.get("uuid") or Ref(f"<uuid of {ref}>")
        number = len(self.accounts)
        self.accounts.append(Account(ref, unit, number, uuid, currency, self.now, self.now, values))
        return answered("account", ref)

    def update_account(self, caller: Caller, given: Given) -> Any:
        account = self._known(caller, self.accounts, given["id"])
        if account is None:
            return refused("account", [fault("NOT_FOUND", "id", top=True)])
        changes = dict(given["input"])
        if "externalId" in changes:
            changes["externalId"] = changes["externalId"] or None
        for name in ("sendInvoicesTo", "sendBalanceNotificationsTo"):
            if name in changes:
                changes[name] = changes[name] or ()
        broken = own_faults({**account.values, **changes})
        if "contractorId" in changes and changes["contractorId"] is None:
            broken.append(fault("REQUIRED", "contractorId", documented="100"))
        broken += self._refer(account.unit, changes)
        broken += self._taken(account.unit, changes, account)
        if broken:
            return refused("account", broken)
        if changes:
            account.values |= changes
            account.updated = self.now
            self._judge(account)
        return answered("account", account.ref)

    def _refer(self, unit: str | None, values: dict[str, Any]) -> list[Fault]:
        """Put the things that are referred to in the place of their ids and codes."""
        broken = []
        singles: tuple[tuple[str, Sequence[Any]], ...] = (
            ("contractorId", self.contractors),
            ("invoiceTemplateId", self.templates),
        )
        for name, things in singles:
            if values.get(name) is not None:
                _ref, values[name] = values[name], self._of(things, unit, ref=values[name])
                broken += [] if values[name] else [fault("NOT_FOUND", name, documented="100")]
        if values.get("divisionCode") is not None:
            values["divisionCode"] = self._of(self.divisions, unit, code=values["divisionCode"])
            broken += [] if values["divisionCode"] else [fault("NOT_FOUND", "divisionCode")]
        for name in ("sendInvoicesTo", "sendBalanceNotificationsTo"):
            if name in values:
                found = [self._of(self.contacts, unit, ref=ref) for ref in values[name]]
                broken += [fault("NOT_FOUND", name, documented="100") for each in found if each is None]
                values[name] = found
        return broken

    def _taken(self, unit: str | None, values: Given, but: Account | None) -> list[Fault]:
        broken = []
        for name in ("name", "externalId", "uuid"):
            holder = None if unit is None else self._find(unit, name, values.get(name))
            if holder is not None and holder is not but:
                broken.append(fault("TAKEN", name, documented="100"))
        return broken

    # --- balances ---

    def create_bank_account_balance(self, caller: Caller, given: Given) -> Any:
        account = self._known(caller, self.accounts, given["bankAccountId"])
        input = given["input"]
        broken = [] if account else [fault("NOT_FOUND", "bankAccountId", top=True)]
        broken += amount_faults(input["amount"], "amount")
        broken += self._moment_faults(input["timestamp"])
        currency = input["currency"]["code"]
        broken += [] if currency in CURRENCIES else [fault("INVALID", "currency", "code")]
        if broken or account is None:
            return refused("balance", broken)
        return told(self._record(account, caller, input["timestamp"], input["amount"], currency=currency))

    def correct_account_balance(self, caller: Caller, given: Given) -> Any:
        account = self._known(caller, self.accounts, given["accountId"])
        input, requester = given["input"], given["input"].get("requester")
        broken = [] if account else [fault("NOT_FOUND", "accountId", top=True)]
        broken += amount_faults(input["amount"], "amount")
        moment = input.get("timestamp")
        if moment is not None:
            broken += self._moment_faults(moment)
            if account and account.current and moment < account.current.at:
                broken.append(fault("INVALID", "timestamp"))
        broken += text_faults(requester, "requester", longest=100)
        if account and not amount_faults(input["amount"], "amount"):
            broken += amount_faults(account.balance + input["amount"], "amount")
        if broken or account is None:
            return refused("balance", broken)
        if moment is None:
            moment = max(self.now, account.current.at) if account.current else self.now
        return told(self._record(account, caller, moment, account.balance + input["amount"], requester=requester))

    def register_batch_account_balances(self, caller: Caller, given: Given) -> Any:
        items = given["input"]["accountBalances"]
        verdicts, accepted = self._judged(caller, items)
        recorded: dict[int, Entry] = {}
        # Each counts, in order of moment, then of input.
        for place in sorted(accepted, key=lambda place: (moment_of(items[place]), place)):
            item = items[place]
            recorded[place] = self._record(
                accepted[place],
                caller,
                moment_of(item),
                item["value"],
                kind=item.get("balanceType"),
                equivalent=item.get("equivalentValue"),
                number=item["communicationNumber"],
                requester=item["requester"],
            )
        return self._batch(items, verdicts, recorded)

    def validate_batch_account_balances(self, caller: Caller, given: Given) -> Any:
        items = given["input"]["accountBalances"]
        return self._batch(items, self._judged(caller, items)[0], {})

    def update_account_balance(self, caller: Caller, given: Given) -> Any:
        return self.register_batch_account_balances(caller, {"input": {"accountBalances": [given["input"]]}})[
            "results"
        ][0]

    def _judged(self, caller: Caller, items: Sequence[Given]) -> tuple[list[Verdict], dict[int, Account]]:
        """A verdict of each item, and the accounts of those that are accepted, by their places."""
        verdicts: list[Verdict] = []
        accepted: dict[int, Account] = {}
        for item in items:
            unit = default_unit(caller) if item.get("businessUnit") is None else item["businessUnit"]
            account = None if unit is None else self._find(unit, "externalId", item["accountExtId"])
            verdict = self._form_fault(item)
            if verdict is None and (unit is None or not caller.may_see(unit) or unit not in self.units):
                verdict = Verdict("G004", "businessUnit")
            if verdict is None and account is None:
                verdict = Verdict("404", "accountExtId")
            if verdict is None and account is not None:
                verdict = self._used(account, item) or self._used_before(account, item, items, accepted)
            if verdict is None and account is not None:
                accepted[len(verdicts)] = account
            verdicts.append(verdict or Verdict(None, None))
        return verdicts, accepted

    def _used(self, account: Account, item: Given) -> Verdict | None:
        """Why an item is not taken whose number an entry of its unit has."""
        for entry in self.entries:
            if (entry.account.unit, entry.number) == (account.unit, item["communicationNumber"]):
                said = (entry.account, entry.at, entry.amount, entry.kind, entry.equivalent)
                return Verdict("O005", "communicationNumber", said == content(account, item), entry.ref)
        return None

    @staticmethod
    def _used_before(
        account: Account, item: Given, items: Sequence[Given], accepted: Mapping[int, Account]
    ) -> Verdict | None:
        """The same where an earlier item of the batch has it."""
        for place, holder in accepted.items():
            number = items[place]["communicationNumber"]
            if (holder.unit, number) == (account.unit, item["communicationNumber"]):
                is_same = content(holder, items[place]) == content(account, item)
                return Verdict("O005", "communicationNumber", is_same, holder_place=place)
        return None

    def _form_fault(self, item: Given) -> Verdict | None:
        """The first thing that is wrong with an item by itself."""
        for name in ("accountExtId", "communicationNumber", "requester"):
            if not item[name].strip():
                return Verdict("O001", name)
        if moment_of(item) is None:
            return Verdict("O001", "balanceAt")
        for name, longest in (
            ("accountExtId", 255),
            ("communicationNumber", 255),
            ("requester", 100),
            ("balanceType", 255),
        ):
            if text_faults(item.get(name), name, longest=longest):
                return Verdict("G001", name)
        for name in ("value", "equivalentValue"):
            if item.get(name) is not None and amount_faults(item[name], name):
                return Verdict("G002", name)
        if moment_of(item) - self.now > AHEAD_MAX:
            return Verdict("G005", "updateAt" if item.get("balanceAt") is None else "balanceAt")
        if item.get("balanceType") is not None and item["balanceType"] not in KINDS:
            return Verdict("G003", "balanceType")
        return None

    @staticmethod
    def _batch(items: Sequence[Given], verdicts: Sequence[Verdict], recorded: Mapping[int, Entry]) -> Any:
        results = []
        for place, (item, verdict) in enumerate(zip(items, verdicts, strict=True)):
            of = place if verdict.holder_place is None else verdict.holder_place
            holder = recorded[of].ref if of in recorded else verdict.holder
            results.append(
                {
                    "resultType": "REQUEST_REJECTED" if verdict.code else "REQUEST_ACCEPTED",
                    "index": place,
                    "communicationNumber": item["communicationNumber"],
                    "accountExtId": item["accountExtId"],
                    "errorCode": verdict.code,
                    "errorField": verdict.field,
                    "sameContent": verdict.same,
                    "balance": None if holder is None else {"id": holder},
                }
            )
        rejected = sum(each["errorCode"] is not None for each in results)
        return {"acceptedCount": len(results) - rejected, "rejectedCount": rejected, "results": results}

    def _moment_faults(self, moment: datetime) -> list[Fault]:
        return [fault("OUT_OF_RANGE", "timestamp")] if moment - self.now > AHEAD_MAX else []

    def _record(
        self,
        account: Account,
        caller: Caller,
        at: datetime,
        amount: Decimal,
        *,
        currency: str | None = None,
        kind: str | None = None,
        equivalent: Decimal | None = None,
        number: str | None = None,
        requester: str | None = None,
    ) -> Entry:
        """An entry, and what it tells."""
        own, current = currency or account.currency, account.current
        said = (account, amount, own, kind, equivalent, number, requester, self.now, caller.subject)
        entry = Entry(at, len(self.entries), self._ref("entry"), *said)
        account.entries.append(entry)
        self.entries.append(entry)
        became_current = own == account.currency and (current is None or at >= current.at)
        data = {
            "id": entry.ref,
            **named(account),
            "amount": amount,
            "currency": own,
            "balance_type": kind,
            "equivalent_value": equivalent,
            "balance_update_datetime": at,
            "communication_number": number,
            "requester": requester,
            "became_current": became_current,
        }
        self._tell("balance_change", account, data)
        if became_current:
            self._judge(account)
        return entry

    def _judge(self, account: Account) -> None:
        """Where an account stands to its thresholds, and what it tells of that."""
        low, high = (account.values[name] for name in ("balanceLowThreshold", "balanceHighThreshold"))
        state = "NONE"
        if account.current is not None and low is not None and account.balance < low:
            state = "LOW"
        if account.current is not None and high is not None and account.balance > high:
            state = "HIGH"
        if state != account.state:
            for was, word in ((account.state, "Cleared"), (state, "Reached")):
                if was != "NONE":
                    self._tell(f"Account{was.capitalize()}Threshold{word}", account, crossing(account))
        account.state = state

    def _tell(self, type_: str, subject: Account | Division, data: dict[str, Any]) -> None:
        self.log.append(Event(len(self.log), type_, subject.ref, subject.unit, self.now, data))

    # --- history ---

    def create_account_balance_history_config(self, caller: Caller, given: Given) -> Any:
        input = given["input"]
        code, clock, delay = input["divisionCode"], input["cycleClosingTime"], input["cycleEventDelay"]
        broken = []
        if not code:
            broken.append(fault("REQUIRED", "divisionCode", documented=FIELDS))
        elif len(code) > 36:
            broken.append(fault("TOO_LONG", "divisionCode", documented=FIELDS))
        broken += clock_faults(clock) + delay_faults(delay)
        unit, foreign = unit_of(caller, input.get("businessUnit"))
        broken = broken or foreign
        if broken:
            return refused("balanceHistoryConfig", broken)
        division = self._of(self.divisions, unit, code=code)
        if division is None:
            return refused("balanceHistoryConfig", [fault("NOT_FOUND", "divisionCode", documented="WCFG0003")])
        if division.configs:
            return refused("balanceHistoryConfig", [fault("CONFLICT", "divisionCode", documented="WCFG0004")])
        at = clock_of(clock)
        made = self._config(*next_closing(self.now, at, division.timezone), at, delay)
        division.configs.append(made)
        data = {"division_code": code, **configured(made)}
        self._tell("balance_history_config_creation", division, data)
        return configuration(made)

    def update_account_balance_history_config(self, caller: Caller, given: Given) -> Any:
        clock, delay = given["input"].get("cycleClosingTime"), given["input"].get("cycleEventDelay")
        unit, broken = unit_of(caller, given.get("businessUnit"), top=True)
        if not clock and delay is None:
            broken = [fault("REQUIRED", documented=FIELDS)]
        else:
            fields = [] if clock is None else clock_faults(clock)
            broken = fields + ([] if delay is None else delay_faults(delay)) or broken
        if broken:
            return refused("balanceHistoryConfig", broken)
        division = self._of(self.divisions, unit, code=given["divisionCode"])
        if division is None or not division.configs:
            documented = "WCFG0003" if division is None else "WCFG0005"
            return refused(
                "balanceHistoryConfig", [fault("NOT_FOUND", "divisionCode", documented=documented, top=True)]
            )
        newest = division.configs[-1]
        at = newest.at if clock is None else clock_of(clock)
        delay = newest.delay if delay is None else delay
        if self.now <= newest.start:
            previous = configured(newest)
            newest.at, newest.delay, made = at, delay, newest
        else:
            coming = (each for each in closings([newest], division.timezone) if each[1] > self.now)
            next(coming)
            made = self._config(*next(coming), at, delay)
            newest.end = made.start
            previous = configured(newest)
            division.configs.append(made)
        data = {"division_code": division.code, **configured(made), "previous": previous}
        self._tell("balance_history_config_change", division, data)
        return configuration(made)

    def _config(self, day: date, first: datetime, at: time, delay: int) -> Config:
        return Config(self._ref("config"), day, first, at, delay, first + timedelta(minutes=delay))

    def tick(self) -> None:
        """Close all that is due, of each division oldest first."""
        for division in self.divisions:
            for day, closing in closings(division.configs, division.timezone) if division.configs else ():
                config = governing(division.configs, day)
                if division.closed and day <= division.closed[-1][0]:
                    continue
                if closing + timedelta(minutes=config.delay) > self.now:
                    break
                self._close(division, day, closing, closing_at(day - DAY, config.at, division.timezone))

    def _close(self, division: Division, day: date, closing: datetime, day_before: datetime) -> None:
        of = [each for each in self.accounts if each.values["divisionCode"] is division and each.created < closing]
        for account in of:
            for currency in sorted({entry.currency for entry in account.entries}):
                self._write(account, currency, day, closing, day_before)
            account.closings.append(closing)
            balances = [
                {
                    "currency": row.currency,
                    "opening": row.opening,
                    "closing": row.closing,
                    "change": row.closing - row.opening,
                }
                for row in account.rows
                if row.closing_at == closing
            ]
            data = {**named(account), "date": day, "cycle_closing_datetime": closing, "balances": balances}
            self._tell("balance_history", account, data)
        division.closed.append((day, closing, len(of), self.now))
        data = {
            "division_code": division.code,
            "business_date": day,
            "cycle_closing_datetime": closing,
            "account_count": len(of),
        }
        self._tell("division_cycle_closing", division, data)

    @staticmethod
    def _write(account: Account, currency: str, day: date, closing: datetime, day_before: datetime) -> None:
        """The row of history that a closing writes, where there is one."""
        stands, previous = account.last(currency, closing), max(account.closings, default=None)
        if stands is None or (previous is not None and previous >= closing):
            return
        last_row = next((row for row in reversed(account.rows) if row.currency == currency), None)
        is_moved = previous is None or stands.at >= previous
        if not is_moved and last_row is not None and last_row.closing == stands.amount:
            return
        before = account.last(currency, day_before)
        opening = last_row.closing if last_row else before.amount if before else Decimal(0)
        account.rows.append(Row(closing, len(account.rows), day, currency, opening, stands.amount))

    # --- webhooks ---

    def create_webhook(self, caller: Caller, given: Given) -> Any:
        url, types = given["input"]["url"], given["input"].get("eventTypes")
        unit, broken = unit_of(caller, given["input"].get("businessUnit"))
        if unit is not None and unit not in self.units:
            broken.append(fault("NOT_FOUND", "businessUnit"))
        if not url.strip():
            broken.append(fault("REQUIRED", "url"))
        elif len(url) > 2048:
            broken.append(fault("TOO_LONG", "url"))
        elif not url.startswith("https://receiver.example"):
            broken.append(fault("INVALID", "url"))
        if types is not None and not types:
            broken.append(fault("REQUIRED", "eventTypes"))
        broken += [fault("INVALID", "eventTypes") for each in types or () if each not in EVENT_TYPES]
        if broken or unit is None:
            return refused("webhook", broken)
        kinds = None if types is None else sorted(set(types))
        made = Webhook(self._ref("webhook"), unit, url, kinds, self.now, len(self.log))
        self.webhooks.append(made)
        return answered("webhook", made.ref)

    def delete_webhook(self, caller: Caller, given: Given) -> Any:
        webhook = self._known(caller, self.webhooks, given["id"])
        if webhook is None:
            return {"deletedId": None, "userErrors": [fault("NOT_FOUND", "id", top=True)]}
        self.webhooks.remove(webhook)
        return {"deletedId": webhook.ref, "userErrors": []}


DIV, FIELDS = "WDIV0011", "WCFG0002"


def fault(code: str, *path: str, documented: str | None = None, top: bool = False) -> Fault:
    """What is wrong, at a place within the input, or at an argument beside it."""
    return {"code": code, "path": list(path) if top else ["input", *path], "documentedCode": documented}


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Faults in an order of their own: that in which they are told says nothing."""
    return sorted(faults, key=lambda each: (each["path"], each["code"]))


def refused(name: str, broken: list[Fault]) -> Any:
    return {name: None, "userErrors": in_order(broken)}


def answered(name: str, ref: Ref) -> Any:
    return {name: {"id": ref}, "userErrors": []}


def told(entry: Entry) -> Any:
    return {"balance": {"id": entry.ref, "amount": entry.amount, "timestamp": entry.at}, "userErrors": []}


def configuration(config: Config) -> Any:
    told = {"id": config.ref, "cycleConfigValidity": {"start": config.start}}
    return {"balanceHistoryConfig": told, "userErrors": []}


def default_unit(caller: Caller) -> str | None:
    """That of a caller's inputs: its only one, else the one called "default", where it may use that."""
    assert caller.units is not None
    return next(iter(caller.units)) if len(caller.units) == 1 else "default" if "default" in caller.units else None


def unit_of(caller: Caller, given: str | None, *, top: bool = False) -> tuple[str | None, list[Fault]]:
    """The unit in which something is made, and what is wrong with it."""
    name = default_unit(caller) if given is None else given
    if name is None or not name.strip():
        return None, [fault("REQUIRED", "businessUnit", top=top)]
    if not caller.may_see(name):
        return None, [fault("NOT_FOUND", "businessUnit", top=top)]
    return name, []


def text_faults(text: str | None, *path: str, longest: int = 255) -> list[Fault]:
    if text is None:
        return []
    if len(text) > longest:
        return [fault("TOO_LONG", *path)]
    kinds = {unicodedata.category(letter) for letter in text.replace(" ", "")}
    return [fault("INVALID", *path)] if any(kind[0] == "C" or kind in {"Zl", "Zp", "Zs"} for kind in kinds) else []


def name_faults(name: str | None) -> list[Fault]:
    if name is None or not name.strip():
        return [fault("REQUIRED", "name", documented="100")]
    return text_faults(name, "name")


def code_faults(code: str, key: str) -> list[Fault]:
    if not code:
        return [fault("REQUIRED", key, documented=DIV)]
    if len(code) > 36:
        return [fault("TOO_LONG", key, documented=DIV)]
    return [] if re.fullmatch("[A-Za-z0-9-]+", code) else [fault("INVALID", key, documented=DIV)]


def amount_faults(amount: Decimal, *path: str) -> list[Fault]:
    fits = abs(amount) <= LARGEST and amount == round(amount, 4)
    return [] if fits else [fault("OUT_OF_RANGE", *path)]


def own_faults(values: Given) -> list[Fault]:
    """What is wrong with an account's own values."""
    broken = [*name_faults(values["name"]), *text_faults(values["externalId"], "externalId")]
    sound: dict[str, Decimal] = {}
    for name in AMOUNTS:
        amount = values[name]
        if amount is None:
            broken += [fault("REQUIRED", name, documented="100")] if name in {"minBalance", "maxBalance", "vat"} else []
        elif amount_faults(amount, name):
            broken += amount_faults(amount, name)
        else:
            sound[name] = amount
    for name, is_out in (
        ("maxBalance", is_less(sound, "maxBalance", "minBalance")),
        ("balanceLowThreshold", is_less(sound, "balanceHighThreshold", "balanceLowThreshold", or_equal=True)),
        ("vat", "vat" in sound and not 0 <= sound["vat"] <= 100),
        ("destinationRateLimit", "destinationRateLimit" in sound and sound["destinationRateLimit"] < 0),
        *((name, values[name] is not None and not 0 < values[name] <= 32767) for name in CAPACITIES),
        ("maxCallDuration", values["maxCallDuration"] is not None and values["maxCallDuration"] <= 0),
    ):
        broken += [fault("OUT_OF_RANGE", name, documented="100")] if is_out else []
    zone = values["timezone"]
    if zone is None or not zone.strip():
        broken.append(fault("REQUIRED", "timezone", documented="100"))
    elif zone not in available_timezones():
        broken.append(fault("INVALID", "timezone", documented="100"))
    return broken


def is_less(amounts: Mapping[str, Decimal], this: str, other: str, *, or_equal: bool = False) -> bool:
    if this not in amounts or other not in amounts:
        return False
    return amounts[this] < amounts[other] or (or_equal and amounts[this] == amounts[other])


def clock_of(text: str) -> time:
    """A closing time: "9:5:3" is 09:05:03, and "59" is 00:00:59."""
    *hour_and_minute, second = map(int, text.split(":"))
    hour, minute = hour_and_minute or (0, 0)
    return time(hour, minute, second)


def clock_faults(text: str) -> list[Fault]:
    if not text:
        return [fault("REQUIRED", "cycleClosingTime", documented=FIELDS)]
    if len(text) > 8:
        return [fault("TOO_LONG", "cycleClosingTime", documented=FIELDS)]
    try:
        clock_of(text)
    except ValueError:
        return [fault("INVALID", "cycleClosingTime", documented=FIELDS)]
    return []


def delay_faults(minutes: int) -> list[Fault]:
    return [] if 5 <= minutes <= 1439 else [fault("OUT_OF_RANGE", "cycleEventDelay", documented=FIELDS)]


def moment_of(item: Given) -> Any:
    return item.get("updateAt") if item.get("balanceAt") is None else item["balanceAt"]


def content(account: Account, item: Given) -> tuple[Any, ...]:
    """What two items with one number are compared by."""
    return account, moment_of(item), item["value"], item.get("balanceType"), item.get("equivalentValue")


# --- what events say ---


def named(account: Account) -> dict[str, Any]:
    division = account.values["divisionCode"]
    return {
        "account_id": account.ref,
        "external_account_id": account.values["externalId"],
        "division_code": None if division is None else division.code,
    }


def crossing(account: Account) -> dict[str, Any]:
    values = account.values
    template = values["invoiceTemplateId"]
    same = ("name", "timezone", *AMOUNTS, *CAPACITIES, "maxCallDuration", "invoicePeriod")
    return {
        "id": account.ref,
        **named(account),
        "uuid": account.uuid,
        "contractor_id": values["contractorId"].ref,
        "currency": account.currency,
        "balance": account.balance,
        **{re.sub("([A-Z])", lambda letter: f"_{letter[1].lower()}", name): values[name] for name in same},
        "invoice_template_id": None if template is None else template.ref,
        "send_invoices_to": [each.ref for each in values["sendInvoicesTo"]],
        "send_balance_notifications_to": [each.ref for each in values["sendBalanceNotificationsTo"]],
    }


def configured(config: Config) -> dict[str, Any]:
    return {
        "cycle_closing_time": config.at,
        "cycle_event_delay": config.delay,
        "cycle_config_validity": {"start": config.start, "end": config.end},
    }
