"""Who may ask again with a key, and what is the same request."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from weakref import WeakValueDictionary

import orjson

from app.actions.once import OnceStore
from app.domain.idempotency import WAIT_SECONDS, Key, key_of
from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from app.store.idempotency import STILL_RUNNING
from app.web.operations import Answered, Asked
from resolvers.context import Context

_NUMBER = "\0"
"""The name of a number's digits; no text of a request has this character."""


class Onces:
    """Runs requests with keys, each once; requests of one key one after another."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def answer(
        self, asked: Asked, context: Context, execute: Callable[[Context], Awaitable[Answered]]
    ) -> Answered:
        """The answer that `execute` gives, or has given to the same request before.

        Raises Refusal CONFLICT where a request of the key runs on, IDEMPOTENCY_KEY_REUSED where it was another one.
        """
        assert asked.idempotency_key is not None
        key = key_of(context.caller, asked.idempotency_key)
        async with self._turn(key):
            store = OnceStore(context.store, key, fingerprint(asked), context.now)
            await store.look()
            context.store = store
            answered = await execute(context)
        if store.refused is not None:
            raise store.refused
        return answered._replace(is_replay=store.is_replay)

    @asynccontextmanager
    async def _turn(self, key: Key) -> AsyncIterator[None]:
        """Wait until no other request of this process has the key."""
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn.acquire()
        except TimeoutError as error:
            raise Refusal(Code.CONFLICT, STILL_RUNNING) from error
        try:
            yield
        finally:
            turn.release()


def fingerprint(asked: Asked) -> str:
    """What tells one request from another: its operation, document and variables, whatever the order of their keys."""
    told = [asked.operation_name, asked.query, asked.variables]
    try:
        text = orjson.dumps(told, default=_digits, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # An integer of more than 64 bits, which this writer refuses.
        text = json.dumps(_with_digits(told), sort_keys=True).encode()
    return sha256(text).hexdigest()


def _digits(value: Any) -> dict[str, str]:
    """A number that was written with a point or an exponent, as it was written."""
    if isinstance(value, JsonNumber):
        return {_NUMBER: value.text}
    raise TypeError(type(value).__name__)


def _with_digits(value: Any) -> Any:
    match value:
        case JsonNumber():
            return _digits(value)
        case dict():
            return {key: _with_digits(each) for key, each in value.items()}
        case list():
            return [_with_digits(each) for each in value]
        case _:
            return value
