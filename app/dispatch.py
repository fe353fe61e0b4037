"""Passes the log on to receivers: posts it to webhooks, and writes mail about thresholds.

Each receiver is served by itself, so that a slow one delays nobody. It remembers up to which place of the log it was
told; what it did not take waits apart and is tried again, later and later, for 72 hours. Of one subject nothing
overtakes what waits; other subjects go on. Who serves a receiver holds it by a lease, and writes what came of it only
as long as nobody else has taken it over. What was sent just before a crash is sent again: at least once, with the
event's id to tell it by.
"""

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from app.deliveries.mail import Mailer
from app.deliveries.webhooks import Outcome, WebhookSender
from app.domain.events import CROSSINGS, Event, EventType, Filter, cloud_event
from app.domain.ids import Kind, id_text, number_of
from app.domain.records import Contact
from app.domain.refusals import Refusal
from app.store.receivers import MAIL, WEBHOOK, Delivery, Receiver
from app.store.sources import CONTACTS
from app.store.store import Reading, Store, Work

LEASE = timedelta(seconds=90)
ROUND = timedelta(seconds=20)
"""How long a round of deliveries begins new ones; each ends within the sender's own time."""
PAGE = 100
AT_ONCE = 8
"""Subjects that one receiver is told of at the same time."""
TRIED_FOR = timedelta(hours=72)
BACKOFF_FIRST = timedelta(seconds=5)
BACKOFF_MAX = timedelta(hours=1)
FAILURES_MAX = 10
"""Failures without a success after which a receiver is only probed, with one event at a time."""
REST_SECONDS = 0.1
"""How long it rests after a look: many writes are one look."""
NEWS_SECONDS = 1.0
"""How often is looked for what nobody told of."""
CATCH_UP = 10_000
"""A receiver that nothing concerned for so many places is moved on, so that the log can be forgotten."""

MAIL_SUBJECTS: Mapping[EventType, str] = {
    EventType.LOW_REACHED: "low balance",
    EventType.HIGH_REACHED: "high balance",
    EventType.LOW_CLEARED: "low balance cleared",
    EventType.HIGH_CLEARED: "high balance cleared",
}

_log = structlog.get_logger("balance_gateway")


class Attempt(NamedTuple):
    """What came of an event for one target."""

    delivery: Delivery
    event: Event | None
    outcome: Outcome | None
    """None: it was not tried, as something of its subject waits before it, or the round is over."""


def backoff(attempts: int, chance: float) -> timedelta:
    """How long to wait after so many attempts; `chance` in [0, 1) spreads them over the second half of it."""
    longest: timedelta = min(BACKOFF_FIRST * 2 ** min(attempts - 1, 20), BACKOFF_MAX)
    return longest * (0.5 + chance / 2)


class Dispatcher:
    """Serves the receivers of a store, together with those of other processes."""

    def __init__(
        self,
        store: Store,
        *,
        sender: WebhookSender,
        mailer: Mailer | None,
        source: str,
        clock: Callable[[], datetime],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._sender = sender
        self._mailer = mailer
        self._source = source
        self._clock = clock
        self._chance = chance
        self.kinds = [WEBHOOK] if mailer is None else [WEBHOOK, MAIL]
        """Which receivers it serves."""
        self._seen: dict[int, int] = {}
        self._serving: dict[int, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something was written; look now."""
        self._woken.set()

    async def prepare(self) -> None:
        """Begin to write mail from now on, where that is set and was not before."""
        if self._mailer is None:
            return
        now = self._clock()

        async def act(work: Work) -> None:
            (place,) = await work.log.numbers(1)
            await work.receivers.add_mail(now=now, position=place)

        await self._store.work(None, act)

    async def run(self) -> None:
        """Serve receivers until cancelled."""
        try:
            await self.prepare()
            while True:
                self._woken.clear()
                try:
                    for number in await self.concerned():
                        if number not in self._serving:
                            task = self._serving[number] = asyncio.ensure_future(self._served(number))
                            # mypy infers no type for a lambda with a default.
                            task.add_done_callback(lambda _done, number=number: self._serving.pop(number, None))  # type: ignore[misc]
                except Refusal as refusal:
                    _log.warning("deliveries_wait", code=refusal.code)
                await asyncio.sleep(REST_SECONDS)
                try:
                    async with asyncio.timeout(NEWS_SECONDS):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            for task in tuple(self._serving.values()):
                task.cancel()
            await asyncio.gather(*self._serving.values(), return_exceptions=True)

    async def concerned(self) -> list[int]:
        """The receivers that nobody serves and for whom there is something to do now."""
        now = self._clock()
        async with self._store.reading(None) as reads:
            idle = await reads.receivers.idle(now, kinds=self.kinds)
            if not idle:
                return []
            due = await reads.receivers.due(now)
            end = (await reads.log.bounds()).end
            return [each.id for each in idle if each.id in due or await self._has_news(reads, each, end)]

    async def _has_news(self, reads: Reading, receiver: Receiver, end: int) -> bool:
        """Whether the log holds something for a receiver, up to its end."""
        after = max(receiver.position, self._seen.get(receiver.id, 0))
        if after >= end:
            return False
        if end - receiver.position > CATCH_UP or await reads.log.page(
            _asked(receiver), after=after, until=end, limit=1
        ):
            return True
        self._seen[receiver.id] = end
        return False

    async def _served(self, number: int) -> None:
        try:
            await self.serve(number)
        except Refusal as refusal:
            _log.warning("delivery_waits", receiver=number, code=refusal.code)
        except Exception as error:  # noqa: BLE001 - others are served whatever happened to this one.
            _log.exception("delivery_failed", receiver=number, error=type(error).__name__)

    async def serve(self, number: int) -> None:
        """Tell a receiver all that there is to tell now, and let it go."""
        now = self._clock()
        receiver = await self._store.work(
            None, lambda work: work.receivers.take(number, now=now, lease_until=now + LEASE)
        )
        while receiver is not None:
            receiver = await self._round(receiver)

    async def _round(self, receiver: Receiver) -> Receiver | None:
        """Tell a receiver some of it; the receiver as it is after, None where it is let go, or was lost."""
        started = self._clock()
        is_probed = receiver.failures >= FAILURES_MAX
        if receiver.retry_at is not None and receiver.retry_at > started:
            return await self._kept(receiver, [], receiver.position, goes_on=False)
        retried = await self._retried(receiver, started, 1 if is_probed else PAGE)
        if is_probed and retried:
            failed = any(not _is_taken(attempt) for attempt in retried)
            return await self._kept(receiver, retried, receiver.position, goes_on=not failed)
        position, attempts, is_all = await self._new(receiver, started, 1 if is_probed else PAGE)
        return await self._kept(receiver, [*retried, *attempts], position, goes_on=not is_all or bool(retried))

    async def _retried(self, receiver: Receiver, now: datetime, limit: int) -> list[Attempt]:
        """Try again what is due: of each subject the first that waits."""
        async with self._store.reading(_units(receiver)) as reads:
            due = [each for each in await reads.receivers.waiting(receiver.id, limit) if each.retry_at <= now]
            events = await reads.log.by_ids([each.event_id for each in due])
        seats = asyncio.Semaphore(AT_ONCE)

        async def one(delivery: Delivery) -> Attempt:
            async with seats:
                event = events.get(delivery.event_id)
                if self._clock() - now > ROUND:
                    return Attempt(delivery, event, None)
                gone = Outcome(delivered=True, gone=False, error=None)
                return Attempt(delivery, event, gone if event is None else await self._sent(receiver, event, delivery))

        return list(await asyncio.gather(*map(one, due)))

    async def _new(self, receiver: Receiver, now: datetime, limit: int) -> tuple[int, list[Attempt], bool]:
        """Tell what comes behind the receiver's place: up to where, what came of it, and whether that was all."""
        async with self._store.reading(_units(receiver)) as reads:
            end = (await reads.log.bounds()).end
            page = await reads.log.page(_asked(receiver), after=receiver.position, until=end, limit=limit)
            waiting = await reads.receivers.waiting_subjects(receiver.id)
        subjects: dict[tuple[str, int], list[Attempt]] = {}
        for event in page:
            for target in _targets(receiver, event):
                since = event.time if receiver.failures >= FAILURES_MAX else now
                delivery = Delivery(event.id, target, event.subject, 0, since, now)
                subjects.setdefault((event.subject, target), []).append(Attempt(delivery, event, None))
        seats = asyncio.Semaphore(AT_ONCE)

        async def one(key: tuple[str, int], attempts: list[Attempt]) -> list[Attempt]:
            async with seats:
                return attempts if key in waiting else await self._in_order(receiver, attempts, now)

        done = await asyncio.gather(*(one(key, attempts) for key, attempts in subjects.items()))
        is_all = len(page) < limit
        position = max(end, receiver.position) if is_all else page[-1].id
        return position, [attempt for attempts in done for attempt in attempts], is_all

    async def _in_order(self, receiver: Receiver, attempts: Sequence[Attempt], started: datetime) -> list[Attempt]:
        """Tell of one subject, one after another, as long as each is taken and the round lasts."""
        done: list[Attempt] = []
        for attempt in attempts:
            is_late = self._clock() - started > ROUND
            if is_late or (done and not _is_taken(done[-1])):
                done.append(attempt)
                continue
            assert attempt.event is not None
            done.append(attempt._replace(outcome=await self._sent(receiver, attempt.event, attempt.delivery)))
        return done

    async def _sent(self, receiver: Receiver, event: Event, delivery: Delivery) -> Outcome:
        """What came of an attempt; what nobody foresaw is a failure of this event alone, and in the log."""
        try:
            return await self._tried(receiver, event, delivery)
        except Refusal:
            raise
        except Exception as error:  # noqa: BLE001 - others are told whatever happened to this one.
            _log.exception("delivery_failed", receiver=receiver.id, error=type(error).__name__)
            return Outcome(delivered=False, gone=False, error="the gateway could not send it")

    async def _tried(self, receiver: Receiver, event: Event, delivery: Delivery) -> Outcome:
        if receiver.kind == MAIL:
            return await self._mailed(event, delivery.target)
        assert receiver.url is not None
        assert receiver.secret is not None
        body = cloud_event(event, self._source)
        name = id_text(Kind.EVENT, event.id)
        return await self._sender.send(receiver.url, receiver.secret, event_id=name, body=body, now=self._clock())

    async def _mailed(self, event: Event, contact_id: int) -> Outcome:
        assert self._mailer is not None
        async with self._store.reading(frozenset({event.business_unit})) as reads:
            contact: Contact | None = (await reads.by_ids(CONTACTS, [contact_id])).get(contact_id)
        if contact is None:
            return Outcome(delivered=True, gone=False, error=None)
        subject = f"Account with id {event.subject} {MAIL_SUBJECTS[event.type]}"
        text = json.dumps(event.data, ensure_ascii=False, indent=2) + "\n"
        name = f"{id_text(Kind.EVENT, event.id)}.{contact_id}"
        error = await self._mailer.send(contact.email, subject, text, message_id=name, now=self._clock())
        return Outcome(delivered=error is None, gone=False, error=error)

    async def _kept(
        self, receiver: Receiver, attempts: Sequence[Attempt], position: int, *, goes_on: bool
    ) -> Receiver | None:
        """Remember what came of a round, in one transaction; it holds only as long as the receiver is still ours."""
        now = self._clock()
        if any(attempt.outcome is not None and attempt.outcome.gone for attempt in attempts):
            await self._store.work(None, lambda work: work.receivers.remove(receiver.id))
            _log.info("webhook_removed", webhook=id_text(Kind.WEBHOOK, receiver.id), reason="410")
            return None
        taken = [attempt.delivery for attempt in attempts if _is_taken(attempt)]
        tried = [attempt for attempt in attempts if attempt.outcome is not None and not attempt.outcome.delivered]
        late = [_later(attempt, now, self._chance()) for attempt in tried]
        aside = [delivery for delivery in late if now - delivery.first_at >= TRIED_FOR]
        late = [delivery for delivery in late if now - delivery.first_at < TRIED_FOR]
        late += [attempt.delivery for attempt in attempts if attempt.outcome is None]
        failures = 0 if taken else receiver.failures + len(tried)
        # One event may be all that a receiver chokes on: once that is set aside, the next one is tried at once. Where
        # that is as old and fails at its first attempt, nobody is there.
        is_dead = any(delivery.attempts == 1 for delivery in aside)
        pauses = bool(tried) and failures >= FAILURES_MAX and (is_dead or not aside)
        pause = backoff(failures - FAILURES_MAX + 1, self._chance()) if pauses else None
        goes_on = pause is None and (goes_on or bool(aside))
        changes: dict[str, object] = {"position": position, "failures": failures}
        if pause is not None:
            changes["retry_at"] = now + pause
        if taken:
            changes["last_delivered_at"] = now
        if tried:
            changes["last_error"] = _told(tried[-1], is_set_aside=bool(aside))

        async def act(work: Work) -> tuple[Receiver | None, int]:
            lease_until = now + LEASE if goes_on else None
            if is_dead:  # What happened too long ago is set aside, tried or not, and the log is let go.
                changes["position"] = max(position, await work.keeping.first_since(now - TRIED_FOR) - 1)
            if not await work.receivers.keep(receiver, lease_until=lease_until, **changes):
                return None, 0
            await work.receivers.done(receiver.id, [*taken, *aside])
            await work.receivers.postpone(receiver.id, late)
            count = len(aside)
            if is_dead:
                count += await work.receivers.set_aside(receiver.id, now - TRIED_FOR)
            return await work.receivers.by_id(receiver.id) if goes_on else None, count

        kept, count = await self._store.work(None, act)
        if count:
            _log.warning("events_set_aside", receiver=receiver.id, count=count, last_error=changes["last_error"])
        return kept


def _asked(receiver: Receiver) -> Filter:
    return Filter(types=CROSSINGS if receiver.kind == MAIL else receiver.event_types, units=_units(receiver))


def _units(receiver: Receiver) -> frozenset[str] | None:
    return None if receiver.business_unit is None else frozenset({receiver.business_unit})


def _targets(receiver: Receiver, event: Event) -> list[int]:
    """Whom an event is for: a webhook itself, or each contact that the account notifies."""
    if receiver.kind == WEBHOOK:
        return [0]
    numbers = (number_of(Kind.CONTACT, text) for text in event.data["send_balance_notifications_to"])
    return list(dict.fromkeys(number for number in numbers if number is not None))


def _is_taken(attempt: Attempt) -> bool:
    return attempt.outcome is not None and attempt.outcome.delivered


def _later(attempt: Attempt, now: datetime, chance: float) -> Delivery:
    attempts = attempt.delivery.attempts + 1
    return attempt.delivery._replace(attempts=attempts, retry_at=now + backoff(attempts, chance))


def _told(attempt: Attempt, *, is_set_aside: bool) -> str:
    assert attempt.outcome is not None
    name = id_text(Kind.EVENT, attempt.delivery.event_id)
    aside = " It is set aside." if is_set_aside else ""
    return f"{name}: {attempt.outcome.error}.{aside}"
