"""What a token costs: the look-up of one that is remembered, and the checks of one that is not, by algorithm.

Run it with `python -m tests.benchmarks.tokens`.
"""

import asyncio
import time
import timeit
from typing import Any

from app.domain.callers import Caller
from app.web.auth import Bearers
from app.web.keys import OneKey, key_from
from app.web.tokens import Rules, caller_from, opened
from tests.web.tokens import AUDIENCE, EC, EDWARDS, ISSUER, RSA, SECRET, claims, pem, signed

KINDS: list[tuple[str, str, Any]] = [
    ("HS256", SECRET, SECRET),
    ("RS256", pem(RSA), RSA),
    ("ES256", pem(EC), EC),
    ("EdDSA", pem(EDWARDS), EDWARDS),
]
RUNS = 2_000


async def main() -> None:
    rules = Rules(ISSUER, AUDIENCE)
    for algorithm, setting, private in KINDS:
        key, token = key_from(setting), signed(claims(time.time()), private, algorithm)
        bearers, sent = Bearers(OneKey(key), rules, time.time), bytearray(b"Bearer " + token.encode())
        found = bearers.of_headers({b"authorization": bytes(sent)})
        assert not isinstance(found, Caller)
        await found

        # A request brings bytes of its own, whose hash is not known yet.
        remembered = timeit.timeit(lambda: bearers.of_headers({b"authorization": bytes(sent)}), number=RUNS)  # noqa: B023
        checked = timeit.timeit(
            lambda: caller_from(opened(token, rules), key, rules, time.time()),  # noqa: B023 - run at once.
            number=RUNS,
        )
        print(f"{algorithm}: {remembered / RUNS * 1e6:.1f} µs remembered, {checked / RUNS * 1e6:.0f} µs checked")


if __name__ == "__main__":
    asyncio.run(main())
