"""The base of every error that the user's input causes, and text of any origin made fit for a message."""

from collections.abc import Sequence
from difflib import get_close_matches

LONGEST = 200
"""Characters that a message takes over from a file or from a library's error."""


SIMILAR = 8
"""Names that the error for a wrong one suggests."""


class InputError(ValueError):
    """Input that is not what it should be. The command prints its message in one line, without a traceback."""


def printable(text: str) -> str:
    """The text as one line of at most `LONGEST` characters that can be shown, and written to any file."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def similar_names(name: str, known: Sequence[str], otherwise: str) -> str:
    """The known names that are most like a wrong one, for its error, or what to say where none is."""
    return ", ".join(get_close_matches(name, known, SIMILAR, cutoff=0.5)) or otherwise
