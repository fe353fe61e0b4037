"""What the gateway has, as far as tests depend on it: told by its settings."""

from app.settings import Settings

_SIGNS = {"limits": "aliases_max", "idempotency": "idempotency_hours"}


def lacking(*features: str) -> str | None:
    """The first of these features that there is not; None where all are there."""
    return next((name for name in features if _SIGNS[name] not in Settings.model_fields), None)
