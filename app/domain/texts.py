"""Which texts may name something."""

import unicodedata
from functools import lru_cache

_FORBIDDEN = ("Zl", "Zp")


def blank(text: str) -> bool:
    """Whether a text is empty or only white space."""
    return not text or text.isspace()


@lru_cache(maxsize=4096)
def allowed(text: str) -> bool:
    """Whether a text holds no character of Unicode's categories C*, Zl, Zp, nor of Zs other than the space."""
    if text.isascii():
        return text.isprintable()
    return not any(_is_forbidden(character) for character in text)


def _is_forbidden(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] == "C" or category in _FORBIDDEN or (category == "Zs" and character != " ")
