"""Errors that a user can do something about.

Their text is one line: which file, field or flag, the value seen, and what to do.
"""


class UserError(Exception):
    """Something outside the program is wrong (a file, the machine, the data); exit status 1."""

    exit_status = 1


class UsageError(UserError):
    """A flag or a setting is wrong; exit status 2."""

    exit_status = 2
