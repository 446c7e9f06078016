"""The base of every error that the user's input causes, and text of any origin made fit for a message."""

LONGEST = 200
"""Characters that a message takes over from a file or from a library's error."""


class InputError(ValueError):
    """Input that is not what it should be. The command prints its message in one line, without a traceback."""


def printable(text: str) -> str:
    """The text as one line of at most `LONGEST` characters that can be shown, and written to any file."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
