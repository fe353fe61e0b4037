"""What tests of deliveries may ask for."""

from collections.abc import Iterator

import pytest

from tests.deliveries.mailbox import Box, mailbox


@pytest.fixture
def box() -> Iterator[Box]:
    """A mail server that listens."""
    with mailbox() as box:
        yield box
