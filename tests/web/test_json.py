"""JSON is read without losing a digit, and refused where two readers could understand it differently."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from app.web.bodies import WIDE_MIN, JsonReader

READER = JsonReader()


def refused(raw: bytes, reader: JsonReader = READER) -> Refusal:
    with pytest.raises(Refusal) as caught:
        reader.read(raw)
    return caught.value


@pytest.mark.parametrize("text", ["11111111111.00", "100000.5665", "0.1", "-0.0", "1e400", "0.12345678901234567890"])
def test_a_number_keeps_the_digits_it_was_written_with(text: str) -> None:
    number = READER.read(text.encode())
    assert isinstance(number, JsonNumber)
    assert number.text == text


def test_a_number_with_a_point_is_a_float_to_who_wants_one() -> None:
    assert READER.read(b"10.0") == 10
    assert READER.read(b"4.0").is_integer()


def test_a_whole_number_is_an_exact_integer() -> None:
    assert READER.read(b"9007199254740993") == 9007199254740993


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"query": "a", "query": "b"}', 'The key "query" stands twice in one object.'),
        (b'{"a": [{"amount": 1, "amount": 2}]}', 'The key "amount" stands twice in one object.'),
        (b'{"a": 1, "\\u0061": 2}', 'The key "a" stands twice in one object.'),
        (b"[NaN]", "NaN is no JSON."),
        (b"[Infinity]", "Infinity is no JSON."),
        (b"[-Infinity]", "-Infinity is no JSON."),
        (b'["\xff"]', "The JSON is not in UTF-8: byte 2 is not valid."),
        (b'["\xed\xa0\x80"]', "The JSON is not in UTF-8: byte 2 is not valid."),
        (b"\xef\xbb\xbf{}", "JSON starts without a byte order mark."),
        (b'{"a": 1', "Not valid JSON: Expecting ',' delimiter (line 1 column 8)."),
        (b"{} {}", "Not valid JSON: Extra data (line 1 column 4)."),
        (b'{"a": "\n"}', "Not valid JSON: Invalid control character at (line 1 column 8)."),
        (b"[01]", "Not valid JSON: Expecting ',' delimiter (line 1 column 3)."),
        (b"['a']", "Not valid JSON: Expecting value (line 1 column 2)."),
    ],
)
def test_what_is_no_strict_json_is_refused_and_named(raw: bytes, message: str) -> None:
    refusal = refused(raw)
    assert (refusal.code, refusal.message) == (Code.BAD_REQUEST, message)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_only_utf_8_is_read(encoding: str) -> None:
    assert refused('{"query": "{a}"}'.encode(encoding)).code is Code.BAD_REQUEST


@pytest.mark.parametrize("number", ["1" * 1_001, "-" + "1" * 1_000, "0." + "1" * 999, "1" * 100_000])
def test_a_number_of_more_than_a_thousand_characters_is_refused(number: str) -> None:
    refusal = refused(number.encode())
    assert (refusal.code, refusal.extensions) == (Code.BAD_REQUEST, {"limit": 1_000})


def test_a_number_of_a_thousand_characters_is_read() -> None:
    assert READER.read(b"1" * 1_000) == int("1" * 1_000)


@pytest.mark.parametrize("raw", ['["\\u0000"]', '{"\\u0000": 1}', '[[{"a": "x\\u0000"}]]'])
def test_a_text_with_nul_is_refused(raw: str) -> None:
    assert refused(raw.encode()).message == "A text has the character U+0000."


@pytest.mark.parametrize("raw", ['["\\ud800"]', '["\\uDFFF"]', '{"\\udc00\\ud83d": 1}', '{"a": {"b": ["\\uDabc"]}}'])
def test_half_a_surrogate_pair_is_refused(raw: str) -> None:
    assert refused(raw.encode()).message == "A text has a lone surrogate, which is no character."


@pytest.mark.parametrize(
    ("raw", "text"), [('"\\ud83d\\ude00"', "😀"), ('"\\\\u0000"', "\\u0000"), ('"\\\\ud800"', "\\ud800")]
)
def test_what_only_looks_like_a_lone_surrogate_or_nul_is_read(raw: str, text: str) -> None:
    assert READER.read(raw.encode()) == text


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth // 2) + b"[" * (depth - depth // 2) + b"]" * (depth - depth // 2) + b"}" * (depth // 2)


def test_arrays_and_objects_nest_32_deep() -> None:
    assert READER.read(nested(32))


@pytest.mark.parametrize("depth", [33, 300, 3_000, 100_000])
def test_deeper_nesting_is_refused(depth: int) -> None:
    refusal = refused(nested(depth))
    assert (refusal.code, refusal.extensions) == (Code.BAD_REQUEST, {"limit": 32})


def test_many_objects_beside_each_other_are_not_deep() -> None:
    assert len(READER.read(b"[" + b",".join([b"{}"] * 1_000) + b"]")) == 1_000


def test_a_document_with_many_braces_is_not_deep() -> None:
    assert READER.read(json.dumps({"query": "{a" * 100 + "}" * 100}).encode())


def test_a_text_with_many_brackets_is_not_deep() -> None:
    assert READER.read(json.dumps("[" * 100).encode()) == "[" * 100


def test_the_depth_can_be_set() -> None:
    assert refused(b"[[[]]]", JsonReader(depth_max=2)).extensions == {"limit": 2}


def test_a_million_values_are_refused_before_they_are_made() -> None:
    refusal = refused(b"[" + b",".join([b"1"] * 1_000_000) + b"]")
    assert (refusal.code, refusal.extensions) == (Code.PAYLOAD_TOO_LARGE, {"limit": 250_000})


def values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts()
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts(), inner), max_leaves=20)


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@settings(deadline=None)
@given(values(), st.booleans())
def test_what_any_json_writer_writes_is_read_back(value: Any, ascii_only: bool) -> None:
    assert JsonReader(depth_max=100).read(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(deadline=None)
@given(st.binary() | st.text('[]{}",:\\u0dD8-+eE1.NaIft \n', max_size=40).map(str.encode))
def test_whatever_is_sent_is_read_or_refused(raw: bytes) -> None:
    try:
        READER.read(raw)
    except Refusal as refusal:
        assert refusal.code is Code.BAD_REQUEST


def _slowly(raw: bytes) -> Any:
    """Read by the exact reader alone."""
    try:
        return READER.read_text(_long(raw).decode("utf-8"))
    except (Refusal, UnicodeDecodeError) as error:
        return type(error)


def _long(raw: bytes) -> bytes:
    """The same value in a body that is worth being looked at level by level."""
    return raw + WIDE_MIN * b" "


def _read(raw: bytes) -> Any:
    """Read as a small body and as a large one."""
    small, large = _read_one(raw), _read_one(_long(raw))
    assert _same(small, large)
    return small


def _read_one(raw: bytes) -> Any:
    try:
        return READER.read(raw)
    except Refusal as refusal:
        return UnicodeDecodeError if "is not in UTF-8" in refusal.message else type(refusal)


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    match one:
        case dict():
            return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
        case list():
            return len(one) == len(other) and all(map(_same, one, other))
        case JsonNumber():
            return bool(one.text == other.text)
        case _:
            return repr(one) == repr(other)


PARTS = [
    *(
        '"',
        '":',
        '" :',
        '"\t:',
        '"  :',
        "\\",
        '\\"',
        '\\":',
        "\\u0000",
        "\\ud800",
        "\\u0041",
        ":",
        ",",
        "{",
        "}",
        "[",
        "]",
    ),
    *('"a"', '"b"', '"a":', '"b":', '"a" :', '"a":1', '"a":1,', '{"a":1}', '{"a":1,"a":2}', '{"a" :1,"a":2}'),
    *("1", "-0", "0", "1.50", "1e5", "18446744073709551616", "true", "null", "NaN", " ", "\n", "\ufeff", "é", "\x00"),
]


@given(st.lists(st.sampled_from(PARTS), max_size=12).map(lambda parts: "".join(parts).encode()))
@settings(max_examples=2000)
def test_the_quick_reader_reads_what_the_exact_one_does(raw: bytes) -> None:
    assert _same(_read(raw), _slowly(raw))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    ),
    st.booleans(),
)
def test_any_value_is_read_alike_however_it_is_written(value: Any, is_ascii: bool) -> None:
    for separators in ((",", ":"), (", ", ": "), (" ,", " :")):
        try:
            raw = json.dumps(value, ensure_ascii=is_ascii, separators=separators).encode()
        except UnicodeEncodeError:
            return
        assert _same(_read(raw), _slowly(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a" :1,"a":2}',
        b'{"a":1,"a":"x\\":y"}',
        b'{"b":"\\":","a":1,"a":2}',
        b'{"a":{"b":1,"b":2},"c" :3}',
        b'[{"a":1},{"a":1,"a":1}]',
    ],
)
def test_a_key_that_stands_twice_is_found_however_it_is_hidden(raw: bytes) -> None:
    assert "stands twice" in refused(raw).message
    assert "stands twice" in refused(_long(raw)).message


def test_what_the_quick_reader_takes_is_what_clients_send() -> None:
    sent = {"query": "query A($id: ID!) { account(id: $id) { name } }", "variables": {"id": "1", "n": 12, "x": [None]}}
    for separators in ((",", ":"), (", ", ": ")):
        body = json.dumps(sent, separators=separators).encode()
        assert READER._read_quickly(body) == READER.read(body) == sent
        assert READER._read_quickly(_long(body)) == READER.read(_long(body)) == sent
