"""Errors that a user can do something about.

Their text is one line: which file, field or flag, the value seen, and what to do.
"""

from triform.base.printable import shorten_middle

MAX_MESSAGE = 400
"""Characters of an error message; of a longer one the middle is left out."""


def one_line(message: str) -> str:
    """A message in one line of at most `MAX_MESSAGE` characters."""
    return shorten_middle(" ".join(message.split()), MAX_MESSAGE)


class UserError(Exception):
    """Something outside the program is wrong (a file, the machine, the data); exit status 1."""

    exit_status = 1

    def __str__(self) -> str:
        """The message as one line, whatever a library wrote into it."""
        return one_line(super().__str__())


class Terminated(KeyboardInterrupt):
    """The system asks the program to end (SIGTERM): all that Ctrl-C does, with another status."""


class UsageError(UserError):
    """A flag or a setting is wrong; exit status 2."""

    exit_status = 2
