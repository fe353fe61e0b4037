"""Posts one event to one address (Standard Webhooks), never to where a stranger must not reach.

An address is anybody's text. So what counts is not its name but where the connection goes: the name is resolved once,
every address that it has is judged, and the connection is made to a judged one. A redirect is an answer, not a way.
"""

import asyncio
import base64
import ipaddress
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore2
from standardwebhooks import Webhook

SECRET_BYTES = 32
ANSWER_MAX = 65_536
"""Bytes of an answer that are read; what they say is not looked at."""
CONNECTIONS_MAX = 1_000
"""Connections at once: more than a crowd of slow receivers takes, so that none of the others waits for them."""
KEEP_ALIVE_MAX, KEEP_ALIVE_SECONDS = 100, 30.0
ERROR_MAX = 200
PORT_MAX = 65_535

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_CARRIERS = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")))
"""IPv6 networks whose addresses lead to IPv4 ones: translated, tunnelled, or in the old way of writing them."""

OK, GONE = 200, 410


class Outcome(NamedTuple):
    """What came of an attempt."""

    delivered: bool
    gone: bool
    """The receiver says that it wants nothing any more (410)."""
    error: str | None
    """Short, for people; it holds nothing of the answer's body."""


def new_secret() -> str:
    """A key that signs deliveries, as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def url_fault(url: str, *, allow_private: bool) -> str | None:
    """Why an address can't be a webhook's; None where it can. Where its name leads is judged at each connection."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no valid URL"
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "is no valid URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "must begin with https:// or http:// and a host"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user or a password"
    if parts.fragment or url.endswith("#"):
        return "must not hold a fragment"
    if port == 0:
        return "has no valid port"
    if allow_private:
        return None
    literal = _literal(parts.hostname)
    is_here = parts.hostname.rstrip(".").lower().endswith("localhost")
    return "must not be a private address" if is_here or (literal is not None and is_private(literal)) else None


def is_private(address: _Address) -> bool:
    """Whether an address is one that only somebody inside may reach, or no single machine's; in every disguise."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped
        if inside is not None:
            return is_private(inside)
        if any(address in network for network in _CARRIERS) or address.scope_id is not None:
            return True
    return not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified


def _literal(host: str) -> _Address | None:
    """The address that a host is, however it is written (decimal, octal, hexadecimal); None for a name."""
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    with suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


async def _resolved(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


class _RefusedError(Exception):
    """A connection that must not be made."""


class _Connections(httpcore2.AsyncNetworkBackend):
    """Connects to judged addresses alone."""

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's name.
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = list(await self._resolve(host, port))
        if not addresses:
            raise _RefusedError("the name has no address")
        if not self._allow_private:
            for address in addresses:
                if is_private(ipaddress.ip_address(address)):
                    raise _RefusedError(f"the address {address} is private")
        return await self._plain.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, *_arguments: Any, **_named: Any) -> httpcore2.AsyncNetworkStream:
        raise _RefusedError("no socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class WebhookSender:
    """Posts events. `resolve` finds the addresses of a name; who tests gives one of its own."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        seconds: float = 10.0,
        connections: int = CONNECTIONS_MAX,
        resolve: Resolve = _resolved,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._seconds = seconds
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=KEEP_ALIVE_MAX,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=_Connections(resolve, allow_private=allow_private),
        )

    async def send(self, url: str, secret: str, *, event_id: str, body: bytes, now: datetime) -> Outcome:
        """Post an event, signed; never raises for what the receiver or the network does."""
        signature = Webhook(secret).sign(event_id, now, body.decode())
        headers = {
            "content-type": "application/cloudevents+json; charset=utf-8",
            "user-agent": "balance-gateway",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                status = await self._posted(url, headers, body)
        except TimeoutError:
            return _failed(f"timed out after {self._seconds:g} s")
        except _RefusedError as error:
            return _failed(str(error))
        except (OSError, httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError) as error:
            return _failed(_plainly(error))
        except (httpcore2.UnsupportedProtocol, ValueError, UnicodeError):
            return _failed("the address is no valid URL")
        if OK <= status < OK + 100:
            return Outcome(delivered=True, gone=False, error=None)
        return Outcome(delivered=False, gone=status == GONE, error=f"HTTP {status}")

    async def close(self) -> None:
        await self._pool.aclose()

    async def _posted(self, url: str, headers: dict[str, str], body: bytes) -> int:
        parts = urlsplit(url)
        headers = {"host": parts.netloc, **headers}
        async with self._pool.stream("POST", url, headers=list(headers.items()), content=body) as response:
            read = 0
            async for part in response.aiter_stream():
                read += len(part)
                if read > ANSWER_MAX:
                    break
            return int(response.status)


def _failed(error: str) -> Outcome:
    return Outcome(delivered=False, gone=False, error=error[:ERROR_MAX])


def _plainly(error: BaseException) -> str:
    """A network's failure in a few words."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for each in causes:
        match each:
            case ssl.SSLCertVerificationError():
                return "the certificate is not valid"
            case ssl.SSLError():
                return "TLS failed"
            case socket.gaierror():
                return "the name has no address"
            case ConnectionRefusedError():
                return "connection refused"
    return "the connection failed"
