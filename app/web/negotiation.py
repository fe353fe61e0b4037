"""Media types: what a client wants to read, and whether what it sends can be read.

Source of the rules: GraphQL over HTTP (draft), sections "Media Types" and "Accept"; RFC 9110, section 12.5.1.
"""

from enum import Enum
from functools import lru_cache
from typing import NamedTuple

_CACHED_MAX = 256
"""Bytes of a header that is worth remembering; clients send few different ones, attackers long ones."""


class Media(Enum):
    """What an answer can be."""

    JSON = "application/json"
    """The older type: every well-formed GraphQL request is answered with status 200."""
    GRAPHQL = "application/graphql-response+json"
    """The newer type: the status tells whether the operation ran."""
    EVENTS = "text/event-stream"
    HTML = "text/html"


_BY_NAME = {media.value: media for media in Media}


class _Range(NamedTuple):
    """One media range of an Accept header."""

    type: str
    subtype: str
    weight: float


def chosen(accept: bytes | None, *, events: bool = False, page: bool = False) -> Media | None:
    """The media type that a client wants most of what there is; None where it accepts nothing of it.

    JSON and GRAPHQL are always there, EVENTS and HTML where the arguments say so; those two are answered only to who
    names them: "*/*" and no Accept at all mean JSON. Of equal weights the named one wins over the wildcard, then
    GRAPHQL over JSON where both are named, then JSON; HTML never wins a tie. What is malformed counts as not said.
    """
    if accept is None:
        return Media.JSON
    if len(accept) <= _CACHED_MAX:
        return _remembered(accept, events, page)
    return _chosen(accept, events, page)


def _chosen(accept: bytes, events: bool, page: bool) -> Media | None:
    if not accept.strip(b" \t,"):
        return Media.JSON
    ranges = _ranges(accept)
    offers = [
        _offer(ranges, Media.GRAPHQL, tie=3, tie_of_wildcards=0),
        _offer(ranges, Media.JSON, tie=2, tie_of_wildcards=1),
    ]
    if events:
        offers.append(_offer(ranges, Media.EVENTS, tie=1))
    if page:
        offers.append(_offer(ranges, Media.HTML, tie=0))
    weight, _, _, media = max(offers, key=lambda offer: offer[:3])
    return media if weight > 0 else None


_remembered = lru_cache(maxsize=512)(_chosen)


def _offer(
    ranges: list[_Range], media: Media, *, tie: int, tie_of_wildcards: int | None = None
) -> tuple[float, int, int, Media]:
    """The weight of a media type, how closely it was named (0 to 2), and what decides between equals.

    The closest range alone says the weight (RFC 9110); without `tie_of_wildcards` wildcards don't count.
    """
    type_, subtype = media.value.split("/")
    levels = [(2, (type_, subtype), tie)]
    if tie_of_wildcards is not None:
        levels += [(1, (type_, "*"), tie_of_wildcards), (0, ("*", "*"), tie_of_wildcards)]
    for closeness, wanted, rank in levels:
        weights = [range_.weight for range_ in ranges if range_[:2] == wanted]
        if weights:
            return max(weights), closeness, rank, media
    return 0.0, 0, 0, media


def _ranges(accept: bytes) -> list[_Range]:
    found = []
    for part in accept.decode("latin-1").lower().split(","):
        name, parameters = _parameters(part)
        type_, slash, subtype = name.partition("/")
        if not slash or not type_ or not subtype or parameters is None:
            continue
        weight = _weight(parameters.get("q", "1"))
        if weight is not None and parameters.get("charset", "utf-8") == "utf-8":
            found.append(_Range(type_, subtype, weight))
    return found


def _weight(text: str) -> float | None:
    """A quality value of RFC 9110: 0 to 1 with at most three digits after the point."""
    whole, _, digits = text.partition(".")
    if whole not in {"0", "1"} or len(digits) > 3 or not (digits.isdecimal() or not digits):  # noqa: PLR2004 - RFC 9110.
        return None
    weight = float(text)
    return weight if weight <= 1 else None


def _parameters(text: str) -> tuple[str, dict[str, str] | None]:
    """A media type's name and its parameters in lower case; None instead of parameters that are none."""
    name, *rest = text.split(";")
    parameters: dict[str, str] = {}
    for parameter in rest:
        key, equals, value = parameter.strip(" \t").partition("=")
        if not key and not equals:
            continue
        if not key or not equals or not value or key in parameters:
            return name.strip(" \t"), None
        if value[0] == '"' == value[-1]:
            value = value[1:-1]
        parameters[key] = value
    return name.strip(" \t"), parameters


def is_json(content_type: bytes | None) -> bool:
    """Whether a body with this Content-Type is JSON in UTF-8; without one it is not."""
    if content_type is None:
        return False
    if content_type == b"application/json":
        return True
    name, parameters = _parameters(content_type.decode("latin-1").lower())
    return name == "application/json" and parameters is not None and parameters.get("charset", "utf-8") == "utf-8"
