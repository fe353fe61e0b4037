"""Posting one event: signed, bounded, and never to where it must not go."""

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
import trustme
from standardwebhooks import Webhook

from app.deliveries.webhooks import Outcome, WebhookSender, is_private, new_secret, url_fault
from tests.deliveries.receiving import OK, receiving

BODY = b'{"specversion":"1.0"}'


async def post(url: str, secret: str | None = None, **options: object) -> Outcome:
    # Options are of several types.
    sender = WebhookSender(**{"allow_private": True, "seconds": 2.0, **options})  # type: ignore[arg-type]
    try:
        return await sender.send(url, secret or new_secret(), event_id="event_1", body=BODY, now=datetime.now(UTC))
    finally:
        await sender.close()


async def test_a_delivery_is_signed_so_that_a_receiver_can_verify_it() -> None:
    secret = new_secret()
    async with receiving(OK) as receiver:
        outcome = await post(f"http://127.0.0.1:{receiver.port}/hook?a=b", secret)
    assert outcome == Outcome(delivered=True, gone=False, error=None)
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert lines[0] == "POST /hook?a=b HTTP/1.1"
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-id"] == "event_1"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert Webhook(secret).verify(body.decode(), headers) == {"specversion": "1.0"}
    assert body == BODY


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 500 No\r\ncontent-length: 6\r\n\r\nsecret", Outcome(delivered=False, gone=False, error="HTTP 500")),
        (b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", Outcome(delivered=False, gone=True, error="HTTP 410")),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Outcome(delivered=True, gone=False, error=None)),
        (b"nonsense\r\n\r\n", Outcome(delivered=False, gone=False, error="the connection failed")),
        (b"", Outcome(delivered=False, gone=False, error="the connection failed")),
    ],
)
async def test_the_status_alone_says_what_came_of_it(answer: bytes, outcome: Outcome) -> None:
    async with receiving(answer) as receiver:
        assert await post(f"http://127.0.0.1:{receiver.port}/") == outcome


async def test_a_redirect_is_a_failure_and_nobody_follows_it() -> None:
    async with receiving(OK) as inner:
        location = f"http://127.0.0.1:{inner.port}/".encode()
        answer = b"HTTP/1.1 307 Go\r\nlocation: " + location + b"\r\ncontent-length: 0\r\n\r\n"
        async with receiving(answer) as outer:
            outcome = await post(f"http://127.0.0.1:{outer.port}/")
    assert outcome.error == "HTTP 307"
    assert inner.requests == []


async def test_a_receiver_that_does_not_answer_is_given_up() -> None:
    ended = asyncio.Event()

    async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
        await ended.wait()

    async with receiving(silent) as receiver:
        outcome = await post(f"http://127.0.0.1:{receiver.port}/", seconds=0.2)
        ended.set()
    assert outcome.error == "timed out after 0.2 s"


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    async def endless(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with receiving(endless) as receiver:
        assert (await post(f"http://127.0.0.1:{receiver.port}/")).delivered


async def test_a_refused_connection_and_an_unknown_name_are_told_plainly() -> None:
    async with receiving(OK) as receiver:
        port = receiver.port
    assert (await post(f"http://127.0.0.1:{port}/")).error == "connection refused"

    async def nowhere(_host: str, _port: int) -> Sequence[str]:
        return []

    assert (await post("http://nowhere.example/", resolve=nowhere)).error == "the name has no address"


async def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    """An authority that the sender knows vouches for one name; for another one it does not, nor does a stranger."""
    authority, here = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("receiver.example").configure_cert(here)
    known = ssl.create_default_context()
    authority.configure_trust(known)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with receiving(OK, tls=here) as receiver:
        right = f"https://receiver.example:{receiver.port}/"
        assert (await post(right, resolve=resolve, tls=known)).delivered
        assert (await post(right, resolve=resolve)).error == "the certificate is not valid"
        wrong = f"https://another.example:{receiver.port}/"
        assert (await post(wrong, resolve=resolve, tls=known)).error == "the certificate is not valid"
    assert len(receiver.requests) == 1


async def test_a_receiver_that_speaks_no_tls_fails() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        outcome = await post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert outcome.error in {"TLS failed", "the connection failed"}


PRIVATE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[::127.0.0.1]",
    "localhost",
    "LOCALHOST.",
    "inner.localhost",
]


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_is_refused_in_every_disguise(host: str) -> None:
    assert url_fault(f"http://{host}/", allow_private=False) == "must not be a private address"
    assert url_fault(f"http://{host}/", allow_private=True) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "ftp://example.com/",
        "https://",
        "https://user:password@example.com/",
        "https://example.com/#here",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com\\@127.0.0.1/",
        "https://[::1/",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_address_of_a_receiver_is_refused(url: str) -> None:
    assert url_fault(url, allow_private=True) is not None


@pytest.mark.parametrize("url", ["https://example.com/hook", "http://1.1.1.1:8080/a?b=c", "https://[2606:4700::1111]/"])
def test_a_public_address_is_fine(url: str) -> None:
    assert url_fault(url, allow_private=False) is None


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%eth0"]])
async def test_a_name_that_leads_inside_is_refused_at_the_connection(answers: list[str]) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return answers

    async with receiving(OK) as receiver:
        outcome = await post(f"http://receiver.example:{receiver.port}/", allow_private=False, resolve=resolve)
    assert outcome.error is not None
    assert outcome.error.endswith("is private")
    assert receiver.requests == []


async def test_a_name_that_changes_its_answer_is_judged_at_each_connection() -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    async with receiving(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n") as receiver:
        url = f"http://receiver.example:{receiver.port}/"
        sender = WebhookSender(allow_private=True, resolve=resolve)
        secret, now = new_secret(), datetime.now(UTC)
        first = await sender.send(url, secret, event_id="event_1", body=BODY, now=now)
        await sender.close()
        second = await post(url, secret, allow_private=False, resolve=resolve)
    assert first.delivered
    assert second.error == "the address 10.0.0.1 is private"
    assert asked == ["receiver.example"] * 2
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_addresses_of_the_world_are_not_private(text: str) -> None:
    assert not is_private(ipaddress.ip_address(text))
