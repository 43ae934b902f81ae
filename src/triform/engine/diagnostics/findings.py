"""Results of the checks of `triform doctor`. No torch here."""

from typing import Literal

Status = Literal["ok", "warning", "missing", "wrong"]
Finding = dict[str, str]


def finding(check: str, status: Status, detail: str, advice: str = "") -> Finding:
    """One row of the table of `triform doctor`.

    Args:
        check: What was checked.
        status: How it is.
        detail: What was found.
        advice: What to do; empty where nothing is to be done.
    """
    return {"check": check, "status": status, "detail": detail, "advice": advice}
