"""The base of every error that the user's input causes."""


class InputError(ValueError):
    """Input that is not what it should be. The command prints its message in one line, without a traceback."""
