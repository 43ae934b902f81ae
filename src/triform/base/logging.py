"""What the program says while it works.

Messages go to standard error, answers to standard output, so that `triform ... --json | jq`
works. Without a terminal only warnings are shown; a log file always gets everything.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

ROOT = "triform"


def get_logger(name: str) -> logging.Logger:
    """Logger of a module: `logger = get_logger(__name__)`."""
    return logging.getLogger(name if name.split(".")[0] == ROOT else f"{ROOT}.{name}")


def set_up_console(level: int | None = None) -> None:
    """Show messages on standard error, once per process.

    Args:
        level: Least level shown; by default INFO on a terminal and WARNING where the output is
            piped into a file or another program.
    """
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    if level is None:
        level = logging.INFO if sys.stderr.isatty() else logging.WARNING
    for handler in logger.handlers:
        if isinstance(handler, _Console):
            handler.setLevel(level)
            return
    console = _Console()
    console.setLevel(level)
    logger.addHandler(console)


def add_log_file(path: Path) -> logging.Handler:
    """Write every message, DEBUG included, to a file as well (appending).

    Args:
        path: The file; its folder must exist.

    Returns:
        The handler, for `remove_log_file`.
    """
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    return handler


def remove_log_file(handler: logging.Handler) -> None:
    """Stop writing to a file that `add_log_file` opened."""
    logging.getLogger(ROOT).removeHandler(handler)
    handler.close()


def write_answer(answer: Any, *, as_json: bool = False) -> None:
    """Write an answer to standard output: text as it is, anything else as JSON on request.

    Args:
        answer: A string, or plain data where `as_json` is set.
        as_json: Write JSON.
    """
    text = json.dumps(answer, indent=2, ensure_ascii=False) if as_json else str(answer)
    sys.stdout.write(text + "\n")


class _Console(logging.Handler):
    """Standard error, without tearing a progress bar apart."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one message; above INFO with its level in front."""
        try:
            text = record.getMessage()
            if record.levelno > logging.INFO:
                text = f"{record.levelname.lower()}: {text}"
            if "tqdm" in sys.modules:
                from tqdm import tqdm

                tqdm.write(text, file=sys.stderr)
            else:
                sys.stderr.write(text + "\n")
        except Exception:
            self.handleError(record)
