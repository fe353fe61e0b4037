"""What passes between the HTTP view and whatever runs GraphQL operations."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import orjson

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Asked(NamedTuple):
    """One request, well-formed, not yet understood."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None
    extensions: dict[str, Any]
    wants_cost: bool = False
    """Whether the answer tells what it costs."""
    idempotency_key: str | None = None
    """The client's key: whoever asks the same again with it gets the same answer, and nothing is done twice."""
    wants_plan: bool = False
    """Whether the answer tells how its fields were answered, where that is allowed."""


class Answered(NamedTuple):
    """The answer to one request."""

    body: bytes
    """The whole response as JSON text."""
    ran: bool
    """Whether execution began, so that the body has "data"."""
    code: Code | None
    """For a request that did not run: the code of its first error."""
    extensions: Mapping[str, Any] = _NOTHING
    """For a request that was refused: what is told beside the code, such as the limit."""
    is_replay: bool = False
    """Whether nothing was done, as this is what was answered before."""

    def with_extensions(self, told: Mapping[str, Any]) -> "Answered":
        """The same answer, which tells of the operation beside its data."""
        return self._replace(body=b'%b,"extensions":%b}' % (self.body[:-1], orjson.dumps(told)))


class OutcomeUnknown(asyncio.CancelledError):
    """Nobody waits any more for a mutation, which goes on."""


class Run(Protocol):
    """Runs one operation. With `mutations=False` (GET) a mutation is refused with METHOD_NOT_ALLOWED."""

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered: ...


class Subscribe(Protocol):
    """Runs any operation, a subscription too.

    A subscription that began gives its results one by one, each the whole result as JSON text; else there is the one
    answer. Iterating raises Refusal where the subscription ends by the gateway's will; closing the generator ends it.
    """

    async def __call__(
        self, asked: Asked, caller: Caller, *, mutations: bool
    ) -> AsyncGenerator[bytes, None] | Answered: ...


def refusal_json(refusal: Refusal) -> dict[str, Any]:
    """A refusal as one of GraphQL's errors."""
    return {"message": refusal.message, "extensions": {"code": refusal.code, **refusal.extensions}}
