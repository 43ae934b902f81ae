"""Command-line flags derived from a settings class.

A flag is the path of a setting without the name of its group: `data.batch_size` is
`--batch_size`. Where a name would stand for two settings the group stays: `--scheduler.patience`.
The full path works always, and so do hyphens for underscores.
"""

import argparse
import shlex
import types
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import pydantic
from pydantic.fields import FieldInfo

from triform.base.errors import UsageError
from triform.base.settings.nearest import nearest

SettingPath = tuple[str, ...]
BOOLEAN_WORDS = {"true", "false", "yes", "no", "on", "off", "1", "0"}
NONE = "none"
"""Typed for no value, where a setting allows that."""
EMPTY_LIST = "[]"
"""Typed for a list without values."""


@dataclass(frozen=True)
class Flag:
    """The flag of one setting.

    Attributes:
        path: Names of the groups and of the setting.
        field: Its declaration.
        name: The flag as it is shown, without the two hyphens.
        names: Every accepted spelling.
    """

    path: SettingPath
    field: FieldInfo
    name: str
    names: frozenset[str]

    @property
    def is_switch(self) -> bool:
        """Whether it is a boolean: `--amp`, `--no_amp`."""
        return self.field.annotation is bool

    @property
    def takes_many(self) -> bool:
        """Whether it takes several values."""
        return any(_is_list(kind) for kind in _union_members(self.field.annotation))


class FlagTable:
    """All flags of a settings class."""

    def __init__(self, settings_class: type[pydantic.BaseModel]):
        self.positional: tuple[str, ...] = getattr(settings_class, "positional", ())
        fields = list(_setting_fields(settings_class, (), prefixed=False))
        spellings = [_spellings(path, field) for path, field, _ in fields]
        uses = Counter(name for names in spellings for name in names)
        self.flags: list[Flag] = []
        for (path, field, prefixed), names in zip(fields, spellings, strict=True):
            full = ".".join(path)
            # A full path is never ambiguous: it wins over the short form of another setting.
            accepted = {name for name in names if uses[name] == 1 or name == full}
            short = ".".join(path[1:]) or full
            shown = short if short in accepted and not prefixed else full
            self.flags.append(Flag(path, field, shown, frozenset(accepted)))
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
        """Find a flag by its name.

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

    def knows(self, word: str) -> bool:
        """Whether there is a flag of this name, as `find` takes it."""
        try:
            self.find(word)
        except UsageError:
            return False
        return True

    def read(self, argv: Sequence[str]) -> dict[SettingPath, Any]:
        """Parse a command line.

        Args:
            argv: Arguments, as the shell split them.

        Returns:
            Path -> value as typed: a string, a boolean, None for `none`, or a list of strings,
            empty for `[]`. The last one counts if a flag is repeated; a flag of several values
            collects them.

        Raises:
            UsageError: Unknown flag, missing value, or a word that belongs to no flag.
        """
        words = list(argv)
        leading = self._pop_positional(words)
        return self._read_flags(words, leading)

    def _pop_positional(self, words: list[str]) -> list[str]:
        """Pop the words before the first flag, if the command takes any."""
        count = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
        leading, words[:] = words[:count], words[count:]
        if leading and not self.positional:
            raise UsageError(f"unexpected {leading[0]!r}: a setting is written --name value")
        return leading

    def _assign_positional(self, leading: Sequence[str], values: dict[SettingPath, Any]) -> None:
        """Give leading words to the positional settings that no flag has values."""
        names = [name for name in self.positional if (name,) not in values]
        many = next((name for name in names if self._by_name[name].takes_many), None)
        singles = len(names) - (many is not None)
        words = list(leading)
        for index, name in enumerate(names):
            if name == many:
                rest = len(words) - (singles - index)
                values[(name,)], words = words[: max(rest, 1)], words[max(rest, 1) :]
            elif words:
                values[(name,)] = words.pop(0)
        if words:
            usage = " ".join(name.upper() for name in self.positional)
            raise UsageError(f"unexpected {words[0]!r}: what comes before the flags is {usage}")

    def _read_flags(self, words: list[str], leading: Sequence[str]) -> dict[SettingPath, Any]:
        """Parse flags and their values, then assign the leading words."""
        values: dict[SettingPath, Any] = {}
        while words:
            word = words.pop(0)
            if not word.startswith("--") or word == "--":
                raise UsageError(f"unexpected {word!r}: a setting is written --name value")
            name, equals, attached = word[2:].partition("=")
            flag, negated = self.find(name)
            typed = [attached] if equals else pop_values(words, flag)
            if flag.is_switch:
                values[flag.path] = _parse_switch(name, typed, negated=negated)
                continue
            if not typed:
                raise UsageError(f"--{name} needs a value")
            allowed = list(allowed_values(flag.field.annotation))
            typed = [_parse_word(allowed, value) for value in typed]
            if typed == [None] or (flag.takes_many and typed == [EMPTY_LIST]):
                values[flag.path] = None if typed == [None] else []
            elif flag.takes_many:
                values[flag.path] = [*values.get(flag.path, []), *typed]
            else:
                values[flag.path] = typed[0]
        if leading:
            self._assign_positional(leading, values)
        return values


def show_help(
    table: FlagTable,
    values: Mapping[SettingPath, Any],
    prog: str,
    description: str,
    presets: Iterable[str],
) -> None:
    """Print the help screen and leave with status 0; see `build_parser`."""
    build_parser(table, values, prog, description, presets).print_help()
    raise SystemExit(0)


def build_parser(
    table: FlagTable,
    values: Mapping[SettingPath, Any],
    prog: str,
    description: str,
    presets: Iterable[str],
) -> argparse.ArgumentParser:
    """The flags as a parser of argparse, for the help screen and for completion.

    Args:
        table: The flags.
        values: Path -> current value (class default, or from the file of `--config`).
        prog: The command.
        description: Help text of the command.
        presets: Names that `--config` knows.
    """
    words = " ".join(name.upper() for name in table.positional)
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} {words} --flags" if words else f"{prog} --flags",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    known = ", ".join(presets)
    config = "YAML file with settings" + (f", or a preset: {known}" if known else "") + "."
    groups: dict[str, Any] = {"": parser.add_argument_group("settings")}
    groups[""].add_argument(
        "--config", metavar="FILE", help=config, choices=sorted(presets) or None
    )
    for flag in table.flags:
        name = ".".join(flag.path[:-1])
        if name not in groups:
            groups[name] = parser.add_argument_group(name)
        names = [flag.name, *(alias for alias in aliases(flag.field) if alias in flag.names)]
        spellings = [f"--{name}" for name in dict.fromkeys(names)]
        if flag.is_switch:
            parts = [name.rpartition(".") for name in dict.fromkeys(names)]
            spellings += [f"--{group}{dot}no_{leaf}" for group, dot, leaf in parts]
        help_text = f"{flag.field.description} {_shown_default(flag, values)}".replace("%", "%%")
        if flag.is_switch:
            groups[name].add_argument(*spellings, action="store_true", help=help_text)
        else:
            many = {"nargs": "+"} if flag.takes_many else {}
            groups[name].add_argument(
                *spellings,
                metavar=_metavar(flag.field.annotation),
                help=help_text,
                choices=[str(each) for each in allowed_values(flag.field.annotation)] or None,
                **many,
            )
    return parser


def _shown_default(flag: Flag, values: Mapping[SettingPath, Any]) -> str:
    """The current value, as it would be typed."""
    if flag.path not in values:
        return "(required)"
    value = values[flag.path]
    if isinstance(value, list | tuple):
        shown = shlex.join(map(str, value)) or EMPTY_LIST
    else:
        shown = NONE if value is None else shlex.quote(str(value))
    return f"(default: {shown})"


def _metavar(kind: Any) -> str:
    """Placeholder of a value: INT, TEXT, or the allowed words."""
    members = [member for member in _union_members(kind) if member is not type(None)]
    names = []
    for member in members:
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        if origin is Literal:
            names.append("{" + ",".join(map(str, arguments)) + "}")
        elif origin is Annotated or _is_list(member):
            names.append(_metavar(arguments[0]))
        else:
            names.append({"str": "TEXT"}.get(member.__name__, member.__name__.upper()))
    return "|".join(dict.fromkeys(names))


def aliases(field: FieldInfo) -> list[str]:
    """Other documented names of a setting."""
    choices = field.validation_alias
    return (
        [str(name) for name in choices.choices]
        if isinstance(choices, pydantic.AliasChoices)
        else []
    )


def as_group(kind: Any) -> type[pydantic.BaseModel] | None:
    """The type as a class of a group of settings; None for the type of one setting."""
    return kind if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel) else None


def _setting_fields(
    model: type[pydantic.BaseModel], path: SettingPath, *, prefixed: bool
) -> Iterable[tuple[SettingPath, FieldInfo, bool]]:
    """Settings of a class and of its groups, in the order of their declaration."""
    for name, field in model.model_fields.items():
        group = as_group(field.annotation)
        if group is not None:
            yield from _setting_fields(
                group, (*path, name), prefixed=getattr(group, "show_prefix", False)
            )
        else:
            yield (*path, name), field, prefixed


def _spellings(path: SettingPath, field: FieldInfo) -> set[str]:
    """All spellings of a flag: full path, path without the group, both with each alias."""
    leaves = {path[-1], *aliases(field)}
    return {
        ".".join((*path[start:-1], leaf))
        for leaf in leaves
        for start in (0, 1)
        if start < len(path)
    }


def allowed_values(kind: Any) -> Iterable[Any]:
    """The values that a type names: those of its literals, and None."""
    if kind is type(None):
        yield None
    elif typing.get_origin(kind) is Literal:
        yield from typing.get_args(kind)
    else:
        for argument in typing.get_args(kind):
            yield from allowed_values(argument)


def _parse_word(allowed: Sequence[Any], word: str) -> Any:
    """Convert a word to an allowed value: 3 for "3" if 1 and 3 are allowed, None for "none"."""
    if word in allowed:
        return word
    for value in allowed:
        if word.lower() == str(value).lower() and not isinstance(value, str):
            return value
    return word


def _union_members(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the type itself."""
    is_union = typing.get_origin(kind) in (Union, types.UnionType)
    return typing.get_args(kind) if is_union else (kind,)


def _is_list(kind: Any) -> bool:
    """Whether a type holds several values."""
    return typing.get_origin(kind) in (list, tuple, set, frozenset, Sequence)


def pop_values(words: list[str], flag: Flag) -> list[str]:
    """Pop the values of a flag from the front of the command line."""
    if flag.is_switch:
        takes = bool(words) and words[0].lower() in BOOLEAN_WORDS
        return [words.pop(0)] if takes else []
    values: list[str] = []
    while words and not words[0].startswith("--") and (flag.takes_many or not values):
        values.append(words.pop(0))
    return values


def _parse_switch(name: str, values: list[str], *, negated: bool) -> Any:
    """The boolean value of `--name`, `--no_name` or `--name=true`."""
    if not values:
        return not negated
    if negated:
        raise UsageError(f"--{name} takes no value, seen {values[0]!r}")
    return values[0]
