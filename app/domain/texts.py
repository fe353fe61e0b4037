"""Which texts may name something."""


def blank(text: str) -> bool:
    """Whether a text is empty or only white space."""
    return not text or text.isspace()


def allowed(text: str) -> bool:
    """Whether a text holds no character of Unicode's categories C*, Zl, Zp, nor of Zs other than the space.

    An empty text is allowed: whether one is missing is another question.
    """
    # Python calls exactly these characters not printable; a test compares them all.
    return text.isprintable()
