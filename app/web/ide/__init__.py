"""The page for people at /graphql: GraphiQL where it was built, else a plain form that says so."""

import hashlib
import html
from collections.abc import Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

HERE = Path(__file__).resolve().parent
ASSETS = "/graphql/ide"

FIRST_QUERY = """# The first five accounts.
# Ctrl-Enter runs it.
{
  accounts(first: 5) {
    nodes {
      name
      balance
      currency { code }
      currentBalance { timestamp }
    }
  }
}
"""

# Styles may be inline: the editor places its lines by style attributes. Scripts may not.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Balance gateway</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{css}">
</head>
<body>
{body}<script src="{js}"></script>
</body>
</html>
"""

_GRAPHIQL = """<div id="graphiql" data-query="{query}"></div>
"""

_FORM = """<h1>Balance gateway</h1>
{note}
<main>
<section>
<label for="query">Query</label>
<textarea id="query" spellcheck="false">{query}</textarea>
<label for="variables">Variables (JSON)</label>
<textarea id="variables" spellcheck="false"></textarea>
<label for="headers">Headers (JSON)</label>
<textarea id="headers" spellcheck="false"></textarea>
<button id="run">Run</button>
</section>
<section>
<label for="answer">Answer</label>
<pre id="answer" aria-live="polite"></pre>
</section>
</main>
"""

_NOTE = """<p class="note">GraphiQL is not built here: it needs Node when the gateway is installed. This plain form does
what is needed; <a href="/graphql/schema.graphql">the schema</a> is the documentation.</p>"""


def page_routes() -> tuple[ASGIApp, list[BaseRoute]]:
    """The page at /graphql, and the routes of what it loads; `/graphql/ide/form` is the plain form in any case."""
    form_files = _files(HERE / "form")
    built_files = _files(HERE / "built")
    form = _page(_FORM, form_files, note="" if built_files else _NOTE)
    graphiql = _page(_GRAPHIQL, built_files) if built_files else form

    async def form_page(_request: Request) -> Response:
        return Response(form, media_type="text/html", headers=_HEADERS)

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(graphiql, media_type="text/html", headers=_HEADERS)(scope, receive, send)

    assets = [_asset(address, file) for address, file in (*form_files.values(), *built_files.values())]
    return page, [Route(f"{ASSETS}/form", form_page), *assets]


def _files(folder: Path) -> dict[str, tuple[str, Path]]:
    """Addresses and files of a folder by suffix; the address changes with the content. Empty where one is missing."""
    found = {}
    for suffix in (".js", ".css"):
        file = next(iter(sorted(folder.glob(f"*{suffix}"))), None)
        if file is None:
            return {}
        digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        found[suffix] = (f"{ASSETS}/{file.stem}.{digest}{suffix}", file)
    return found


def _page(body: str, files: Mapping[str, tuple[str, Path]], note: str = "") -> str:
    filled = body.format(query=html.escape(FIRST_QUERY), note=note)
    return _FRAME.format(js=files[".js"][0], css=files[".css"][0], body=filled)


def _asset(address: str, file: Path) -> Route:
    content = file.read_bytes()
    headers = {**_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}

    async def answer(_request: Request) -> Response:
        return Response(content, headers={**headers, "Content-Type": _TYPES[file.suffix]})

    return Route(address, answer)
