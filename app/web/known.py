"""Requests whose head has come before, byte for byte: what it says was found out once, and is not again.

A client sends the same head with most of its requests. The first one goes the long way: the server's parser, the
guards, the view. Its head is kept then, and the next request with it is answered straight from the connection, by the
same view. What a head says for its one request alone, such as an id of it, keeps it from being kept.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.web.access import AccessLog, begin, new_id
from app.web.graphql import CLOSING, GraphQLView, Head, Pairs, fixed_headers
from app.web.guards import Fault
from app.web.negotiation import Media

HEADS_MAX = 1_000
"""Heads that are kept: some 20 MB where each is as long as may be, and all of it headers."""
HEAD_BYTES_MAX = 4_096
"""Bytes of one."""

_FOR_ONE_REQUEST = frozenset(
    {b"idempotency-key", b"x-request-id", b"traceparent", b"tracestate", b"expect", b"upgrade", b"transfer-encoding"}
)
_END = b"\r\n\r\n"


class Answer(NamedTuple):
    """An answer before it is sent."""

    head: bytes
    """Its status and headers, without the empty line that ends them."""
    body: bytes
    ends: bool
    """Whether it ends the connection."""


class Known:
    """The heads that are known, and the answers to requests with them.

    path: of the view.
    faults: what guards say of a request; a head is kept where none says anything.
    more: the headers that an answer to a request has beside the view's.
    """

    def __init__(
        self,
        view: GraphQLView,
        path: str,
        log: AccessLog,
        faults: Sequence[Callable[[Scope], Fault | None]],
        more: Callable[[Scope], Pairs],
    ) -> None:
        self._view = view
        self._path = path
        self._log = log
        self._faults = faults
        self._more = more
        self._heads: OrderedDict[bytes, tuple[Head, bytes]] = OrderedDict()
        self._dated: tuple[Pairs, bytes] = ([], b"")

    def learn(self, data: bytes, scope: Scope) -> None:
        """Keep the head that some bytes begin with, if it is one that may be; `scope` is what was read of it."""
        head = data[: data.find(_END) + len(_END)]
        if head in self._heads:
            return
        # Of one that asks for another protocol no path was read.
        if not _is_whole(head, scope) or not _FOR_ONE_REQUEST.isdisjoint([name for name, _ in scope["headers"]]):
            return
        if scope["path"] != self._path or scope["query_string"]:
            return
        if any(fault(scope) is not None for fault in self._faults):
            return
        known = self._view.head_of(scope)
        if known is None:
            return
        self._heads[head] = (known, b"".join(_lines(self._more(scope))))
        if len(self._heads) > HEADS_MAX:
            self._heads.popitem(last=False)

    def find(self, data: bytes) -> tuple[Head, bytes, bytes] | None:
        """The known head that some bytes begin with, the rest of its answer's headers, and the body.

        None where the bytes are anything else than that head and the whole of one body.
        """
        end = data.find(_END) + len(_END)
        found = self._heads.get(data[:end])
        if found is None or len(data) - end != found[0].length:
            return None
        return *found, data[end:]

    async def answer(self, head: Head, more: bytes, body: bytes, receive: Receive, dated: Pairs) -> Answer | None:
        """The answer to a request; None where nobody is there any more to be answered.

        receive: tells when the client is gone. dated: the headers that the server gives every answer.
        """
        id = new_id()
        request = begin(id)
        try:
            reply = await self._view.reply(head, body, receive)
            if reply is None:
                return None
            request.status = reply.status
            parts = [
                STATUS_LINE[reply.status],
                self._dated_lines(dated),
                _FIXED[head.media],
                b"content-length: %d\r\n" % len(reply.body),
                b"".join(_lines(reply.more)) if reply.more else b"",
                more,
                b"x-request-id: %b\r\n" % id,
            ]
            return Answer(b"".join(parts), reply.body, ends=CLOSING in reply.more)
        finally:
            self._log.end(request, "POST", self._path)

    def _dated_lines(self, dated: Pairs) -> bytes:
        """The server makes these headers anew each second, and hands the same on until then."""
        if self._dated[0] is not dated:
            self._dated = dated, b"".join(_lines(dated))
        return self._dated[1]


def _lines(headers: Pairs) -> list[bytes]:
    return [b"%b: %b\r\n" % pair for pair in headers]


_FIXED = {media: b"".join(_lines(fixed_headers(media))) for media in (Media.JSON, Media.GRAPHQL)}


def _is_whole(head: bytes, scope: Scope) -> bool:
    """Whether the bytes are all of the head that was read, and no more: each line is the target, a header or the end.

    The server's parser may have seen its end elsewhere, or a line that goes on.
    """
    lines = head.count(b"\r\n")
    is_same = lines == len(scope["headers"]) + 2 and lines == head.count(b"\n") == head.count(b"\r")
    return is_same and len(head) <= HEAD_BYTES_MAX and scope["http_version"] == "1.1"
