"""Numbers as they were written."""


class JsonNumber(float):
    """A JSON number with a point or an exponent: a float for who wants one, with the digits that were written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "JsonNumber":
        number = super().__new__(cls, text)
        number.text = text
        return number
