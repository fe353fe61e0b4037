"""Published keys: which are used, how seldom they are read, and what happens while they can't be."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.callers import Caller
from app.domain.refusals import Code, Refusal
from app.web import jwks
from app.web.auth import Bearers
from app.web.jwks import PublishedKeys, jwks_url_fault
from app.web.keys import PUBLIC_ALGORITHMS
from app.web.tokens import Rules
from tests.web.issuers import Issuer, certified, issuing
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
    signed,
)

PRIVATE = {"d": "AAAA"}


class Gateway:
    """Keys of an issuer, asked by tokens at an instant that the test sets."""

    def __init__(self, issuer: Issuer) -> None:
        self.now = NOW
        self.keys = PublishedKeys(f"http://127.0.0.1:{issuer.port}/keys", PUBLIC_ALGORITHMS)
        self.bearers = Bearers(self.keys, Rules(ISSUER, AUDIENCE), lambda: self.now)

    async def admits(self, private: Any, algorithm: str, **header: Any) -> Caller:
        # Each token is a new one, so that none is remembered.
        token = signed(claims(self.now, jti=str(self.now)), private, algorithm, header)
        found = self.bearers.of_headers({b"authorization": f"Bearer {token}".encode()})
        return found if isinstance(found, Caller) else await found

    async def refuses(self, private: Any, algorithm: str, **header: Any) -> Code:
        with pytest.raises(Refusal) as refused:
            await self.admits(private, algorithm, **header)
        return refused.value.code


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing(jwk(RSA, "one"), jwk(EC, "two"), jwk(EDWARDS, "three")) as issuer:
        yield issuer


@pytest.fixture
def gateway(issuer: Issuer) -> Gateway:
    return Gateway(issuer)


async def test_each_token_is_checked_with_the_key_that_it_names(issuer: Issuer, gateway: Gateway) -> None:
    for private, algorithm, name in [(RSA, "RS256", "one"), (EC, "ES256", "two"), (EDWARDS, "EdDSA", "three")]:
        assert (await gateway.admits(private, algorithm, kid=name)).subject == "ada"
        # The only key for an algorithm needs no name.
        assert (await gateway.admits(private, algorithm)).subject == "ada"
        assert await gateway.refuses(OTHER_RSA, "RS256", kid=name) is Code.UNAUTHENTICATED
    assert issuer.asked == 1


async def test_a_token_without_a_name_is_refused_where_several_keys_could_be_meant(
    issuer: Issuer, gateway: Gateway
) -> None:
    issuer.publish(jwk(RSA, "one"), jwk(OTHER_RSA, "two"))
    assert await gateway.refuses(RSA, "RS256") is Code.UNAUTHENTICATED
    assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"
    assert await gateway.refuses(RSA, "RS256", kid="two") is Code.UNAUTHENTICATED


BROKEN: list[Any] = [
    None,
    17,
    [],
    {},
    {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
    {"kty": "RSA", "kid": "broken", "alg": ["RS256"]},
    {"kty": "EC", "kid": "broken", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "OKP", "kid": "broken", "crv": "Ed25519", "x": "AA"},
    {"kty": ["RSA"], "kid": "broken"},
    {"kty": "new", "kid": "broken"},
    {**jwk(OTHER_RSA), "kid": 17},
    {**jwk(OTHER_RSA), "kid": ["broken"]},
]


@pytest.mark.parametrize("member", BROKEN, ids=[json.dumps(member)[:40] for member in BROKEN])
async def test_one_broken_key_takes_no_other_with_it(issuer: Issuer, gateway: Gateway, member: Any) -> None:
    issuer.publish(member, jwk(RSA, "one"), member)
    assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"


NOT_FOR_TOKENS = {
    "enc": {**jwk(OTHER_RSA, "x"), "use": "enc"},
    "encrypt": {**jwk(OTHER_RSA, "x"), "key_ops": ["encrypt"]},
    "RSA-OAEP": {**jwk(OTHER_RSA, "x"), "alg": "RSA-OAEP"},
    "RS512": {**jwk(OTHER_RSA, "x"), "alg": "RS512"},
    "private": {**jwk(OTHER_RSA, "x"), **PRIVATE},
}


@pytest.mark.parametrize("member", NOT_FOR_TOKENS.values(), ids=NOT_FOR_TOKENS)
async def test_a_key_for_something_else_checks_no_token(issuer: Issuer, gateway: Gateway, member: Any) -> None:
    issuer.publish(member, jwk(RSA, "one"))
    assert await gateway.refuses(OTHER_RSA, "RS256", kid="x") is Code.UNAUTHENTICATED


async def test_weak_keys_and_published_secrets_are_good_for_nothing(issuer: Issuer, gateway: Gateway) -> None:
    issuer.publish(jwk(WEAK_RSA, "weak"), {"kty": "oct", "k": encoded(SECRET.encode()), "kid": "secret"})
    assert await gateway.refuses(WEAK_RSA, "RS256", kid="weak") is Code.UNAUTHENTICATED
    assert await gateway.refuses(SECRET, "HS256", kid="secret") is Code.UNAUTHENTICATED


async def test_a_token_of_a_kind_that_its_key_is_not_of_is_refused(gateway: Gateway) -> None:
    assert await gateway.refuses(SECRET, "HS256", kid="one") is Code.UNAUTHENTICATED
    assert await gateway.refuses(EC, "ES256", kid="one") is Code.UNAUTHENTICATED
    assert await gateway.refuses(RSA, "RS256", kid="two") is Code.UNAUTHENTICATED


# --- how seldom ---------------------------------------------------------------------------------------------------


async def test_a_thousand_unknown_names_make_one_reading_in_each_cool_down(issuer: Issuer, gateway: Gateway) -> None:
    await gateway.admits(RSA, "RS256", kid="one")
    names = ["../../dev/null", "' OR 1=1", "a" * 255, *map(str, range(997))]
    for number, name in enumerate(names):
        gateway.now = NOW + number / 200
        assert await gateway.refuses(EC, "ES256", kid=name) is Code.UNAUTHENTICATED
    assert issuer.asked == 1
    assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"
    gateway.now = NOW + jwks.COOL_DOWN_SECONDS
    assert await gateway.refuses(EC, "ES256", kid="another") is Code.UNAUTHENTICATED
    assert issuer.asked == 2


async def test_many_who_need_the_keys_at_once_make_one_reading(issuer: Issuer, gateway: Gateway) -> None:
    found = await asyncio.gather(*(gateway.admits(RSA, "RS256", kid="one", x=number) for number in range(50)))
    assert {caller.subject for caller in found} == {"ada"}
    assert issuer.asked == 1


async def test_who_goes_away_takes_no_keys_from_others(issuer: Issuer, gateway: Gateway) -> None:
    gone, other = (asyncio.ensure_future(gateway.admits(RSA, "RS256", kid="one", x=number)) for number in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    assert (await other).subject == "ada"
    assert gone.cancelled()
    assert issuer.asked == 1


async def test_keys_change_over(issuer: Issuer, gateway: Gateway) -> None:
    """The new key is known after the cool-down, the old one is not after the time that keys are kept."""
    await gateway.admits(RSA, "RS256", kid="one")
    issuer.publish(jwk(OTHER_RSA, "new"))
    gateway.now += jwks.COOL_DOWN_SECONDS - 1
    assert await gateway.refuses(OTHER_RSA, "RS256", kid="new") is Code.UNAUTHENTICATED
    assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"
    gateway.now += 1
    assert (await gateway.admits(OTHER_RSA, "RS256", kid="new")).subject == "ada"
    assert await gateway.refuses(RSA, "RS256", kid="one") is Code.UNAUTHENTICATED


async def test_a_key_that_is_withdrawn_is_refused_when_the_keys_are_due(issuer: Issuer, gateway: Gateway) -> None:
    await gateway.admits(RSA, "RS256", kid="one")
    issuer.publish()
    gateway.now = NOW + jwks.CACHE_SECONDS / 2 - 1
    assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"
    gateway.now = NOW + jwks.CACHE_SECONDS
    assert await gateway.refuses(RSA, "RS256", kid="one") is Code.UNAUTHENTICATED
    assert issuer.asked == 2


async def test_keys_are_renewed_before_anybody_waits_for_them(issuer: Issuer, gateway: Gateway) -> None:
    await gateway.admits(RSA, "RS256", kid="one")
    issuer.is_silent = True
    gateway.now = NOW + jwks.CACHE_SECONDS / 2
    async with asyncio.timeout(jwks.READ_SECONDS / 2):
        assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"
    reading = gateway.keys._reading
    assert reading is not None
    await reading
    assert issuer.asked == 2


# --- what can go wrong --------------------------------------------------------------------------------------------

MISFORTUNES: dict[str, tuple[bytes, str, list[str]]] = {
    "an error": (b"{}", "500 Internal Server Error", []),
    "nothing": (b"", "200 OK", []),
    "no content": (b"", "204 No Content", []),
    "a page": (b"<html>", "200 OK", ["content-type: text/html"]),
    "a list": (b"[]", "200 OK", []),
    "another object": (b'{"keys":{}}', "200 OK", []),
    "keys twice": (b'{"keys":[],"keys":[]}', "200 OK", []),
    "too much": (b" " * (jwks.SET_MAX + 1), "200 OK", []),
    "too much, announced": (b"{}", "200 OK", ["content-length: 100000000"]),
    "no HTTP": (b"", "?", []),
}


@pytest.mark.parametrize("name", MISFORTUNES)
async def test_what_can_t_be_read_leaves_the_known_keys_good_for_an_hour(
    issuer: Issuer, gateway: Gateway, name: str
) -> None:
    await gateway.admits(RSA, "RS256", kid="one")
    issuer.tell(*MISFORTUNES[name])
    for age in (jwks.CACHE_SECONDS, jwks.STALE_SECONDS - 1):
        gateway.now = NOW + age
        assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"
        assert await gateway.refuses(OTHER_RSA, "RS256", kid="unknown") is Code.UNAUTHENTICATED
    assert issuer.asked == 3
    gateway.now = NOW + jwks.STALE_SECONDS
    # The cool-down is over only a second later.
    assert await gateway.refuses(RSA, "RS256", kid="one") is Code.UNAVAILABLE
    issuer.publish(jwk(RSA, "one"))
    gateway.now += jwks.COOL_DOWN_SECONDS
    assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"


async def test_an_issuer_that_never_answered_is_unavailable_and_asked_again_after_the_cool_down(
    issuer: Issuer, gateway: Gateway
) -> None:
    issuer.tell(b"", "503 Service Unavailable")
    assert [await gateway.refuses(RSA, "RS256", kid="one") for _ in range(3)] == [Code.UNAVAILABLE] * 3
    assert issuer.asked == 1
    issuer.publish(jwk(RSA, "one"))
    gateway.now += jwks.COOL_DOWN_SECONDS
    assert (await gateway.admits(RSA, "RS256", kid="one")).subject == "ada"


async def test_a_redirect_is_not_followed(issuer: Issuer, gateway: Gateway) -> None:
    async with issuing(jwk(RSA, "one")) as other:
        for place in (f"http://127.0.0.1:{other.port}/keys", "http://169.254.169.254/", "/keys", "//127.0.0.1"):
            issuer.tell(b"", "302 Found", [f"location: {place}"])
            assert await gateway.refuses(RSA, "RS256", kid="one") is Code.UNAVAILABLE
            gateway.now += jwks.COOL_DOWN_SECONDS
        assert other.asked == 0
    assert issuer.asked == 4


async def test_an_issuer_that_does_not_answer_is_waited_for_two_seconds_at_most(
    issuer: Issuer, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jwks.READ_SECONDS == 2
    monkeypatch.setattr(jwks, "READ_SECONDS", 0.05)
    issuer.is_silent = True
    assert await gateway.refuses(RSA, "RS256", kid="one") is Code.UNAVAILABLE


async def test_an_issuer_that_is_not_there_is_unavailable(issuer: Issuer, gateway: Gateway) -> None:
    gateway.keys._url = gateway.keys._url.replace(str(issuer.port), "1")
    assert await gateway.refuses(RSA, "RS256", kid="one") is Code.UNAVAILABLE


# --- addresses ----------------------------------------------------------------------------------------------------


async def test_an_issuer_is_believed_where_its_certificate_is(tmp_path: Path) -> None:
    tls, trusted = certified(tmp_path)
    async with issuing(jwk(RSA, "one"), tls=tls) as issuer:
        url = f"https://127.0.0.1:{issuer.port}/keys"
        trusting = PublishedKeys(url, PUBLIC_ALGORITHMS, tls=ssl.create_default_context(cafile=str(trusted)))
        assert await trusting.find("RS256", "one", NOW) is not None
        with pytest.raises(Refusal) as refused:
            await PublishedKeys(url, PUBLIC_ALGORITHMS).find("RS256", "one", NOW)
    assert refused.value.code is Code.UNAVAILABLE


@pytest.mark.parametrize(
    ("url", "allow_http", "is_taken"),
    [
        ("https://issuer.example/keys", False, True),
        ("https://10.0.0.1:8443/keys", False, True),
        ("http://issuer.example/keys", False, False),
        ("http://issuer.example/keys", True, False),
        ("http://127.0.0.1:8080/keys", False, False),
        ("http://127.0.0.1:8080/keys", True, True),
        ("http://localhost/keys", True, True),
        ("http://[::1]/keys", True, True),
        ("http://127.0.0.1.evil.example/keys", True, False),
        ("file:" + "//etc/passwd", True, False),
        ("ftp://issuer.example/keys", True, False),
        ("https://user:password@issuer.example/keys", False, False),
        ("https://issuer.example/keys#a", False, False),
        ("https://", False, False),
        ("", False, False),
    ],
)
def test_keys_are_read_over_https_alone(url: str, allow_http: bool, is_taken: bool) -> None:
    assert (jwks_url_fault(url, allow_http=allow_http) is None) == is_taken
