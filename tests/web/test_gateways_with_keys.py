"""Gateways with a key and without, as processes: who is let in, where they listen, and when a token's time is over."""

import asyncio
import http.client
import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import websockets
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

from app.domain.callers import Scope
from tests import servers
from tests.servers import GatewayProcess
from tests.web.issuers import certified, issuing
from tests.web.servers import Reply, Served
from tests.web.tokens import AUDIENCE, EC, ISSUER, OTHER_RSA, RSA, SECRET, claims, jwk, pem, signed

SECONDS = 30
COOL_DOWN_SECONDS = 1.0
ANSWERS_SECONDS_MAX = 2
WITH_SECRET = {
    "BALANCE_GATEWAY_JWT_KEY": SECRET,
    "BALANCE_GATEWAY_JWT_ISSUER": ISSUER,
    "BALANCE_GATEWAY_JWT_AUDIENCE": AUDIENCE,
    "BALANCE_GATEWAY_JWT_LEEWAY_SECONDS": "0",
}
VIEWER = "{ viewer { subject scopes businessUnits allBusinessUnits } }"
EVENTS = "subscription { events { id } }"


def token(**changed: Any) -> str:
    return signed(claims(time.time(), **changed))


def ask(gateway: GatewayProcess, query: str, bearer: str | None = None, *more: tuple[str, str]) -> Reply:
    headers = [] if bearer is None else [("Authorization", f"Bearer {bearer}")]
    return Served(gateway.port).post({"query": query}, *headers, *more)


def data(gateway: GatewayProcess, query: str, bearer: str) -> Any:
    reply = ask(gateway, query, bearer)
    assert reply.status == 200, reply
    assert "errors" not in reply.json, reply
    return reply.json["data"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("secret")
    with GatewayProcess(f"sqlite+aiosqlite:///{folder}/gateway.db", folder, WITH_SECRET) as process:
        yield process


def test_a_caller_is_told_who_it_is(gateway: GatewayProcess) -> None:
    assert data(gateway, VIEWER, token()) == {
        "viewer": {
            "subject": "ada",
            "scopes": ["accounts:read", "balances:read"],
            "businessUnits": ["default"],
            "allBusinessUnits": False,
        }
    }


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json", "text/event-stream"])
def test_nobody_is_let_in_without_a_token(gateway: GatewayProcess, accept: str) -> None:
    for bearer in (None, "nonsense", token(exp=int(time.time()) - 1)):
        headers = [("Content-Type", "application/json"), ("Accept", accept)]
        headers += [] if bearer is None else [("Authorization", f"Bearer {bearer}")]
        reply = Served(gateway.port).ask("POST", "/graphql", headers, b'{"query":"{ __typename }"}')
        assert (reply.status, reply.code, reply.headers["www-authenticate"]) == (401, "UNAUTHENTICATED", "Bearer")


def test_two_authorization_headers_are_none(gateway: GatewayProcess) -> None:
    good = token()
    reply = ask(gateway, VIEWER, good, ("Authorization", f"Bearer {good}"))
    assert (reply.status, reply.code) == (401, "UNAUTHENTICATED")


def test_a_token_in_the_address_is_passed_over(gateway: GatewayProcess) -> None:
    good = token()
    for path in (f"/graphql?query={{__typename}}&access_token={good}", f"/graphql?token={good}"):
        reply = Served(gateway.port).ask("GET", path, [("Accept", "application/json")])
        assert reply.status == 401
    assert good not in gateway.log()


def test_the_schema_is_told_to_callers_and_health_to_all(gateway: GatewayProcess) -> None:
    served, bearer = Served(gateway.port), ("Authorization", f"Bearer {token()}")
    refused = served.ask("GET", "/graphql/schema.graphql")
    assert (refused.status, refused.code, refused.headers["www-authenticate"]) == (401, "UNAUTHENTICATED", "Bearer")
    told = served.ask("GET", "/graphql/schema.graphql", [bearer])
    assert (told.status, told.body[:5].isascii(), b"type Query" in told.body) == (200, True, True)
    assert [served.ask("GET", path).status for path in ("/health", "/ready")] == [200, 200]


def test_with_a_key_any_host_is_answered_for(gateway: GatewayProcess) -> None:
    assert ask(gateway, VIEWER, token(), ("Host", "gateway.example")).status == 200


def test_what_a_caller_may_not_do_is_refused_and_the_rest_is_answered(gateway: GatewayProcess) -> None:
    reply = ask(gateway, "{ viewer { subject } events { totalCount } }", token())
    assert reply.json["data"] == {"viewer": {"subject": "ada"}, "events": None}
    assert [error["extensions"]["code"] for error in reply.json["errors"]] == ["FORBIDDEN"]


def test_an_entry_keeps_who_recorded_it(gateway: GatewayProcess) -> None:
    every = token(sub="bob", scope=" ".join(Scope), business_units=["*"])
    for mutation in (
        'createContractor(input: {name: "C", isVendor: true}) { contractor { id } }',
        'createAccount(input: {name: "A", contractorId: "contractor_1"}) { account { id } }',
        """createBankAccountBalance(bankAccountId: "account_1", input:
          {amount: 5, timestamp: "2026-01-01T00:00:00Z", currency: {code: "EUR"}}) { balance { id } }""",
    ):
        data(gateway, f"mutation {{ {mutation} }}", every)
    told = data(gateway, "{ balances { nodes { recordedBy } } }", token())
    assert told == {"balances": {"nodes": [{"recordedBy": "bob"}]}}


async def test_an_expired_token_is_refused_on_a_connection_that_is_kept(gateway: GatewayProcess) -> None:
    expiry = int(time.time()) + 2
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token(exp=expiry)}"}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=SECONDS)
    seen: list[int] = []
    while not seen or (seen[-1] == 200 and time.time() < expiry + SECONDS):
        connection.request("POST", "/graphql", b'{"query":"{ __typename }"}', headers)
        with connection.getresponse() as response:
            response.read()
            seen.append(response.status)
            told = time.time()
    connection.close()
    assert (seen[0], seen[-1]) == (200, 401)
    assert told >= expiry


# --- sockets and streams ------------------------------------------------------------------------------------------


def connecting(gateway: GatewayProcess, **more: Any) -> Any:
    url = f"ws://127.0.0.1:{gateway.port}/graphql"
    return websockets.connect(url, **{"subprotocols": [Subprotocol("graphql-transport-ws")], **more})


async def said(socket: ClientConnection) -> Any:
    async with asyncio.timeout(SECONDS):
        return json.loads(await socket.recv())


async def begin(socket: ClientConnection, payload: Any) -> None:
    await socket.send(json.dumps({"type": "connection_init", "payload": payload}))


async def closed(socket: ClientConnection) -> tuple[int, str]:
    """The code and the reason that the socket is closed with; waits for it."""
    with pytest.raises(websockets.ConnectionClosed) as ended:
        while True:
            await said(socket)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


async def test_a_socket_is_opened_with_a_token_and_asks_for_its_caller(gateway: GatewayProcess) -> None:
    for payload, headers in (
        ({"authorization": f"Bearer {token()}"}, {}),
        ({"Authorization": f"Bearer {token()}"}, {}),
        (None, {"Authorization": f"Bearer {token()}"}),
    ):
        async with connecting(gateway, additional_headers=headers) as socket:
            await begin(socket, payload)
            assert await said(socket) == {"type": "connection_ack"}
            query = {"query": "{ viewer { subject } webhooks { totalCount } }"}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": query}))
            told = (await said(socket))["payload"]
            assert told["data"] == {"viewer": {"subject": "ada"}, "webhooks": None}
            assert told["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_socket_without_a_good_token_is_closed_before_it_is_acknowledged(gateway: GatewayProcess) -> None:
    for payload in (None, {}, {"authorization": "Bearer nonsense"}, {"authorization": 1}):
        async with connecting(gateway) as socket:
            await begin(socket, payload)
            assert (await closed(socket))[0] == 4403


async def test_a_socket_is_closed_when_its_token_expires(gateway: GatewayProcess) -> None:
    expiry = int(time.time()) + 2
    async with connecting(gateway) as socket:
        good = token(exp=expiry, scope="events:read")
        await begin(socket, {"authorization": f"Bearer {good}"})
        assert await said(socket) == {"type": "connection_ack"}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": EVENTS}}))
        assert await closed(socket) == (4403, "The token has expired.")
    assert time.time() >= expiry


def test_a_stream_ends_when_its_token_expires(gateway: GatewayProcess) -> None:
    expiry = int(time.time()) + 2
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Authorization": f"Bearer {token(exp=expiry, scope='events:read')}",
    }
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=SECONDS)
    connection.request("POST", "/graphql", json.dumps({"query": EVENTS}), headers)
    with connection.getresponse() as response:
        assert response.status == 200
        lines = response.read().decode().splitlines()
    connection.close()
    assert time.time() >= expiry
    told = json.loads(lines[1].removeprefix("data: "))
    assert told == {"errors": [{"message": "The token has expired.", "extensions": {"code": "UNAUTHENTICATED"}}]}
    assert (lines[0], lines[3]) == ("event: next", "event: complete")


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_public_key_lets_in_who_its_owner_signs_for(tmp_path: Path) -> None:
    settings = {"BALANCE_GATEWAY_JWT_KEY": pem(EC), "BALANCE_GATEWAY_HOSTS": '["Gateway.example", "127.0.0.1"]'}
    with GatewayProcess(f"sqlite+aiosqlite:///{tmp_path}/gateway.db", tmp_path, settings) as gateway:
        bearer = signed(claims(time.time(), aud=None), EC, "ES256")
        assert ask(gateway, VIEWER, bearer).status == 200
        assert ask(gateway, VIEWER, token(aud=None)).status == 401
        # Where hosts are set, no other is answered for.
        assert ask(gateway, VIEWER, bearer, ("Host", "gateway.example:8443")).status == 200
        assert ask(gateway, VIEWER, bearer, ("Host", "other.example")).status == 400


async def test_published_keys_change_over_under_a_running_gateway(tmp_path: Path) -> None:
    tls, trusted = certified(tmp_path)
    async with issuing(jwk(RSA, "one"), tls=tls) as issuer:
        settings = {
            "BALANCE_GATEWAY_JWT_JWKS_URL": f"https://127.0.0.1:{issuer.port}/keys",
            "BALANCE_GATEWAY_JWT_JWKS_COOL_DOWN_SECONDS": "0.1",
            "BALANCE_GATEWAY_JWT_AUDIENCE": AUDIENCE,
            "SSL_CERT_FILE": str(trusted),
        }
        gateway = GatewayProcess(f"sqlite+aiosqlite:///{tmp_path}/gateway.db", tmp_path, settings)
        await asyncio.to_thread(gateway.__enter__)
        try:
            old = signed(claims(time.time()), RSA, "RS256", {"kid": "one"})
            new = signed(claims(time.time()), OTHER_RSA, "RS256", {"kid": "two"})
            assert (await asyncio.to_thread(ask, gateway, VIEWER, old)).status == 200
            assert (await asyncio.to_thread(ask, gateway, VIEWER, new)).status == 401
            issuer.publish(jwk(OTHER_RSA, "two"))
            until = time.monotonic() + SECONDS
            while (reply := await asyncio.to_thread(ask, gateway, VIEWER, new)).status != 200:
                assert time.monotonic() < until
            assert reply.json["data"]["viewer"]["subject"] == "ada"
            again = signed(claims(time.time(), jti="again"), RSA, "RS256", {"kid": "one"})
            assert (await asyncio.to_thread(ask, gateway, VIEWER, again)).status == 401
            assert old not in gateway.log()
        finally:
            await asyncio.to_thread(gateway.stop)


async def test_an_issuer_that_is_gone_leaves_its_keys_good_and_new_names_refused_at_once(tmp_path: Path) -> None:
    """FS28: also past the time after which they are read again; nothing piles up meanwhile."""
    async with issuing(jwk(RSA, "one")) as issuer:
        settings = {
            "BALANCE_GATEWAY_JWT_JWKS_URL": f"http://127.0.0.1:{issuer.port}/keys",
            "BALANCE_GATEWAY_JWT_JWKS_ALLOW_HTTP": "true",
            "BALANCE_GATEWAY_JWT_JWKS_CACHE_SECONDS": "1",
            "BALANCE_GATEWAY_JWT_JWKS_COOL_DOWN_SECONDS": f"{COOL_DOWN_SECONDS}",
            "BALANCE_GATEWAY_JWT_AUDIENCE": AUDIENCE,
        }
        with GatewayProcess(f"sqlite+aiosqlite:///{tmp_path}/gateway.db", tmp_path, settings) as gateway:
            process, numbers = psutil.Process(gateway.pid), itertools.count()

            async def statuses() -> tuple[int, int]:
                """Of a known key, and of one that nobody knows; each by a token that was never there, and soon."""
                begun = time.monotonic()
                known, unknown = (
                    signed(claims(time.time(), jti=str(next(numbers))), key, "RS256", {"kid": name})
                    for key, name in ((RSA, "one"), (OTHER_RSA, f"new-{next(numbers)}"))
                )
                told = [(await asyncio.to_thread(ask, gateway, VIEWER, each)).status for each in (known, unknown)]
                assert time.monotonic() - begun < ANSWERS_SECONDS_MAX
                return told[0], told[1]

            def tries() -> int:
                return gateway.log().count('"jwks_failed"')

            assert await statuses() == (200, 401)
            threads, files = process.num_threads(), process.num_fds()
            issuer.go_away()
            until = time.monotonic() + SECONDS
            while tries() < 2:
                assert time.monotonic() < until
                assert await statuses() == (200, 401)
            begun = time.monotonic()
            assert [await statuses() for _ in range(20)] == [(200, 401)] * 20
            assert tries() - 2 <= (time.monotonic() - begun) / COOL_DOWN_SECONDS + 1
            assert issuer.asked == 1
            while process.num_fds() > files:  # The last connections are closed by and by.
                assert time.monotonic() < until
            assert process.num_threads() <= threads


WRONG_SETTINGS: list[tuple[dict[str, str], str]] = [
    ({"JWT_KEY": "12345"}, "at least 32 bytes"),
    ({"JWT_KEY": ""}, "at least 32 bytes"),
    ({"JWT_KEY": json.dumps(jwk(RSA))}, "another form"),
    ({"JWT_KEY": "-----BEGIN PRIVATE KEY-----"}, "PEM public key"),
    ({"JWT_KEY": SECRET, "JWT_ALGORITHMS": '["RS256"]'}, "HS256, HS384, HS512"),
    ({"JWT_KEY": SECRET, "JWT_ALGORITHMS": '["none"]'}, "HS256, HS384, HS512"),
    ({"JWT_KEY": SECRET, "JWT_ALGORITHMS": "[]"}, "HS256, HS384, HS512"),
    ({"JWT_KEY": "x" * 32, "JWT_ALGORITHMS": '["HS512"]'}, "HS256"),
    ({"JWT_KEY": pem(RSA), "JWT_ALGORITHMS": '["HS256"]'}, "RS256"),
    ({"JWT_KEY": SECRET, "JWT_JWKS_URL": "https://issuer.example/keys"}, "one of the two"),
    ({"JWT_JWKS_URL": "http://issuer.example/keys"}, "https://"),
    ({"JWT_JWKS_URL": "http://127.0.0.1/keys"}, "https://"),
    ({"JWT_JWKS_URL": ""}, "https://"),
    ({"JWT_JWKS_URL": "https://issuer.example/keys", "JWT_ALGORITHMS": '["HS256"]'}, "RS256"),
    ({"JWT_KEY": SECRET, "JWT_AUDIENCE": ""}, "JWT_AUDIENCE"),
    ({"JWT_KEY": SECRET, "JWT_LEEWAY_SECONDS": "61"}, "JWT_LEEWAY_SECONDS"),
    ({"JWT_KEY": SECRET, "HOSTS": '["ü.example"]'}, "HOSTS"),
    ({"HOST": "0.0.0.0"}, "loopback"),
    ({"HOST": "::"}, "loopback"),
]


@pytest.mark.parametrize(("settings", "told"), WRONG_SETTINGS, ids=[str(row[0])[:50] for row in WRONG_SETTINGS])
def test_what_would_let_in_too_many_stops_the_start(tmp_path: Path, settings: dict[str, str], told: str) -> None:
    database = tmp_path / "gateway.db"
    whole = {f"BALANCE_GATEWAY_{name}": value for name, value in settings.items()}
    done = subprocess.run(
        [servers.PROGRAM, "serve", "--port", "0"],
        env=servers.environment(f"sqlite+aiosqlite:///{database}", whole),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert settings.get("JWT_KEY") in {None, ""} or settings["JWT_KEY"] not in done.stderr
    assert not database.exists()


def test_with_a_key_it_listens_where_it_is_told_to(tmp_path: Path) -> None:
    settings = {**WITH_SECRET, "BALANCE_GATEWAY_HOST": "0.0.0.0"}
    with GatewayProcess(f"sqlite+aiosqlite:///{tmp_path}/gateway.db", tmp_path, settings) as gateway:
        assert ask(gateway, VIEWER, token()).status == 200
        assert ask(gateway, VIEWER).status == 401
    assert "no_key" not in gateway.log()


def test_without_a_key_it_says_so_in_one_line_and_answers_this_machine_alone(tmp_path: Path) -> None:
    with GatewayProcess(f"sqlite+aiosqlite:///{tmp_path}/gateway.db", tmp_path) as gateway:
        assert data(gateway, VIEWER, "whatever")["viewer"] == {
            "subject": "local",
            "scopes": sorted(Scope),
            "businessUnits": [],
            "allBusinessUnits": True,
        }
        assert ask(gateway, VIEWER, None, ("Host", "gateway.example")).status == 400
    warnings = [json.loads(line) for line in gateway.log().splitlines() if '"warning"' in line]
    assert [(line["event"], line["level"]) for line in warnings] == [("no_key", "warning")]


# --- the command --------------------------------------------------------------------------------------------------


def mint(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = servers.environment("sqlite+aiosqlite:///nowhere.db", settings)
    command = [str(servers.PROGRAM), "token", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_minted_token_is_let_in(gateway: GatewayProcess) -> None:
    every = mint(**WITH_SECRET)
    assert (every.returncode, every.stderr, every.stdout.count("\n")) == (0, "", 1)
    viewer = data(gateway, VIEWER, every.stdout.strip())["viewer"]
    assert (viewer["subject"], viewer["scopes"], viewer["allBusinessUnits"]) == ("developer", sorted(Scope), True)
    options = ("--subject", "eve", "--scope", "accounts:read", "--scope", "events:read", "--minutes", "1")
    some = mint(*options, "--business-unit", "a", "--business-unit", "b", **WITH_SECRET)
    assert data(gateway, VIEWER, some.stdout.strip())["viewer"] == {
        "subject": "eve",
        "scopes": ["accounts:read", "events:read"],
        "businessUnits": ["a", "b"],
        "allBusinessUnits": False,
    }


def test_a_token_that_the_gateway_would_refuse_is_not_minted() -> None:
    for arguments, settings in (
        ((), {}),
        ((), {"BALANCE_GATEWAY_JWT_KEY": pem(RSA)}),
        (("--subject", ""), WITH_SECRET),
        (("--minutes", "1441"), WITH_SECRET),
        (("--business-unit", ""), WITH_SECRET),
        (("--scope", "everything"), WITH_SECRET),
    ):
        done = mint(*arguments, **settings)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "Traceback" not in done.stderr


def test_new_tokens_and_forged_addresses_give_no_caller_more(tmp_path: Path) -> None:
    """M03: who asks is counted by whose token it is, whatever token that is and wherever it says to come from."""
    settings = {**WITH_SECRET, "BALANCE_GATEWAY_REQUESTS_PER_MINUTE": "5"}
    with GatewayProcess(f"sqlite+aiosqlite:///{tmp_path}/gateway.db", tmp_path, settings) as limited:

        def statuses(subject: str, count: int, forwarded: str) -> list[int]:
            return [
                ask(
                    limited,
                    "{ __typename }",
                    token(sub=subject, exp=int(time.time()) + 60 + number, jti=f"{subject}-{number}"),
                    ("X-Forwarded-For", forwarded.format(number)),
                    ("Forwarded", f"for={forwarded.format(number)}"),
                    ("X-Real-IP", forwarded.format(number)),
                ).status
                for number in range(count)
            ]

        # At most two minutes are touched, each with five.
        many = statuses("ada", 40, "2001:db8::{}")
        assert set(many) == {200, 429}
        assert many.count(200) in {5, 10}
        # Another caller is not counted with the first one, though both say to come from one address.
        assert statuses("ben", 5, "2001:db8::1") == [200] * 5
