"""Who gets a page or a stream of events from the address that answers GraphQL."""

import pytest
from starlette.types import Receive, Send

from app.domain.callers import LOCAL, Caller
from app.web.graphql import GraphQLView
from app.web.operations import Asked
from tests.web.fakes import FakeCallers, FakeRun
from tests.web.servers import GRAPHQL, JSON, Served, serving

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/graphql", "/graphql?", "/graphql?tab=1", "/graphql?myquery=1"])
def test_a_browser_gets_the_page(served: Served, path: str) -> None:
    reply = served.ask("GET", path, [("Accept", BROWSER)])
    assert (reply.status, reply.media, reply.body) == (200, "text/html", b"<page>")


def test_a_browser_with_cookies_gets_the_page(served: Served) -> None:
    assert served.ask("GET", "/graphql", [("Accept", BROWSER), ("Cookie", "a=1")]).body == b"<page>"


@pytest.mark.parametrize("accept", ["*/*", "text/*", JSON, GRAPHQL, f"{JSON}, text/html", ""])
def test_who_does_not_want_a_page_most_gets_none(served: Served, accept: str) -> None:
    assert served.ask("GET", "/graphql", [("Accept", accept)]).media in {JSON, GRAPHQL}


def test_who_says_nothing_gets_no_page(served: Served) -> None:
    reply = served.ask("GET", "/graphql")
    assert (reply.status, reply.code) == (400, "BAD_REQUEST")


def test_a_browser_that_asks_a_query_gets_its_answer(served: Served) -> None:
    reply = served.ask("GET", "/graphql?query={a}", [("Accept", BROWSER)])
    assert (reply.status, reply.media, reply.json) == (200, JSON, {"data": {"answer": 42}})


def test_a_post_gets_no_page(served: Served) -> None:
    assert served.post({"query": "{a}"}, accept="text/html").status == 406


def test_there_is_no_page_where_none_is_given() -> None:
    with serving(GraphQLView(FakeRun(), FakeCallers())) as served:
        assert served.ask("GET", "/graphql", [("Accept", "text/html")]).code == "NOT_ACCEPTABLE"
        assert served.ask("GET", "/graphql", [("Accept", BROWSER)]).code == "BAD_REQUEST"


class FakeStream:
    """Answers with one event."""

    def __init__(self) -> None:
        self.asked: list[tuple[Asked, Caller, bool]] = []

    async def __call__(self, asked: Asked, caller: Caller, receive: Receive, send: Send, *, mutations: bool) -> None:  # noqa: ARG002
        self.asked.append((asked, caller, mutations))
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"event: complete\n\n"})


def test_who_wants_events_gets_a_stream_after_all_checks() -> None:
    run, stream = FakeRun(), FakeStream()
    with serving(GraphQLView(run, FakeCallers(), stream=stream)) as served:
        posted = served.post({"query": "{a}"}, accept="text/event-stream")
        got = served.ask("GET", "/graphql?query={b}", [("Accept", "text/event-stream")])
        malformed = served.post(b"{", accept="text/event-stream")
        plain = served.post({"query": "{c}"}, accept="*/*")
    assert (posted.media, posted.body, got.media) == ("text/event-stream", b"event: complete\n\n", "text/event-stream")
    assert (malformed.status, malformed.code) == (400, "BAD_REQUEST")
    assert (plain.media, [asked.query for asked in run.asked]) == (JSON, ["{c}"])
    asked = [Asked(query, {}, None, {}) for query in ("{a}", "{b}")]
    assert stream.asked == [(asked[0], LOCAL, True), (asked[1], LOCAL, False)]
