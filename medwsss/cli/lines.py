"""Lines for a terminal that hold names of files."""


def one_line(text: str) -> str:
    """The text without line breaks, and without signs that would steer the terminal: names of files may hold both."""
    line = " ".join(text.splitlines())
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
