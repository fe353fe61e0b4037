"""The catalogue of bad inputs, as data: what is sent, and what has to become of it.

Every row also demands what its test says: nothing stored unless the row says so, nobody else kept waiting, little in
the log and no secret in it, and a gateway that lives on.
"""

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.web.servers import GRAPHQL, JSON

SECRET = "canary-7f3b9c"
"""Stands in headers and variables of many rows; no line of the log has it."""

BODY_MAX = 2_000_000
"""Bytes of a body, as the catalogue's gateways are set."""


BY_OTHERS = (b"Invalid HTTP request received.", b"Not Found", b"")
"""What stands in a refusal that is not the gateway's own: Uvicorn's of what is no HTTP, Starlette's of an address that
is none, and none at all where HEAD is asked, or the connection was ended.
"""


class Http(NamedTuple):
    """A request with these headers and no others, save Host and Content-Length."""

    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None


class Raw(NamedTuple):
    """Bytes; what comes back is one answer, or the end of the connection."""

    sent: bytes
    is_ended: bool = False
    """Whether the connection is ended after the answer, so that nothing of what follows is taken for a request."""


class Talk(NamedTuple):
    """Messages over a WebSocket; what comes back is its last message, or the code of its close."""

    messages: Sequence[str | bytes]
    subprotocol: str | None = "graphql-transport-ws"
    headers: Mapping[str, str] = {}


class Row(NamedTuple):
    id: str
    sent: Http | Raw | Talk
    status: tuple[int, ...]
    """Of HTTP, any of these; 0: the connection was ended without an answer. Of a WebSocket: the code of its close."""
    code: str | None = None
    """extensions.code of the first error; None where nothing is refused, or others refuse it: see BY_OTHERS."""
    sees: Mapping[str, Any] = {}
    """Values in the answer's JSON by their paths; a path that is not there gives None."""
    stores: bool = False
    seconds: float = 5.0
    """Ten times what it may take, so that a busy machine is no fault."""
    production: bool = False
    """Whether it is sent to a gateway under BALANCE_GATEWAY_PRODUCTION=true."""


NOTHING = Http("GET", "/health", (), None)

ASKING = (("Content-Type", JSON), ("Accept", GRAPHQL), ("Authorization", f"Bearer {SECRET}"))


def each(*values: Any) -> Sequence[Any]:
    """Values of several types."""
    return values


def posted(id: str, body: bytes, *status: int, code: str | None = "BAD_REQUEST", **more: Any) -> Row:
    """Bytes as a JSON body."""
    return Row(id, Http("POST", "/graphql", ASKING, body), status or (400,), code, **more)


def asked(
    id: str, query: str, variables: Any = None, *, status: int | tuple[int, ...] = 400, name: Any = None, **more: Any
) -> Row:
    """An operation that is asked for with its variables."""
    body = {"query": query, "variables": variables, "operationName": name, "extensions": {"secret": SECRET}}
    statuses = status if isinstance(status, tuple) else (status,)
    return Row(id, Http("POST", "/graphql", ASKING, json.dumps(body).encode()), statuses, **more)


def sent(id: str, raw: bytes, *status: int, is_ended: bool = False, **more: Any) -> Row:
    """Bytes as they are."""
    return Row(id, Raw(raw, is_ended), status, **more)


def http(
    id: str, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes | None, *status: int, **more: Any
) -> Row:
    return Row(id, Http(method, path, headers, body), status, **more)


QUERY = b'{"query":"{__typename}"}'
MUTATION = b'{"query":"mutation{createContractor(input:{name:\\"never\\",isVendor:true}){contractor{id}}}"}'


def lines(*headers: bytes, body: bytes = QUERY, start: bytes = b"POST /graphql HTTP/1.1", host: bool = True) -> bytes:
    """A request with its lines as given."""
    more = [b"Host: localhost"] if host else []
    return b"\r\n".join([start, *more, b"Content-Type: application/json", *headers]) + b"\r\n\r\n" + body


LENGTH = b"Content-Length: %d" % len(QUERY)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(QUERY), QUERY)
SMUGGLED = b"0\r\n\r\n" + lines(b"Content-Length: %d" % len(MUTATION), body=MUTATION)

FRAMING = [
    sent("A01 no Host", lines(LENGTH, host=False), 400, code="BAD_REQUEST"),
    sent("A01 two Hosts", lines(b"Host: localhost", LENGTH), 400, code="BAD_REQUEST"),
    sent("A02 a Host that is none", lines(b"Host: a/b?c", LENGTH, host=False), 400, code="BAD_REQUEST"),
    sent("A02 an empty Host", lines(b"Host:", LENGTH, host=False), 400, code="BAD_REQUEST"),
    sent(
        "A03 a foreign Host",
        lines(b"Host: evil.example", LENGTH, start=b"POST /graphql/ HTTP/1.1", host=False),
        400,
        code="BAD_REQUEST",
    ),
    sent("A04 a foreign address", lines(LENGTH, start=b"POST http://evil.example/graphql HTTP/1.1"), 400, 404),
    sent("A05 two slashes", lines(LENGTH, start=b"POST //graphql HTTP/1.1"), 404),
    sent("A05 dots", lines(LENGTH, start=b"POST /x/%2e%2e/graphql HTTP/1.1"), 404),
    sent("A06 NUL in the path", lines(LENGTH, start=b"POST /graph\0ql HTTP/1.1"), 400),
    sent("A06 a control character in the path", lines(LENGTH, start=b"POST /graph\x01ql HTTP/1.1"), 400),
    sent("A07 length and chunks", lines(LENGTH, CHUNKED, body=CHUNKS), 400, is_ended=True),
    sent("A08 a smuggled request", lines(b"Content-Length: 6", CHUNKED, body=SMUGGLED), 400, is_ended=True),
    sent("A09 two lengths", lines(LENGTH, b"Content-Length: 5"), 400, is_ended=True),
    sent("A09 a negative length", lines(b"Content-Length: -1"), 400, is_ended=True),
    sent("A09 a length with a sign", lines(b"Content-Length: +24"), 400, is_ended=True),
    sent(
        "A10 gzip, chunked",
        lines(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
        400,
        501,
        code="BAD_REQUEST",
        is_ended=True,
    ),
    sent("A10 xchunked", lines(b"Transfer-Encoding: xchunked", body=CHUNKS), 400, 501, is_ended=True),
    sent("A10 a chunk's size that is none", lines(CHUNKED, body=b"xyz\r\n"), 400, is_ended=True),
    sent("A11 a long chunk extension", lines(CHUNKED, body=b"18;" + b"x" * 1_000_000 + CHUNKS[2:]), 200, 400, 413),
    sent("A12 garbage after a chunk", lines(CHUNKED, body=b"2\r\n{}XX0\r\n\r\n"), 400, is_ended=True),
    sent("A13 a terabyte", lines(b"Content-Length: 1000000000000"), 413, code="PAYLOAD_TOO_LARGE", is_ended=True),
    sent("A14 a header of 70 KB", lines(b"X-Long: " + b"x" * 70_000, LENGTH), 431, 400, code="BAD_REQUEST"),
    sent(
        "A15 5,000 headers", lines(*[b"X-%d: 1" % number for number in range(5_000)], LENGTH), 431, code="BAD_REQUEST"
    ),
    sent(
        "A16 a query of 100 KB",
        lines(start=b"GET /graphql?query=" + b"x" * 100_000 + b" HTTP/1.1", body=b""),
        414,
        code="BAD_REQUEST",
    ),
    sent("A17 NUL in a header", lines(b"X-A: a\0b", LENGTH), 400),
    sent("A17 a space before the colon", lines(b"X-A : a", LENGTH), 400),
    sent("A18 a folded header", lines(b"X-A: a\r\n b", LENGTH), 400),
    sent("A18 lines that end in LF alone", lines(LENGTH).replace(b"\r\n", b"\n"), 400),
    sent("A18 HTTP/9.9", lines(LENGTH, start=b"POST /graphql HTTP/9.9"), 400, 505),
    sent("A19 TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n", 400, 0),
    sent("A19 HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 404, 505, 0),
    sent("A20 an expectation", lines(b"Expect: bogus", LENGTH), 417, code="BAD_REQUEST"),
    sent("A21 twice the limit", lines(b"Content-Length: %d" % (2 * BODY_MAX)), 413, code="PAYLOAD_TOO_LARGE"),
    sent(
        "A22 twice the limit in chunks",
        lines(CHUNKED, body=b"%x\r\n%s\r\n" % (2 * BODY_MAX, b" " * 2 * BODY_MAX)),
        *(413, 0),
        code="PAYLOAD_TOO_LARGE",
        is_ended=True,
    ),
    http(
        "A23 gzip",
        *("POST", "/graphql", [("Content-Type", JSON), ("Content-Encoding", "gzip")], gzip.compress(QUERY), 415),
        code="UNSUPPORTED_MEDIA_TYPE",
    ),
    http(
        "A24 a bomb",
        *("POST", "/graphql", [("Content-Type", JSON), ("Content-Encoding", "gzip")]),
        *(gzip.compress(b"0" * 10_000_000), 415),
        code="UNSUPPORTED_MEDIA_TYPE",
    ),
]

ONE = "{ viewer { subject } }"
INTEGER = "query ($v: Int) { accounts(first: $v) { totalCount } }"

BODIES = [
    posted("B01 nothing", b""),
    posted("B01 cut", b'{"query": "{a}"'),
    posted("B01 more after it", QUERY + b"x"),
    *[posted(f"B02 {value.decode()}", value) for value in (b"null", b"123", b'"x"', b"true")],
    *[posted(f"B03 {value.decode()}", value) for value in (b"[]", b"[1]", b"[" + QUERY + b"," + QUERY + b"]")],
    posted("B04 a batch of eleven", b"[" + b",".join([QUERY] * 11) + b"]"),
    posted("B05 no member", b"{}"),
    posted("B05 an empty query", b'{"query": ""}'),
    posted("B05 null", b'{"query": null}'),
    posted("B06 a number as query", b'{"query": 5}'),
    posted("B06 a list of variables", b'{"query": "{__typename}", "variables": [1]}'),
    posted("B06 a text of variables", b'{"query": "{__typename}", "variables": "x"}'),
    posted("B06 a list of extensions", b'{"query": "{__typename}", "extensions": [1]}'),
    *[
        posted(f"B07 {name.decode()} as name", b'{"query": "{__typename}", "operationName": ' + name + b"}")
        for name in (b"5", b"[1]", b"{}", b"true")
    ],
    posted("B08 two queries", b'{"query": "{__typename}", "query": "{a}"}'),
    posted(
        "B09 two amounts",
        b'{"query": "query ($v: Int) { accounts(first: $v) { totalCount } }", "variables": {"v": 1, "v": 2}}',
    ),
    posted("B10 no UTF-8", b'{"query": "{__typename} #\xff"}'),
    posted("B11 a byte order mark", b"\xef\xbb\xbf" + QUERY),
    posted("B12 UTF-16", QUERY.decode().encode("utf-16")),
    posted("B12 UTF-32", QUERY.decode().encode("utf-32")),
    *[
        posted(f"B13 {name.decode()}", b'{"query": "{__typename}", "variables": {"v": ' + name + b"}}")
        for name in (b"NaN", b"Infinity", b"-Infinity")
    ],
    posted(
        "B14 1e400",
        b'{"query": "query ($v: Decimal) { accounts(filter: {balance: {eq: $v}}) { totalCount } }", "variables": '
        b'{"v": 1e400}}',
    ),
    posted(
        "B15 5,000 digits",
        b'{"query": "query ($v: Int) { accounts(first: $v) { totalCount } }", "variables": {"v": '
        + b"9" * 5_000
        + b"}}",
    ),
    posted("B16 100,000 arrays", b'{"query": "{__typename}", "variables": {"v": ' + b"[" * 100_000),
    posted(
        "B16 3,000 objects",
        b'{"query": "{__typename}", "variables": ' + b'{"v":' * 3_000 + b"1" + b"}" * 3_000 + b"}",
    ),
    *[
        posted(f"B17 {where}", json.dumps({"query": query, "variables": {"v": "\ud800"}}).encode())
        for where, query in (
            ("a lone surrogate", "query ($v: String!) { accounts(filter: {name: {eq: $v}}) { totalCount } }"),
            ("one that nobody reads", ONE),
        )
    ],
    posted("B18 U+0000", json.dumps({"query": ONE, "variables": {"v": "\0"}}).encode()),
    posted(
        "B19 100,000 members",
        json.dumps({"query": ONE} | {f"k{number}": 1 for number in range(100_000)}).encode(),
        *(200, 400, 413),
        code=None,
    ),
    *[
        asked(
            f"B20 {key}", "query ($v: AccountFilter) { accounts(filter: $v) { totalCount } }", {"v": {key: 1}}, code=c
        )
        for key, c in (("__proto__", "BAD_REQUEST"), ("constructor", "BAD_REQUEST"), ("__class__", "BAD_REQUEST"))
    ],
    asked("B21 100,000 variables", ONE, {f"v{number}": 1 for number in range(100_000)}, status=200),
    posted(
        "B22 a list of a million",
        b'{"query": "query ($v: [ID!]!) { nodes(ids: $v) { id } }", "variables": {"v": [' + b"1," * 999_999 + b"1]}}",
        413,
        code="PAYLOAD_TOO_LARGE",
        seconds=10,
    ),
    asked("B23 300 arrays", INTEGER, {"v": json.loads("[" * 300 + "]" * 300)}, code="BAD_REQUEST"),
    posted(
        "B24 a query that is not known",
        json.dumps({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}}).encode(),
        code="PERSISTED_QUERY_NOT_FOUND",
    ),
]

URL = "/graphql?query=%7B__typename%7D"
GET_MUTATION = (
    "/graphql?query=mutation%7BcreateContractor(input:%7Bname:%22never%22,isVendor:true%7D)%7Bcontractor%7Bid%7D%7D%7D"
)

PREFLIGHT = (("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type"))

METHODS = [
    *[
        http(f"C01 {method}", method, URL, ASKING, MUTATION, 405, code="METHOD_NOT_ALLOWED")
        for method in ("PUT", "PATCH", "DELETE", "TRACE")
    ],
    http("C02 HEAD", "HEAD", URL, (), None, 405),
    http("C02 OPTIONS", "OPTIONS", URL, (), None, 405, code="METHOD_NOT_ALLOWED"),
    sent("C03 post", lines(LENGTH, start=b"post /graphql HTTP/1.1"), 400, 405, 501),
    sent("C03 FOO", lines(LENGTH, start=b"FOO /graphql HTTP/1.1"), 400, 405, 501),
    http("C04 a mutation by GET", "GET", GET_MUTATION, ASKING, None, 405, code="METHOD_NOT_ALLOWED"),
    http(
        "C05 a subscription by GET",
        *("GET", "/graphql?query=subscription%7Bevents%7Bid%7D%7D", [("Accept", GRAPHQL)], None, 400),
        code="BAD_REQUEST",
    ),
    http("C06 a cookie", "GET", URL, [("Cookie", "session=1"), ("Accept", GRAPHQL)], None, 400, code="CSRF_PREVENTION"),
    http("C07 variables that are none", "GET", URL + "&variables=[", ASKING, None, 400, code="BAD_REQUEST"),
    *[
        http(
            f"C08 {type_ or 'no type'}",
            *("POST", "/graphql", [("Content-Type", type_)] if type_ else [], MUTATION, 415),
            code="UNSUPPORTED_MEDIA_TYPE",
        )
        for type_ in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None)
    ],
    *[
        http(
            f"{id} {type_}", "POST", "/graphql", [("Content-Type", type_)], MUTATION, 415, code="UNSUPPORTED_MEDIA_TYPE"
        )
        for id, type_ in (
            ("C09", "text/plain; application/json"),
            ("C10", "application/jsonx"),
            ("C10", "application/json-patch+json"),
            ("C11", "application/json; charset=utf-16"),
        )
    ],
    http(
        "C12 two types",
        *("POST", "/graphql", [("Content-Type", JSON), ("Content-Type", "text/plain")], MUTATION, 400),
        code="BAD_REQUEST",
    ),
    http(
        "C13 a file",
        *("POST", "/graphql", [("Content-Type", "multipart/form-data; boundary=x")]),
        b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n' + MUTATION + b"\r\n--x--\r\n",
        415,
        code="UNSUPPORTED_MEDIA_TYPE",
    ),
    *[
        http(
            f"{id} {name}",
            "POST",
            "/graphql",
            [("Content-Type", JSON), ("Accept", accept)],
            MUTATION,
            406,
            code="NOT_ACCEPTABLE",
        )
        for id, name, accept in (
            ("C14", "XML", "application/xml"),
            ("C14", "HTML", "text/html"),
            ("C16", "q=0", f"{GRAPHQL};q=0"),
            ("C16", "10 KB", ";,=q/" * 2_000),
        )
    ],
    http("C15 the newer type", "POST", "/graphql", ASKING, b'{"query": "{a}"}', 400, code="GRAPHQL_VALIDATION_FAILED"),
    http(
        "C17 a subscription without a stream",
        *("POST", "/graphql", ASKING, b'{"query": "subscription { events { id } }"}', 400),
        code="BAD_REQUEST",
    ),
    *[
        http(
            f"C18 {origin}",
            *("OPTIONS", "/graphql", [("Origin", origin), *PREFLIGHT], None, 405),
            code="METHOD_NOT_ALLOWED",
        )
        for origin in ("https://evil.example", "null", "https://good.example.evil.com")
    ],
    http(
        "C20 a page of another site",
        *("POST", "/graphql", [("Origin", "https://evil.example"), ("Cookie", "a=1"), ("Content-Type", "text/plain")]),
        *(MUTATION, 415),
        code="UNSUPPORTED_MEDIA_TYPE",
    ),
    http(
        "C21 a browser",
        *("GET", "/graphql", [("Accept", "text/html")], None, 405),
        code="METHOD_NOT_ALLOWED",
        production=True,
    ),
    http("C22 a method in a header", "GET", URL, [("X-HTTP-Method-Override", "DELETE")], None, 200),
    http("C22 a method in the address", "GET", URL + "&_method=DELETE", (), None, 200),
]


def fan(count: int, spread: str) -> str:
    """A chain of fragments, each spreading the next one twice."""
    parts = [f"fragment f{number} on Query {{ {spread.format(next=number + 1)} }}" for number in range(count)]
    return " ".join(["{ ...f0 }", *parts, f"fragment f{count} on Query {{ __typename }}"])


def deep(rounds: int, inner: str = "id") -> str:
    """A query that goes from accounts to contractors and back, so many times; three levels each."""
    for _ in range(rounds):
        inner = f"contractor {{ accounts(first: 1) {{ nodes {{ {inner} }} }} }}"
    return f"{{ accounts(first: 1) {{ nodes {{ {inner} }} }} }}"


INVALID = "GRAPHQL_VALIDATION_FAILED"
COMPLEX = "QUERY_TOO_COMPLEX"
UNPARSED = "GRAPHQL_PARSE_FAILED"

DOCUMENTS = [
    asked("D01 a syntax error", "{ accounts", code=UNPARSED),
    asked("D01 a comment alone", "# nothing", code=UNPARSED),
    asked("D02 a no-break space", "{\u00a0__typename }", code=UNPARSED),
    asked("D03 an unknown field", "{ acounts { totalCount } }", code=INVALID, production=True),
    asked("D03 an unknown argument", "{ accounts(frist: 1) { totalCount } }", code=INVALID, production=True),
    asked("D03 an unknown type", "query ($v: Acount) { accounts { totalCount } }", code=INVALID, production=True),
    asked("D03 an unknown fragment", "{ ...Nothing }", code=INVALID),
    asked("D04 a missing key", "{ accounts(orderBy: {}) { totalCount } }", code=INVALID),
    asked(
        "D05 two operations and no name",
        "query A { viewer { subject } } mutation B { deleteWebhook(id: 1) { deletedId } }",
        code="OPERATION_RESOLUTION_FAILURE",
    ),
    asked("D06 an unknown name", "query A { viewer { subject } }", name="B", code="OPERATION_RESOLUTION_FAILURE"),
    http(
        "D07 a mutation beside a query, by GET",
        *(
            "GET",
            "/graphql?operationName=A&query=query%20A%7B__typename%7Dmutation%20B%7BdeleteWebhook(id:1)%7BdeletedId%7D%7D",
            ASKING,
            None,
            200,
        ),
    ),
    asked("D08 two without a name", "{ __typename } { __typename }", code=INVALID),
    asked("D08 two of one name", "query A { __typename } query A { __typename }", code=INVALID),
    asked(
        "D09 a circle of fragments", "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", code=INVALID
    ),
    asked("D09 a fragment of itself", "{ ...A } fragment A on Query { ...A }", code=INVALID),
    *[
        asked(f"D10 {count} fragments of two each", fan(count, "...f{next} ...f{next}"), code=COMPLEX)
        for count in (40, 60, 90)
    ],
    asked(
        "D11 through inline fragments",
        fan(60, "... {{ ...f{next} }} ... {{ ...f{next} }}"),
        code=COMPLEX,
    ),
    asked(
        "D12 doubled results",
        fan(14, "a{next}: __typename ...f{next} ... {{ b{next}: __typename ...f{next} }}"),
        code=COMPLEX,
    ),
    asked("D13 too deep", deep(4), code=COMPLEX),
    asked("D13 too deep by fragments", deep(4, "...A") + " fragment A on Account { id }", code=COMPLEX),
    asked(
        "D14 deep beside hidden names",
        deep(4).replace("nodes {", "__typename nodes { __typename"),
        code=COMPLEX,
    ),
    asked("D15 5,000 levels", "{ a" * 5_000, code="DOCUMENT_TOO_LARGE", seconds=5),
    asked("D15 5,000 lists", "{ nodes(ids: " + "[" * 5_000 + "]" * 5_000 + ") { id } }", code="DOCUMENT_TOO_LARGE"),
    asked(
        "D16 101 aliases",
        "{ " + " ".join(f"a{n}: viewer {{ subject }}" for n in range(101)) + " }",
        code=COMPLEX,
    ),
    asked(
        "D16 1,500 aliases of __typename",
        "{ " + " ".join(f"a{n}:__typename" for n in range(1_500)) + " }",
        code="DOCUMENT_TOO_LARGE",
    ),
    asked(
        "D17 aliases in fragments",
        "{ ...A ...B } "
        + " ".join(
            f"fragment {f} on Query {{ " + " ".join(f"{f}{n}: viewer {{ subject }}" for n in range(20)) + " }"
            for f in "AB"
        ),
        code=COMPLEX,
    ),
    asked("D18 10,000 fields", "{ " + "__typename " * 10_000 + "}", code="DOCUMENT_TOO_LARGE"),
    asked(
        "D19 many inline fragments",
        "{ viewer { " + "... { subject } " * 300 + "} }",
        status=(200, 400),
        code=None,
        seconds=2,
    ),
    asked(
        "D20 1,000 unknown directives",
        "{ __typename " + "@no " * 1_000 + "}",
        code="DOCUMENT_TOO_LARGE",
        sees={"errors.10": None},
    ),
    asked(
        "D21 51 directives", "{ __typename " + "@skip(if: false) " * 51 + "}", code=COMPLEX, sees={"errors.10": None}
    ),
    asked("D22 100,000 comments", "#\n" * 100_000 + ONE, code="DOCUMENT_TOO_LARGE"),
    asked("D22 a comment of 1 MB", "#" + "x" * 1_000_000 + "\n" + ONE, code="DOCUMENT_TOO_LARGE"),
    asked(
        "D23 a literal of 1 MB",
        '{ account(id: "' + "x" * 1_000_000 + '") { id } }',
        code="DOCUMENT_TOO_LARGE",
    ),
    asked("D24 half a character", '{ account(id: "\\uD800") { id } }', code=UNPARSED),
    asked(
        "D25 1,000 variables that nobody uses",
        "query (" + " ".join(f"$v{n}: Int" for n in range(450)) + ") { __typename }",
        code=INVALID,
        sees={"errors.10": None},
    ),
    asked("D26 the schema", "{ __schema { types { name } } }", code=INVALID, production=True),
    asked(
        "D27 the schema in circles",
        "{ __schema { types { " + "fields { type { " * 4 + "name" + " } }" * 4 + " } } }",
        code=INVALID,
    ),
    asked("D28 a type of the schema", '{ __type(name: "Account") { name } }', code=INVALID, production=True),
    asked(
        "D30 21 root fields",
        "{ "
        + " ".join(
            f"{name} {{ {inner} }}"
            for name, inner in [("viewer", "subject"), ("limits", "pageSize"), ("currencies", "code")] * 1
        )
        + " "
        + " ".join(f"a{n}: viewer {{ subject }}" for n in range(20))
        + " }",
        code=COMPLEX,
    ),
    asked("D31 first: 2147483647", "{ accounts(first: 2147483647) { totalCount } }", status=200, code="PAGE_TOO_LARGE"),
    asked("D31 first: -1", "{ accounts(first: -1) { totalCount } }", status=200, code="BAD_REQUEST"),
    asked(
        "D31 first: 0",
        "{ accounts(first: 0) { nodes { id } totalCount } }",
        status=200,
        sees={"data.accounts.totalCount": 2},
    ),
    asked("D31 first and last", "{ accounts(first: 1, last: 1) { totalCount } }", status=200, code="BAD_REQUEST"),
    *[
        asked(
            f"D32 {cursor}",
            "query ($v: String) { accounts(after: $v) { totalCount } }",
            {"v": cursor},
            status=200,
            code="BAD_REQUEST",
        )
        for cursor in ("x", "", "' OR 1=1", "AAAA", "event_1", "\u202e")
    ],
    asked(
        "D33 a list of lists of lists",
        deep(2).replace("first: 1", "first: 1000"),
        code="COST_LIMIT_EXCEEDED",
    ),
    asked(
        "D34 a mutation six times",
        "mutation { " + " ".join(f'a{n}: deleteWebhook(id: "webhook_9") {{ deletedId }}' for n in range(6)) + " }",
        code=COMPLEX,
    ),
    asked("D35 @skip without a value", "query ($v: Boolean) { __typename @skip(if: $v) }", code=INVALID),
    asked("D35 @defer", "{ ... @defer { __typename } }", code=INVALID),
    asked(
        "D35 two keys of one", '{ accountByIdentifier(identifier: {id: "1", name: {name: "a"}}) { id } }', code=INVALID
    ),
    asked("D36 _service", "{ _service { sdl } }", code=INVALID),
    asked("D36 _entities", "{ _entities(representations: []) { __typename } }", code=INVALID),
    asked("D37 __typename", "{ __typename }", status=200, sees={"data.__typename": "Query"}),
    asked("D38 a name of 64 KB", "{ " + "a" * 65_536 + " }", code="DOCUMENT_TOO_LARGE"),
    asked("D39 a text that turns round", '{ accounts(filter: {name: {eq: "\u202e"}}) { totalCount } }', status=200),
]

DECIMAL = """mutation ($v: Decimal!) { createBankAccountBalance(bankAccountId: "account_1", input: {amount: $v,
  timestamp: "2026-02-01T00:00:00Z", currency: {code: "EUR"}}) { balance { amount } userErrors { code path } } }"""
MOMENT = """mutation ($v: DateTime!) { createBankAccountBalance(bankAccountId: "account_1", input: {amount: 1,
  timestamp: $v, currency: {code: "EUR"}}) { balance { timestamp } userErrors { code path } } }"""
CORRECT = """mutation { correctAccountBalance(accountId: "account_2", input: {amount: "922337203685477.5807"}) {
  balance { id } userErrors { code path } } }"""
CURRENCY = """mutation ($v: String!) { createBankAccountBalance(bankAccountId: "account_1", input: {amount: 1,
  timestamp: "2026-02-01T00:00:00Z", currency: {code: $v}}) { balance { id } userErrors { code path } } }"""
ACCOUNT = """mutation ($v: CreateAccountInput!) { createAccount(input: $v) { account { id }
  userErrors { code path documentedCode } } }"""
IN_DECIMAL = "data.createBankAccountBalance"
FIRST_ERROR = "userErrors.0.code"
NUMBERS = (
    *(
        "NaN",
        "-NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "1E+999999999",
        "1E-999999999",
        "1e2",
        "１２",
        "٣",
        "1_000",
        " 1 ",
    ),
    *("+5", "0x10", "1,0", "", "1.", ".5", "--1", "01", "9" * 100_000, f"{SECRET}", "1\n", "−1", "1 000", "½"),
)
MOMENTS = (
    *(
        "2026-01-01T00:00:00",
        "2026",
        "20260101",
        "2026-W01",
        "2026-01-01",
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
    ),
    *("2026-01-01T00:00:00+24:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z"),
    *(
        "now",
        "2026-01-01T00:00:00.1234567Z",
        "２０２６-01-01T00:00:00Z",
        "2026-01-01 00:00:00Z",
        "2026-02-29T00:00:00Z",
    ),
    *("2026-01-01T00:00:00+0100", "2026-01-01T00:00Z", "2026-13-01T00:00:00Z", f"2026-01-01T00:00:00Z{SECRET}", ""),
)


def wrong_account(id: str, key: str, value: Any, code: str) -> Row:
    given = {"name": f"never {id}", "contractorId": "contractor_1", key: value}
    return asked(id, ACCOUNT, {"v": given}, status=200, sees={f"data.createAccount.{FIRST_ERROR}": code})


VALUES = [
    *[
        asked(f"E01 {value!r} as Int", INTEGER, {"v": value}, code="BAD_REQUEST")
        for value in each(2**31, -(2**31) - 1, 1.5, "1", True, [])
    ],
    asked(
        "E01 null as Int!", "query ($v: Int!) { accounts(first: $v) { totalCount } }", {"v": None}, code="BAD_REQUEST"
    ),
    asked("E02 1.0 as Int", INTEGER, {"v": 1.0}, status=200, sees={"data.accounts.totalCount": 2}),
    *[
        asked(
            f"E03 {value!r:.20} as ID",
            "query ($v: ID!) { account(id: $v) { id } }",
            {"v": value},
            status=200,
            sees={"data.account": None, "errors": None},
        )
        for value in (
            10**30,
            1.0,
            5,
            "",
            "account_",
            "account_01",
            "account_1 ",
            "ACCOUNT_1",
            "x" * 10_000,
            "account_" + "9" * 40,
        )
    ],
    *[
        asked(
            f"E03 {value!r:.20} as ID", "query ($v: ID!) { account(id: $v) { id } }", {"v": value}, code="BAD_REQUEST"
        )
        for value in each(1.5, True, [1], {})
    ],
    wrong_account("E04 256 characters", "name", "x" * 256, "TOO_LONG"),
    wrong_account("E04 no character", "name", "", "REQUIRED"),
    wrong_account("E04 blanks", "name", " \t ", "REQUIRED"),
    *[asked(f"E05 {value[:20]!r} as Decimal", DECIMAL, {"v": value}, code="BAD_REQUEST") for value in NUMBERS],
    *[
        asked(f"E08 {value!r} as Decimal", DECIMAL, {"v": value}, code="BAD_REQUEST")
        for value in each(True, [], {}, None)
    ],
    *[
        asked(
            f"E06 {literal} as a literal",
            DECIMAL.replace("$v: Decimal!", "$w: Int").replace("$v", literal),
            {},
            code="GRAPHQL_VALIDATION_FAILED",
        )
        for literal in ("1e2", "NaN", '"NaN"', "[]", "true", '"1e400"')
    ],
    asked("E09 -0.00", DECIMAL, {"v": "-0.00"}, status=200, stores=True, sees={f"{IN_DECIMAL}.balance.amount": "0"}),
    *[
        asked(f"E10 {value}", DECIMAL, {"v": value}, status=200, sees={f"{IN_DECIMAL}.{FIRST_ERROR}": "OUT_OF_RANGE"})
        for value in ("0.00001", "922337203685477.5808", "-922337203685477.5808", "9" * 60)
    ],
    asked(
        "E12 0.12345678901234567890",
        DECIMAL,
        {"v": 0.12345678901234568},
        status=200,
        sees={f"{IN_DECIMAL}.{FIRST_ERROR}": "OUT_OF_RANGE"},
    ),
    asked(
        "E13 922337203685477",
        DECIMAL,
        {"v": 922337203685477},
        status=200,
        stores=True,
        sees={f"{IN_DECIMAL}.balance.amount": "922337203685477"},
    ),
    asked("E14 1.10", DECIMAL, {"v": "1.10"}, status=200, stores=True, sees={f"{IN_DECIMAL}.balance.amount": "1.1"}),
    asked(
        "E15 a sum beyond the bounds",
        CORRECT,
        status=200,
        sees={f"data.correctAccountBalance.{FIRST_ERROR}": "OUT_OF_RANGE"},
    ),
    *[
        asked(
            f"E17 {value!r} as a currency",
            CURRENCY,
            {"v": value},
            status=200,
            sees={f"{IN_DECIMAL}.{FIRST_ERROR}": "INVALID"},
        )
        for value in ("EUR ", "eur", "€", "XXX", "", "EURO", "DEM")
    ],
    *[asked(f"E19 {value!r} as DateTime", MOMENT, {"v": value}, code="BAD_REQUEST") for value in MOMENTS],
    *[
        asked(f"E24 {value!r} as DateTime", MOMENT, {"v": value}, code="BAD_REQUEST")
        for value in each(0, 1767225600, 1.5, True, [], {})
    ],
    asked(
        "E22 +14:00",
        MOMENT,
        {"v": "2026-01-02T00:00:00+14:00"},
        status=200,
        stores=True,
        sees={f"{IN_DECIMAL}.balance.timestamp": "2026-01-01T10:00:00Z"},
    ),
    *[
        asked(
            f"E27 {value} as Date",
            'query ($v: Date) { account(id: "account_1") { balanceHistory(from: $v) { totalCount } } }',
            {"v": value},
            code="BAD_REQUEST",
        )
        for value in ("2026-02-29", "2026-1-1", "20260101", "2026-01-01T00:00:00Z", "", 2026)
    ],
    *[
        asked(
            f"E30 {value}",
            "query ($v: UUID!) { accountByIdentifier(identifier: {uuid: {uuid: $v}}) { id } }",
            {"v": value},
            code="BAD_REQUEST",
        )
        for value in (
            "{0190c9f4-7a0e-7000-8000-000000000001}",
            "urn:uuid:0190c9f4-7a0e-7000-8000-000000000001",
            "0190c9f47a0e70008000000000000001",
            "x",
            "",
        )
    ],
    asked(
        "E30 upper case",
        "query ($v: UUID!) { accountByIdentifier(identifier: {uuid: {uuid: $v}}) { id } }",
        {"v": "0190C9F4-7A0E-7000-8000-000000000001"},
        status=200,
        sees={"data.accountByIdentifier.id": "account_1"},
    ),
    *[
        asked(
            f"E31 {value!r} as an enum",
            "query ($v: OrderDirection!) { accounts(orderBy: {field: NAME, direction: $v}) { totalCount } }",
            {"v": value},
            code="BAD_REQUEST",
        )
        for value in ("asc", 1, True, "", "ASC ")
    ],
    asked("E31 a text literal as an enum", '{ accounts(orderBy: {field: "NAME"}) { totalCount } }', code=INVALID),
    asked(
        "E32 eleven years ahead",
        MOMENT,
        {"v": "2099-01-01T00:00:00Z"},
        status=200,
        sees={f"{IN_DECIMAL}.{FIRST_ERROR}": "OUT_OF_RANGE"},
    ),
    asked(
        "E32 200 years back",
        MOMENT,
        {"v": "1826-01-01T00:00:00Z"},
        status=200,
        stores=True,
        sees={f"{IN_DECIMAL}.balance.timestamp": "1826-01-01T00:00:00Z"},
    ),
    asked(
        "E38 one for a list",
        "query ($v: [ID!]!) { nodes(ids: $v) { id } }",
        {"v": "account_1"},
        status=200,
        sees={"data.nodes.0.id": "account_1"},
    ),
]

REGISTER = """mutation ($v: BatchAccountBalancesInput!) { registerBatchAccountBalances(input: $v) { acceptedCount
  rejectedCount results { resultType index errorCode errorField errorDescription sameContent balance { amount } } } }"""
VALIDATE = REGISTER.replace("mutation", "query").replace("registerBatch", "validateBatch")
BATCH = "data.registerBatchAccountBalances"

ITEM: dict[str, Any] = {
    "accountExtId": "EXT-1",
    "communicationNumber": "N",
    "requester": SECRET,
    "value": 1,
    "balanceAt": "2025-06-01T12:00:00Z",
}


def batch(id: str, items: Sequence[Mapping[str, Any]], *, query: str = REGISTER, **more: Any) -> Row:
    """Items, each as the usual one with what it says of itself."""
    given = [{key: value for key, value in (ITEM | dict(item)).items() if value is not ...} for item in items]
    return asked(id, query, {"v": {"accountBalances": given}}, status=more.pop("status", 200), **more)


def rejected(id: str, code: str, field: str | None, **item: Any) -> Row:
    """One item that is rejected, and stores nothing."""
    sees = {f"{BATCH}.rejectedCount": 1, f"{BATCH}.results.0.errorCode": code, f"{BATCH}.results.0.errorField": field}
    return batch(id, [{"communicationNumber": id, **item}], sees=sees)


BATCHES = [
    batch("F01 an empty batch", [], sees={f"{BATCH}.acceptedCount": 0, f"{BATCH}.results": []}),
    batch(
        "F02 one too many",
        [{"communicationNumber": f"F02-{n}", "requester": "r"} for n in range(1_001)],
        status=(200, 400),
        code="BATCH_TOO_LARGE",
    ),
    batch(
        "F03 one bad among 100",
        [{"communicationNumber": f"F03-{n}", "accountExtId": "EXT-1" if n != 57 else "nobody"} for n in range(100)],
        stores=True,
        sees={f"{BATCH}.acceptedCount": 99, f"{BATCH}.results.57.errorCode": "404", f"{BATCH}.results.57.index": 57},
    ),
    batch(
        "F04 all bad",
        [{"communicationNumber": f"F04-{n}", "accountExtId": "nobody"} for n in range(10)],
        sees={f"{BATCH}.rejectedCount": 10},
    ),
    rejected("F05 an empty number", "O001", "communicationNumber", communicationNumber=""),
    rejected("F05 a blank number", "O001", "communicationNumber", communicationNumber=" "),
    rejected("F05 no moment", "O001", "balanceAt", balanceAt=...),
    batch("F05 no number", [{"communicationNumber": ...}], status=400, code="BAD_REQUEST"),
    batch("F05 null as a number", [{"communicationNumber": None}], status=400, code="BAD_REQUEST"),
    rejected("F06 an unknown account", "404", "accountExtId", accountExtId="nobody"),
    rejected("F07 an unknown business unit", "G004", "businessUnit", businessUnit="nowhere"),
    batch(
        "F09 the same again",
        [{"communicationNumber": "USED-1"}],
        sees={f"{BATCH}.results.0.errorCode": "O005", f"{BATCH}.results.0.sameContent": True},
    ),
    batch(
        "F10 the same number for something else",
        [{"communicationNumber": "USED-1", "value": 2}],
        sees={
            f"{BATCH}.results.0.errorCode": "O005",
            f"{BATCH}.results.0.sameContent": False,
            f"{BATCH}.results.0.balance.amount": "1",
        },
    ),
    batch(
        "F11 a number twice",
        [{"communicationNumber": "F11"}] * 2,
        stores=True,
        sees={f"{BATCH}.results.0.errorCode": None, f"{BATCH}.results.1.errorCode": "O005"},
    ),
    batch(
        "F15 a number that was rejected before",
        [{"communicationNumber": "F15", "accountExtId": "nobody"}, {"communicationNumber": "F15"}],
        stores=True,
        sees={f"{BATCH}.results.0.errorCode": "404", f"{BATCH}.results.1.errorCode": None},
    ),
    batch(
        "F34 a thousand long refusals",
        [{"communicationNumber": f"F34-{n}-" + "x" * 300, "requester": "r"} for n in range(1_000)],
        sees={f"{BATCH}.rejectedCount": 1_000},
        seconds=10,
    ),
    batch("F14 another case", [{"communicationNumber": "used-1"}], stores=True, sees={f"{BATCH}.acceptedCount": 1}),
    *[
        rejected(f"F14 {name}", "G001", "communicationNumber", communicationNumber=number)
        for name, number in (
            ("a zero-width space", "A\u200b1"),
            ("a joiner", "A\u200d1"),
            ("a byte order mark", "\ufeffA1"),
            ("a mark of direction", "A\u202e1"),
            ("a soft hyphen", "A\u00ad1"),
            ("a line break", "A-1\n"),
            ("a no-break space", "A\u00a01"),
            ("256 characters", "x" * 256),
            ("private use", "A\ue000"),
        )
    ],
    batch(
        "E36 255 characters of four bytes",
        [{"communicationNumber": "😀" * 255}],
        stores=True,
        sees={f"{BATCH}.acceptedCount": 1},
    ),
    batch(
        "E33 two ways to write one letter",
        [{"communicationNumber": "e\u0301"}, {"communicationNumber": "\u00e9"}],
        stores=True,
        sees={f"{BATCH}.acceptedCount": 2},
    ),
    batch(
        "E35 a letter that looks like another",
        [{"communicationNumber": "USED-1".replace("E", "\u0415")}],
        stores=True,
        sees={f"{BATCH}.acceptedCount": 1},
    ),
    rejected("E32 too far ahead", "G005", "balanceAt", balanceAt="2099-01-01T00:00:00Z"),
    rejected("E10 five digits", "G002", "value", value="0.00001"),
    rejected("E10 beyond the bounds", "G002", "equivalentValue", equivalentValue="922337203685477.5808"),
    batch("F25 an unknown key", [{"communicationNumber": "F25", "colour": SECRET}], status=400, code="BAD_REQUEST"),
    batch(
        "F26 a list as a value in item 57",
        [{"communicationNumber": f"F26-{n}", "value": 1 if n != 57 else []} for n in range(100)],
        status=400,
        code="BAD_REQUEST",
    ),
    batch(
        "F27 an older entry",
        [{"communicationNumber": "F27", "balanceAt": "2000-01-01T00:00:00Z"}],
        stores=True,
        sees={f"{BATCH}.acceptedCount": 1},
    ),
    batch(
        "F28 two of one moment",
        [{"communicationNumber": "F28-1"}, {"communicationNumber": "F28-2"}],
        stores=True,
        sees={f"{BATCH}.acceptedCount": 2},
    ),
    batch(
        "F32 validation stores nothing",
        [{"communicationNumber": "F32"}],
        query=VALIDATE,
        sees={"data.validateBatchAccountBalances.acceptedCount": 1},
    ),
    *[
        http(
            f"F22 {name} as a key",
            *("POST", "/graphql", [*ASKING, *[("Idempotency-Key", key) for key in keys]], MUTATION, 400),
            code="BAD_REQUEST",
        )
        for name, keys in (
            ("nothing", [""]),
            ("256 characters", ["k" * 256]),
            ("a blank", ["a b"]),
            ("two", ["a", "b"]),
        )
    ],
    wrong_account("F36 an external id in use", "externalId", "EXT-1", "TAKEN"),
    wrong_account("F36 a uuid in use", "uuid", "0190c9f4-7a0e-7000-8000-000000000001", "TAKEN"),
]

CONFIGURE = """mutation ($v: CreateAccountBalanceHistoryConfigInput!) { createAccountBalanceHistoryConfig(input: $v) {
  balanceHistoryConfig { cycleClosingTime } userErrors { code documentedCode } } }"""
RECONFIGURE = """mutation ($d: String!, $v: UpdateAccountBalanceHistoryConfigInput!) {
  updateAccountBalanceHistoryConfig(divisionCode: $d, input: $v) {
  balanceHistoryConfig { cycleClosingTime } userErrors { code documentedCode } } }"""

DIVISION = """mutation ($v: CreateDivisionInput!) { createDivision(input: $v) {
  division { id } userErrors { code path } } }"""


def unconfigured(id: str, documented: str, **given: Any) -> Row:
    body = {"divisionCode": "FREE", "cycleClosingTime": "22:00:00", "cycleEventDelay": 10} | given
    sees = {"data.createAccountBalanceHistoryConfig.userErrors.0.documentedCode": documented}
    return asked(id, CONFIGURE, {"v": body}, status=200, sees=sees)


CLOSINGS = [
    *[
        unconfigured(f"G01 {value!r} as a closing time", "WCFG0002", cycleClosingTime=value)
        for value in ("24:00:00", "23:59:60", "22:00:00Z", "", " ", "22:00:00\n", "２２:00:00", SECRET, "-1:00:00")
    ],
    *[unconfigured(f"G02 {value} as a delay", "WCFG0002", cycleEventDelay=value) for value in (4, 1440, -1)],
    asked(
        "G02 1.5 as a delay",
        CONFIGURE,
        {"v": {"divisionCode": "FREE", "cycleClosingTime": "22:00:00", "cycleEventDelay": 1.5}},
        code="BAD_REQUEST",
    ),
    asked(
        "G02 null as a delay",
        CONFIGURE,
        {"v": {"divisionCode": "FREE", "cycleClosingTime": "22:00:00", "cycleEventDelay": None}},
        code="BAD_REQUEST",
    ),
    unconfigured("G03 a second configuration", "WCFG0004", divisionCode="NO"),
    unconfigured("G04 an unknown division", "WCFG0003", divisionCode="NOWHERE"),
    unconfigured("G04 a division of an unknown unit", "WCFG0003", businessUnit="nowhere"),
    asked(
        "G05 neither field",
        RECONFIGURE,
        {"d": "NO", "v": {}},
        status=200,
        sees={"data.updateAccountBalanceHistoryConfig.userErrors.0.documentedCode": "WCFG0002"},
    ),
    asked(
        "G05 an unconfigured division",
        RECONFIGURE,
        {"d": "FREE", "v": {"cycleEventDelay": 10}},
        status=200,
        sees={"data.updateAccountBalanceHistoryConfig.userErrors.0.documentedCode": "WCFG0005"},
    ),
    *[
        asked(
            f"G06 {zone!r} as a zone",
            DIVISION,
            {"v": {"code": "ZONE", "timezone": zone}},
            status=200,
            sees={"data.createDivision.userErrors.0.code": "INVALID"},
        )
        for zone in (
            "GMT+2",
            "Europe/Nowhere",
            "europe/oslo",
            "../etc/passwd",
            "/etc/localtime",
            "Europe/Oslo\n",
            SECRET,
        )
    ],
]

INIT = '{"type": "connection_init", "payload": {"authorization": "Bearer ' + SECRET + '"}}'
DEEP = "[" * 100_000


def subscribe(payload: Any, id: Any = "1") -> str:
    return json.dumps({"type": "subscribe", "id": id, "payload": payload})


def talk(id: str, *messages: str | bytes, close: int | tuple[int, ...] = (), **more: Any) -> Row:
    return Row(id, Talk(messages), close if isinstance(close, tuple) else (close,), **more)


def typed(query: str) -> str:
    return subscribe({"query": query, "variables": {"v": SECRET}})


SOCKETS = [
    talk("J01 an operation before the introduction", typed("{ __typename }"), close=4401),
    talk("J03 two introductions", INIT, INIT, close=4429),
    talk("J03 one id twice", INIT, typed("subscription { events { id } }"), typed("{ __typename }"), close=4409),
    talk("J04 an introduction with a list", '{"type": "connection_init", "payload": []}', close=4400),
    *[talk(f"J07 {text}", INIT, text, close=4400) for text in ("[]", "5", "null", '"x"', "true", "[{}]")],
    *[
        talk(f"J08 {id!r:.20} as an id", INIT, subscribe({"query": "{ __typename }"}, id), close=4400)
        for id in each([], 5, "", {}, None, "x" * 256)
    ],
    talk("J09 a text as a payload", INIT, subscribe("x"), close=4400),
    talk("J09 a number as a query", INIT, subscribe({"query": 5}), close=4400),
    talk("J10 a list of variables", INIT, subscribe({"query": "{ __typename }", "variables": [1]}), close=4400),
    talk("J11 a binary frame", INIT, b'{"type": "ping"}', close=4400),
    talk("J11 no JSON", INIT, "{", close=4400),
    talk("J11 an unknown type", INIT, '{"type": "start"}', close=4400),
    talk("J11 no type", INIT, "{}", close=4400),
    talk("J12 deep JSON", INIT, '{"type": "ping", "payload": ' + DEEP, close=4400),
    talk("J12 5,000 digits", INIT, '{"type": "ping", "payload": {"v": ' + "9" * 5_000 + "}}", close=4400),
    talk(
        "J13 5 MB", INIT, subscribe({"query": "{ __typename }", "variables": {"v": "x" * 5_000_000}}), close=(1009, 0)
    ),
    talk("J15 a syntax error", INIT, typed("{"), code=UNPARSED),
    talk("J15 an unknown field", INIT, typed("{ nothing }"), code=INVALID),
    talk(
        "J17 a thousand pings",
        INIT,
        *['{"type": "ping"}'] * 1_000,
        typed("{ __typename }"),
        sees={"payload.data.__typename": "Query"},
    ),
    talk(
        "J17 ends of what never began",
        INIT,
        *['{"type": "complete", "id": "9"}'] * 100,
        typed("{ __typename }"),
        sees={"payload.data.__typename": "Query"},
    ),
    Row("J18 the older protocol", Talk([INIT], "graphql-ws"), (4406,)),
    Row("J18 no protocol", Talk([INIT], None), (4406,)),
    Row("J20 a page of another site", Talk([INIT], headers={"Origin": "https://evil.example"}), (403,)),
    Row("J20 a page of nowhere", Talk([INIT], headers={"Origin": "null"}), (403,)),
    talk(
        "J21 a mutation",
        INIT,
        typed('mutation { createContractor(input: {name: "never", isVendor: true}) { contractor { id } } }'),
        code="METHOD_NOT_ALLOWED",
    ),
    talk("J26 two root fields", INIT, typed("subscription { events { id } balanceCreated { id } }"), code=INVALID),
    talk(
        "F33 a batch over a socket",
        INIT,
        subscribe({"query": REGISTER, "variables": {"v": {"accountBalances": [ITEM]}}}),
        code="METHOD_NOT_ALLOWED",
    ),
    talk("J12 a lone surrogate", INIT, json.dumps({"type": "ping", "payload": {"v": "\ud800"}}), close=4400),
    talk("J12 a key twice", INIT, '{"type": "ping", "type": "ping"}', close=4400),
]

ROWS: Sequence[Row] = [*FRAMING, *BODIES, *METHODS, *DOCUMENTS, *VALUES, *BATCHES, *CLOSINGS, *SOCKETS]
