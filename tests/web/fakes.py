"""What stands behind the view in tests of HTTP alone."""

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from app.domain.callers import LOCAL, Caller
from app.domain.refusals import Code
from app.web.bodies import error_body
from app.web.operations import Answered, Asked

DATA = Answered(b'{"data":{"answer":42}}', ran=True, code=None)


def not_run(code: Code) -> Answered:
    return Answered(error_body(code, "No."), ran=False, code=code)


class FakeRun:
    """Answers every operation with `answer`, or raises it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Answered | Exception = DATA
        self.asked: list[Asked] = []
        self.callers: list[Caller] = []
        self.mutations: list[bool] = []

    async def __call__(self, asked: Asked, caller: Caller, *, mutations: bool) -> Answered:
        self.asked.append(asked)
        self.callers.append(caller)
        self.mutations.append(mutations)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakeCallers:
    """Takes everybody for `caller`, or raises it, and remembers the headers."""

    def __init__(self) -> None:
        self.caller: Caller | Exception = LOCAL
        self.headers: list[Mapping[bytes, bytes]] = []

    def __call__(self, headers: Mapping[bytes, bytes]) -> Caller:
        self.headers.append(headers)
        if isinstance(self.caller, Exception):
            raise self.caller
        return self.caller


async def fake_page(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"6")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"<page>"})
