"""Console and file logging, and output of results.

Messages go to standard error, results to standard output, so that `triform ... --json | jq`
works. Without a terminal only notices and warnings are shown; a log file gets every message. A
message is one line of printable characters, whatever untrusted names it contains.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

from triform.base.files import open_append
from triform.base.printable import escape_json, printable

ROOT = "triform"
NOTICE = 25
"""Level of the few messages that are shown without a terminal too: beginning, progress, end."""
logging.addLevelName(NOTICE, "NOTICE")


def get_logger(name: str) -> logging.Logger:
    """Logger of a module: `logger = get_logger(__name__)`."""
    return logging.getLogger(name if name.split(".")[0] == ROOT else f"{ROOT}.{name}")


def set_up_console(level: int | None = None) -> None:
    """Show messages on standard error, once per process.

    Args:
        level: Lowest level shown; by default INFO on a terminal and NOTICE where the output is
            piped into a file or another program.
    """
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    # Messages of libraries name files and what is in them, too.
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableFormatter())
    warnings.formatwarning = _format_warning
    if level is None:
        level = logging.INFO if sys.stderr.isatty() else NOTICE
    for handler in logger.handlers:
        if isinstance(handler, _Console):
            handler.setLevel(level)
            return
    console = _Console()
    console.setLevel(level)
    logger.addHandler(console)


def add_log_file(path: Path) -> logging.Handler:
    """Append every message, DEBUG included, to a file as well.

    Args:
        path: The file; its folder must exist.

    Returns:
        The handler, for `remove_log_file`.

    Raises:
        UserError: The file is a link, a device or a pipe.
    """
    handler = _LogFile(open_append(path, text=True))
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logger = logging.getLogger(ROOT)
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    return handler


def remove_log_file(handler: logging.Handler) -> None:
    """Stop writing to a file that `add_log_file` opened."""
    logging.getLogger(ROOT).removeHandler(handler)
    handler.close()


def write_output(result: Any, *, as_json: bool = False) -> None:
    """Write a result to standard output, as text or as JSON.

    Args:
        result: A string, or plain data for JSON.
        as_json: Write JSON. It holds the data exactly; control characters are escaped.
    """
    if as_json:
        text = escape_json(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        text = printable(str(result), line_breaks=True)
    sys.stdout.write(text + "\n")


class PrintableFormatter(logging.Formatter):
    """Format messages as single lines of printable characters, tracebacks indented below."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record; the record itself stays as it is for other handlers."""
        line = printable(self._style.format(self._with_text(record)))
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        parts += [self.formatStack(record.stack_info)] if record.stack_info else []
        trace = [printable(each) for part in parts for each in part.split("\n")]
        return "\n    ".join([line, *trace])

    def _with_text(self, record: logging.LogRecord) -> logging.LogRecord:
        """Set the texts of a record that its line is made of."""
        record.message = record.getMessage()
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        return record


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Format a warning of Python or of a library as one line."""
    return printable(f"{filename}:{lineno}: {category.__name__}: {message}") + "\n"


class _LogFile(logging.StreamHandler[Any]):
    """Handler of a file, which is closed with the handler."""

    def close(self) -> None:
        """Close the file."""
        self.stream.close()
        super().close()


class _Console(logging.Handler):
    """Handler of standard error that does not break a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show one message; warnings and errors with their level in front."""
        try:
            text = printable(record.getMessage())
            if record.levelno >= logging.WARNING:
                text = f"{record.levelname.lower()}: {text}"
            if "tqdm" in sys.modules:
                from tqdm import tqdm

                tqdm.write(text, file=sys.stderr)
            else:
                sys.stderr.write(text + "\n")
        except Exception:
            self.handleError(record)
