"""Do what a request asks once for its client's key; whoever asks again gets the answer that was given."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from app.actions.register_balances import Registered, Result
from app.domain.balances import Rejected
from app.domain.columns import Columns
from app.domain.histories import HistoryConfig
from app.domain.idempotency import Key
from app.domain.records import Entry
from app.domain.refusals import Code, Refusal, UserErrorCode, Violated, Violation
from app.store.idempotency import Remembered
from app.store.reads import Units
from app.store.sources import ENTRIES, HISTORY_CONFIGS
from app.store.store import Reading, Store, Work

T = TypeVar("T")


class _Known(Exception):  # noqa: N818 - the answer is there already, and the transaction ends.
    """Another transaction has done what is asked."""

    def __init__(self, remembered: Remembered) -> None:
        super().__init__()
        self.remembered = remembered


class OnceStore(Store):
    """The store as one operation with a key sees it: its one work is done once, or was done before.

    What a work answers is remembered in its own transaction. A work that broke rules keeps nothing, so that answer is
    remembered in another transaction. A work that was refused, or failed, is not remembered.
    """

    def __init__(self, store: Store, key: Key, fingerprint: str, now: datetime) -> None:
        vars(self).update(vars(store))
        self._key = key
        self._fingerprint = fingerprint
        self._now = now
        self._facts: str | None = None
        self.is_replay = False
        """Whether the answer is one that was given before."""
        self.refused: Refusal | None = None
        """Why the whole request is refused, where that showed only when its work began."""

    async def look(self) -> None:
        """See whether the key is known. Raises Refusal IDEMPOTENCY_KEY_REUSED where it stands for another request."""
        async with self.reading(None) as reads:
            found = await reads.idempotency.find(self._key, self._now)
        if found is not None:
            self._facts = self._checked(found)

    @property
    def records_as_seen(self) -> bool:
        return False  # What is remembered with a key is a work.

    async def work(self, units: Units, act: Callable[[Work], Awaitable[T]]) -> T:
        if self._facts is None:
            try:
                return await self._done(units, act)
            except _Known as known:
                self._facts = self._checked(known.remembered)
        self.is_replay = True
        told: T = await self._told(units, json.loads(self._facts))
        return told

    async def _done(self, units: Units, act: Callable[[Work], Awaitable[T]]) -> T:
        async def once(work: Work) -> T:
            await self._begin(work, None)
            done = await act(work)
            await work.idempotency.finish(self._key, json.dumps(_facts_of(done)))
            return done

        try:
            return await super().work(units, once)
        except Violated as violated:
            facts = json.dumps({"violations": violated.violations})
            await super().work(units, lambda work: self._begin(work, facts))
            raise

    async def _begin(self, work: Work, facts: str | None) -> None:
        try:
            if await work.idempotency.begin(self._key, self._fingerprint, facts, self._now):
                return
        except Refusal as refusal:
            self.refused = refusal
            raise
        found = await work.idempotency.find(self._key, self._now)
        assert found is not None, "whoever had the key has committed"
        raise _Known(found)

    def _checked(self, found: Remembered) -> str:
        if found.fingerprint != self._fingerprint:
            message = "This Idempotency-Key stands for another request."
            self.refused = Refusal(Code.IDEMPOTENCY_KEY_REUSED, message)
            raise self.refused
        assert found.facts is not None, "a key is committed with its facts"
        return found.facts

    async def _told(self, units: Units, facts: Any) -> Any:
        if "violations" in facts:
            raise Violated([_violation(*each) for each in facts["violations"]])
        if "value" in facts:
            return tuple(facts["value"]) if isinstance(facts["value"], list) else facts["value"]
        async with self.reading(units) as reads:
            return await _read(reads, facts)


def _facts_of(done: Any) -> dict[str, Any]:
    """What an answer is made of: ids of what is remembered anyway, and verdicts."""
    match done:
        case Entry():
            return {"entry": done.id}
        case HistoryConfig():
            return {"config": done.id}
        case Registered():
            return {"results": [_result_facts(result) for result in done.results], "elapsed": done.elapsed_ms}
        case _:
            return {"value": done}


def _result_facts(result: Result) -> Sequence[Any]:
    entry = None if result.entry is None else result.entry.id
    rejected = result.rejected
    if rejected is None:
        return [entry]
    return [entry, rejected.code, rejected.description, rejected.field, rejected.same_content]


def _violation(code: str, message: str, path: Sequence[str], documented_code: str | None) -> Violation:
    return Violation(UserErrorCode(code), message, tuple(path), documented_code)


async def _read(reads: Reading, facts: Any) -> Any:
    if "entry" in facts:
        return (await reads.by_ids(ENTRIES, [facts["entry"]])).get(facts["entry"])
    if "config" in facts:
        return (await reads.by_ids(HISTORY_CONFIGS, [facts["config"]])).get(facts["config"])
    numbers = {entry for entry, *_ in facts["results"] if entry is not None}
    entries = await reads.by_ids(ENTRIES, numbers) if numbers else {}
    results = []
    for number, *why in facts["results"]:
        entry = None if number is None else entries.get(number)
        results.append(Result(_rejected(why, entry) if why else None, entry))
    return Registered(Columns.of(Result, results), facts["elapsed"])


def _rejected(why: Sequence[Any], entry: Entry | None) -> Rejected:
    code, description, field, same_content = why
    return Rejected(code, description, field, entry, same_content)
