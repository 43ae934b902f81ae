"""What the settings of every verb owe: help, flags, presets; of systems and of other commands.

A new system gets these tests by being there.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from triform import systems
from triform.base.errors import UsageError
from triform.base.settings.config import Settings, load, parse, to_yaml
from triform.base.settings.flags import Flag, FlagTable
from triform.datasets.commands import VERBS as DATA_VERBS
from triform.datasets.library.commands import VERBS as SHAPES_VERBS
from triform.engine.diagnostics.doctor import DoctorSettings
from triform.engine.runs.commands import VERBS as RUNS_VERBS
from triform.web.config import ServeConfig

FILES = ("__init__.py", "README.md", "config.py", "model.py", "system.py")
PAPER = re.compile(r"arxiv|doi\.org|openreview", re.IGNORECASE)
NAMES = systems.names()
each_system = pytest.mark.parametrize("name", NAMES)
PRESETS = [path for name in NAMES for path in sorted(systems.load(name).presets.rglob("*.yaml"))]
each_preset = pytest.mark.parametrize("path", PRESETS, ids=lambda p: f"{p.parts[-3]}-{p.stem}")


@dataclass(frozen=True)
class SettingsOfVerb:
    """The settings of one verb of the command line, with the flags that it cannot do without."""

    name: str
    settings: type[Settings]
    presets: Path | None = None

    @cached_property
    def needed(self) -> list[str]:
        """The least flags with which it parses."""
        flags: list[str] = []
        for _ in range(5):
            try:
                parse(self.settings, flags, self.presets)
                return flags
            except UsageError as error:
                name = re.search(r"--(\w+)", str(error))
                assert name and "need" in str(error), f"{self.name}: {error}"
                many = FlagTable(self.settings).find(name[1])[0].takes_many
                flags += [f"--{name[1]}", *(["first", "second"] if many else ["first"])]
        raise AssertionError(f"{self.name}: cannot be parsed with {flags}")

    def parse(self, *flags: str) -> Settings:
        return parse(self.settings, [*self.needed, *flags], self.presets)

    @cached_property
    def flags(self) -> list[Flag]:
        """Its optional flags."""
        return [
            flag for flag in FlagTable(self.settings).flags if f"--{flag.name}" not in self.needed
        ]


def all_verbs() -> Iterator[SettingsOfVerb]:
    """Every verb of the command line."""
    for name in NAMES:
        entry = systems.load(name)
        for verb, settings in entry.config.VERBS.items():
            yield SettingsOfVerb(f"{name} {verb}", settings, entry.presets)
    for command, verbs in (("data", DATA_VERBS), ("shapes", SHAPES_VERBS), ("runs", RUNS_VERBS)):
        for verb, each in verbs.items():
            yield SettingsOfVerb(f"{command} {verb}", each.settings)
    yield SettingsOfVerb("doctor", DoctorSettings)
    yield SettingsOfVerb("serve", ServeConfig)


each_verb = pytest.mark.parametrize("verb", list(all_verbs()), ids=lambda verb: verb.name)


def shown_defaults(verb: SettingsOfVerb, *flags: str) -> dict[str, str]:
    """Flag -> the default that `--help` shows for it, as text."""
    screen = io.StringIO()
    with contextlib.redirect_stdout(screen), pytest.raises(SystemExit):
        parse(verb.settings, [*flags, "--help"], verb.presets)
    # A flag begins in the third column, its help in one further right, maybe on the next line.
    entries = re.split(r"\n  (?=--)", re.sub(r"\n {4,}", " ", screen.getvalue()))
    matches = [re.match(r"--([\w.]+).*\(default: (.*)\)\s", entry + "\n") for entry in entries]
    return {match[1]: match[2] for match in matches if match}


def value(settings: Any, path: tuple[str, ...]) -> Any:
    """A setting by its path."""
    for name in path:
        settings = getattr(settings, name)
    return settings


def as_shown(value: Any) -> str:
    """A value as the command line writes it."""
    if isinstance(value, list | tuple):
        return shlex.join(map(str, value)) or "[]"
    return "none" if value is None else shlex.quote(str(value))


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch):
    """Help without line breaks."""
    monkeypatch.setenv("COLUMNS", "100000")


@each_verb
def test_help_shows_what_is_in_force(verb):
    shown, settings = shown_defaults(verb), verb.parse()
    assert [flag.name for flag in verb.flags if flag.name not in shown] == []
    for flag in verb.flags:
        assert shown[flag.name] == as_shown(value(settings, flag.path)), flag.name


@each_preset
def test_help_of_a_preset_shows_the_config_of_its_run(path):
    """Each shown value reads as the one that `config.yaml` of a run with this preset gets."""
    entry = systems.load(path.parents[1].name)
    verb = SettingsOfVerb("train", entry.config.Config, entry.presets)
    shown = shown_defaults(verb, "--config", str(path))
    written = yaml.safe_load(to_yaml(verb.parse("--config", str(path))))
    for flag in FlagTable(verb.settings).flags:
        in_file = written
        for name in flag.path:
            in_file = in_file[name]
        assert shown[flag.name] == as_shown(in_file), flag.name


@each_verb
def test_every_flag_takes_its_own_default(verb):
    settings, shown = verb.parse(), shown_defaults(verb)
    for flag in verb.flags:
        words = shlex.split(shown[flag.name])
        assert verb.parse(f"--{flag.name}", *words) == settings, (flag.name, words)
        if len(words) == 1:  # the form with "="
            assert verb.parse(f"--{flag.name}={words[0]}") == settings, (flag.name, words)


def allowed_values(kind: Any) -> Iterator[Any]:
    """The values that an annotation names, however deep."""
    if kind in (bool, type(None)):
        yield from {bool: (True, False), type(None): (None,)}[kind]
    elif typing.get_origin(kind) is typing.Literal:
        yield from typing.get_args(kind)
    else:
        for part in typing.get_args(kind):
            yield from allowed_values(part)


@each_verb
def test_every_allowed_value_is_accepted(verb):
    """Of literals, booleans and optional settings; and the smallest number that is allowed."""
    for flag in verb.flags:
        allowed = list(allowed_values(flag.field.annotation))
        allowed += [bound for each in flag.field.metadata if (bound := getattr(each, "ge", None))]
        for each in allowed:
            typed = [shlex.split(f"--{flag.name}{sign}{as_shown(each)}") for sign in " ="]
            if isinstance(each, bool):
                group, dot, leaf = flag.name.rpartition(".")
                typed += [[f"--{flag.name}"] if each else [f"--{group}{dot}no_{leaf}"]]
                typed += [[f"--{flag.name}", str(each).lower()]]
            for words in typed:
                try:
                    seen = value(verb.parse(*words), flag.path)
                except UsageError as error:
                    # Other settings may forbid it; the value itself was understood.
                    assert "is not allowed" not in str(error), error
                    assert "unknown flag" not in str(error), error
                    continue
                expected = [each] if flag.takes_many and each is not None else each
                assert (list(seen) if isinstance(seen, tuple) else seen) == expected, words


@each_verb
def test_every_list_can_be_emptied(verb):
    for flag in verb.flags:
        if flag.takes_many:
            try:
                assert value(verb.parse(f"--{flag.name}", "[]"), flag.path) == ()
            except UsageError as error:
                assert "values" in str(error), error


@each_verb
def test_an_empty_prompt_is_refused(verb):
    """It would be the zero condition, which is what leaving the flag out means."""
    for flag in FlagTable(verb.settings).flags:
        if flag.name in ("prompt", "text", "query"):
            words = [["", "a chair"], ["a chair", " "]] if flag.takes_many else [[""]]
            for each in words:
                with pytest.raises(UsageError, match=f"--{flag.name}: .* with at least one letter"):
                    verb.parse(f"--{flag.name}", *each)


@each_verb
def test_every_verb_that_writes_meshes_takes_size_axis_and_floor(verb):
    flags = {flag.name: flag for flag in FlagTable(verb.settings).flags}
    formats = set(allowed_values(flags["format"].field.annotation)) if "format" in flags else set()
    if formats & {"glb", "stl", "obj"}:
        assert {"size_mm", "up", "on_floor"} <= flags.keys()


@each_verb
def test_mistakes_are_one_line(verb):
    for wrong in (
        ["--no_such_flag", "1"],
        ["--config", "no_such_file.yaml"],
        ["--config", "no_such_preset"],
        *([f"--{flag.name}", "\n".join("?" * 400)] for flag in verb.flags if not flag.takes_many),
    ):
        try:
            verb.parse(*wrong)
        except UsageError as error:
            assert "\n" not in str(error) and len(str(error)) <= 400, wrong


@each_system
def test_files_verbs_and_paper(name):
    entry = systems.load(name)
    missing = [
        file for file in (*FILES, "presets/tiny.yaml") if not (entry.folder / file).is_file()
    ]
    assert not missing
    assert entry.config.VERBS["train"] is entry.config.Config
    for verb, settings in entry.config.VERBS.items():
        assert callable(entry.verb(verb)) and settings.__doc__
    assert entry.system.System.name == name
    assert PAPER.search((entry.folder / "README.md").read_text(encoding="utf-8"))
    assert entry.summary and entry.example.startswith(f"triform {name} ")


@each_system
def test_settings_are_described_and_import_no_torch(name):
    program = f"import sys, triform.systems.{name}.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    for settings in systems.load(name).config.VERBS.values():
        flags = FlagTable(settings).flags
        assert flags and not [flag.name for flag in flags if not flag.field.description]
        assert len({flag.name for flag in flags}) == len(flags)


@each_preset
def test_preset_is_valid_and_holds_differences_only(path):
    """It parses, survives YAML, repeats no default, and opens with its command."""
    config = load(systems.load(path.parents[1].name).config.Config, path)
    again = type(config).model_validate(yaml.safe_load(to_yaml(config)))
    assert again == config

    def repeated(given: dict[str, Any], default: Any) -> list[str]:
        found = []
        for key, value in given.items():
            mine = getattr(default, key, None)
            if isinstance(value, dict):
                found += [f"{key}.{name}" for name in repeated(value, mine)]
            elif value == mine:
                found.append(key)
        return found

    text = path.read_text(encoding="utf-8")
    assert repeated(yaml.safe_load(text), type(config)()) == []
    assert re.match(rf"# triform {path.parents[1].name} \w+ .*--config {path.stem}", text)
