"""An issuer that publishes its keys on a port of this machine, and does it well or badly."""

import asyncio
import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Issuer:
    """What it answers next, and how often it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.server: asyncio.Server | None = None
        self.asked = 0
        self.answer = b""
        self.is_silent = False
        """Whether it takes requests and never answers."""
        self._waiting: set[asyncio.Task[Any]] = set()

    def publish(self, *keys: Any) -> None:
        self.tell(json.dumps({"keys": keys}).encode())

    def tell(self, body: bytes, status: str = "200 OK", headers: Sequence[str] = ()) -> None:
        lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
        self.answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def go_away(self) -> None:
        """Listen no longer, as if it was killed."""
        assert self.server is not None
        self.server.close()

    async def answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if self.is_silent:
                await reader.read()
            else:
                writer.write(self.answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # Whoever hung up wants no answer.
        finally:
            writer.close()


@asynccontextmanager
async def issuing(*keys: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[Issuer]:
    """An issuer that listens, and publishes some keys."""
    issuer = Issuer()
    issuer.publish(*keys)
    issuer.server = server = await asyncio.start_server(issuer.answered, "127.0.0.1", 0, ssl=tls)
    issuer.port = server.sockets[0].getsockname()[1]
    async with server:
        yield issuer


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """How an issuer at 127.0.0.1 speaks TLS, and the file that whoever trusts it reads."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, secret = folder / "issuer.pem", folder / "issuer.key"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(trusted, secret)
    return tls, trusted
