"""The gateway's rules once more, in plain Python over lists: one business unit, and one division in UTC."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

DAY = timedelta(days=1)
DIVISION = "the division"


class Entry(NamedTuple):
    at: datetime
    place: int
    amount: Decimal
    currency: str
    number: str | None = None


@dataclass
class Account:
    name: str
    in_division: bool
    low: Decimal | None
    high: Decimal | None
    created: datetime
    currency: str = "EUR"
    entries: list[Entry] = field(default_factory=list)
    state: str = "NONE"
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    closings: list[datetime] = field(default_factory=list)

    def last(self, currency: str, before: datetime | None = None) -> Entry | None:
        of = [each for each in self.entries if each.currency == currency and (before is None or each.at < before)]
        return max(of, default=None, key=lambda entry: entry[:2])

    @property
    def current(self) -> Entry | None:
        return self.last(self.currency)


@dataclass
class Config:
    first: datetime
    at: time
    delay: int
    start: datetime


class Model:
    """What a gateway with the same past would answer."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.accounts: dict[str, Account] = {}
        self.holders: dict[str, tuple[str, Entry]] = {}
        self.configs: list[Config] = []
        self.closed: list[tuple[date, datetime, int]] = []
        self.events: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
        self._places = 0

    def create(self, name: str, low: Decimal | None, high: Decimal | None, *, in_division: bool) -> set[Any]:
        """What is wrong with a new account; it is there where nothing is."""
        broken = self._threshold_faults(low, high)
        if name in self.accounts:
            broken |= {("TAKEN", "name"), ("TAKEN", "externalId")}
        if not broken:
            self.accounts[name] = Account(name, in_division, low, high, self.now)
        return broken

    def set_thresholds(self, name: str, low: Decimal | None, high: Decimal | None) -> set[Any]:
        broken = self._threshold_faults(low, high)
        if not broken:
            account = self.accounts[name]
            account.low, account.high = low, high
            self._judge(account)
        return broken

    def _threshold_faults(self, low: Decimal | None, high: Decimal | None) -> set[Any]:
        wrong = low is not None and high is not None and low >= high
        return {("OUT_OF_RANGE", "balanceLowThreshold")} if wrong else set()

    def add(self, name: str, amount: Decimal, at: datetime, currency: str, number: str | None = None) -> Entry:
        """An entry, and what it tells."""
        account = self.accounts[name]
        self._places += 1
        entry = Entry(at, self._places, amount, currency, number)
        current = account.current
        account.entries.append(entry)
        self.events[name].append(("balance_change", f"{amount.normalize():f}"))
        if currency == account.currency and (current is None or at >= current.at):
            self._judge(account)
        return entry

    def correct(self, name: str, amount: Decimal) -> Entry:
        current = self.accounts[name].current
        if current is None:
            return self.add(name, amount, self.now, self.accounts[name].currency)
        return self.add(name, current.amount + amount, max(self.now, current.at), self.accounts[name].currency)

    def register(self, batch: list[tuple[str, str, Decimal, datetime]]) -> list[tuple[str | None, bool | None]]:
        """The code of each item, and whether what holds its number says the same."""
        accepted: list[tuple[datetime, int, str, str, Decimal]] = []
        told: list[tuple[str | None, bool | None]] = []
        for place, (name, number, amount, at) in enumerate(batch):
            mine = (name, at, amount)
            earlier = next((each for each in accepted if each[2] == number), None)
            if name not in self.accounts:
                told.append(("404", None))
            elif number in self.holders:
                held, entry = self.holders[number]
                told.append(("O005", mine == (held, entry.at, entry.amount)))
            elif earlier is not None:
                told.append(("O005", mine == (earlier[3], earlier[0], earlier[4])))
            else:
                accepted.append((at, place, number, name, amount))
                told.append((None, None))
        for at, _, number, name, amount in sorted(accepted):
            entry = self.add(name, amount, at, self.accounts[name].currency, number)
            self.holders[number] = (name, entry)
        return told

    def _judge(self, account: Account) -> None:
        current = account.current
        if current is None:
            return
        is_low = account.low is not None and current.amount < account.low
        is_high = account.high is not None and current.amount > account.high
        state = "LOW" if is_low else "HIGH" if is_high else "NONE"
        if state != account.state:
            for was, word in ((account.state, "Cleared"), (state, "Reached")):
                if was != "NONE":
                    self.events[account.name].append((f"Account{was.capitalize()}Threshold{word}", None))
        account.state = state

    def configure(self, at: time, delay: int) -> str | None:
        """The documented code of why there is no first configuration; None where there is."""
        if self.configs:
            return "WCFG0004"
        first = self._next(at, self.now)
        self.configs.append(Config(first, at, delay, first + timedelta(minutes=delay)))
        self.events[DIVISION].append(("balance_history_config_creation", None))
        return None

    def reconfigure(self, at: time, delay: int) -> str | None:
        if not self.configs:
            return "WCFG0005"
        newest = self.configs[-1]
        if self.now <= newest.start:
            newest.at, newest.delay = at, delay
        else:
            first = self._next(newest.at, self.now) + DAY
            self.configs.append(Config(first, at, delay, first + timedelta(minutes=delay)))
        self.events[DIVISION].append(("balance_history_config_change", None))
        return None

    @staticmethod
    def _next(at: time, after: datetime) -> datetime:
        today = datetime.combine(after.date(), at, UTC)
        return today if today > after else today + DAY

    def tick(self) -> None:
        """Close all that is due, oldest first."""
        while self.configs:
            day = self.closed[-1][0] + DAY if self.closed else self.configs[0].first.date()
            config = next(each for each in reversed(self.configs) if each.first.date() <= day)
            closing = config.first if config.first.date() == day else datetime.combine(day, config.at, UTC)
            if closing + timedelta(minutes=config.delay) > self.now:
                return
            self._close(day, closing, datetime.combine(day - DAY, config.at, UTC))

    def _close(self, day: date, closing: datetime, day_before: datetime) -> None:
        of = [each for each in self.accounts.values() if each.in_division and each.created < closing]
        for account in of:
            for currency in sorted({entry.currency for entry in account.entries}):
                self._write(account, currency, day, closing, day_before)
            account.closings.append(closing)
            self.events[account.name].append(("balance_history", None))
        self.closed.append((day, closing, len(of)))
        self.events[DIVISION].append(("division_cycle_closing", None))

    def _write(self, account: Account, currency: str, day: date, closing: datetime, day_before: datetime) -> None:
        stands = account.last(currency, closing)
        if stands is None:
            return
        last_row = next((row for row in reversed(account.rows) if row[1] == currency), None)
        is_moved = not account.closings or stands.at >= account.closings[-1]
        if is_moved or last_row is None or last_row[3] != stands.amount:
            before = account.last(currency, day_before)
            opening = last_row[3] if last_row else before.amount if before else Decimal(0)
            account.rows.append((day, currency, opening, stands.amount))
