"""JSON bodies: how those of requests are read without losing a digit, and how those of refusals are written."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import orjson
from starlette.types import Receive

from app.domain.numbers import JsonNumber
from app.domain.refusals import Code, Refusal
from app.web.operations import Asked

DEPTH_MAX = 32
"""Arrays and objects within each other."""
HELD_MIN = 16_384
"""Bytes of a body that counts with all others; smaller ones are held by the number of connections."""
VALUES_MAX = 250_000
"""Commas in a body. A batch of 10,000 items with all their nine keys has 100,000."""
NUMBER_MAX = 1_000
"""Characters of one number."""

WIDE_MIN = 2_000
"""Bytes of a body that is worth being looked at level by level."""

_SHOWN_MAX = 40
"""Characters of a sender's text that a message repeats."""

_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""What U+0000 or half a surrogate pair can come from: raw, neither is valid JSON in UTF-8."""


def bad(message: str) -> Refusal:
    """The refusal of a request that is not what it should be."""
    return Refusal(Code.BAD_REQUEST, message)


class ClientGoneError(Exception):
    """The client hung up before its request was answered, so that there is nobody to answer."""


class BodyReader:
    """Reads the bodies of requests straight from the server.

    body_max: bytes of a body.
    seconds: how long a body may take to arrive. All bodies share one timer, as one for each would cost more than
    reading it. So a reader serves one event loop.
    held_max: bytes of all bodies that are being read, or were and are not released; small ones don't count.
    """

    def __init__(self, body_max: int, seconds: float, held_max: int | None = None) -> None:
        self._body_max = body_max
        self._seconds = seconds
        self._held_max = held_max
        self._held: dict[asyncio.Task[Any], int] = {}
        self._total = 0
        # In order of time, as all are given the same time.
        self._due: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive) -> bytes:
        """The body of one request.

        Raises Refusal(PAYLOAD_TOO_LARGE) as soon as too many bytes have come, whatever is still to come,
        Refusal(UNAVAILABLE) where all bodies together are too large, Refusal(TIMEOUT) where it is not complete in time,
        and ClientGoneError. Until the running task releases it, a large body counts with the others.
        """
        task = asyncio.current_task()
        assert task is not None
        self._watch(task)
        try:
            return await self._whole(receive, task)
        except asyncio.CancelledError:
            if task not in self._late or task.uncancel() > 0:
                raise
            raise Refusal(Code.TIMEOUT, f"The body did not arrive within {self._seconds:g} s.") from None
        finally:
            self._due.pop(task, None)
            self._late.discard(task)

    def release(self) -> None:
        """Forget the body that the running task has read."""
        if self._held:
            task = asyncio.current_task()
            assert task is not None
            self._total -= self._held.pop(task, 0)

    def _hold(self, task: asyncio.Task[Any], size: int) -> None:
        if self._held_max is None or size < HELD_MIN:
            return
        self._total += size - self._held.get(task, 0)
        self._held[task] = size
        if self._total > self._held_max:
            message = "Too many large requests at once: try again."
            raise Refusal(Code.UNAVAILABLE, message, limit=self._held_max, retryAfter=1)

    async def _whole(self, receive: Receive, task: asyncio.Task[Any]) -> bytes:
        message = await receive()
        body: bytes | bytearray = message.get("body", b"")
        if message.get("more_body", False):
            body = bytearray(body)
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if len(body) > self._body_max:
                raise too_large(self._body_max)
            self._hold(task, len(body))
            if not message.get("more_body", False):
                return bytes(body)
            message = await receive()
            body += message.get("body", b"")

    def _watch(self, task: asyncio.Task[Any]) -> None:
        loop = asyncio.get_running_loop()
        self._due[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._interrupt, loop)

    def _interrupt(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the waiting of all whose time is up, and come again when the next one's is."""
        self._timer = None
        for task, due in list(self._due.items()):
            if due > loop.time():
                self._timer = loop.call_at(due, self._interrupt, loop)
                return
            del self._due[task]
            self._late.add(task)
            task.cancel()


def too_large(body_max: int) -> Refusal:
    return Refusal(Code.PAYLOAD_TOO_LARGE, f"A body has at most {body_max} bytes.", limit=body_max)


class JsonReader:
    """Reads JSON strictly: what two readers could understand differently is refused.

    Refused with BAD_REQUEST: anything but UTF-8 without a byte order mark, duplicate keys, NaN and Infinity, text after
    the value, more than `depth_max` arrays and objects within each other, numbers of more than 1,000 characters, and
    texts with U+0000 or a lone surrogate. With PAYLOAD_TOO_LARGE: more than `values_max` commas, which are counted
    before anything is built. Numbers with a point or an exponent become `JsonNumber`.
    """

    def __init__(self, depth_max: int = DEPTH_MAX, values_max: int = VALUES_MAX, number_max: int = NUMBER_MAX) -> None:
        self._depth_max = depth_max
        self._values_max = values_max
        self._number_max = number_max
        self._decode = json.JSONDecoder(
            object_pairs_hook=_object, parse_float=self._fraction, parse_int=self._integer, parse_constant=_constant
        ).decode

    def read(self, raw: bytes) -> Any:
        """The value that a body holds."""
        value = self._read_quickly(raw)
        if value is not _UNSURE:
            return value
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise bad(f"The JSON is not in UTF-8: byte {error.start} is not valid.") from None
        return self.read_text(text)

    def read_text(self, text: str) -> Any:
        """The value that a text holds."""
        if text.startswith("\ufeff"):
            raise bad("JSON starts without a byte order mark.")
        # Counting first is cheap, and an answer's size is known before its objects fill the memory.
        if text.count(",") > self._values_max:
            message = f"JSON with more than {self._values_max} values is not read."
            raise Refusal(Code.PAYLOAD_TOO_LARGE, message, limit=self._values_max)
        try:
            value = self._decode(text)
        except json.JSONDecodeError as error:
            raise bad(f"Not valid JSON: {error.msg} (line {error.lineno} column {error.colno}).") from None
        except RecursionError:
            raise self._too_deep() from None
        if text.count("[") + text.count("{") > self._depth_max:
            self._check_depth(value)
        if _SUSPECT_ESCAPE.search(text) is not None:
            _check_texts(value)
        return value

    def _read_quickly(self, raw: bytes) -> Any:
        """The same value by a reader several times as fast, which lets duplicate keys and digits go.

        _UNSURE where any may have gone, or anything else is to be said.
        """
        # A comma is a byte: where there are few, they need not be counted.
        if (len(raw) > self._values_max < raw.count(b",")) or (b"\\" in raw and b"\\u" in raw):
            return _UNSURE
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return _UNSURE
        keys = (_keys if len(raw) < WIDE_MIN else _keys_by_level)([value], self._depth_max)
        return value if keys is not None and _is_whole(value, keys, raw) else _UNSURE

    def _check_depth(self, value: Any) -> None:
        level: list[Any] = [[value]]
        for _ in range(self._depth_max + 1):
            # An exact comparison of types is enough, and fast, for what the decoder made itself.
            level = [
                inner
                for outer in level
                for inner in (outer.values() if type(outer) is dict else outer)
                if type(inner) is dict or type(inner) is list
            ]
            if not level:
                return
        raise self._too_deep()

    def _fraction(self, text: str) -> JsonNumber:
        if len(text) > self._number_max:
            raise self._long_number()
        return JsonNumber(text)

    def _integer(self, text: str) -> int:
        if len(text) > self._number_max:
            raise self._long_number()
        return int(text)

    def _long_number(self) -> Refusal:
        message = f"A number has at most {self._number_max} characters."
        return Refusal(Code.BAD_REQUEST, message, limit=self._number_max)

    def _too_deep(self) -> Refusal:
        message = f"Arrays and objects within each other: at most {self._depth_max}."
        return Refusal(Code.BAD_REQUEST, message, limit=self._depth_max)


def _keys(outer: Any, depth: int) -> int | None:
    """How many keys a value has, so deep at most; None where it is deeper, or has a fraction."""
    is_dict = type(outer) is dict
    keys = len(outer) if is_dict else 0
    for inner in outer.values() if is_dict else outer:
        kind = type(inner)
        if kind is str:
            continue
        if kind is float:
            return None
        if kind is dict or kind is list:
            more = _keys(inner, depth - 1) if depth else None
            if more is None:
                return None
            keys += more
    return keys


def _keys_by_level(outer: Any, depth: int) -> int | None:
    """The same, quicker where thousands stand side by side."""
    keys = 0
    level: list[Any] = [outer]
    for _ in range(depth + 1):
        dicts = [each for each in level if type(each) is dict]
        keys += sum(map(len, dicts))
        lists = level if not dicts else [each for each in level if type(each) is list]
        types = {*map(type, _within(dicts, lists))}
        if float in types:
            return None
        if types.isdisjoint(_CONTAINERS):
            return keys
        level = [each for each in _within(dicts, lists) if type(each) in _CONTAINERS]
    return None


def _within(dicts: Sequence[Any], lists: Sequence[Any]) -> Iterator[Any]:
    return chain(chain.from_iterable(map(dict.values, dicts)), chain.from_iterable(lists))


def _is_whole(value: Any, keys: int, raw: bytes) -> bool:
    """Whether a value without fractions has all keys of the text that it was read from; `keys` is how many it has.

    What is written as it was read has them all. Otherwise: without white space each key is followed by its colon at
    once, and all are there where it has as many as there are such colons. A text that holds the like has it escaped,
    and makes them more.
    """
    return orjson.dumps(value) == raw or keys == raw.translate(None, _SPACE).count(b'":')


_UNSURE = object()
_SPACE = b" \t\n\r"
_CONTAINERS = frozenset({dict, list})


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise bad(f"The key {shown(key)} stands twice in one object.")
            seen.add(key)
    return made


def _constant(name: str) -> NoReturn:
    raise bad(f"{name} is no JSON.")


def _check_texts(value: Any) -> None:
    """Look at every text, keys too. Takes no recursion, as the depth is already within its limit or about to be."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if type(found) is str:
            check_text(found)
        elif type(found) is dict:
            waiting += found.keys()
            waiting += found.values()
        elif type(found) is list:
            waiting += found


def check_text(text: str) -> None:
    """Raise BAD_REQUEST for a text that no database can hold: one with U+0000 or a lone surrogate."""
    if "\0" in text:
        raise bad("A text has the character U+0000.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise bad("A text has a lone surrogate, which is no character.") from None


def shown(text: str) -> str:
    """A sender's text as a message may repeat it: quoted, escaped and cut."""
    return json.dumps(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…")


_NAMES = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), "a number")


def asked_from(value: Any) -> Asked:
    """The request that a JSON value is.

    `variables`, `operationName` and `extensions` may be absent or null; `query` may where extensions.persistedQuery
    stands for it (then it is ""). Members of other names are passed over. Raises Refusal(BAD_REQUEST).
    """
    if type(value) is not dict:
        if type(value) is list:
            raise bad("A batch of operations is not answered: the body must be one JSON object.")
        raise bad(f"The body must be a JSON object, not {_kind(value)}.")
    variables = _map_of(value, "variables")
    extensions = _map_of(value, "extensions")
    name = value.get("operationName")
    if name is not None and type(name) is not str:
        raise bad(f'"operationName" must be a text, not {_kind(name)}.')
    query = value.get("query")
    if query is None:
        query = ""
    if type(query) is not str:
        raise bad(f'"query" must be a text, not {_kind(query)}.')
    if not query and "persistedQuery" not in extensions:
        raise bad('"query" is missing or empty.')
    return Asked(query, variables, name, extensions)


def _map_of(members: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = members.get(name)
    if value is None:
        return {}
    if type(value) is not dict:
        raise bad(f'"{name}" must be a JSON object, not {_kind(value)}.')
    return value


_PARAMETERS = frozenset({"query", "variables", "operationName", "extensions"})


def asked_from_url(query_string: bytes, reader: JsonReader) -> Asked:
    """The request that a URL's query is; an empty parameter is as an absent one. Raises Refusal(BAD_REQUEST)."""
    members: dict[str, Any] = {}
    for pair in query_string.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        name = _from_url(raw_name)
        if name not in _PARAMETERS:
            continue
        if name in members:
            raise bad(f"The parameter {name} stands twice in the URL.")
        members[name] = _from_url(raw_value) or None
    for name in ("variables", "extensions"):
        if members.get(name) is not None:
            members[name] = _member(name, members[name], reader)
    return asked_from(members)


def _member(name: str, text: str, reader: JsonReader) -> Any:
    try:
        return reader.read_text(text)
    except Refusal as refusal:
        raise Refusal(refusal.code, f"{name}: {refusal.message}", **refusal.extensions) from None


def _from_url(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise bad("The URL's query is not in UTF-8.") from None
    check_text(text)
    return text


def error_body(code: Code, message: str, extensions: Mapping[str, Any] | None = None) -> bytes:
    """The JSON body of a request that was not run."""
    error = {"message": message, "extensions": {"code": code, **(extensions or {})}}
    return json.dumps({"errors": [error]}, separators=(",", ":")).encode("ascii")
