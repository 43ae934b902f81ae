"""The command `triform`: `triform SYSTEM VERB --flags`, and the other commands.

Imports nothing heavy before the command is known. Errors become one line and an exit status here.
"""

import argparse
import contextlib
import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import triform
from triform import systems
from triform.base.errors import Terminated, UsageError, UserError, one_line
from triform.base.files import machine_error, write_private
from triform.base.logging import set_up_console, write_output
from triform.base.printable import printable
from triform.base.settings.command import HELP_WORDS, Verb, run_verb, verbs_help
from triform.base.settings.nearest import nearest

OTHER_COMMANDS = {
    "data": "data sets: list, get, pick, clear",
    "shapes": "libraries of shapes for training and search: prepare, check, show",
    "runs": "training runs: list, compare, open, export",
    "serve": "the web application: shapes, search, captions, training in a browser",
    "doctor": "what is installed, what works on this machine, what is missing",
}
FIRST_SYSTEM = "voxel_gan"
"""System that the overview shows first."""
SIGPIPE_STATUS = 141
INTERRUPT_STATUS = 130
TERMINATED_STATUS = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; those of the process by default.

    Returns:
        Exit status: 0, 1 for an error, 2 for wrong usage, 130 for Ctrl-C, 143 for SIGTERM.
    """
    if "_ARGCOMPLETE" in os.environ:
        complete()  # called by the shell when Tab is pressed; ends the process
    arguments = list(sys.argv[1:] if argv is None else argv)
    set_up_console()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a letter shows its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with sigterm_as_exception():
            status = run(arguments)
        sys.stdout.flush()
        return status
    except UserError as error:
        return print_error(str(error), error.exit_status)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Terminated:
        return print_error("stopped by SIGTERM", TERMINATED_STATUS)
    except KeyboardInterrupt:
        return print_error("stopped by Ctrl-C", INTERRUPT_STATUS)
    except BrokenPipeError:
        # The reader (`| head`) has gone. Python would report it again when it flushes at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return SIGPIPE_STATUS
    except ModuleNotFoundError as error:
        if (error.name or "triform").partition(".")[0] == "triform":
            return report_crash(error)
        return print_error(
            f"this command needs the package {error.name!r}, which is not installed; "
            "`triform doctor` says what is missing and how to install it",
            1,
        )
    except Exception as error:  # users never see a traceback
        return print_error(reason, 1) if (reason := machine_error(error)) else report_crash(error)


@contextlib.contextmanager
def sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM end the program as Ctrl-C does, unless a program that calls this handles it."""

    def handle(signal_number: int, frame: FrameType | None) -> None:
        raise Terminated

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run(arguments: list[str]) -> int:
    """Find the command and run it; the caller handles errors."""
    if not arguments or arguments[0] in HELP_WORDS:
        write_output(overview())
        return 0
    name, *rest = arguments
    refuse_mode(arguments)
    if name in ("-V", "--version"):
        write_output(f"triform {triform.__version__}")
        return 0
    if name == "--completion":
        from argcomplete import shellcode

        script = shellcode(["triform"], True, rest[0] if rest else "bash")  # type: ignore[no-untyped-call]
        write_output(script)
        return 0
    match name:
        case "data":
            from triform.datasets.commands import main as command
        case "shapes":
            from triform.datasets.library.commands import main as command
        case "runs":
            from triform.engine.runs.commands import main as command
        case "serve":
            from triform.web.commands import main as command
        case "doctor":
            from triform.engine.diagnostics.doctor import main as command
        case _:
            return run_system(name, rest)
    return command(rest)


def refuse_mode(arguments: Sequence[str]) -> None:
    """Refuse `--mode VERB`, as the documents wrote it, with the command that is meant."""
    position = next(
        (i for i, word in enumerate(arguments) if word.partition("=")[0] == "--mode"), None
    )
    if position is None:
        return
    attached = arguments[position].partition("=")[2]
    mode = attached or next(iter(arguments[position + 1 :]), "VERB")
    system = arguments[0] if arguments[0] in systems.names() else "SYSTEM"
    example = f"; for the program of the document: triform {FIRST_SYSTEM} {mode}"
    raise UsageError(
        f"--mode {mode}: is a word behind the system here: triform {system} {mode} --flags"
        + (example if system == "SYSTEM" else "")
    )


def complete() -> None:
    """Answer the shell with the words that fit: commands, verbs, flags, presets and values."""
    import argcomplete

    point = int(os.environ.get("COMP_POINT", "0"))
    line = os.environ.get("COMP_LINE", "").encode()[:point].decode(errors="ignore")
    argcomplete.autocomplete(completion_parser(line.split()[1:]))


def completion_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of the commands, with verbs and flags of the one that is being typed.

    Args:
        words: What was typed after `triform`.
    """
    from triform.base.settings.flags import FlagTable, build_parser

    parser = argparse.ArgumentParser("triform", add_help=False)
    commands = parser.add_subparsers()
    name, verb = [*words, "", ""][:2]
    for command in (*systems.names(), *OTHER_COMMANDS):
        verbs = commands.add_parser(command, add_help=False)
        if command != name or not (settings := verb_settings(name)):
            continue
        choices = verbs.add_subparsers()
        for each, settings_class in settings.items():
            flags = []
            if each == verb:
                presets = [path.stem for path in (systems.FOLDER / name).glob("presets/*.yaml")]
                flags.append(build_parser(FlagTable(settings_class), {}, "", "", presets))
            choices.add_parser(each, add_help=False, parents=flags)
    return parser


def verb_settings(name: str) -> Mapping[str, Any]:
    """Verb -> class of its settings, of a command."""
    match name:
        case "data":
            from triform.datasets.commands import VERBS as verbs
        case "shapes":
            from triform.datasets.library.commands import VERBS as verbs
        case "runs":
            from triform.engine.runs.commands import VERBS as verbs
        case "doctor" | "serve":
            return {}
        case _:
            config_verbs: Mapping[str, Any] = systems.load(name).config.VERBS
            return config_verbs
    return {verb: each.settings for verb, each in verbs.items()}


def run_system(name: str, arguments: list[str]) -> int:
    """Run `triform NAME VERB --flags`."""
    if name not in systems.names():
        raise UsageError(
            unknown_name("command", name, [*systems.names(), *OTHER_COMMANDS])
            + "; `triform` alone lists them"
        )
    entry = systems.load(name)
    verbs: Mapping[str, Any] = entry.config.VERBS
    if not arguments or arguments[0] in HELP_WORDS:
        write_output(system_help(entry, verbs))
        return 0
    verb, *flags = arguments
    if verb not in verbs:
        raise UsageError(unknown_name(f"verb of {name}", verb, list(verbs)))

    def function(settings: Any) -> Any:
        from triform.base.malloc import keep_freed_memory

        keep_freed_memory()
        if not any(word.partition("=")[0] == "--device" for word in flags) and getattr(
            settings, "device", "auto"
        ) not in ("auto", "cpu"):
            from triform.engine.device import with_available_device

            settings = with_available_device(settings)
        from triform.base.settings.command_record import CommandRecorder

        recorder = CommandRecorder(settings)
        result = entry.verb(verb)(settings)
        recorder.write(name, verb, [word for word in flags if word != "--json"], result)
        return result

    return run_verb(f"triform {name} {verb}", Verb(verbs[verb], function), flags, entry.presets)


def unknown_name(what: str, name: str, known: Sequence[str]) -> str:
    """Error message about an unknown name, with the nearest known one."""
    hint = nearest(name, known) or f"; known: {', '.join(known)}"
    return f"unknown {what} {name!r}{hint}"


def overview() -> str:
    """Output of `triform` without arguments: all commands."""
    names = sorted(systems.names(), key=lambda name: (name != FIRST_SYSTEM, name))
    entries = [systems.load(name) for name in names]
    summaries = [(entry.name, entry.summary) for entry in entries]
    width = max(len(name) for name, _ in [*summaries, *OTHER_COMMANDS.items()])
    lines = ["triform: text, images and 3D shapes in one toolkit", ""]
    lines += [
        "  triform SYSTEM                 what a system can do",
        "  triform SYSTEM VERB --flags    do it (--help: all flags; --json: the answer as data)",
        "",
        "systems",
    ]
    lines += [f"  {name:{width}}  {summary}" for name, summary in summaries]
    lines += ["", "other commands"]
    lines += [f"  {name:{width}}  {summary}" for name, summary in OTHER_COMMANDS.items()]
    examples = [entry.example for entry in entries if entry.example]
    if examples:
        lines += ["", "to begin", f"  {examples[0]}"]
    return "\n".join(lines)


def system_help(entry: systems.Entry, verbs: Mapping[str, Any]) -> str:
    """Output of `triform SYSTEM`: its verbs and presets."""
    *lines, _, flags = verbs_help(entry.name, entry.summary, verbs)
    presets = sorted(path.stem for path in entry.presets.glob("*.yaml"))
    if presets:
        lines += ["", f"presets (--config NAME): {', '.join(presets)}"]
    if entry.example:
        lines += ["", "to begin", f"  {entry.example}"]
    return "\n".join([*lines, "", flags])


def print_error(message: str, status: int) -> int:
    """Print one line of printable characters on standard error; returns the exit status.

    All errors reach the terminal here: the names in them are untrusted.
    """
    line = one_line(printable(one_line(message)))
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.write(f"triform: {line}\n")
    return status


def report_crash(error: Exception) -> int:
    """Write the traceback to a file and print one line that names the error and the file."""
    trace = printable("".join(traceback.format_exception(error)), line_breaks=True)
    reason = " ".join(str(error).split())[:200]
    try:
        path = write_private(f"triform-error-{time.strftime('%Y%m%d-%H%M%S')}-", ".log", trace)
    except OSError:
        return print_error(f"{type(error).__name__}: {reason}", 1)
    return print_error(f"{type(error).__name__}: {reason} (the full traceback is in {path})", 1)


if __name__ == "__main__":
    sys.exit(main())
