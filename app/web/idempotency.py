"""The header by which a client says that a request may be a repetition."""

import re
from collections.abc import Mapping

from app.web.bodies import bad
from app.web.operations import Asked

HEADER = b"idempotency-key"
REPLAYED = (b"idempotency-replayed", b"true")
"""The header of an answer that was given before."""

# Two headers of the name are joined by a comma and a blank, so they are refused too.
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


def with_key(asked: Asked, headers: Mapping[bytes, bytes]) -> Asked:
    """What is asked, with the client's key where there is one. Raises Refusal(BAD_REQUEST) for what is no key."""
    given = headers.get(HEADER)
    if given is None:
        return asked
    if _KEY.fullmatch(given) is None:
        raise bad("Idempotency-Key is one header of 1 to 255 visible ASCII characters.")
    return asked._replace(idempotency_key=given.decode("ascii"))
