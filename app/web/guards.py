"""Who may reach the gateway at all."""

from typing import Any

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""The only names that a gateway without a key answers to."""

_REFUSED = b'{"errors":[{"message":"This host is not served here.","extensions":{"code":"BAD_REQUEST"}}]}'


class HostGuard:
    """Answers only requests that name one of these hosts (any port): no page elsewhere can reach a local gateway."""

    def __init__(self, app: Any, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and not self._is_served(scope["headers"]):
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_REFUSED))]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": _REFUSED})
            return
        await self._app(scope, receive, send)

    def _is_served(self, headers: Any) -> bool:
        named = [value for name, value in headers if name == b"host"]
        if len(named) != 1:
            return False
        host = named[0].decode("latin-1").lower()
        name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
        return name in self._hosts and (not port or port.isdigit())
