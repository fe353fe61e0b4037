"""Handing one message to a real mail server on this machine."""

import socket
from datetime import UTC, datetime

import pytest

from app.deliveries.mail import Mailer, smtp_url_fault
from tests.deliveries.mailbox import Box

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_a_message_arrives_as_it_was_written(box: Box) -> None:
    mailer = Mailer(f"smtp://127.0.0.1:{box.port}", "gateway@bank.example")
    text = "Größe: 5 €\n"
    assert (
        await mailer.send(
            "treasury@fjord.example", "Account with id account_1 low balance", text, message_id="event_7.1", now=NOW
        )
        is None
    )
    ((sender, recipients, message),) = box.messages
    assert (sender, recipients) == ("gateway@bank.example", ["treasury@fjord.example"])
    assert message["Subject"] == "Account with id account_1 low balance"
    assert message["Message-ID"] == "<event_7.1@bank.example>"
    assert message["Date"].datetime == NOW
    assert message.get_content().replace("\r\n", "\n") == text


async def test_why_a_message_was_not_taken_is_told_in_few_words(box: Box) -> None:
    mailer = Mailer(f"smtp://user:secret@127.0.0.1:{box.port}", "gateway@bank.example")
    refused = await mailer.send("nobody@fjord.example", "s", "t", message_id="m", now=NOW)
    assert refused is not None
    assert "secret" not in refused
    mailer = Mailer(f"smtp://127.0.0.1:{box.port}", "gateway@bank.example")
    refused = await mailer.send("nobody@fjord.example", "s", "t", message_id="m", now=NOW)
    assert refused == "the server refused the recipient (550)"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gone = await Mailer(f"smtp://127.0.0.1:{port}", "a@b.example").send(
        "c@d.example", "s", "t", message_id="m", now=NOW
    )
    assert gone is not None
    assert gone.startswith("the mail server does not answer")


@pytest.mark.parametrize(
    "address", ["a@b.example\r\nBcc: c@d.example", "a@b.example\n", "no address", "", "@", "<", "a@", '"', "a@b, c@d"]
)
async def test_an_address_writes_no_header_of_its_own(box: Box, address: str) -> None:
    mailer = Mailer(f"smtp://127.0.0.1:{box.port}", "gateway@bank.example")
    assert await mailer.send(address, "s", "t", message_id="m", now=NOW) == "the address is not valid"
    assert box.messages == []


@pytest.mark.parametrize(
    "url", ["", "http://mail.example", "smtp://", "smtp://a:b", "smtp://h?starttls=x", "smtp://h?a=b"]
)
def test_what_is_no_mail_server_is_refused(url: str) -> None:
    assert smtp_url_fault(url) is not None


@pytest.mark.parametrize("url", ["smtp://h", "smtps://u:p@h:465", "smtp://h:2525?starttls=false"])
def test_mail_servers_are_known(url: str) -> None:
    assert smtp_url_fault(url) is None
