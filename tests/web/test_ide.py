"""The page at /graphql, in a real browser; the bundle's build where it can't be done."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from app.web import ide
from tests.servers import GatewayProcess
from tests.servers import serving as serving_gateway
from tests.web.browser import Tab, browsing
from tests.web.servers import Reply, Served, serving
from tests.web.tokens import SECRET, claims, signed

ELSEWHERE = "http://127.0.0.2:9"
"""Another host than the gateway's, where nobody listens."""


@pytest.fixture
def tab(chromium: Path, tmp_path: Path) -> Iterator[Tab]:
    with browsing(chromium, tmp_path / "profile") as tab:
        yield tab


def _open_graphiql(tab: Tab, url: str) -> None:
    assert (ide.HERE / "built" / "graphiql.js").exists(), (
        "GraphiQL was not built: reinstall the package where Node is found"
    )
    tab.open(f"{url}/graphql")
    tab.wait_for("document.querySelector('.graphiql-execute-button') !== null")


def _execute(tab: Tab, awaited: str) -> None:
    tab.value("document.querySelector('.graphiql-execute-button').click()")
    tab.wait_for(f"(document.querySelector('.result-window')?.innerText ?? '').includes('{awaited}')")


def _open_form(tab: Tab, url: str) -> None:
    tab.open(f"{url}/graphql/ide/form")
    tab.wait_for("document.getElementById('run') !== null && document.readyState === 'complete'")


def _run_form(tab: Tab, awaited: str) -> None:
    tab.value("document.getElementById('run').click()")
    tab.wait_for(f"document.getElementById('answer').textContent.includes('{awaited}')")


def _elsewhere(tab: Tab, url: str) -> list[str]:
    own = (f"{url}/", f"{url.replace('http', 'ws', 1)}/", "data:", "about:")
    return [address for address in tab.requested if not address.startswith(own)]


def _get(url: str, path: str) -> Reply:
    return Served(int(url.rpartition(":")[2])).ask("GET", path, [("Accept", "text/html")])


def test_graphiql_runs_a_query_and_asks_nobody_else(tab: Tab, gateway_url: str) -> None:
    _open_graphiql(tab, gateway_url)
    assert tab.value("document.title") == "Balance gateway"
    _execute(tab, "Fjord")
    for name in ("Documentation Explorer", "History", "GraphiQL Explorer"):
        assert tab.value(f"document.querySelector('[aria-label*=\"{name}\"]') !== null"), name
    assert _elsewhere(tab, gateway_url) == []
    assert tab.complaints == []


def test_graphiql_runs_a_subscription_and_stops_it(tab: Tab, sqlite_url: str, tmp_path: Path) -> None:
    with GatewayProcess(sqlite_url, tmp_path) as gateway:
        _ask(gateway.url, SETUP)
        _open_graphiql(tab, gateway.url)
        subscription = "subscription { balanceCreated { amount account { name } } }"
        editor = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror"
        tab.value(f"{editor}.setValue('{subscription}')")
        # The page keeps what is written after it has understood it.
        tab.wait_for("(localStorage.getItem('graphiql:tabState') ?? '').includes('balanceCreated')")
        tab.value("document.querySelector('.graphiql-execute-button').click()")
        tab.wait_for("document.querySelector('.graphiql-execute-button').ariaLabel.includes('Stop')")
        for amount in ("41.5", "42"):
            tab.wait_for(_written(amount))
        assert tab.value("document.querySelector('.result-window').innerText.includes('Fjord')")
        tab.value("document.querySelector('.graphiql-execute-button').click()")
        tab.wait_for("document.querySelector('.graphiql-execute-button').ariaLabel.includes('Execute')")
        assert tab.complaints == []
        assert f"{gateway.url.replace('http', 'ws', 1)}/graphql" in tab.requested


SETUP = """mutation { createContractor(input: {name: "Fjord", isCustomer: true}) { contractor { id } }
  createAccount(input: {name: "Fjord", contractorId: "contractor_1"}) { account { id } } }"""
ADD = """mutation { createBankAccountBalance(bankAccountId: "account_1", input:
  {amount: %s, timestamp: "2026-03-01T12:00:00Z", currency: {code: "EUR"}}) { balance { id } } }"""


def _ask(url: str, query: str) -> None:
    request = Request(f"{url}/graphql", json.dumps({"query": query}).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        assert "errors" not in json.load(answer)


def _written(amount: str) -> str:
    """Whether the page shows an amount; writes it again as long as nobody is told, as a subscription begins unseen."""
    body = json.dumps(json.dumps({"query": ADD % amount}))
    request = f"{{method: 'POST', headers: {{'content-type': 'application/json'}}, body: {body}}}"
    return (
        f"fetch('/graphql', {request})"
        f".then(() => document.querySelector('.result-window').innerText.includes('{amount}'))"
    )


def test_graphiql_sends_headers_and_keeps_them_nowhere(tab: Tab, gateway_url: str) -> None:
    _open_graphiql(tab, gateway_url)
    tab.value("[...document.querySelectorAll('button')].find(button => button.innerText === 'Headers').click()")
    tab.wait_for("document.querySelectorAll('.graphiql-editor-tool .graphiql-editor:not(.hidden)').length === 1")
    tab.value(
        "document.querySelector('.graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror textarea').focus()"
    )
    tab.type('{"X-Told": "in confidence"}')
    _execute(tab, "Fjord")
    assert tab.sent_headers[-1]["x-told"] == "in confidence"
    for key in ("graphiql:queries", "graphiql:tabState"):
        tab.wait_for(f"(localStorage.getItem('{key}') ?? '').includes('accounts')")
    assert "in confidence" not in tab.value("JSON.stringify([localStorage, sessionStorage]) + document.cookie")


def _write_headers(tab: Tab, text: str) -> None:
    """Write into GraphiQL's editor of headers, in place of what stands there."""
    tab.value("[...document.querySelectorAll('button')].find(button => button.innerText === 'Headers').click()")
    editor = "document.querySelector('.graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror')"
    tab.wait_for("document.querySelectorAll('.graphiql-editor-tool .graphiql-editor:not(.hidden)').length === 1")
    tab.value(f"{editor}.CodeMirror.setValue({json.dumps(text)})")


def _write_query(tab: Tab, text: str) -> None:
    tab.value(f"document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror.setValue({json.dumps(text)})")


def _kept(tab: Tab) -> str:
    """All that a page can leave in a browser: storages, cookies, its address and the names of databases and caches."""
    found: str = tab.value(
        "Promise.all([indexedDB.databases(), caches.keys()]).then(kept => JSON.stringify("
        "[localStorage, sessionStorage, document.cookie, location.href, window.name, history.state, kept]))"
    )
    return found


def test_graphiql_has_a_token_in_memory_alone_and_opens_sockets_with_it(
    tab: Tab, empty_database_url: str, tmp_path: Path
) -> None:
    with serving_gateway(empty_database_url, tmp_path, jwt_key=SECRET) as gateway:
        _open_graphiql(tab, gateway.url)
        _execute(tab, "UNAUTHENTICATED")
        token = signed(claims(time.time(), iss=None, aud=None, scope="accounts:read events:read"))
        _write_headers(tab, json.dumps({"Authorization": f"Bearer {token}"}))
        _execute(tab, '"nodes": []')
        _write_query(tab, "subscription { nonsense: events { nothing } }")
        _execute(tab, "GRAPHQL_VALIDATION_FAILED")
        _write_query(tab, "{ viewer { subject } }")
        _execute(tab, '"subject": "ada"')
        for key in ("graphiql:queries", "graphiql:tabState"):
            tab.wait_for(f"(localStorage.getItem('{key}') ?? '').includes('viewer')")
        for part in (token, *token.split(".")):
            assert part not in _kept(tab)
            assert not any(part in address for address in tab.requested)
        # Whoever comes to the page after that is nobody.
        _open_graphiql(tab, gateway.url)
        _write_query(tab, "{ viewer { subject } }")
        _execute(tab, "UNAUTHENTICATED")
        assert token not in gateway.log()


def test_the_plain_form_runs_a_query_and_asks_nobody_else(tab: Tab, gateway_url: str) -> None:
    _open_form(tab, gateway_url)
    assert tab.value("document.title") == "Balance gateway"
    _run_form(tab, "Fjord")
    assert _elsewhere(tab, gateway_url) == []
    assert tab.complaints == []


def test_the_plain_form_sends_variables_and_headers(tab: Tab, gateway_url: str) -> None:
    _open_form(tab, gateway_url)
    fields = {
        "query": "query ($n: Int) { accounts(first: $n) { nodes { __typename } } }",
        "variables": '{"n": 2}',
        "headers": '{"X-Told": "in confidence"}',
    }
    for name, text in fields.items():
        tab.value(f"document.getElementById('{name}').value = {json.dumps(text)}")
    _run_form(tab, "data")
    answer = json.loads(tab.value("document.getElementById('answer').textContent"))
    assert answer == {"data": {"accounts": {"nodes": [{"__typename": "Account"}] * 2}}}
    assert tab.sent_headers[-1]["x-told"] == "in confidence"


def test_the_plain_form_says_which_field_is_not_json(tab: Tab, gateway_url: str) -> None:
    _open_form(tab, gateway_url)
    tab.value("document.getElementById('variables').value = '{'")
    _run_form(tab, "The variables are not JSON")


@pytest.mark.parametrize("path", ["/graphql", "/graphql/ide/form"])
def test_an_inline_script_does_not_run(tab: Tab, gateway_url: str, path: str) -> None:
    tab.open(f"{gateway_url}{path}")
    tab.wait_for("document.readyState === 'complete'")
    tab.value(
        "{ const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        " document.body.append(script); }"
    )
    assert tab.value("window.ran === undefined")
    assert "Content Security Policy" in tab.first_complaint()


@pytest.mark.parametrize("path", ["/graphql", "/graphql/ide/form"])
def test_the_page_can_ask_no_other_host(tab: Tab, gateway_url: str, path: str) -> None:
    tab.open(f"{gateway_url}{path}")
    tab.wait_for("document.readyState === 'complete'")
    violated = tab.value(
        "new Promise(done => { document.addEventListener('securitypolicyviolation', "
        f"event => done(event.effectiveDirective)); fetch('{ELSEWHERE}/').catch(() => null); }})"
    )
    assert violated == "connect-src"


@pytest.mark.parametrize("path", ["/graphql", "/graphql/ide/form"])
def test_the_page_allows_scripts_of_the_gateway_alone(gateway_url: str, path: str) -> None:
    policy = _get(gateway_url, path).headers["content-security-policy"]
    assert dict(part.split(" ", 1) for part in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


@pytest.mark.parametrize("path", ["/graphql", "/graphql/ide/form"])
def test_what_the_page_loads_is_kept_for_good_and_taken_for_nothing_else(gateway_url: str, path: str) -> None:
    page = _get(gateway_url, path).body.decode()
    loaded = re.findall(r'(?:src|href)="(/graphql/ide/[^"]+)"', page)
    assert [Path(address).suffix for address in loaded] == [".css", ".js"]
    for address in loaded:
        answer = _get(gateway_url, address)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.fixture
def unbuilt(tmp_path: Path) -> Path:
    """The folder of the page as it is before any build."""
    return Path(shutil.copytree(ide.HERE, tmp_path / "ide", ignore=shutil.ignore_patterns("built", "__pycache__")))


def _build(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, folder / "bundle.py"]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=False, timeout=60)


def test_without_npm_the_build_succeeds_and_says_so(unbuilt: Path) -> None:
    built = _build(unbuilt, path=str(unbuilt))
    assert built.returncode == 0
    assert built.stderr == "GraphiQL is not built: npm was not found. A plain form takes its place.\n"


def test_where_npm_fails_no_bundle_of_other_sources_stays(unbuilt: Path, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nexit 1\n")
    npm.chmod(0o755)
    (unbuilt / "built").mkdir()
    for name in ("graphiql.js", "graphiql.css", "stamp"):
        (unbuilt / "built" / name).write_text("of other sources")
    built = _build(unbuilt, path=f"{tmp_path}:/bin:/usr/bin")
    assert built.returncode == 0
    assert built.stderr.startswith("GraphiQL is not built: npm could not fetch the packages")
    assert not (unbuilt / "built").exists()


def test_what_is_built_already_is_not_built_again(unbuilt: Path) -> None:
    shutil.copytree(ide.HERE / "built", unbuilt / "built")
    assert _build(unbuilt, path=str(unbuilt)).stderr == "GraphiQL is built.\n"


def test_without_a_bundle_the_page_is_the_plain_form_and_says_why(
    unbuilt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ide, "HERE", unbuilt)
    page, assets = ide.page_routes()
    with serving(Starlette(routes=[*assets, Mount("/", page)])) as served:
        text = served.ask("GET", "/graphql").body.decode()
    assert "GraphiQL is not built here" in text
    assert 'id="run"' in text
