"""A real mail server on this machine, which keeps what it is sent."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default
from typing import Any

from aiosmtpd.controller import Controller


class Box:
    """A mail server's way, and what it took. It knows nobody."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, list[str], Any]] = []
        self.port = 0
        self.is_well = True

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_RCPT(  # noqa: N802 - the library's name.
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if not self.is_well:
            return "451 try again later"
        message = message_from_bytes(envelope.content, policy=default)
        self.messages.append((envelope.mail_from, envelope.rcpt_tos, message))
        return "250 OK"


@contextmanager
def mailbox() -> Iterator[Box]:
    box = Box()
    with socket.create_server(("127.0.0.1", 0)) as free:
        box.port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
