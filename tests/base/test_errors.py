"""Exit statuses of errors."""

from triform.base.errors import UsageError, UserError


def test_usage_errors_are_user_errors_with_their_own_status() -> None:
    """Scripts tell a wrong flag (2) from a bad file (1)."""
    assert issubclass(UsageError, UserError)
    assert (UserError.exit_status, UsageError.exit_status) == (1, 2)
