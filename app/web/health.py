"""Health: whether the process is alive, and whether it is ready to answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from app.domain.refusals import Code
from app.web.bodies import error_body
from app.web.guards import send_json

_log = structlog.get_logger(__name__)

READY_SECONDS = 2.0
"""How long the look for problems may take."""


class Alive:
    """Answers 200 {"status": "alive"} as long as the process answers at all.

    facts: what else is told, such as the version; nothing of tenants, as anybody may ask.
    """

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        self._body = json.dumps({"status": "alive", **(facts or {})}).encode()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if await _may_answer(scope, send):
            await send_json(send, 200, self._body)


class Ready:
    """Answers 200 {"status": "ready"}, or 503 {"status": "not ready", "problems": […]}.

    problems: looks for what keeps the gateway from answering, told as texts that anybody may read. One that fails or
    takes longer than `seconds` is a problem itself.
    hindrances: looks for what keeps it from writing alone. It still answers, so that is 200 {"status": "degraded", …}.
    overdue: looks for what is late. A gateway that is late still answers, so it stays 200, with "overdue": […].
    facts: what else is told, such as the version of the database; nothing of tenants, as anybody may ask.
    """

    def __init__(
        self,
        problems: Callable[[], Awaitable[Sequence[str]]],
        *,
        hindrances: Callable[[], Awaitable[Sequence[str]]] | None = None,
        overdue: Callable[[], Awaitable[Sequence[str]]] | None = None,
        facts: Mapping[str, Any] | None = None,
        seconds: float = READY_SECONDS,
    ) -> None:
        self._problems = problems
        self._hindrances = hindrances
        self._overdue = overdue
        self._facts = dict(facts or {})
        self._seconds = seconds

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if not await _may_answer(scope, send):
            return
        problems = await self._found(self._problems)
        if problems:
            told = {"status": "not ready", "problems": list(problems), **self._facts}
            await send_json(send, 503, json.dumps(told).encode())
            return
        hindrances, overdue = await self._found(self._hindrances), await self._found(self._overdue)
        told = {
            **({"status": "degraded", "problems": list(hindrances)} if hindrances else {"status": "ready"}),
            **({"overdue": list(overdue)} if overdue else {}),
            **self._facts,
        }
        await send_json(send, 200, json.dumps(told).encode())

    async def _found(self, look: Callable[[], Awaitable[Sequence[str]]] | None) -> Sequence[str]:
        if look is None:
            return ()
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                return await look()
        except Exception:  # noqa: BLE001 - whatever it is, who asks is answered and told nothing of it.
            if deadline.expired():
                return [f"The check took longer than {self._seconds:g} s."]
            _log.exception("readiness_check_failed")
            return ["The check failed; the log says why."]


async def _may_answer(scope: Scope, send: Send) -> bool:
    if scope["method"] in {"GET", "HEAD"}:
        return True
    body = error_body(Code.METHOD_NOT_ALLOWED, "Health is asked by GET.")
    await send_json(send, 405, body, (b"allow", b"GET, HEAD"))
    return False
