"""Numbers as they were written, so that no digit is lost on the way to an exact amount."""

from typing import Self


class JsonNumber(float):
    """A JSON number with a point or an exponent: a float to whoever wants one, with its digits in `text`.

    `text` is what the sender wrote ("11111111111.00", "1e400"); an exact reader takes it and never the float.
    Raises ValueError for a text that is no number.
    """

    __slots__ = ("text",)

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number
