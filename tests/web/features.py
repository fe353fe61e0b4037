"""What the gateway has, as far as tests depend on it: told by its code."""

from importlib.util import find_spec

from app.web.operations import Asked

_THERE = {
    "limits": find_spec("schema.execution.limits") is not None,
    "idempotency": "idempotency_key" in Asked._fields,
}


def lacking(*features: str) -> str | None:
    """The first of these features that there is not; None where all are there."""
    return next((name for name in features if not _THERE[name]), None)
