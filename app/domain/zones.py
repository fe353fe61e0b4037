"""Time zones: those of the pinned tzdata package, the same on every machine."""

from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo


@cache
def names() -> frozenset[str]:
    """The IANA names that the package holds."""
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="ascii")
    return frozenset(listed.split())


@cache
def _read(name: str) -> ZoneInfo:
    place = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with place.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def zone(name: str) -> ZoneInfo | None:
    """The zone of a name, letter for letter; None where there is none."""
    return _read(name) if name in names() else None
