"""Sample data for an empty database: three business units, their divisions, accounts and a year of balances."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from app.actions.configure_history import create_history_config
from app.actions.create_account import create_account
from app.actions.create_directory import create_contact, create_contractor, create_division, create_invoice_template
from app.actions.register_balances import record
from app.domain.balances import NewEntry, Position
from app.domain.callers import LOCAL
from app.domain.ids import Kind, id_text
from app.store.sources import ACCOUNTS
from app.store.store import Store, Work

Progress = Callable[[int], None]

ENTRIES_A_WORK = 5_000
"""How many entries one transaction adds."""


class Sizes(NamedTuple):
    """How much sample data there shall be."""

    accounts: int = 300
    days: int = 365


class _Unit(NamedTuple):
    name: str
    divisions: Mapping[str, tuple[str, str, str, int]]
    """Code: name, time zone, closing time, delay in minutes."""
    currencies: Sequence[str]
    contractors: Sequence[str]


_UNITS = (
    _Unit(
        "nordic-bank",
        {
            "NO": ("Norway", "Europe/Oslo", "22:00:00", 15),
            "SE": ("Sweden", "Europe/Stockholm", "23:30:00", 30),
            "IS": ("Iceland", "Atlantic/Reykjavik", "20:00:00", 10),
        },
        ("NOK", "SEK", "EUR"),
        ("Fjord Shipping AS", "Aurora Energi AS", "Lofoten Seafood AS", "Malmö Maskin AB", "Reykjavík Data ehf."),
    ),
    _Unit(
        "voice-exchange",
        {
            "EMEA": ("Europe, Middle East, Africa", "Europe/Kyiv", "00:00:00", 5),
            "AMER": ("Americas", "America/Sao_Paulo", "23:59:59", 60),
        },
        ("USD", "EUR"),
        ("Dnipro Telecom", "Carrier One LLC", "São Paulo Voz Ltda.", "Baltic Transit OÜ"),
    ),
    _Unit(
        "default",
        {
            "HQ": ("Head office", "UTC", "22:00:00", 10),
            "TOKYO": ("Tokyo branch", "Asia/Tokyo", "18:00:00", 20),
            "NYC": ("New York branch", "America/New_York", "17:00:00", 45),
        },
        ("EUR", "USD", "JPY", "GBP"),
        (
            "Hanse Handel GmbH",
            "Sakura Trading K.K.",
            "Hudson & Sons Inc.",
            "Thames Textiles Ltd.",
            "Lyon Logistique SARL",
        ),
    ),
)
_PURPOSES = ("Operating", "Payroll", "Tax reserve", "Customer funds", "Settlement", "Savings", "Wholesale", "Prepaid")
_PERIODS = ("MONTHLY", "WEEKLY", "DAILY", "SEMIMONTHLY")
_LARGE = {"JPY": 150, "NOK": 11, "SEK": 11}
"""How many units of a currency are about one euro, where that is far from one."""


async def seed(store: Store, sizes: Sizes, *, now: datetime, progress: Progress) -> None:
    """Fill an empty database. `progress` is told the number of entries as they are stored."""
    chance = random.Random(20260101)
    accounts: list[str] = []
    for number, unit in enumerate(_UNITS):
        share = len(range(number, sizes.accounts, len(_UNITS)))
        accounts += await _unit(store, unit, share, chance, now - timedelta(days=sizes.days + 1))
    await _entries(store, accounts, sizes.days, chance, now, progress)


async def _unit(store: Store, unit: _Unit, count: int, chance: random.Random, since: datetime) -> list[str]:
    """A business unit that came into being at an instant, with its history configured since."""
    given = {"businessUnit": unit.name}
    contractors = [
        await _made(
            Kind.CONTRACTOR,
            create_contractor(
                store,
                LOCAL,
                {
                    **given,
                    "name": name,
                    "externalId": f"C-{index + 1:04d}",
                    "isCustomer": True,
                    "isVendor": index % 3 == 0,
                },
            ),
        )
        for index, name in enumerate(unit.contractors)
    ]
    contacts = {
        contractor: await _made(
            Kind.CONTACT,
            create_contact(
                store,
                LOCAL,
                {
                    "contractorId": contractor,
                    "email": f"treasury{index + 1}@{unit.name}.example",
                    "name": "Treasury",
                },
            ),
        )
        for index, contractor in enumerate(contractors)
    }
    template = await _made(Kind.INVOICE_TEMPLATE, create_invoice_template(store, LOCAL, {**given, "name": "Standard"}))
    for code, (name, timezone, closing_time, delay) in unit.divisions.items():
        await create_division(store, LOCAL, {**given, "code": code, "name": name, "timezone": timezone})
        configured = await create_history_config(
            store,
            LOCAL,
            division_code=code,
            business_unit=unit.name,
            closing_time=closing_time,
            delay_minutes=delay,
            now=since,
        )
        assert not isinstance(configured, list), configured
    made = []
    for index in range(count):
        contractor = contractors[index % len(contractors)]
        values = _account(unit, index, contractor, contacts[contractor], template, chance)
        made.append(await _made(Kind.ACCOUNT, create_account(store, LOCAL, values, now=since, default_currency="EUR")))
    return made


async def _made(kind: Kind, making: Any) -> str:
    made = await making
    assert isinstance(made, int), made
    return id_text(kind, made)


def _account(
    unit: _Unit, index: int, contractor: str, contact: str, template: str, chance: random.Random
) -> dict[str, Any]:
    currency = unit.currencies[index % len(unit.currencies)]
    scale = _LARGE.get(currency, 1)
    code, (_, timezone, _, _) = list(unit.divisions.items())[index % len(unit.divisions)]
    owner = unit.contractors[index % len(unit.contractors)].split()[0]
    return {
        "name": f"{owner} {_PURPOSES[index % len(_PURPOSES)]} {currency} {index + 1:03d}",
        "business_unit": unit.name,
        "contractor_id": contractor,
        "division_code": code,
        "currency": currency,
        "external_id": f"ACC-{index + 1:05d}",
        "min_balance": Decimal(-5_000 * scale),
        "max_balance": Decimal(250_000 * scale),
        "vat": Decimal(chance.choice(("0", "10", "19", "20", "25"))),
        "balance_low_threshold": Decimal(2_000 * scale),
        "balance_high_threshold": Decimal(90_000 * scale) if index % 4 == 0 else None,
        "total_capacity": 100 + 10 * (index % 20) if unit.name == "voice-exchange" else None,
        "invoice_period": chance.choice(_PERIODS),
        "invoice_template_id": template,
        "send_invoices_to": (contact,),
        "send_balance_notifications_to": (contact,),
        "timezone": timezone,
    }


async def _entries(
    store: Store, accounts: Sequence[str], days: int, chance: random.Random, now: datetime, progress: Progress
) -> None:
    """A daily balance of each account, oldest first, some days at a time."""
    numbers = [int(account.rpartition("_")[2]) for account in accounts]
    async with store.reading(None) as reads:
        records = await reads.by_ids(ACCOUNTS, numbers)
    amounts = {number: _opening(records[number].currency, chance) for number in numbers}
    first = datetime.combine(now.date() - timedelta(days=days), time(16), UTC)
    days_a_work = max(1, ENTRIES_A_WORK // max(1, len(numbers)))
    for start in range(0, days, days_a_work):
        moments = [first + timedelta(days=day) for day in range(start, min(start + days_a_work, days))]

        async def act(work: Work, moments: Sequence[datetime] = moments) -> int:
            positions = await work.accounts.positions(numbers)
            new = list(_walk(positions, amounts, moments, chance))
            await record(work, new, positions, now=moments[-1] + timedelta(minutes=5), by=LOCAL.subject)
            return len(new)

        progress(await store.work(None, act))


def _opening(currency: str, chance: random.Random) -> int:
    """The first balance, in hundredths (yen: in ones)."""
    return int(chance.lognormvariate(10, 1) * _LARGE.get(currency, 1) * (1 if currency == "JPY" else 100))


def _walk(
    positions: Mapping[int, Position], amounts: dict[int, int], moments: Sequence[datetime], chance: random.Random
) -> Iterator[NewEntry]:
    for moment in moments:
        for number, position in positions.items():
            digits = 0 if position.currency == "JPY" else 2
            amounts[number] += int(chance.gauss(0, 0.04) * (abs(amounts[number]) + 10**digits * 500))
            yield NewEntry(
                account_id=number,
                unit_id=position.unit_id,
                at=moment + timedelta(seconds=number % 3600),
                amount=Decimal(amounts[number]).scaleb(-digits),
                currency=position.currency,
                balance_type="DAILY_BALANCE",
                communication_number=f"demo-{moment:%Y%m%d}-{number}",
                requester="demo",
            )
