"""Flags on the command line, derived from a settings class.

A flag is the path of a setting without the name of its group: `data.batch_size` is
`--batch_size`. Where a name would stand for two settings the group stays: `--scheduler.patience`.
The full path works always, and so do hyphens for underscores.
"""

import dataclasses
import difflib
import types
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union

import pydantic
from pydantic.fields import FieldInfo

from triform.base.errors import UsageError

SettingPath = tuple[str, ...]
BOOLEAN_WORDS = {"true", "false", "yes", "no", "on", "off", "1", "0"}


@dataclass(frozen=True)
class Flag:
    """One setting as a flag.

    Attributes:
        path: Names of the groups and of the setting.
        field: Its declaration.
        name: The flag as it is shown, without the two hyphens.
    """

    path: SettingPath
    field: FieldInfo
    name: str
    names: frozenset[str]

    @property
    def is_switch(self) -> bool:
        """Whether it is a truth value: `--amp`, `--no_amp`."""
        return self.field.annotation is bool

    @property
    def takes_many(self) -> bool:
        """Whether several values may follow it."""
        return any(_is_list(kind) for kind in _members(self.field.annotation))


class FlagTable:
    """All flags of a settings class."""

    def __init__(self, settings_class: type[pydantic.BaseModel]):
        found = list(_leaves(settings_class, (), prefixed=False))
        spellings = [_spellings(path, field) for path, field, _ in found]
        uses = Counter(name for names in spellings for name in names)
        self.flags: list[Flag] = []
        for (path, field, prefixed), names in zip(found, spellings, strict=True):
            full = ".".join(path)
            # A full path is never ambiguous: it wins over the short form of another setting.
            own = {name for name in names if uses[name] == 1 or name == full}
            short = ".".join(path[1:]) or full
            shown = short if short in own and not prefixed else full
            self.flags.append(Flag(path, field, shown, frozenset(own)))
        self._by_name = {name: flag for flag in self.flags for name in flag.names}
        self._shared = {
            name: [f.name for f, names in zip(self.flags, spellings, strict=True) if name in names]
            for name in uses
            if name not in self._by_name
        }

    def names(self) -> list[str]:
        """Every name that is accepted, the short ones first."""
        return sorted(self._by_name, key=lambda name: (len(name), name))

    def by_path(self, path: SettingPath) -> Flag | None:
        """The flag of a setting."""
        return next((flag for flag in self.flags if flag.path == path), None)

    def find(self, word: str) -> tuple[Flag, bool]:
        """Look a flag up.

        Args:
            word: As typed, without the hyphens and the value.

        Returns:
            The flag, and whether it was spelled `no_...`.

        Raises:
            UsageError: There is no such flag, or two settings share the name.
        """
        name = word.replace("-", "_")
        if name in self._by_name:
            return self._by_name[name], False
        group, dot, leaf = name.rpartition(".")
        positive = self._by_name.get(f"{group}{dot}{leaf.removeprefix('no_')}")
        if leaf.startswith("no_") and positive is not None and positive.is_switch:
            return positive, True
        if name in self._shared:
            choices = " or ".join(f"--{choice}" for choice in self._shared[name])
            raise UsageError(f"--{name} stands for two settings: say {choices}")
        raise UsageError(f"unknown flag --{word}{nearest(name, self.names(), prefix='--')}")

    def read(self, argv: Sequence[str]) -> dict[SettingPath, Any]:
        """Read a command line.

        Args:
            argv: Words, as the shell split them.

        Returns:
            Path -> what was typed: a string, a truth value, or a list of strings. The last one
            counts where a flag is repeated; a flag for many values collects them.

        Raises:
            UsageError: Unknown flag, missing value, or a word that belongs to no flag.
        """
        given: dict[SettingPath, Any] = {}
        words = list(argv)
        while words:
            word = words.pop(0)
            if not word.startswith("--") or word == "--":
                raise UsageError(f"unexpected {word!r}: a setting is written --name value")
            name, equals, attached = word[2:].partition("=")
            flag, negated = self.find(name)
            values = [attached] if equals else _take(words, flag)
            if flag.is_switch:
                given[flag.path] = _switch(name, values, negated=negated)
            elif not values:
                raise UsageError(f"--{name} needs a value")
            elif flag.takes_many:
                given[flag.path] = [*given.get(flag.path, []), *values]
            else:
                given[flag.path] = values[0]
        return given


def show_help(
    table: FlagTable,
    values: Mapping[SettingPath, Any],
    prog: str,
    description: str,
    presets: Iterable[str],
) -> None:
    """Print the help screen and leave with status 0.

    Args:
        table: The flags.
        values: Path -> value in force (class default, or from the file named by `--config`).
        prog: The command.
        description: What the command does.
        presets: Names that `--config` knows.
    """
    import tyro  # late: only a help screen needs it

    def entry(flag: Flag) -> tuple[str, Any, Any]:
        kind: Any = Annotated[
            flag.field.annotation,
            tyro.conf.arg(
                name=flag.name,
                prefix_name=False,
                help=flag.field.description,
                aliases=[
                    f"--{alias}"
                    for alias in aliases(flag.field)
                    if alias in flag.names and alias != flag.name
                ],
            ),
        ]
        if flag.path not in values:
            return flag.path[-1], kind, dataclasses.field(kw_only=True)
        value = values[flag.path]
        return flag.path[-1], kind, dataclasses.field(default_factory=lambda: value, kw_only=True)

    known = ", ".join(presets)
    config = tyro.conf.arg(
        help="YAML file with settings" + (f", or a preset: {known}" if known else "") + "."
    )
    top: list[tuple[str, Any, Any]] = [
        ("config", Annotated[str | None, config], dataclasses.field(default=None, kw_only=True))
    ]
    groups: dict[str, list[Flag]] = {}
    for flag in table.flags:
        if len(flag.path) == 1:
            top.append(entry(flag))
        else:
            groups.setdefault(".".join(flag.path[:-1]), []).append(flag)
    for name, flags in groups.items():
        group = dataclasses.make_dataclass(name.replace(".", "_"), [entry(flag) for flag in flags])
        group.__doc__ = ""
        top.append((name.replace(".", "_"), group, dataclasses.field(kw_only=True)))
    screen = dataclasses.make_dataclass("Settings", top)
    tyro.cli(screen, args=["--help"], prog=prog, description=description, use_underscores=True)


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`; perhaps you meant NAME`, or nothing where no name is near."""
    word, names = word.lower(), {name.lower(): name for name in known}
    # A part of a name is a better hint than letters in common: `cosine`, `plateau`.
    close = sorted((name for name in names if len(word) > 2 and word in name), key=len)
    close = close or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; perhaps you meant {prefix}{names[close[0]]}" if close else ""


def aliases(field: FieldInfo) -> list[str]:
    """Other documented names of a setting."""
    choices = field.validation_alias
    return (
        [str(name) for name in choices.choices]
        if isinstance(choices, pydantic.AliasChoices)
        else []
    )


def as_group(kind: Any) -> type[pydantic.BaseModel] | None:
    """The class of a group of settings; None where the type is that of one setting."""
    return kind if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel) else None


def _leaves(
    model: type[pydantic.BaseModel], path: SettingPath, *, prefixed: bool
) -> Iterable[tuple[SettingPath, FieldInfo, bool]]:
    """Settings of a class and of its groups, in the order of their declaration."""
    for name, field in model.model_fields.items():
        group = as_group(field.annotation)
        if group is not None:
            yield from _leaves(group, (*path, name), prefixed=getattr(group, "show_prefix", False))
        else:
            yield (*path, name), field, prefixed


def _spellings(path: SettingPath, field: FieldInfo) -> set[str]:
    """Full path, path without the group, and both with each alias."""
    leaves = {path[-1], *aliases(field)}
    return {
        ".".join((*path[start:-1], leaf))
        for leaf in leaves
        for start in (0, 1)
        if start < len(path)
    }


def _members(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    is_union = typing.get_origin(kind) in (Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def _is_list(kind: Any) -> bool:
    """Whether a type holds several values."""
    return typing.get_origin(kind) in (list, tuple, set, frozenset, Sequence)


def _take(words: list[str], flag: Flag) -> list[str]:
    """Remove the values of a flag from the front of the command line."""
    if flag.is_switch:
        takes = bool(words) and words[0].lower() in BOOLEAN_WORDS
        return [words.pop(0)] if takes else []
    values: list[str] = []
    while words and not words[0].startswith("--") and (flag.takes_many or not values):
        values.append(words.pop(0))
    return values


def _switch(name: str, values: list[str], *, negated: bool) -> Any:
    """The truth value of `--name`, `--no_name` or `--name=true`."""
    if not values:
        return not negated
    if negated:
        raise UsageError(f"--{name} takes no value, seen {values[0]!r}")
    return values[0]
