"""Errors for users: one line, an exit status."""

from triform.base.errors import MAX_MESSAGE, UsageError, UserError


def test_usage_errors_are_user_errors_with_their_own_status() -> None:
    """Scripts tell a wrong flag (2) from a bad file (1)."""
    assert issubclass(UsageError, UserError)
    assert (UserError.exit_status, UsageError.exit_status) == (1, 2)


def test_an_error_is_one_line_of_bounded_length() -> None:
    keys = "\n\t".join(f"missing key {index}" for index in range(300))
    message = str(UserError(f"best.pth: {keys}\n; train it again"))
    assert len(message) <= MAX_MESSAGE and "\n" not in message and "\t" not in message
    assert message.startswith("best.pth: missing key 0 missing key 1 ")
    assert message.endswith("; train it again")
    assert str(UsageError("a b")) == "a b"
