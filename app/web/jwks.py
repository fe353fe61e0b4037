"""Keys that an issuer publishes (a JWK set), read over the network as seldom as it may be."""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpcore2
import structlog

from app.deliveries.webhooks import url_fault
from app.domain.refusals import Code, Refusal
from app.web.bodies import JsonReader
from app.web.keys import Key, published

CACHE_SECONDS = 300.0
"""How long keys are used before they are read again: a key that is withdrawn is refused after that."""
COOL_DOWN_SECONDS = 10.0
"""Between two readings, whatever keys tokens name: a new key is known after that."""
STALE_SECONDS = 3_600.0
"""How long keys are used where they can't be read again."""
READ_SECONDS = 2.0
SET_MAX = 1_000_000
"""Bytes of a set."""

_HERE = frozenset({"127.0.0.1", "localhost", "::1"})
_OK = 200

_log = structlog.get_logger("balance_gateway")


def jwks_url_fault(url: str, *, allow_http: bool) -> str | None:
    """Why keys can't be read from an address; None where they can. Plain http may only be to this machine."""
    fault = url_fault(url, allow_private=True)
    if fault is not None:
        return fault
    parts = urlsplit(url)
    if parts.scheme == "https" or (allow_http and parts.hostname in _HERE):
        return None
    return "must begin with https://"


class PublishedKeys:
    """The keys behind an address. Nothing that a token says makes them be read more often than the cool-down allows.

    They are read when they are first asked for, again after `cache_seconds`, and where a token names an unknown one. A
    reading takes 2 s at most and follows no redirect. Where it fails the keys that are known stay good for an hour.

    algorithms: those that are allowed.
    tls: how to trust the address; None: as this machine does.
    """

    def __init__(
        self,
        url: str,
        algorithms: frozenset[str],
        *,
        cache_seconds: float = CACHE_SECONDS,
        cool_down_seconds: float = COOL_DOWN_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._cache_seconds = cache_seconds
        self._cool_down_seconds = cool_down_seconds
        self._tls = tls or ssl.create_default_context()
        self._json = JsonReader()
        self._keys: Mapping[tuple[str | None, str], Key] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, name: str | None, now: float) -> Key | None:
        """See app.web.keys.Keys. UNAVAILABLE: there are no keys, or they are too old."""
        if self._is_within(self._cache_seconds, now):
            key = self._keys.get((name, algorithm))
            if key is not None:
                if not self._is_within(self._cache_seconds / 2, now):
                    self._begin(now)  # Nobody waits for it: the keys are renewed before they are too old.
                return key
        reading = self._begin(now)
        if reading is not None:
            # Who goes away does not take from others what they wait for too.
            await asyncio.shield(reading)
        if not self._is_within(max(STALE_SECONDS, self._cache_seconds), now):
            message = "The keys that tokens are checked with can't be read now."
            raise Refusal(Code.UNAVAILABLE, message, retryAfter=self._cool_down_seconds)
        return self._keys.get((name, algorithm))

    def _is_within(self, seconds: float, now: float) -> bool:
        """Whether the keys are not older; a clock that was set back makes them so."""
        return self._read_at is not None and 0 <= now - self._read_at < seconds

    def _begin(self, now: float) -> "asyncio.Task[None] | None":
        """The reading that is under way, begun where the cool-down allows; None where there is none."""
        if self._reading is None:
            if self._tried_at is not None and 0 <= now - self._tried_at < self._cool_down_seconds:
                return None
            self._tried_at = now
            self._reading = asyncio.ensure_future(self._read(now))
        return self._reading

    async def _read(self, now: float) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await self._body()
            keys = published(self._json.read(body), self._algorithms)
        except Exception as error:  # noqa: BLE001 - whatever the issuer sends, what is known stays good.
            _log.warning("jwks_failed", error=type(error).__name__, reason=str(error)[:100])
        else:
            self._keys, self._read_at = keys, now
        finally:
            self._reading = None

    async def _body(self) -> bytes:
        headers = [
            ("host", urlsplit(self._url).netloc),
            ("accept", "application/json"),
            ("user-agent", "balance-gateway"),
        ]
        async with (
            httpcore2.AsyncConnectionPool(ssl_context=self._tls) as pool,
            pool.stream("GET", self._url, headers=headers) as response,
        ):
            if response.status != _OK:
                raise ValueError(f"HTTP {response.status}")
            body = bytearray()
            async for part in response.aiter_stream():
                body += part
                if len(body) > SET_MAX:
                    raise ValueError(f"more than {SET_MAX} bytes")
            return bytes(body)
