"""The page at /graphql, in a real browser."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.web.ide import HERE
from tests.web.browser import Tab, browsing


@pytest.fixture
def tab(chromium: Path, tmp_path: Path) -> Iterator[Tab]:
    with browsing(chromium, tmp_path / "profile") as tab:
        yield tab


def _only_here(tab: Tab, url: str) -> None:
    elsewhere = [address for address in tab.requested if not address.startswith((url, "data:", "about:"))]
    assert elsewhere == []
    assert tab.complaints == []


def test_graphiql_runs_a_query_and_asks_nobody_else(tab: Tab, gateway_url: str) -> None:
    assert (HERE / "built" / "graphiql.js").exists(), (
        "GraphiQL was not built: reinstall the package where Node is found"
    )
    tab.open(f"{gateway_url}/graphql")
    tab.wait_for("document.querySelector('.graphiql-execute-button') !== null")
    assert tab.value("document.title") == "Balance gateway"
    tab.value("document.querySelector('.graphiql-execute-button').click()")
    tab.wait_for("(document.querySelector('.result-window')?.innerText ?? '').includes('Fjord')")
    for name in ("Documentation Explorer", "History", "GraphiQL Explorer"):
        assert tab.value(f"document.querySelector('[aria-label*=\"{name}\"]') !== null"), name
    _only_here(tab, gateway_url)


def test_the_plain_form_runs_a_query_and_asks_nobody_else(tab: Tab, gateway_url: str) -> None:
    tab.open(f"{gateway_url}/graphql/ide/form")
    tab.wait_for("document.getElementById('run') !== null && document.readyState === 'complete'")
    tab.value("document.getElementById('run').click()")
    tab.wait_for("document.getElementById('answer').textContent.includes('Fjord')")
    _only_here(tab, gateway_url)


def test_the_page_allows_scripts_of_the_gateway_alone(gateway_url: str) -> None:
    request = urllib.request.Request(f"{gateway_url}/graphql", headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        policy = answer.headers["Content-Security-Policy"]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["connect-src"] == "'self'"
