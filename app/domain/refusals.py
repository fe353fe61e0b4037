"""Every "no" with its stable code: refusals of a request or a field, and violations told as data."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple


class Code(StrEnum):
    """`extensions.code` of a top-level error; a closed list that grows only with a release."""

    BAD_REQUEST = "BAD_REQUEST"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    CSRF_PREVENTION = "CSRF_PREVENTION"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    DOCUMENT_TOO_LARGE = "DOCUMENT_TOO_LARGE"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    COST_LIMIT_EXCEEDED = "COST_LIMIT_EXCEEDED"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    PAGE_TOO_LARGE = "PAGE_TOO_LARGE"
    SERIES_TOO_LONG = "SERIES_TOO_LONG"
    RATE_LIMITED = "RATE_LIMITED"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    CONFLICT = "CONFLICT"
    EVENTS_EXPIRED = "EVENTS_EXPIRED"
    SUBSCRIPTION_LAGGED = "SUBSCRIPTION_LAGGED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    TIMEOUT = "TIMEOUT"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL = "INTERNAL"


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours.
    """The answer no to a whole request, or to one field of it.

    `extensions` go to the client beside the code, so that a limit can be told with its number.
    """

    def __init__(self, code: Code, message: str, **extensions: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.extensions = extensions


def outcome_unknown(code: Code, why: str, **extensions: Any) -> Refusal:
    """A write that was perhaps done and perhaps not: how the client finds out."""
    message = (
        f"{why}: whether this was done is unknown. Ask again with the same Idempotency-Key or communicationNumber."
    )
    return Refusal(code, message, outcome="unknown", **extensions)


class UserErrorCode(StrEnum):
    """Why a mutation did nothing."""

    REQUIRED = "REQUIRED"
    INVALID = "INVALID"
    TOO_LONG = "TOO_LONG"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    NOT_FOUND = "NOT_FOUND"
    TAKEN = "TAKEN"
    CONFLICT = "CONFLICT"


class Violation(NamedTuple):
    """One broken rule of a mutation's input, told to the client as data (`userErrors`)."""

    code: UserErrorCode
    message: str
    path: tuple[str, ...]
    """The way to the argument, such as ("input", "maxBalance")."""
    documented_code: str | None = None
    """What the documented operation answers for it, verbatim: WCFG0004, O005, 100."""


class Violated(Exception):  # noqa: N818 - an expected no, carried out of a transaction that must not commit.
    """A write that broke rules, raised inside a unit of work so that nothing of it is kept."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(violation.message for violation in violations))
        self.violations = tuple(violations)
