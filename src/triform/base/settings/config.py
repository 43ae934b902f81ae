"""Settings: declared once as pydantic models, read from YAML and flags.

`parse` is the one function that knows the precedence: class < `--config` file or preset < flag.
Every error is one line that names the setting, its value, what is allowed and the nearest known
name.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic
import yaml

from triform.base.errors import UsageError
from triform.base.files import atomic_write
from triform.base.logging import get_logger
from triform.base.settings.config_errors import describe_problems
from triform.base.settings.flags import FlagTable, aliases, as_group, show_help
from triform.base.settings.nearest import nearest
from triform.base.settings.other_flags import split_flags
from triform.base.settings.yaml_file import read_yaml

logger = get_logger(__name__)

S = TypeVar("S", bound="Settings")


class Group(pydantic.BaseModel):
    """A frozen group of settings.

    A subclass changes a default by naming the field again (`epochs: int = 10`); bounds and
    description come from the class above unless it states its own. So does a default that is a
    group with other values (`training: TrainingConfig = TrainingConfig(epochs=10)`): whoever sets
    one value of the group keeps the others.
    """

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        validate_default=True,
        protected_namespaces=(),
    )
    show_prefix: ClassVar[bool] = False
    """Show the flags of this group with the name of the group in front."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _keep_group_defaults(cls, values: Any) -> Any:
        """Complete groups that are given in part by the defaults of their field."""
        if not isinstance(values, Mapping):
            return values
        defaults = {name: field.default for name, field in cls.model_fields.items()}
        return {name: _completed(value, defaults.get(name)) for name, value in values.items()}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Inherit description, bounds and alias of redeclared fields."""
        inherited = [
            base.model_fields
            for base in cls.__mro__[1:]
            if issubclass(base, Group) and base is not Group
        ]
        changed = False
        for name, field in cls.model_fields.items():
            above = next((fields[name] for fields in inherited if name in fields), None)
            if above is None or field.description is not None:
                continue
            field.description = above.description
            field.metadata = field.metadata or above.metadata
            field.validation_alias = field.validation_alias or above.validation_alias
            changed = True
        if changed:
            cls.model_rebuild(force=True)


def _completed(value: Any, default: Any) -> Any:
    """A group as a mapping, with what its default sets and the mapping does not."""
    if not isinstance(default, Group) or not isinstance(value, Mapping):
        return value
    result = dict(value)
    for name in default.model_fields_set:
        field_default = getattr(default, name)
        if name in value:
            result[name] = _completed(value[name], field_default)
        elif value.keys().isdisjoint(aliases(type(default).model_fields[name])):
            result[name] = field_default
    return result


class Settings(Group):
    """All settings of one command."""

    positional: ClassVar[tuple[str, ...]] = ()
    """Settings that may be given as words before the first flag; one may take several."""
    also_accepts: ClassVar[tuple[type[pydantic.BaseModel], ...]] = ()
    """Settings of other verbs whose flags are accepted, since a document gives them to all."""
    compares: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the names of such settings that the verb compares with its checkpoint; others
    have no effect, which is said."""
    _others: dict[str, Any] = pydantic.PrivateAttr(default_factory=dict)

    @property
    def settings_to_compare(self) -> dict[str, Any]:
        """Dotted name -> value of settings of other verbs that were given."""
        return self._others

    @classmethod
    def base_file(cls, flag_values: Mapping[tuple[str, ...], Any]) -> Path | None:
        """The file of settings to use without `--config`; None for the class defaults alone.

        Args:
            flag_values: Values of the flags by path of the setting.
        """
        return None

    @classmethod
    def adapt_file(cls, values: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Take from a file that several commands share what this one uses.

        Args:
            values: Settings in the file, by group and name.

        Returns:
            The settings of this command, and the names of those that only others use.
        """
        return values, []

    @classmethod
    def check_file(
        cls,
        values: Mapping[str, Any],
        flag_values: Mapping[tuple[str, ...], Any],
        path: Path,
        *,
        is_explicit: bool,
    ) -> None:
        """Refuse settings in a file that only flags may set; none by default.

        Args:
            values: Settings in the file, by group and name.
            flag_values: Values of the flags by path of the setting.
            path: The file.
            is_explicit: Whether `--config` named the file, not `base_file`.
        """


def parse(
    settings_class: type[S], argv: Sequence[str], presets: Path | None = None, prog: str = "triform"
) -> S:
    """Parse a command line into settings.

    Args:
        settings_class: Class of the settings; its docstring is the help text.
        argv: Arguments after the command.
        presets: Folder of YAML presets, whose file stems `--config` knows.
        prog: The command, for the help screen.

    Returns:
        The settings: class defaults, changed by the file of `--config`, changed by flags.

    Raises:
        UsageError: A setting or a file is wrong, in one line.
        SystemExit: `--help` was asked for and shown; status 0.
    """
    words, config, wants_help = _extract_config_flag(argv)
    table = FlagTable(settings_class)
    words, others = split_flags(table, words, settings_class.also_accepts)
    flag_values = table.read(words)
    source = (
        settings_class.base_file(flag_values) if config is None else _find_config(config, presets)
    )
    values: dict[str, Any] = {}
    if source is not None:
        values = _read_file(settings_class, source)
        values, unused = settings_class.adapt_file(values)
        if unused:
            more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
            logger.warning("%s: %s%s: not used here", source, ", ".join(unused[:3]), more)
        settings_class.check_file(values, flag_values, source, is_explicit=config is not None)
    for setting, value in flag_values.items():
        _set_nested(values, setting, value)
    if wants_help:
        names = [path.stem for path in _preset_files(presets) if _fits(settings_class, path)]
        description = (settings_class.__doc__ or "").strip()
        show_help(table, _effective_values(settings_class, table, values), prog, description, names)
    settings = _validate(settings_class, values, table, set(flag_values), source)
    settings._others = {
        name: value for name, value in others.items() if name.startswith(settings_class.compares)
    }
    if unused := [name.rpartition(".")[2] for name in others if name not in settings._others]:
        logger.warning("--%s: without effect on this command", ", --".join(unused))
    return settings


def load(settings_class: type[S], path: Path) -> S:
    """Read settings from a YAML file alone.

    Raises:
        UsageError: The file is wrong, in one line.
    """
    values = _read_file(settings_class, path)
    return _validate(settings_class, values, FlagTable(settings_class), set(), path)


def to_yaml(settings: pydantic.BaseModel) -> str:
    """All settings as YAML that reads back to the same settings."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def write_yaml(settings: pydantic.BaseModel, path: Path) -> None:
    """Write `to_yaml` to a file, whole or not at all."""
    with atomic_write(path, "w") as file:
        file.write(to_yaml(settings))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Differences between two dumped settings.

    Returns:
        Dotted name -> (old value, new value); a missing value is None.
    """
    before, after = _flatten(old), _flatten(new)
    paths = dict.fromkeys([*before, *after])
    return {
        ".".join(path): (before.get(path), after.get(path))
        for path in paths
        if before.get(path) != after.get(path)
    }


def _extract_config_flag(argv: Sequence[str]) -> tuple[list[str], str | None, bool]:
    """Remove `--config` and `--help` from the command line."""
    words: list[str] = []
    config: str | None = None
    wants_help = False
    rest = iter(argv)
    for word in rest:
        if word in ("-h", "--help"):
            wants_help = True
        elif word == "--config":
            config = next(rest, None)
            if config is None or config.startswith("--"):
                raise UsageError("--config needs a value: a YAML file or the name of a preset")
        elif word.startswith("--config="):
            config = word.partition("=")[2]
        else:
            words.append(word)
    return words, config, wants_help


def _preset_files(presets: Path | None) -> list[Path]:
    """The presets in a folder, sorted."""
    return sorted(presets.glob("*.yaml")) if presets is not None else []


def _fits(settings_class: type[Settings], preset: Path) -> bool:
    """Whether a preset has something for a command, and nothing that it does not know."""
    values, _ = settings_class.adapt_file(read_yaml(preset))
    return bool(values) and values.keys() <= settings_class.model_fields.keys()


def _find_config(name: str, presets: Path | None) -> Path:
    """The file that `--config` means."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    presets_by_name = {file.stem: file for file in _preset_files(presets)}
    if name in presets_by_name:
        return presets_by_name[name]
    listed = f"; presets: {', '.join(presets_by_name)}" if presets_by_name else ""
    raise UsageError(
        f"--config {name}: neither a YAML file nor a preset{nearest(name, presets_by_name)}{listed}"
    )


def _read_file(settings_class: type[pydantic.BaseModel], path: Path) -> dict[str, Any]:
    """Read the settings in a YAML file by their names.

    Raises:
        UsageError: The file is wrong, in one line.
    """
    values = read_yaml(path)
    try:
        return _canonical_names(settings_class, values)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _canonical_names(model: type[pydantic.BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the mapping with aliases replaced by the names of the settings.

    `group.name: value` is the same as `group:` with `name: value` in it.

    Raises:
        UsageError: A setting stands twice.
    """
    result: dict[str, Any] = {}
    data = _without_dots(model, data)
    names = {alias: name for name, field in model.model_fields.items() for alias in aliases(field)}
    for key, value in data.items():
        name = names.get(key, key)
        field = model.model_fields.get(name)
        group = as_group(field.annotation) if field else None
        if group is not None:
            # `training:` with nothing under it is an empty group.
            value = {} if value is None else value
            value = _canonical_names(group, value) if isinstance(value, dict) else value
        result[name] = value
    return result


def _without_dots(model: type[pydantic.BaseModel], data: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the mapping with `group.name` put into its group."""
    result = {key: value for key, value in data.items() if "." not in key}
    for key, value in data.items():
        group, dot, name = key.partition(".")
        if not dot:
            continue
        field = model.model_fields.get(group)
        inner = result.get(group)
        if field is None or as_group(field.annotation) is None or not isinstance(inner or {}, dict):
            result[key] = value  # an unknown name, which validation refuses
            continue
        if name in (inner or {}):
            raise UsageError(f"{key!r} stands twice")
        result[group] = {**(inner or {}), name: value}
    return result


def _flatten(data: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Nested mapping -> path -> value."""
    flat: dict[tuple[str, ...], Any] = {}
    for key, value in data.items():
        nested_path = (*path, key)
        if isinstance(value, Mapping):
            flat |= _flatten(value, nested_path)
        else:
            flat[nested_path] = value
    return flat


def _set_nested(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set one value in a nested mapping."""
    *groups, leaf = path
    for group in groups:
        if not isinstance(data.get(group), dict):
            data[group] = {}
        data = data[group]
    data[leaf] = value


def default_value(settings_class: type[pydantic.BaseModel], path: tuple[str, ...]) -> Any:
    """The default of a setting, that of its group's default where this is another one."""
    value = settings_class.model_fields[path[0]].get_default(call_default_factory=True)
    for name in path[1:]:
        value = getattr(value, name)
    return value


def _effective_values(
    settings_class: type[Settings], table: FlagTable, settings: Mapping[str, Any]
) -> dict[tuple[str, ...], Any]:
    """Path -> value of file and flags where it is valid, else the default."""
    values: dict[tuple[str, ...], Any] = {}
    changed = _flatten(settings)
    for flag in table.flags:
        if not flag.field.is_required():
            values[flag.path] = default_value(settings_class, flag.path)
        if flag.path in changed:
            with contextlib.suppress(pydantic.ValidationError):
                kind: Any = pydantic.TypeAdapter[Any](flag.field.annotation)  # type: ignore[arg-type]
                values[flag.path] = kind.validate_python(changed[flag.path])
    return values


def _validate(
    settings_class: type[S],
    data: dict[str, Any],
    table: FlagTable,
    flag_paths: set[tuple[str, ...]],
    source: Path | None,
) -> S:
    """Build the settings; raises one line about the first wrong one."""
    try:
        return settings_class.model_validate(data)
    except pydantic.ValidationError as error:
        problems = list(describe_problems(error, table, flag_paths, source))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise UsageError(problems[0] + more)
