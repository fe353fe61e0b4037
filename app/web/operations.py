"""What passes between the HTTP view and whatever runs GraphQL operations."""

from typing import Any, NamedTuple, Protocol

from app.domain.callers import Caller
from app.domain.refusals import Code


class Asked(NamedTuple):
    """One request, well-formed, not yet understood."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None
    extensions: dict[str, Any]


class Answered(NamedTuple):
    """The answer to one request."""

    body: bytes
    """The whole response as JSON text."""
    ran: bool
    """Whether execution began, so that the body has "data"."""
    code: Code | None
    """For a request that did not run: the code of its first error."""


class Run(Protocol):
    """Runs one operation. With `mutations=False` (GET) a mutation is refused with METHOD_NOT_ALLOWED."""

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered: ...
