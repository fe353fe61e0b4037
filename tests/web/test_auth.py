"""Tokens: which are believed and which are not, each row of a table alone; and what is remembered of them."""

import asyncio
import hashlib
import hmac
import json
import warnings
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from app.domain.callers import LOCAL, Caller, Scope
from app.domain.refusals import Code, Refusal
from app.settings import Settings
from app.web.auth import REMEMBERED_MAX, Bearers, Nobody
from app.web.jwks import PublishedKeys
from app.web.keys import PUBLIC_ALGORITHMS, Key, OneKey, key_from
from app.web.tokens import Rules
from tests.web.issuers import issuing
from tests.web.tokens import (
    AUDIENCE,
    EC,
    EDWARDS,
    ISSUER,
    NOW,
    OTHER_RSA,
    RSA,
    SECRET,
    WEAK_RSA,
    claims,
    encoded,
    jwk,
    pem,
    signed,
)

RULES = Rules(issuer=ISSUER, audience=AUDIENCE, leeway=10)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def bearers(key: str | Key = SECRET, rules: Rules = RULES, clock: Clock | None = None) -> Bearers:
    return Bearers(OneKey(key_from(key) if isinstance(key, str) else key), rules, clock or Clock())


async def admitted(authorization: str | None, by: Bearers | None = None) -> Caller:
    headers = {} if authorization is None else {b"authorization": authorization.encode()}
    found = (by or bearers()).of_headers(headers)
    return found if isinstance(found, Caller) else await found


async def fault(authorization: str | None, by: Bearers | None = None) -> str:
    """Why somebody is not let in."""
    with pytest.raises(Refusal) as refused:
        await admitted(authorization, by)
    assert refused.value.code is Code.UNAUTHENTICATED
    return refused.value.message


async def test_a_good_token_says_who_asks() -> None:
    caller = await admitted(f"Bearer {signed(claims())}")
    scopes = frozenset({Scope.ACCOUNTS_READ, Scope.BALANCES_READ})
    assert caller == Caller("ada", scopes, frozenset({"default"}), ISSUER, NOW + 610)


NEEDED = "A bearer token is needed."
GOOD = signed(claims())


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        GOOD,
        f"Token {GOOD}",
        f"Bearer {GOOD}, Bearer {GOOD}",
        f"Bearer {GOOD} {GOOD}",
        f"Bearer\t{GOOD}",
        f"Bearer {GOOD} ",
        f" Bearer {GOOD}",
    ],
)
async def test_what_is_no_bearer_token_is_refused(authorization: str | None) -> None:
    assert await fault(authorization) == NEEDED


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_the_scheme_is_written_in_any_case(scheme: str) -> None:
    assert (await admitted(f"{scheme} {GOOD}")).subject == "ada"


# --- form, header and signature -----------------------------------------------------------------------------------

HEAD, BODY, SIGNATURE = GOOD.split(".")


def _confused(secret: str) -> str:
    """A token that is signed with a public key's text as if that were a secret."""
    signing = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded(claims())}"
    return f"{signing}.{encoded(hmac.digest(secret.encode(), signing.encode(), hashlib.sha256))}"


def _altered(text: str) -> str:
    """The same bytes to a lenient reader: the unused bits of the last character are other ones."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


UNREADABLE = {
    "no algorithm": signed(claims(), header={"alg": None}),
    "alg none": f"{encoded({'alg': 'none'})}.{BODY}.",
    "alg none, signed": signed(claims(), header={"alg": "none"}),
    "alg NoNe": signed(claims(), header={"alg": "NoNe"}),
    "alg in lower case": signed(claims(), header={"alg": "hs256"}),
    "alg a list": signed(claims(), header={"alg": ["HS256"]}),
    "alg a number": signed(claims(), header={"alg": 256}),
    "an algorithm of other keys": signed(claims(), RSA, "RS256"),
    "another secret": signed(claims(), SECRET + "!"),
    "the public key as a secret": _confused(pem(RSA)),
    "the header twice": signed(claims(), header=b'{"alg":"HS256","alg":"HS256"}'),
    "the header a list": signed(claims(), header=b'["HS256"]'),
    "the header no JSON": signed(claims(), header=b"{"),
    "the header not in UTF-8": signed(claims(), header=b'{"alg":"HS256","x":"\xff"}'),
    "crit of something unknown": signed(claims(), header={"crit": ["exp"], "exp": 1}),
    "crit empty": signed(claims(), header={"crit": []}),
    "crit a text": signed(claims(), header={"crit": "b64"}),
    "b64 false": signed(claims(), header={"b64": False, "crit": ["b64"]}),
    "b64 false, not critical": signed(claims(), header={"b64": False}),
    "zipped": signed(claims(), header={"zip": "DEF"}),
    "kid a list": signed(claims(), header={"kid": ["a"]}),
    "kid of 10 KB": signed(claims(), header={"kid": "a" * 10_000}),
    "typ of something else": signed(claims(), header={"typ": "dpop+jwt"}),
    "typ a list": signed(claims(), header={"typ": ["JWT"]}),
    "a claim twice": signed(b'{"sub":"a",' + json.dumps(claims()).encode()[1:]),
    "NaN in the payload": signed(b'{"x":NaN,' + json.dumps(claims()).encode()[1:]),
    "a deep payload": signed(b'{"x":' + b"[" * 40 + b"]" * 40 + b"," + json.dumps(claims()).encode()[1:]),
    "a very deep payload": signed(b'{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"," + json.dumps(claims()).encode()[1:]),
    "a payload of 20 KB": signed(claims(x="a" * 20_000)),
    "a payload of 2 MB": signed(claims(x="a" * 2_000_000)),
    "the payload a list": signed(["sub"]),
    "the payload no JSON": signed(b"sub"),
    "the payload with a lone surrogate": signed(b'{"x":"\\ud800",' + json.dumps(claims()).encode()[1:]),
    "a trailing =": GOOD + "=",
    "a trailing newline": GOOD + "\n",
    "a fourth segment": GOOD + ".e30",
    "five segments": f"{GOOD}.e30.e30",
    "two segments": f"{HEAD}.{BODY}",
    "no signature": f"{HEAD}.{BODY}.",
    "an = inside": f"{HEAD}=.{BODY}.{SIGNATURE}",
    "other unused bits of the signature": _altered(GOOD),
    "half a signature": GOOD[:-20],
    "other claims": f"{HEAD}.{encoded(claims(sub='eve'))}.{SIGNATURE}",
    "an é": GOOD + "é",
    "base64 of the other alphabet": f"{HEAD}.{BODY}+.{SIGNATURE}",
    "nothing but dots": "..",
}


@pytest.mark.parametrize("token", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_token_that_is_not_what_it_should_be_is_refused_and_not_repeated(token: str) -> None:
    assert await fault(f"Bearer {token}") == "The token is not valid."


@pytest.mark.parametrize("header", [{"typ": None}, {"typ": "jwt"}, {"typ": "at+JWT"}, {"typ": "application/at+jwt"}])
async def test_types_of_access_tokens_are_taken(header: dict[str, Any]) -> None:
    assert (await admitted(f"Bearer {signed(claims(), header=header)}")).subject == "ada"


async def test_where_a_type_is_set_no_other_is_taken() -> None:
    by = bearers(rules=RULES._replace(type="at+jwt"))
    for typ in ("at+jwt", "application/at+jwt", "AT+JWT"):
        assert (await admitted(f"Bearer {signed(claims(), header={'typ': typ})}", by)).subject == "ada"
    for other in ("JWT", None):
        assert await fault(f"Bearer {signed(claims(), header={'typ': other})}", by) == "The token is not valid."


KEYS = [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256"), (EDWARDS, "EdDSA")]


@pytest.mark.parametrize(("private", "algorithm"), KEYS, ids=[each[1] for each in KEYS])
async def test_a_public_key_takes_tokens_of_its_own_kind_alone(private: Any, algorithm: str) -> None:
    by = bearers(pem(private))
    assert (await admitted(f"Bearer {signed(claims(), private, algorithm)}", by)).subject == "ada"
    # The public key's text, as it stands in the setting, is no secret.
    for confused in (_confused(pem(private)), _confused(json.dumps(jwk(private))), signed(claims(), SECRET)):
        assert await fault(f"Bearer {confused}", by) == "The token is not valid."
    others = {"RS256": OTHER_RSA, "ES256": EC, "EdDSA": EDWARDS}
    for other, key in others.items():
        if other != algorithm:
            assert await fault(f"Bearer {signed(claims(), key, other)}", by) == "The token is not valid."


async def test_only_the_algorithms_that_are_allowed_are_taken() -> None:
    by = bearers(Key(key_from(SECRET).material, frozenset({"HS512"})))
    assert (await admitted(f"Bearer {signed(claims(), algorithm='HS512')}", by)).subject == "ada"
    assert await fault(f"Bearer {signed(claims(), algorithm='HS256')}", by) == "The token is not valid."


async def test_a_key_that_the_token_brings_along_or_points_to_is_passed_over() -> None:
    """Nobody is asked for it: with a key of the gateway's own, and with those of an issuer."""
    async with issuing(jwk(RSA, "one")) as issuer, issuing(jwk(OTHER_RSA, "one")) as other:
        place = f"http://127.0.0.1:{other.port}/keys"
        pointing = {"jwk": jwk(OTHER_RSA), "jku": place, "x5u": place, "kid": "one"}
        keys = PublishedKeys(f"http://127.0.0.1:{issuer.port}/keys", PUBLIC_ALGORITHMS)
        for by in (bearers(pem(RSA)), Bearers(keys, RULES, Clock())):
            for header in (pointing, {**pointing, "kid": place}):
                foreign = signed(claims(), OTHER_RSA, "RS256", header)
                assert await fault(f"Bearer {foreign}", by) == "The token is not valid."
            assert (await admitted(f"Bearer {signed(claims(), RSA, 'RS256', pointing)}", by)).subject == "ada"
        assert (issuer.asked, other.asked) == (1, 0)


# --- claims -------------------------------------------------------------------------------------------------------

EXPIRED, EARLY = "The token has expired.", "The token is not valid yet (nbf, iat)."
NO_EXPIRY, LONG = "The token has no expiry (exp).", "The token lasts too long: at most 86400 s."
ISSUED, HEARD = "The token is of another issuer (iss).", "The token is for another audience (aud)."
HEARD_BY = "The token's audience is no list of texts (aud)."
NAMELESS, UNITLESS = "The token names no subject (sub).", "The token names no business units (business_units)."
UNIT_TEXTS = "The token's business units are no list of texts (business_units)."


def instant(name: str) -> str:
    return f"The token's {name} is no instant."


WRONG_CLAIMS: list[tuple[Mapping[str, Any], str]] = [
    ({"exp": None}, NO_EXPIRY),
    ({"exp": NOW - 10}, EXPIRED),
    ({"exp": 0}, EXPIRED),
    ({"exp": -1}, EXPIRED),
    ({"exp": str(int(NOW) + 60)}, instant("exp")),
    ({"exp": [1]}, instant("exp")),
    ({"exp": {"a": 1}}, instant("exp")),
    ({"exp": True}, instant("exp")),
    ({"exp": 10**30}, LONG),
    ({"exp": 10**400}, LONG),
    ({"exp": NOW + 86_411}, LONG),
    ({"nbf": NOW + 11}, EARLY),
    ({"nbf": "x"}, instant("nbf")),
    ({"nbf": True}, instant("nbf")),
    ({"iat": NOW + 11}, EARLY),
    ({"iat": 10**400}, EARLY),
    ({"iat": "x"}, instant("iat")),
    ({"iat": NOW - 86_411}, "The token is too old: at most 86400 s."),
    ({"aud": None}, HEARD),
    ({"aud": "other"}, HEARD),
    ({"aud": "gateway2"}, HEARD),
    ({"aud": "gatewa"}, HEARD),
    ({"aud": ""}, HEARD),
    ({"aud": []}, HEARD),
    ({"aud": ["other"]}, HEARD),
    ({"aud": [AUDIENCE, 1]}, HEARD_BY),
    ({"aud": 1}, HEARD_BY),
    ({"aud": {"gateway": 1}}, HEARD_BY),
    ({"iss": None}, ISSUED),
    ({"iss": "https://other.example"}, ISSUED),
    ({"iss": ISSUER + "/"}, ISSUED),
    ({"iss": [ISSUER]}, ISSUED),
    ({"iss": 1}, ISSUED),
    ({"sub": None}, NAMELESS),
    ({"sub": ""}, NAMELESS),
    ({"sub": 17}, NAMELESS),
    ({"sub": "a" * 256}, NAMELESS),
    ({"sub": "a\nb"}, NAMELESS),
    ({"scope": ["accounts:read"]}, "The token's scope is no text."),
    ({"scope": 1}, "The token's scope is no text."),
    ({"business_units": None}, UNITLESS),
    ({"business_units": []}, UNITLESS),
    ({"business_units": "default"}, UNITLESS),
    ({"business_units": "*"}, UNITLESS),
    ({"business_units": {"default": 1}}, UNITLESS),
    ({"business_units": ["default", 1]}, UNIT_TEXTS),
    ({"business_units": ["*", None]}, UNIT_TEXTS),
    ({"business_units": [""]}, UNIT_TEXTS),
    ({"business_units": [["default"]]}, UNIT_TEXTS),
]


@pytest.mark.parametrize(("changed", "message"), WRONG_CLAIMS, ids=[str(row[0])[:60] for row in WRONG_CLAIMS])
async def test_a_claim_that_does_not_hold_is_refused(changed: dict[str, Any], message: str) -> None:
    assert await fault(f"Bearer {signed(claims(**changed))}") == message


@pytest.mark.parametrize("text", ["null", "1e400", "Infinity", "-Infinity", '"NaN"'])
async def test_an_expiry_that_is_no_instant_at_all_is_refused(text: str) -> None:
    payload = json.dumps(claims(exp=4711)).replace("4711", text).encode()
    assert await fault(f"Bearer {signed(payload)}") in {LONG, instant("exp"), "The token is not valid."}


RIGHT_CLAIMS: list[Mapping[str, Any]] = [
    {"exp": NOW - 5},
    {"exp": NOW + 86_400},
    {"exp": NOW + 0.5},
    {"nbf": NOW + 9},
    {"iat": NOW + 9},
    {"iat": None},
    {"iat": NOW - 86_400},
    {"aud": [AUDIENCE]},
    {"aud": ["other", AUDIENCE]},
    {"azp": "another", "extra": {"a": [1]}},
]


@pytest.mark.parametrize("changed", RIGHT_CLAIMS, ids=[str(row) for row in RIGHT_CLAIMS])
async def test_a_claim_that_holds_is_taken(changed: dict[str, Any]) -> None:
    assert (await admitted(f"Bearer {signed(claims(**changed))}")).subject == "ada"


async def test_without_a_set_issuer_any_is_taken_and_without_an_audience_none() -> None:
    by = bearers(rules=Rules())
    assert (await admitted(f"Bearer {signed(claims(aud=None))}", by)).issuer == ISSUER
    assert (await admitted(f"Bearer {signed(claims(aud=None, iss=None))}", by)).issuer == ""
    assert await fault(f"Bearer {signed(claims())}", by) == HEARD


async def test_scopes_that_the_gateway_does_not_know_are_passed_over() -> None:
    rows: list[tuple[str | None, set[Scope]]] = [
        ("openid accounts:read  profile Accounts:write", {Scope.ACCOUNTS_READ}),
        ("", set()),
        ("accounts:read,balances:read", set()),
        (None, set()),
    ]
    for told, scopes in rows:
        assert (await admitted(f"Bearer {signed(claims(scope=told))}")).scopes == scopes


@pytest.mark.parametrize(
    ("told", "units"),
    [(["a", "b"], {"a", "b"}), (["*"], None), (["a", "*"], None), (["**"], {"**"}), (["' OR 1=1"], {"' OR 1=1"})],
)
async def test_units_are_those_of_the_token(told: list[str], units: set[str] | None) -> None:
    assert (await admitted(f"Bearer {signed(claims(business_units=told))}")).units == units


# --- what is remembered -------------------------------------------------------------------------------------------


class Counted:
    """Keys that count how often they were asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.key: Key | None = key_from(SECRET)

    async def find(self, _algorithm: str, _name: str | None, _now: float) -> Key | None:
        self.asked += 1
        return self.key


async def test_a_token_is_remembered_for_a_minute_and_no_longer() -> None:
    keys, clock = Counted(), Clock()
    by = Bearers(keys, RULES, clock)
    for seconds in (0, 1, 59.9):
        clock.now = NOW + seconds
        await admitted(f"Bearer {GOOD}", by)
    assert keys.asked == 1
    keys.key = None
    assert isinstance(by.of_headers({b"authorization": f"Bearer {GOOD}".encode()}), Caller), "it is a look-up"
    clock.now = NOW + 60
    assert await fault(f"Bearer {GOOD}", by) == "The token is not valid."


async def test_a_remembered_token_expires_all_the_same() -> None:
    clock = Clock()
    by = bearers(rules=RULES._replace(leeway=0), clock=clock)
    token = f"Bearer {signed(claims(exp=NOW + 2))}"
    assert (await admitted(token, by)).expires_at == NOW + 2
    clock.now = NOW + 1.99
    assert await admitted(token, by)
    clock.now = NOW + 2
    assert await fault(token, by) == EXPIRED


async def test_a_clock_that_is_set_back_makes_nothing_of_a_token_that_is_not_valid_yet() -> None:
    clock = Clock()
    by = bearers(clock=clock)
    await admitted(f"Bearer {GOOD}", by)
    clock.now = NOW - 3_600
    assert await fault(f"Bearer {GOOD}", by) == EARLY


async def test_what_is_remembered_is_bounded_and_what_is_refused_is_not_remembered() -> None:
    by = bearers()
    for number in range(50):
        await fault(f"Bearer {GOOD}{number}", by)
    assert by._remembered == {}
    known: Any = {str(number): (LOCAL, NOW, NOW + 60) for number in range(REMEMBERED_MAX)}
    by._remembered.update(known)
    await admitted(f"Bearer {GOOD}", by)
    assert len(by._remembered) == REMEMBERED_MAX
    assert "0" not in by._remembered


async def test_two_who_ask_at_once_are_both_let_in() -> None:
    by = bearers()
    first, second = await asyncio.gather(*(admitted(f"Bearer {GOOD}", by) for _ in range(2)))
    assert first == second


# --- sockets and gateways without a key ---------------------------------------------------------------------------


async def in_socket(by: Bearers, payload: Any, **headers: str) -> Caller:
    found = by.of_socket({name.encode(): value.encode() for name, value in headers.items()}, payload)
    return found if isinstance(found, Caller) else await found


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        ({"authorization": f"Bearer {GOOD}"}, {}),
        ({"Authorization": f"Bearer {GOOD}"}, {}),
        ({"Authorization": f"Bearer {GOOD}", "x": 1}, {"authorization": "Bearer nonsense"}),
        (None, {"authorization": f"Bearer {GOOD}"}),
        ({}, {"authorization": f"Bearer {GOOD}"}),
    ],
)
async def test_a_socket_brings_its_token_in_the_payload_or_the_upgrade(payload: Any, headers: dict[str, str]) -> None:
    assert (await in_socket(bearers(), payload, **headers)).subject == "ada"


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {"authorization": GOOD},
        {"authorization": None},
        {"authorization": [f"Bearer {GOOD}"]},
        {"authorization": "Bearer x", "Authorization": f"Bearer {GOOD}"},
        {"AUTHORIZATION": f"Bearer {GOOD}"},
        {"headers": {"authorization": f"Bearer {GOOD}"}},
    ],
)
async def test_a_socket_without_a_token_is_refused(payload: Any) -> None:
    with pytest.raises(Refusal, match=NEEDED):
        await in_socket(bearers(), payload)


def test_without_a_key_everybody_is_the_local_caller() -> None:
    assert Nobody().of_headers({b"authorization": b"Bearer x"}) is LOCAL
    assert Nobody().of_socket({}, {"authorization": 1}) is LOCAL


# --- keys that are set --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "algorithms"), [(32, 1), (47, 1), (48, 2), (63, 2), (64, 3)])
def test_a_secret_is_good_for_the_hashes_that_it_is_long_enough_for(size: int, algorithms: int) -> None:
    assert len(key_from("x" * size).algorithms) == algorithms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12345",
        "x" * 31,
        json.dumps(jwk(RSA)),
        json.dumps({"keys": [jwk(EC)]}),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample",
        pem(WEAK_RSA),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ],
)
def test_a_key_that_is_none_or_too_weak_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^give ") as refused:
        key_from(text)
    assert "AAAA" not in str(refused.value)
    assert "kty" not in str(refused.value)


def test_a_key_may_have_its_line_breaks_escaped_and_shows_itself_nowhere() -> None:
    assert key_from(pem(EC).replace("\n", "\\n")).algorithms == {"ES256"}
    for holder in (key_from(SECRET), Settings(jwt_key=SecretStr(SECRET)), OneKey(key_from(SECRET)), bearers()):
        assert SECRET not in repr(holder) + str(holder)


def test_the_tokens_of_this_table_are_what_a_usual_issuer_makes() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = jwt.encode(claims(), SECRET, "HS256")
    assert jwt.decode(made, SECRET, ["HS256"], audience=AUDIENCE, options={"verify_exp": False, "verify_iat": False})
    assert jwt.get_unverified_header(made) == jwt.get_unverified_header(GOOD)
