"""Hands one message to a mail server."""

from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

ERROR_MAX = 200
_PORTS = {"smtp": 25, "smtps": 465}
_STARTTLS = {"auto": None, "true": True, "false": False}


class _Server(NamedTuple):
    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool
    starttls: bool | None
    """None: where the server offers it."""


def smtp_url_fault(url: str) -> str | None:
    """Why a text is no mail server's address; None where it is one."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no valid URL"
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        return "begin it with smtp:// or smtps:// and a host"
    asked = parse_qs(parts.query)
    if asked.keys() - {"starttls"} or asked.get("starttls", ["auto"])[-1] not in _STARTTLS:
        return "after the host there may be ?starttls=true, false or auto"
    return None


def _server(url: str) -> _Server:
    parts = urlsplit(url)
    assert parts.hostname is not None
    starttls = parse_qs(parts.query).get("starttls", ["auto"])[-1]
    return _Server(
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        parts.scheme == "smtps",
        _STARTTLS[starttls],
    )


class Mailer:
    """Writes mail by an SMTP server: smtp://[user:password@]host[:port][?starttls=...] or smtps://..."""

    def __init__(self, url: str, sender: str, *, seconds: float = 20.0) -> None:
        self._server = _server(url)
        self._sender = sender
        self._seconds = seconds

    async def send(self, to: str, subject: str, text: str, *, message_id: str, now: datetime) -> str | None:
        """Hand over a message. None: the server has accepted it; else why not, in a few words.

        The same `message_id` gives the same Message-ID, so that a repeated message can be told.
        """
        server = self._server
        try:
            message = _message(self._sender, to, subject, text, message_id, now)
        except (ValueError, IndexError, MessageError):  # What the library says of texts that are no addresses.
            return "the address is not valid"
        try:
            await aiosmtplib.send(
                message,
                sender=self._sender,
                recipients=[to],
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.is_tls,
                start_tls=False if server.is_tls else server.starttls,
                timeout=self._seconds,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            return f"the server refused the recipient ({error.recipients[0].code})"[:ERROR_MAX]
        except aiosmtplib.SMTPResponseException as error:
            return f"the server answered {error.code}"
        except aiosmtplib.SMTPTimeoutError:
            return f"timed out after {self._seconds:g} s"
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return f"the mail server does not answer ({type(error).__name__})"[:ERROR_MAX]
        return None


def _message(sender: str, to: str, subject: str, text: str, message_id: str, now: datetime) -> EmailMessage:
    """A plain message. Raises ValueError where something would write a header of its own."""
    if any(sign in value for value in (sender, to, subject, message_id) for sign in "\r\n\0"):
        raise ValueError("a line break in a header")
    message = EmailMessage()
    message["From"] = sender
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    domain = sender.rpartition("@")[2].strip("> ") or "localhost"
    message["Message-ID"] = f"<{message_id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message
