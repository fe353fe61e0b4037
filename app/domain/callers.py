"""Who is asking, what they may do, and for which business units."""

from enum import StrEnum
from typing import NamedTuple

from app.domain.refusals import Code, Refusal


class Scope(StrEnum):
    """A right that a token carries in its `scope` claim."""

    ACCOUNTS_READ = "accounts:read"
    BALANCES_READ = "balances:read"
    CONFIG_READ = "config:read"
    EVENTS_READ = "events:read"
    ACCOUNTS_WRITE = "accounts:write"
    BALANCES_WRITE = "balances:write"
    CONFIG_WRITE = "config:write"
    WEBHOOKS_WRITE = "webhooks:write"


class Caller(NamedTuple):
    """Who asks: a subject, its scopes, and the business units that exist for it."""

    subject: str
    scopes: frozenset[Scope]
    units: frozenset[str] | None
    """Names of business units; None: all of them, also those that come into being later."""
    issuer: str | None = None
    """Who vouches for the subject; None: nobody, as there is no key."""
    expires_at: float | None = None
    """Until when it is vouched for, in seconds since the epoch; None: for ever."""

    def must(self, scope: Scope) -> None:
        """Raise FORBIDDEN where the caller lacks a scope."""
        if scope not in self.scopes:
            raise Refusal(Code.FORBIDDEN, f"The scope {scope} is needed.")

    def may_see(self, unit: str) -> bool:
        return self.units is None or unit in self.units

    def seconds_left(self, now: float) -> float | None:
        """How long it is still vouched for; None: for ever."""
        return None if self.expires_at is None else max(0.0, self.expires_at - now)

    @property
    def default_unit(self) -> str | None:
        """The business unit of an input that names none: the only one, else "default" where it may be used."""
        if self.units is not None and len(self.units) == 1:
            return next(iter(self.units))
        return DEFAULT_UNIT if self.may_see(DEFAULT_UNIT) else None


DEFAULT_UNIT = "default"

LOCAL = Caller(subject="local", scopes=frozenset(Scope), units=None)
"""Everybody who asks a gateway without a configured key, which listens on loopback alone."""
