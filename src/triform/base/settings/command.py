"""Commands with verbs: `triform NAME VERB --flags`, a settings class for each verb."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from triform.base.errors import UsageError
from triform.base.logging import write_output
from triform.base.settings.config import Settings, parse
from triform.base.settings.nearest import nearest
from triform.base.text_table import format_table

HELP_WORDS = ("-h", "--help", "help")


@dataclass(frozen=True)
class CommandResult:
    """Result of a verb: data with its own text or exit status.

    Attributes:
        data: Plain data, for `--json`.
        text: Text to show; by default a table of the data.
        status: Exit status.
    """

    data: Any
    text: str | None = None
    status: int = 0


class Verb(NamedTuple):
    """One verb of a command.

    Attributes:
        settings: Its settings; the docstring is the help text.
        function: Runs it; returns plain data, a `CommandResult`, or None for no output. Arrays
            and objects in a mapping are for callers in Python and not printed.
    """

    settings: type[Settings]
    function: Callable[[Any], Any]


def run_command(name: str, summary: str, verbs: Mapping[str, Verb], argv: Sequence[str]) -> int:
    """Run `triform NAME VERB ...`.

    Args:
        name: Of the command.
        summary: One line of description.
        verbs: Verb -> settings and function.
        argv: Arguments after the command.

    Returns:
        Exit status.

    Raises:
        UsageError: No such verb, or wrong settings.
    """
    if not argv or argv[0] in HELP_WORDS:
        settings = {verb: each.settings for verb, each in verbs.items()}
        write_output("\n".join(verbs_help(name, summary, settings)))
        return 0
    verb, *arguments = argv
    if verb not in verbs:
        raise UsageError(
            f"unknown verb of {name} {verb!r}{nearest(verb, verbs) or f': {known_names(verbs)}'}"
        )
    return run_verb(f"triform {name} {verb}", verbs[verb], arguments)


def run_verb(prog: str, verb: Verb, argv: Sequence[str], presets: Path | None = None) -> int:
    """Parse the settings of a verb, run it and print its result.

    Args:
        prog: The command, for the help screen.
        verb: Settings and function.
        argv: Arguments after the verb.
        presets: Folder of YAML presets.

    Returns:
        Exit status.
    """
    as_json = "--json" in argv
    arguments = [argument for argument in argv if argument != "--json"]
    settings = parse(verb.settings, arguments, presets, prog=prog)
    result = verb.function(settings)
    if not isinstance(result, CommandResult):
        result = CommandResult(plain(result))
    if result.data is not None or result.text is not None:
        text = format_table(result.data) if result.text is None else result.text
        write_output(result.data if as_json else text, as_json=as_json)
    return result.status


def plain(data: Any) -> Any:
    """The part of a result that can be printed: without arrays and objects, such as meshes."""
    if isinstance(data, list):
        return [plain(each) for each in data]
    if not isinstance(data, Mapping):
        return data
    return {name: plain(value) for name, value in data.items() if not _is_object(value)}


def without_paths(value: Any, folder: Path) -> Any:
    """Plain data for others: no text is an absolute path, and every number is finite.

    Args:
        value: Plain data, with numbers of numpy or torch and paths.
        folder: A path below it becomes a relative one, with forward slashes; others keep their
            last parts.
    """
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): without_paths(each, folder) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(each, folder) for each in value]
    if isinstance(value, Path) or (isinstance(value, str) and os.path.isabs(value)):
        path = Path(value)
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
        return "/".join(path.parts[-2:]) if len(path.parts) > 2 else path.name
    return value


def _is_object(value: Any) -> bool:
    """Whether a value is an array, or an instance of a class of fields, such as a mesh."""
    return getattr(value, "ndim", 0) > 0 or is_dataclass(value)


def verbs_help(name: str, summary: str, verbs: Mapping[str, type[Settings]]) -> list[str]:
    """Help screen of a command: its verbs with the first line of their help."""
    width = max(len(verb) for verb in verbs)
    lines = [f"triform {name}: {summary}", "", "verbs"]
    for verb, settings in verbs.items():
        lines.append(f"  {verb:{width}}  {(settings.__doc__ or '').strip().partition(chr(10))[0]}")
    lines += ["", f"flags of a verb: triform {name} VERB --help; answers as JSON: --json"]
    return lines


def known_names(names: Mapping[str, Any]) -> str:
    """The names, for a message."""
    return f"known: {', '.join(names)}"
