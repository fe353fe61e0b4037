"""What a client accepts decides what it gets; what it sends is read only as JSON in UTF-8."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.web.negotiation import Media, chosen, is_json


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, Media.JSON),
        (b"", Media.JSON),
        (b" , ", Media.JSON),
        (b"*/*", Media.JSON),
        (b"application/*", Media.JSON),
        (b"application/json", Media.JSON),
        (b"application/graphql-response+json", Media.GRAPHQL),
        (b"APPLICATION/GraphQL-Response+JSON", Media.GRAPHQL),
        (b"application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", Media.GRAPHQL),
        (b"application/json, application/graphql-response+json", Media.GRAPHQL),
        (b"application/graphql-response+json,application/json;q=0.9", Media.GRAPHQL),
        (b"application/graphql-response+json;q=0.9,application/json", Media.JSON),
        (b"application/json, */*", Media.JSON),
        (b"application/graphql-response+json, */*", Media.GRAPHQL),
        (b"application/graphql-response+json;q=0.5, */*", Media.JSON),
        (b"application/graphql-response+json;q=0, */*", Media.JSON),
        (b"application/json;q=0, */*", Media.GRAPHQL),
        (b"application/json;q=0, application/*;q=0.1", Media.GRAPHQL),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Media.JSON),
        (b'application/json;charset="utf-8"', Media.JSON),
        (b"application/json;profile=x;q=0.5;ext=1, application/graphql-response+json;q=0.4", Media.JSON),
    ],
)
def test_the_most_wanted_type_is_chosen(accept: bytes | None, media: Media) -> None:
    assert chosen(accept) is media


@pytest.mark.parametrize(
    "accept",
    [
        b"application/xml",
        b"text/html",
        b"text/event-stream",
        b"application/graphql-response+json;q=0",
        b"application/json;q=0, application/graphql-response+json;q=0.000",
        b"*/*;q=0",
        b"application/json; charset=utf-16",
        b"application/json;q=2",
        b"application/json;q=-1",
        b"application/json;q=0.1234",
        b"application/json;q=",
        b"application/json;q=x",
        b"application/json;q=1;q=0.5",
        b"application/json;=1",
        b"json",
        b"/",
        b"application/",
        b"\xff\xfe",
        b"application/xml," * 1_000,
    ],
)
def test_what_is_not_there_or_malformed_is_not_acceptable(accept: bytes) -> None:
    assert chosen(accept) is None


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Media.HTML),
        (b"text/html", Media.HTML),
        (b"*/*", Media.JSON),
        (b"text/*", None),
        (b"text/html, application/json", Media.JSON),
        (b"text/html;q=0.5, */*", Media.JSON),
        (None, Media.JSON),
    ],
)
def test_a_page_is_for_who_names_it_above_all_else(accept: bytes | None, media: Media | None) -> None:
    assert chosen(accept, page=True) is media


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (b"text/event-stream", Media.EVENTS),
        (b"text/event-stream, */*;q=0.1", Media.EVENTS),
        (b"application/json, text/event-stream", Media.JSON),
        (b"*/*", Media.JSON),
    ],
)
def test_events_are_for_who_names_them_above_all_else(accept: bytes, media: Media) -> None:
    assert chosen(accept, events=True) is media


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text('aplication/json*,;=q.01" ', max_size=60).map(str.encode))
def test_no_accept_header_breaks_anything(accept: bytes) -> None:
    assert chosen(accept) in {None, Media.JSON, Media.GRAPHQL}


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"application/json; charset=utf-8",
        b'Application/JSON ;Charset="UTF-8"',
        b"application/json;",
        b"application/json; profile=x",
    ],
)
def test_json_in_utf_8_is_read(content_type: bytes) -> None:
    assert is_json(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        b"",
        b"text/plain",
        b"text/plain; application/json",
        b"application/jsonx",
        b"application/json-patch+json",
        b"application/graphql",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=x",
        b"application/json; charset=utf-16",
        b"application/json; charset=utf-8; charset=utf-16",
        b"application/json; charset",
        b"application/json, application/json",
        b"application/json\xff",
    ],
)
def test_no_other_type_is_read(content_type: bytes | None) -> None:
    assert not is_json(content_type)
