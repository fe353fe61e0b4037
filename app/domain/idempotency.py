"""Keys by which clients repeat a request without repeating what it does."""

from datetime import timedelta
from typing import NamedTuple

from app.domain.callers import Caller

KEPT = timedelta(hours=24)
"""How long it is remembered what was answered for a key."""

WAIT_SECONDS = 5.0
"""How long a request waits for another one with the same key that is still running."""


class Key(NamedTuple):
    """A client's key, and whose it is: two callers with the same text have two keys."""

    issuer: str
    subject: str
    text: str


def key_of(caller: Caller, text: str) -> Key:
    return Key(*key_owner(caller), text)


def key_owner(caller: Caller) -> tuple[str, str]:
    """Whose a caller's keys are: the issuer of its token, "" where there is none, and its subject."""
    return caller.issuer or "", caller.subject
