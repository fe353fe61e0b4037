"""Time zones: those of the pinned tzdata package, the same on every machine."""

from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo


@cache
def names() -> frozenset[str]:
    """The IANA names that the package lists."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii")
    return frozenset(listed.split())


@cache
def _read(name: str) -> ZoneInfo:
    # ZoneInfo(name) would prefer the system's files, and to forbid it that is a setting of the whole process. Two
    # threads that read a zone at once make it twice; that is harmless, for instants are compared in UTC.
    place = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with place.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name, letter for letter; None where the package lists no such name."""
    # Only a listed name becomes a path, and only listed names are kept.
    return _read(name) if name in names() else None
