"""A real browser, driven over the Chrome DevTools Protocol."""

import base64
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

SECONDS_MAX = 30
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1400,900",
)


class Tab:
    """One tab: what it loads, what it says, what its page holds."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.requested: list[str] = []
        """Addresses that the page asked for."""
        self.sent_headers: list[dict[str, str]] = []
        """Headers of each request by lower-case name, save those that the browser itself adds."""
        self.complaints: list[str] = []
        """What the console was told in anger: errors, violations of the policy."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=SECONDS_MAX))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requested.append(message["params"]["request"]["url"])
                sent = message["params"]["request"]["headers"]
                self.sent_headers.append({name.lower(): value for name, value in sent.items()})
            case "Network.webSocketCreated":
                self.requested.append(message["params"]["url"])
            case "Log.entryAdded" if message["params"]["entry"]["level"] == "error":
                self.complaints.append(message["params"]["entry"]["text"])
            case "Runtime.consoleAPICalled" if message["params"]["type"] == "error":
                self.complaints.append(str(message["params"]["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))

    def first_complaint(self) -> str:
        """The first complaint; waits for it."""
        while not self.complaints:
            self._note(json.loads(self._socket.recv(timeout=SECONDS_MAX)))
        return self.complaints[0]

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        told = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """What an expression is, as soon as it is something."""
        until = time.monotonic() + SECONDS_MAX
        while time.monotonic() < until:
            found = self.value(expression)
            if found:
                return found
        raise AssertionError(f"{expression} did not come true; the page says: {self.value('document.body.innerText')}")

    def type(self, text: str) -> None:
        """Write where the cursor stands, as a keyboard does."""
        self.send("Input.insertText", text=text)

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextmanager
def browsing(program: Path, folder: Path) -> Iterator[Tab]:
    """A browser with a new profile in a folder, and its tab."""
    command: list[str | Path] = [program, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{_port(folder, process)}/json/list", timeout=SECONDS_MAX
            ) as told:
                tabs = json.load(told)
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            with connect(address, max_size=None) as socket:
                yield Tab(socket)
        finally:
            process.terminate()
            process.wait(SECONDS_MAX)


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int:
    """The port that the browser listens on; it writes it into its profile."""
    file = folder / "DevToolsActivePort"
    until = time.monotonic() + SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) > 1:
            return int(lines[0])
    raise AssertionError("The browser did not start.")
