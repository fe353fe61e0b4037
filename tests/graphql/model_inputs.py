"""What the model and the gateways are asked with: inputs by chance, most of them good."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

START = datetime.fromisoformat("2026-03-26T12:00:00Z")
"""Three days before Oslo's clocks jump."""

LONG = "x" * 256


def some(*good: Any, rarely: tuple[Any, ...] = (), times: int = 4) -> st.SearchStrategy[Any]:
    """One of these, and seldom one of those."""
    return st.sampled_from([*good * times, *rarely])


def _amounts(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


CALLERS = some("north", "south", "all", rarely=("north", "both"), times=3)
UNITS = some(None, None, None, None, "north", "south", rarely=("default", "nowhere", " "), times=3)
OTHERS, NOBODYS = 15, 16
WHICH = st.integers(0, NOBODYS)
"""Which of the caller's things; the last two say another one's, and nobody's."""
OWN = st.integers(0, 3)
NAMES = some("a", "B", "Å%", "_c", "b", rarely=(" ", LONG, "a\tb"))
EXTERNAL_IDS = some("e1", "e2", "e3", "e4", times=6, rarely=("", LONG))
_SUMS = _amounts("-3", "0", "0.5", "2", "7.25", "100", "2.0")
GOOD_MONEY = some(*_SUMS)
MONEY = some(
    *_SUMS,
    rarely=tuple(_amounts("0.00001", "922337203685477.5807", "922337203685477.5808")),
    times=8,
)
CODES = some("EUR", "EUR", "NOK")
CURRENCIES = some("EUR", "EUR", "NOK", rarely=("eur",))
HOURS = st.sampled_from([*range(-60, 31), 24 * 4000]).map(lambda hours: timedelta(hours=hours))
PAST = st.integers(-60, 2).map(lambda hours: timedelta(hours=hours))
SEEN_KINDS = some(None, None, "DAILY", rarely=("STATEMENT",))
NUMBERS = some(*(f"n{number}" for number in range(8)), rarely=("", LONG))
KINDS = some(None, "DAILY", "STATEMENT", times=8, rarely=("MONTHLY", LONG))
DIVISION_CODES = some("D1", "D1", "D2", "D2", "d1", times=4, rarely=("", "none", "D 1", "x" * 37))
ZONES = some("UTC", "Europe/Oslo", "Asia/Kathmandu", times=6, rarely=("Mars/Base",))
CLOCKS = some(
    *("00:00:00", "2:30:0", "06:30:00", "12:00:00", "12:00:00", "22:00:05", "59"), rarely=("", "25:00:00", "22:00:00:0")
)
DELAYS = some(5, 90, 1439, times=5, rarely=(4, 1440))
TYPES = some("balance_change", "balance_history", "AccountLowThresholdReached", "division_cycle_closing")


def _given(mandatory: dict[str, Any], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(mandatory, optional=optional)


_ACCOUNT: dict[str, st.SearchStrategy[Any]] = {
    "divisionCode": some(None, "D1", "D1", "D2", rarely=("none",)),
    "minBalance": some(*_amounts("-1", "0"), times=8, rarely=(Decimal(5), Decimal("0.00001"))),
    "maxBalance": some(*_amounts("0", "9"), times=8, rarely=(Decimal(-5),)),
    "balanceLowThreshold": some(None, *_amounts("0", "2", "2")),
    "balanceHighThreshold": some(None, *_amounts("7", "7.25", "50"), rarely=(Decimal(1),)),
    "vat": some(*_amounts("0", "25"), times=8, rarely=(Decimal(101),)),
    "totalCapacity": some(None, 1, times=8, rarely=(0, 32768)),
    "maxCallDuration": some(None, 60, times=8, rarely=(0,)),
    "destinationRateLimit": some(None, Decimal("0.3"), times=8, rarely=(Decimal(-1),)),
    "externalId": EXTERNAL_IDS,
    "invoicePeriod": some(None, "WEEKLY_SPLIT"),
    "invoiceTemplateId": st.none() | WHICH,
    "sendInvoicesTo": st.lists(st.integers(0, 8), max_size=2, unique=True),
    "sendBalanceNotificationsTo": st.none() | st.lists(st.integers(0, 7), max_size=2, unique=True),
    "timezone": ZONES,
}
"""References are which of the things that there are."""

ACCOUNT = _given(
    {"name": NAMES, "contractorId": WHICH},
    **_ACCOUNT,
    businessUnit=UNITS,
    currency=CURRENCIES.map(lambda code: {"code": code}),
    uuid=some(*(f"0190c9f4-7a0e-7000-8000-00000000000{digit}" for digit in "12"), None),
)
CHANGES = _given({}, **_ACCOUNT, name=NAMES, contractorId=st.none() | WHICH)
THRESHOLDS = _given({}, **{name: strategy for name, strategy in _ACCOUNT.items() if name.endswith("Threshold")})
CONTRACTOR = _given(
    {"name": NAMES, "isCustomer": some(True, True, False)},
    businessUnit=UNITS,
    externalId=EXTERNAL_IDS,
    isVendor=st.booleans(),
)
EMAILS = some("a@b.example", times=6, rarely=("", "nobody", f"{LONG}@b.example"))
DIVISION = _given({"code": DIVISION_CODES}, businessUnit=UNITS, name=NAMES, timezone=ZONES, parentCode=DIVISION_CODES)
ITEM = _given(
    {
        "accountExtId": some("e1", "e1", "e1", "e2", "e2", "e3", times=4, rarely=("none", "")),
        "communicationNumber": NUMBERS,
        "requester": some("r", times=40, rarely=(" ", "x" * 101)),
        "value": MONEY,
        "balanceAt": HOURS,
    },
    updateAt=HOURS,
    balanceType=KINDS,
    businessUnit=UNITS,
    equivalentValue=st.none() | MONEY,
)
GOOD_ITEM = _given(
    {
        "accountExtId": some("e1", "e1", "e2"),
        "communicationNumber": some(*(f"m{number}" for number in range(40)), times=1),
        "requester": st.just("r"),
        "value": GOOD_MONEY,
        "balanceAt": PAST,
    },
    balanceType=some("DAILY", None),
)
CHANGED = st.sampled_from(
    [
        {},
        {"balanceType": "STATEMENT"},
        {"equivalentValue": Decimal(1)},
        {"value": Decimal("1.5")},
        {"requester": "other"},
    ]
)
"""What is changed of a batch that is sent again."""
CONFIG = _given({"divisionCode": DIVISION_CODES, "cycleClosingTime": CLOCKS, "cycleEventDelay": DELAYS})
CONFIG_CHANGES = _given({"cycleClosingTime": CLOCKS}, cycleEventDelay=DELAYS) | _given(
    {"cycleEventDelay": DELAYS}, cycleClosingTime=st.none()
)
NO_CHANGES = _given({}, cycleEventDelay=st.none())
URLS = some(
    "https://receiver.example/x",
    times=6,
    rarely=("", "ftp://receiver.example", "https://127.0.0.1/x", f"https://receiver.example/{'x' * 2048}"),
)
WEBHOOK = _given({"url": URLS}, businessUnit=UNITS, eventTypes=st.lists(TYPES, max_size=2) | some(None, ["nonsense"]))

# --- how lists are asked for ---

SIZES = some(1, 2, 3, 50, times=6, rarely=(0, -1, 1001))
_RANGES = _given({}, **{name: HOURS.map(lambda ago: START + ago) for name in ("from", "before")})
_TEXTS = st.one_of(
    *(
        _given({}, **{operator: some("a", "å", "_", "e1", "D1", rarely=(None,))})
        for operator in ("contains", "endsWith")
    ),
    _given({}, eq=some("a", "B", "e1", "D1", "EUR"), isNull=st.booleans()),
    _given({}, notEq=some("a", "e1", "D1"), startsWith=some("A", "%", "E")),
    _given({}, notIn=st.lists(some("a", "e1", "D1"), max_size=2)) | _given({}, **{"in": st.lists(some("e2", "B"))}),
)
_NUMBERS = st.one_of(
    *(
        _given({}, **{operator: MONEY.filter(lambda amount: abs(amount) < 10**14)})
        for operator in ("gt", "lte", "notEq")
    ),
    _given({}, isNull=st.booleans(), gte=some(Decimal(1))),
)
_LEAF = _given(
    {},
    **dict.fromkeys(("name", "externalId", "divisionCode", "currency"), _TEXTS),
    **dict.fromkeys(("balance", "balanceLowThreshold"), _NUMBERS),
    thresholdState=st.lists(some("NONE", "LOW", "HIGH"), max_size=2),
    createdAt=_RANGES,
).filter(lambda given: len(given) <= 2)
ACCOUNT_FILTERS = st.none() | st.recursive(
    _LEAF,
    lambda inner: (
        _given({}, **{"not": inner})
        | _given({}, **{"and": st.lists(inner, max_size=2)})
        | _given({}, **{"or": st.lists(inner, max_size=2)})
    ),
    max_leaves=3,
)
ACCOUNT_ORDERS = ("ID", "NAME", "BALANCE", "MIN_BALANCE", "MAX_BALANCE", "CREATED_AT", "UPDATED_AT")
ENTRY_FILTERS = st.none() | _given(
    {},
    **dict.fromkeys(("currency", "balanceType", "communicationNumber", "requester"), _TEXTS),
    amount=_NUMBERS,
    timestamp=_RANGES,
    recordedAt=_RANGES,
    accountIds=st.lists(WHICH, max_size=3),
).filter(lambda given: len(given) <= 2)
ENTRY_ORDERS = ("TIMESTAMP", "RECORDED_AT", "AMOUNT")
EVENTS = _given({}, types=st.lists(TYPES, max_size=2), subjects=st.lists(WHICH, max_size=3), time=_RANGES)
_DAYS = st.integers(-4, 9).map(lambda days: date(2026, 3, 26) + timedelta(days=days))
HISTORY = _given({}, currency=CURRENCIES, to=_DAYS, **{"from": _DAYS})


def orders(fields: tuple[str, ...]) -> st.SearchStrategy[Any]:
    directions = st.sampled_from(["ASC", "DESC"])
    return st.none() | st.fixed_dictionaries({"field": st.sampled_from(fields), "direction": directions})
