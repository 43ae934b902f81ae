"""The command `triform`: `triform SYSTEM VERB --flags`, and the commands of the house.

This module imports nothing heavy until it knows what was asked for. It is also the one place
that prints answers and that turns errors into one line and an exit status.
"""

import contextlib
import difflib
import io
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from triform import systems
from triform.base.errors import UsageError, UserError
from triform.base.files import disk_refusal, write_private
from triform.base.logging import set_up_console, write_answer
from triform.base.printable import printable, shortened
from triform.base.tables import table

HOUSE_COMMANDS = {
    "data": "data sets: list, get, pick, clear",
    "shapes": "libraries of shapes for training and search: prepare, check, show",
    "runs": "training runs: list, compare, open",
    "doctor": "what is installed, what works on this machine, what is missing",
}
SIGPIPE_STATUS = 141
INTERRUPT_STATUS = 130
LONGEST_MESSAGE = 2000


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        Exit status: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    set_up_console()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a letter shows its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = run(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        return complain(str(error), error.exit_status)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return complain("stopped by Ctrl-C", INTERRUPT_STATUS)
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would complain again when it flushes at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return SIGPIPE_STATUS
    except ModuleNotFoundError as error:
        if (error.name or "triform").partition(".")[0] == "triform":
            return report_crash(error)
        return complain(
            f"this command needs the package {error.name!r}, which is not installed; "
            "`triform doctor` says what is missing and how to install it",
            1,
        )
    except Exception as error:  # nobody is shown a traceback
        return complain(reason, 1) if (reason := machine_refuses(error)) else report_crash(error)


def run(arguments: list[str]) -> int:
    """Find the command and run it; errors are the caller's to handle."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        write_answer(screen())
        return 0
    name, *rest = arguments
    if name in ("-V", "--version"):
        write_answer(f"triform {version()}")
        return 0
    match name:
        case "data":
            from triform.datasets.commands import main as house_command
        case "shapes":
            from triform.datasets.library.commands import main as house_command
        case "runs":
            from triform.engine.runs import main as house_command
        case "doctor":
            from triform.engine.doctor import main as house_command
        case _:
            return run_system(name, rest)
    return house_command(rest)


def run_system(name: str, arguments: list[str]) -> int:
    """Run `triform NAME VERB --flags`."""
    if name not in systems.names():
        raise UsageError(
            unknown("command", name, [*systems.names(), *HOUSE_COMMANDS])
            + "; `triform` alone lists them"
        )
    entry = systems.load(name)
    verbs: Mapping[str, Any] = entry.config.VERBS
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        write_answer(system_screen(entry, verbs))
        return 0
    verb, *flags = arguments
    if verb not in verbs:
        raise UsageError(unknown(f"verb of {name}", verb, list(verbs)))
    as_json = "--json" in flags
    flags = [flag for flag in flags if flag != "--json"]

    from triform.base.config import parse
    from triform.base.freed_memory import keep_freed_memory

    settings = parse(verbs[verb], flags, entry.presets, prog=f"triform {name} {verb}")
    keep_freed_memory()
    answer = getattr(entry.system, verb)(settings)
    if answer is not None:
        write_answer(answer if as_json else table(answer), as_json=as_json)
    return 0


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """One line about a name that does not exist, with the nearest one that does."""
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"perhaps you meant {nearest[0]}" if nearest else f"known: {', '.join(known)}"
    return f"unknown {what} {name!r}: {hint}"


def version() -> str:
    """Version of the installed package."""
    from importlib.metadata import version as installed_version

    return installed_version("triform")


def screen() -> str:
    """What `triform` alone shows: everything in one screen."""
    entries = [systems.load(name) for name in systems.names()]
    summaries = [(entry.name, entry.summary) for entry in entries]
    width = max(len(name) for name, _ in [*summaries, *HOUSE_COMMANDS.items()])
    lines = ["triform: text, images and 3D shapes in one toolkit", ""]
    lines += [
        "  triform SYSTEM                 what a system can do",
        "  triform SYSTEM VERB --flags    do it (--help: all flags; --json: the answer as data)",
        "",
        "systems",
    ]
    lines += [f"  {name:{width}}  {summary}" for name, summary in summaries]
    lines += ["", "commands of the house"]
    lines += [f"  {name:{width}}  {summary}" for name, summary in HOUSE_COMMANDS.items()]
    examples = [entry.example for entry in entries if entry.example]
    if examples:
        lines += ["", "to begin", f"  {examples[0]}"]
    return "\n".join(lines)


def system_screen(entry: systems.Entry, verbs: Mapping[str, Any]) -> str:
    """What `triform SYSTEM` shows: its verbs and presets."""
    width = max(len(verb) for verb in verbs)
    lines = [f"triform {entry.name}: {entry.summary}", "", "verbs"]
    for verb, settings in verbs.items():
        lines.append(f"  {verb:{width}}  {(settings.__doc__ or '').strip().partition(chr(10))[0]}")
    presets = sorted(path.stem for path in entry.presets.glob("*.yaml"))
    if presets:
        lines += ["", f"presets (--config NAME): {', '.join(presets)}"]
    if entry.example:
        lines += ["", "to begin", f"  {entry.example}"]
    lines += ["", f"flags of a verb: triform {entry.name} VERB --help; answers as JSON: --json"]
    return "\n".join(lines)


def complain(message: str, status: int) -> int:
    """Print one line of printable characters on standard error and hand back the exit status.

    This is the one place where errors reach the terminal: the names in them are a stranger's.
    """
    line = shortened(printable(" ".join(message.split())), LONGEST_MESSAGE)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.write(f"triform: {line}\n")
    return status


def machine_refuses(error: Exception) -> str:
    """What the machine does not have or does not let us do, in one line; else empty.

    A file that cannot be made, read or written, a full disk, or too little memory: that is no
    mistake of the program, and its place in the program helps nobody.
    """
    failed = error if isinstance(error, OSError) else disk_refusal(error)
    if failed is not None and failed.strerror is not None:
        where = "" if failed.filename is None else f"{failed.filename}: "
        return f"{where}{failed.strerror[:1].lower()}{failed.strerror[1:]}"
    # As torch says it; its own class of error cannot be named without importing it.
    says_so = any(word in str(error).lower() for word in ("of memory", "enough memory", "e memory"))
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and says_so):
        return (
            "not enough memory for this; lower what costs it (--batch_size, --num_samples, sizes "
            "of images or grids), or use a machine with more"
        )
    return ""


def report_crash(error: Exception) -> int:
    """Keep the traceback in a file and say in one line what happened and where the file is."""
    trace = printable("".join(traceback.format_exception(error)), line_breaks=True)
    reason = " ".join(str(error).split())[:200]
    try:
        path = write_private(f"triform-error-{time.strftime('%Y%m%d-%H%M%S')}-", ".log", trace)
    except OSError:
        return complain(f"{type(error).__name__}: {reason}", 1)
    return complain(f"{type(error).__name__}: {reason} (the full traceback is in {path})", 1)
