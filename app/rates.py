"""How much a caller may ask in a minute: counted in memory, and shared by the processes of one database in leases.

A process draws a part of a caller's minute beforehand, in the background, and draws again when that is nearly used up;
a request never waits for it. Until the first answer of a minute comes, a process lends the caller one part. So a caller
gets at most one part and one operation more from each process than it should, and where processes hold parts that they
do not use, so much less. One process alone is exact. While the database does not answer, each process counts by itself.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.store.rates import Draw
from app.store.store import Store, Work

REQUESTS_PER_MINUTE = 60_000
COST_PER_MINUTE = 30_000_000
PARTS = 10
"""In how many parts a minute is drawn."""
REQUESTS_MIN = 10
COST_MIN = 10_000
"""The least parts: what may come before the database has answered."""
CALLERS_MAX = 100_000
"""Callers of a minute who are remembered."""
DRAWS_MAX = 500
"""Callers for whom is drawn in one transaction."""
PAUSE_SECONDS = 0.05
"""Between two transactions that draw."""
MINUTE_SECONDS = 60

_log = structlog.get_logger("balance_gateway")


class Allowance(NamedTuple):
    """What each caller may ask in a minute; None: as much as it likes."""

    requests: int | None
    cost: int | None

    @property
    def is_bounded(self) -> bool:
        return self.requests is not None or self.cost is not None


class _Meter:
    """One caller's use of one thing in one minute."""

    __slots__ = ("_half", "_limit", "_part", "credit", "granted", "is_spent", "used")

    def __init__(self, limit: int | None, least: int, *, is_shared: bool) -> None:
        self._limit = math.inf if limit is None else limit
        self._part = 0 if limit is None else min(limit, max(least, limit // PARTS))
        self._half = self._part // 2
        self.used = 0
        self.granted = 0
        self.credit = self._part if is_shared and limit is not None else self._limit
        self.is_spent = False
        """Whether all processes together have drawn the whole minute."""

    def take(self, amount: int) -> bool:
        """Use so much; False where there is not so much left."""
        after = self.used + amount
        is_open = after <= self.granted if self.is_spent else self.used < self.granted + self.credit
        if after > self._limit or not is_open:
            return False
        self.used = after
        return True

    def is_low(self) -> bool:
        """Whether what was drawn is nearly used up."""
        return self.used + self._half >= self.granted

    def wanted(self) -> int:
        """How much is to be drawn now."""
        if self.is_spent or not self.is_low():
            return 0
        return max(0, int(min(self.used + self._part, self._limit)) - self.granted) if self._part else 0

    def give(self, asked: int, drawn: int) -> None:
        """Take in what was asked for, where all processes have drawn so much."""
        if not asked:
            return
        given = int(max(0, min(asked, self._limit - (drawn - asked))))
        self.granted += given
        self.is_spent = given < asked

    def go_alone(self) -> None:
        """Count without the others for the rest of the minute."""
        self.credit = self._limit


class _Use(NamedTuple):
    """One caller's minute."""

    requests: _Meter
    cost: _Meter


class Rates:
    """Counts what callers ask, and refuses what is too much.

    store: where processes share; None: there is no other process.
    seconds: the time since 1970.
    """

    def __init__(self, allowance: Allowance, store: Store | None, seconds: Callable[[], float]) -> None:
        self._allowance = allowance
        self._store = store
        self._seconds = seconds
        self._minute = 0
        self._until = 0
        """The end of the minute."""
        self._uses: dict[str, _Use] = {}
        self._wanting: dict[str, _Use] = {}
        self._is_wanting = asyncio.Event()

    def admit(self, caller: Caller) -> None:
        """Count a request; raises RATE_LIMITED where its caller has made too many this minute."""
        self._take(caller, "requests", 1, self._allowance.requests)

    def charge(self, caller: Caller, cost: int) -> None:
        """Count an operation's cost; raises RATE_LIMITED where it is too much for this minute."""
        self._take(caller, "cost", cost, self._allowance.cost)

    async def run(self) -> None:
        """Draw what is needed, until cancelled."""
        while True:
            await self._is_wanting.wait()
            await self.draw()
            await asyncio.sleep(PAUSE_SECONDS)

    async def draw(self) -> None:
        """Draw what is needed now."""
        minute, wanting = self._minute, dict(list(self._wanting.items())[:DRAWS_MAX])
        for name in wanting:
            del self._wanting[name]
        if not self._wanting:
            self._is_wanting.clear()
        draws = [Draw(name, use.requests.wanted(), use.cost.wanted()) for name, use in wanting.items()]
        try:
            drawn = await self._drawn(minute, [draw for draw in draws if draw.requests or draw.cost])
        except Exception as error:  # noqa: BLE001 - whatever it is, requests are not to suffer for it.
            _log.warning("rates_not_shared", error=type(error).__name__)
            for use in wanting.values():
                use.requests.go_alone()
                use.cost.go_alone()
            return
        for asked in draws:
            if asked.caller in drawn:
                use, total = wanting[asked.caller], drawn[asked.caller]
                use.requests.give(asked.requests, total.requests)
                use.cost.give(asked.cost, total.cost)

    async def _drawn(self, minute: int, draws: Sequence[Draw]) -> dict[str, Draw]:
        async def act(work: Work) -> dict[str, Draw]:
            await work.rates.forget(minute - 1)
            return await work.rates.draw(minute, draws)

        return await self._store.work(None, act) if self._store is not None and draws else {}

    def _take(self, caller: Caller, unit: str, amount: int, limit: int | None) -> None:
        if limit is None:
            return
        now = self._seconds()
        if now >= self._until or now < self._until - MINUTE_SECONDS:
            self._minute = int(now // MINUTE_SECONDS)
            self._until = (self._minute + 1) * MINUTE_SECONDS
            self._uses, self._wanting = {}, {}
        name = caller.subject if caller.issuer is None else f"{caller.issuer} {caller.subject}"
        use = self._uses.get(name) or self._begun(name)
        meter = use.requests if unit == "requests" else use.cost
        is_taken = meter.take(amount)
        if self._store is not None and meter.is_low() and meter.wanted():
            self._wanting[name] = use
            self._is_wanting.set()
        if not is_taken:
            after = max(1, math.ceil(self._until - now))
            told = "requests" if unit == "requests" else "of cost"
            message = f"A caller has at most {limit} {told} a minute: try again in {after} s."
            raise Refusal(Code.RATE_LIMITED, message, limit=limit, unit=unit, retryAfter=after)

    def _begun(self, name: str) -> _Use:
        if len(self._uses) >= CALLERS_MAX:
            del self._uses[next(iter(self._uses))]
        is_shared = self._store is not None
        use = self._uses[name] = _Use(
            _Meter(self._allowance.requests, REQUESTS_MIN, is_shared=is_shared),
            _Meter(self._allowance.cost, COST_MIN, is_shared=is_shared),
        )
        return use
