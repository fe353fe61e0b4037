"""What a token says, and whether it may be believed: the checks of one JSON Web Token, without any waiting.

Sources: RFC 7519 (JWT), RFC 8725 (how tokens are attacked), RFC 9068 (access tokens).
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jwt

from app.domain.callers import Caller, Scope
from app.domain.refusals import Code, Refusal
from app.web.bodies import JsonReader
from app.web.keys import ALGORITHMS, NAME_MAX, Key

TOKEN_MAX = 16_384
"""Characters of a token."""
SUBJECT_MAX = 255
ISSUER_MAX = 2_048
UNITS_MAX = 1_000
"""Business units that a token may name."""
ALL_UNITS = "*"

_FORM = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES = frozenset({"jwt", "at+jwt"})
"""Types of tokens that may say who asks; a token that names none is taken for one."""
_UNKNOWN_WAYS = ("crit", "b64", "zip", "enc")
"""Headers that change how the rest is to be read."""

_JSON = JsonReader(depth_max=8, values_max=10_000)
_SIGNATURES = jwt.PyJWS(algorithms=sorted(ALGORITHMS), options={"enforce_minimum_key_length": True})
_SCOPES: Mapping[str, Scope] = {scope.value: scope for scope in Scope}


class Rules(NamedTuple):
    """What a token must say. Durations are seconds."""

    issuer: str | None = None
    """None: any."""
    audience: str | None = None
    """None: a token that names one is for somebody else."""
    type: str | None = None
    """None: JWT, at+jwt, or nothing."""
    leeway: float = 5.0
    """By how much clocks may differ."""
    age_max: float = 86_400.0
    """How long ago a token may have been made, and how long it may still last."""


class Token(NamedTuple):
    """A token of which nothing is believed yet."""

    text: str
    algorithm: str
    key_name: str | None


def refused(message: str) -> Refusal:
    return Refusal(Code.UNAUTHENTICATED, message)


def opened(text: str, rules: Rules) -> Token:
    """A token's header. Raises Refusal(UNAUTHENTICATED), which repeats nothing of the token."""
    match = _FORM.fullmatch(text) if len(text) <= TOKEN_MAX else None
    if match is None:
        raise _unreadable()
    header = _object(_decoded(match[1]))
    algorithm, name = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _unreadable()
    if name is not None and (not isinstance(name, str) or len(name) > NAME_MAX):
        raise _unreadable()
    if any(way in header for way in _UNKNOWN_WAYS) or not _is_of_type(header.get("typ"), rules.type):
        raise _unreadable()
    return Token(text, algorithm, name)


def caller_from(token: Token, key: Key | None, rules: Rules, now: float) -> Caller:
    """Who a token says is asking, once its signature and all its claims hold at an instant.

    Raises Refusal(UNAUTHENTICATED). What is wrong with the claims is told: who reads it has a token that was signed.
    """
    if key is None or token.algorithm not in key.algorithms:
        raise _unreadable()
    try:
        payload: bytes = _SIGNATURES.decode(token.text, key.material, algorithms=[token.algorithm])
    except jwt.PyJWTError:
        raise _unreadable() from None
    claims = _object(payload)
    expires = _checked_times(claims, rules, now)
    issuer = _checked_parties(claims, rules)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_MAX or not subject.isprintable():
        raise refused("The token names no subject (sub).")
    return Caller(subject, _scopes(claims), _units(claims), issuer, expires + rules.leeway)


def minted(key: Key, rules: Rules, caller: Caller, now: float) -> str:
    """A token for a caller, signed with a secret, that the same rules take from now until the caller expires."""
    assert caller.expires_at is not None
    claims = {
        "sub": caller.subject,
        "scope": " ".join(sorted(caller.scopes)),
        "business_units": [ALL_UNITS] if caller.units is None else sorted(caller.units),
        "iat": int(now),
        "exp": int(caller.expires_at),
        **({} if rules.issuer is None else {"iss": rules.issuer}),
        **({} if rules.audience is None else {"aud": rules.audience}),
    }
    header = {"typ": rules.type or "at+jwt"}
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return _SIGNATURES.encode(payload, key.material, algorithm=min(key.algorithms), headers=header)


def _unreadable() -> Refusal:
    return refused("The token is not valid.")


def _decoded(segment: str) -> bytes:
    try:
        return base64.b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True)
    except binascii.Error:
        raise _unreadable() from None


def _object(text: bytes) -> dict[str, Any]:
    """A JSON object, read strictly: two readers must not understand it differently."""
    try:
        value = _JSON.read(text)
    except Refusal:
        raise _unreadable() from None
    if not isinstance(value, dict):
        raise _unreadable()
    return value


def _is_of_type(given: Any, wanted: str | None) -> bool:
    if given is None:
        return wanted is None
    if not isinstance(given, str):
        return False
    short = given.lower().removeprefix("application/")
    return short in _TYPES if wanted is None else short == wanted.lower().removeprefix("application/")


def _checked_times(claims: Mapping[str, Any], rules: Rules, now: float) -> float:
    """When the token expires."""
    expires, begins, made = (_instant(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise refused("The token has no expiry (exp).")
    if expires <= now - rules.leeway:
        raise refused("The token has expired.")
    if expires > now + rules.leeway + rules.age_max:
        raise refused(f"The token lasts too long: at most {rules.age_max:g} s.")
    if max(begins or 0, made or 0) > now + rules.leeway:
        raise refused("The token is not valid yet (nbf, iat).")
    if made is not None and made < now - rules.leeway - rules.age_max:
        raise refused(f"The token is too old: at most {rules.age_max:g} s.")
    return float(expires)


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim that is an instant, in seconds since the epoch; None where it is absent."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"The token's {name} is no instant.")
    return value


def _checked_parties(claims: Mapping[str, Any], rules: Rules) -> str:
    """The issuer; "" where the token names none."""
    issuer, audience = claims.get("iss", ""), claims.get("aud", [])
    if not isinstance(issuer, str) or len(issuer) > ISSUER_MAX or rules.issuer not in {None, issuer}:
        raise refused("The token is of another issuer (iss).")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise refused("The token's audience is no list of texts (aud).")
    if bool(audiences) if rules.audience is None else rules.audience not in audiences:
        raise refused("The token is for another audience (aud).")
    return issuer


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """The scopes that the gateway knows; others are for other services."""
    told = claims.get("scope", "")
    if not isinstance(told, str):
        raise refused("The token's scope is no text.")
    return frozenset(_SCOPES[name] for name in told.split(" ") if name in _SCOPES)


def _units(claims: Mapping[str, Any]) -> frozenset[str] | None:
    told = claims.get("business_units")
    if not isinstance(told, list) or not 0 < len(told) <= UNITS_MAX:
        raise refused("The token names no business units (business_units).")
    if not all(isinstance(unit, str) and unit for unit in told):
        raise refused("The token's business units are no list of texts (business_units).")
    return None if ALL_UNITS in told else frozenset(told)
