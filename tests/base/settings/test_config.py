"""Settings: one declaration, three ways to give them, one line for whatever is wrong."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic
import pytest
import yaml
from pydantic import AliasChoices, Field

from triform.base.errors import UsageError
from triform.base.settings import yaml_file
from triform.base.settings.config import (
    Group,
    Settings,
    differences,
    load,
    parse,
    to_yaml,
    write_yaml,
)


class Inner(Group):
    """A group within a group."""

    project: str = Field(default="triform", description="A project.")


class Training(Group):
    """How to train."""

    epochs: int = Field(default=50, ge=1, le=1000, description="Passes.")
    lr: float = Field(default=1e-3, gt=0, description="Learning rate.")
    patience: int = Field(default=2, ge=0, description="Patience of training.")
    use_amp: bool = Field(
        default=False,
        validation_alias=AliasChoices("use_amp", "amp"),
        description="Mixed precision.",
    )
    kind: Literal["adam", "sgd", "CosineAnnealing"] = Field(default="adam", description="Kind.")
    resume_from: str | None = Field(default=None, description="Where from.")
    inner: Inner = Inner()


class Stopping(Group):
    """When to stop."""

    show_prefix: ClassVar[bool] = True
    patience: int = Field(default=5, ge=0, description="Patience of stopping.")
    enabled: bool = Field(default=True, description="At all.")


class Toy(Settings):
    """Train a toy."""

    seed: int = Field(default=42, ge=0, description="Seed.")
    dataset: str | list[str] = Field(default="testdataset", description="Data.")
    prompts: tuple[str, ...] = Field(default=(), description="Sentences.")
    training: Training = Training()
    stopping: Stopping = Stopping()


class Needy(Settings):
    """Needs something."""

    source: str = Field(description="Where from.")


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    """Two presets."""
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "tiny.yaml").write_text("training: {epochs: 3, lr: 1e-4}\nseed: 7\n")
    (folder / "large.yaml").write_text("training:\n")
    return folder


def complaint(argv: str, presets: Path | None = None, kind: type[Settings] = Toy) -> str:
    """The one line that a wrong command line ends in."""
    with pytest.raises(UsageError) as caught:
        parse(kind, argv.split(), presets)
    message = str(caught.value)
    assert "\n" not in message and caught.value.exit_status == 2
    return message


def test_class_is_overruled_by_file_and_file_by_flag(presets: Path) -> None:
    """The precedence, for one setting of each kind."""
    settings = parse(Toy, ["--config", "tiny", "--epochs", "4"], presets)
    assert settings.training.epochs == 4  # flag
    assert settings.training.lr == 1e-4  # file; YAML 1.1 takes 1e-4 for a string
    assert settings.seed == 7  # file, top level
    assert settings.training.patience == 2  # class
    assert parse(Toy, ["--epochs=4", "--config=tiny"], presets) == settings  # order is free
    assert parse(Toy, ["--config", str(presets / "tiny.yaml")], None).training.epochs == 3
    assert parse(Toy, ["--config", "large"], presets) == Toy()  # an empty group


@pytest.mark.parametrize(
    ("argv", "path", "value"),
    [
        ("--epochs 4", "training.epochs", 4),
        ("--epochs=4", "training.epochs", 4),
        ("--training.epochs 4", "training.epochs", 4),
        ("--epochs 3 --epochs 4", "training.epochs", 4),
        ("--lr 5e-3", "training.lr", 5e-3),
        ("--resume-from x", "training.resume_from", "x"),
        ("--resume_from -x", "training.resume_from", "-x"),
        ("--resume_from=--x", "training.resume_from", "--x"),
        ("--inner.project p", "training.inner.project", "p"),
        ("--training.inner.project p", "training.inner.project", "p"),
        ("--training.patience 9", "training.patience", 9),
        ("--stopping.patience 9", "stopping.patience", 9),
        ("--use_amp", "training.use_amp", True),
        ("--amp", "training.use_amp", True),
        ("--amp true --seed 1", "training.use_amp", True),
        ("--amp --no_amp", "training.use_amp", False),
        ("--amp=no", "training.use_amp", False),
        ("--no_enabled", "stopping.enabled", False),
        ("--no-enabled", "stopping.enabled", False),
        ("--stopping.no_enabled", "stopping.enabled", False),
        ("--dataset a", "dataset", ["a"]),
        ("--dataset a b --seed 1", "dataset", ["a", "b"]),
        ("--prompts a --prompts b", "prompts", ("a", "b")),
    ],
)
def test_spellings(argv: str, path: str, value: Any) -> None:
    """Every way of writing a flag that the documents use."""
    found: Any = parse(Toy, argv.split())
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--epochs 0", "--epochs: '0' is not allowed: must be at least 1"),
        ("--epochs 2000", "--epochs: '2000' is not allowed: must be at most 1000"),
        ("--epochs x", "--epochs: 'x' is not allowed: must be a whole number"),
        ("--epochs 1.5", "--epochs: '1.5' is not allowed: must be a whole number"),
        ("--lr 0", "--lr: '0' is not allowed: must be more than 0.0"),
        ("--lr nan", "--lr: 'nan' is not allowed: must be finite"),
        ("--lr fast", "--lr: 'fast' is not allowed: must be a number"),
        ("--amp=maybe", "--use_amp: 'maybe' is not allowed: must be true or false"),
        ("--epochs", "--epochs needs a value"),
        ("--epochs --amp", "--epochs needs a value"),
        ("--no_amp=true", "--no_amp takes no value, seen 'true'"),
        ("--epoch 3", "unknown flag --epoch; perhaps you meant --epochs"),
        ("--learning_rate 3", "unknown flag --learning_rate"),
        ("--no_epochs", "unknown flag --no_epochs; perhaps you meant --epochs"),
        ("epochs 3", "unexpected 'epochs': a setting is written --name value"),
        ("-e 3", "unexpected '-e': a setting is written --name value"),
        (
            "--patience 3",
            "--patience stands for two settings: say --training.patience or --stopping.patience",
        ),
        (
            "--kind cosine",
            "--kind: 'cosine' is not allowed: must be 'adam', 'sgd' or 'CosineAnnealing'; "
            "perhaps you meant CosineAnnealing",
        ),
        ("--epochs 0 --lr 0", "--epochs: '0' is not allowed: must be at least 1 (and 1 more)"),
        ("--config", "--config needs a value: a YAML file or the name of a preset"),
    ],
)
def test_wrong_flags_end_in_one_line(argv: str, message: str) -> None:
    """Name, value, what is allowed, nearest name."""
    assert complaint(argv) == message


def test_a_needed_setting_is_asked_for() -> None:
    """One without a default."""
    assert complaint("", kind=Needy) == "--source is needed"
    assert parse(Needy, ["--source", "x"]).source == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epochs: 0}", "training.epochs: 0 is not allowed: must be at least 1"),
        (
            "training: {epoch: 3}",
            "training.epoch: unknown setting; perhaps you meant training.epochs",
        ),
        ("sed: 3", "sed: unknown setting; perhaps you meant seed"),
        ("training: 3", "training: 3 is not allowed: must be a group"),
        ("dataset: {a: 1}", "dataset: {'a': 1} is not allowed: must be text or a list"),
        ("seed: 1\nseed: 2", "line 2: 'seed' stands twice"),
        (
            "training.inner: {project: a}\ntraining: {inner.project: b}",
            "'inner.project' stands twice",
        ),
        ("training.kin: 1", "training.kin: unknown setting; perhaps you meant training.kind"),
        (
            "training.inner.project: a\ntraining: {inner.project: b}",
            "'training.inner.project' stands twice",
        ),
        ("seed: [1", "line 1: expected ',' or ']', but got '<stream end>'"),
        ("- 1", "expected settings as `name: value`"),
        ("just words", "expected settings as `name: value`"),
        (
            "seed: !!python/object/apply:os.system [ls]",
            "line 1: could not determine a "
            "constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        ("seed: 1\n\x00", "not a YAML file in UTF-8"),
        ("training: {use_amp: true, amp: false}", ""),
    ],
)
def test_wrong_files_end_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    """With the file in front."""
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    if message:
        assert complaint(f"--config {path}") == f"{path}: {message}"
    else:
        assert parse(Toy, ["--config", str(path)]).training.use_amp in (True, False)


def test_files_that_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary, missing, a folder, too large."""
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"\xff\xfe\x00binary")
    assert complaint(f"--config {path}") == f"{path}: not a YAML file in UTF-8"
    assert "not there" in complaint(f"--config {tmp_path / 'none.yaml'}")
    (tmp_path / "folder.yaml").mkdir()
    assert "a folder" in complaint(f"--config {tmp_path / 'folder.yaml'}")
    monkeypatch.setattr(yaml_file, "MAX_YAML_BYTES", 3)
    assert "larger than 3 bytes" in complaint(f"--config {path}")


def test_unknown_presets(presets: Path) -> None:
    """The nearest one and all there are."""
    message = complaint("--config tinny", presets)
    assert message == (
        "--config tinny: neither a YAML file nor a preset; perhaps you meant tiny; "
        "presets: large, tiny"
    )


@pytest.mark.parametrize(
    "text",
    [
        "training: {inner: {project: mine}, epochs: 3}",
        "training: {inner.project: mine, epochs: 3}",
        "training.inner.project: mine\ntraining: {epochs: 3}",
        "training:\ntraining.inner: {project: mine}\ntraining.epochs: 3",
    ],
)
def test_a_dot_in_a_name_is_a_group(text: str, tmp_path: Path) -> None:
    """As documents write the settings of nested groups."""
    (tmp_path / "dotted.yaml").write_text(text)
    assert parse(Toy, ["--config", str(tmp_path / "dotted.yaml")]) == Toy(
        training=Training(epochs=3, inner=Inner(project="mine"))
    )


def test_round_trip(tmp_path: Path) -> None:
    """Settings -> YAML -> settings, with everything that YAML likes to change."""
    tricky = "--lr=1e-7 --dataset no 1e3 --resume_from on --no_enabled --inner.project 007"
    settings = parse(Toy, [*shlex.split(tricky), "--prompts", "стол: круглый", "#5", "null"])
    path = tmp_path / "config.yaml"
    write_yaml(settings, path)
    assert load(Toy, path) == settings
    assert parse(Toy, ["--config", str(path)]) == settings
    assert yaml.safe_load(to_yaml(settings)) == settings.model_dump(mode="json")
    assert "стол" in path.read_text(encoding="utf-8")


def test_settings_are_frozen() -> None:
    """What is written into the run directory is what was used."""
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Toy().training.epochs = 3  # type: ignore[misc]


def test_a_changed_default_keeps_bounds_description_and_names() -> None:
    """A system says `epochs: int = 10` and no more."""

    class Shorter(Training):
        """Shorter."""

        epochs: int = 10
        use_amp: bool = True
        lr: float = Field(default=1.0, description="Its own words.")

    class Shortest(Shorter):
        """Twice removed."""

        epochs: int = 5

    class Short(Settings):
        """Short."""

        training: Shortest = Shortest()

    assert parse(Short, []).training.epochs == 5
    assert parse(Short, ["--no_amp"]).training.use_amp is False
    assert complaint("--epochs 0", kind=Short).endswith("must be at least 1")
    assert Shortest.model_fields["epochs"].description == "Passes."
    assert Shortest.model_fields["lr"].description == "Its own words."
    assert Training.model_fields["epochs"].default == 50


def test_a_wrong_default_is_found_when_the_class_is_used() -> None:
    """Defaults obey the bounds too."""

    class Wrong(Settings):
        """Wrong."""

        seed: int = Field(default=-1, ge=0, description="Seed.")

    assert complaint("", kind=Wrong) == "seed: -1 is not allowed: must be at least 0"


def test_differences() -> None:
    """Dotted names with both values."""
    old, new = Toy(), parse(Toy, ["--epochs", "3", "--seed", "1"])
    assert differences(old.model_dump(), new.model_dump()) == {
        "seed": (42, 1),
        "training.epochs": (50, 3),
    }
    assert differences({"a": 1}, {}) == {"a": (1, None)}


def test_the_file_of_another_place(tmp_path: Path) -> None:
    """Settings may name the file they start from when there is no `--config`."""
    path = tmp_path / "run.yaml"
    path.write_text("seed: 9")

    class Continued(Toy):
        """Continued."""

        @classmethod
        def base_file(cls, given: Any) -> Path | None:
            """The file, where something is resumed."""
            return path if ("training", "resume_from") in given else None

    assert parse(Continued, ["--resume_from", "x"]).seed == 9
    assert parse(Continued, ["--resume_from", "x", "--seed", "3"]).seed == 3
    assert parse(Continued, []).seed == 42


def test_help_shows_names_defaults_and_presets(
    presets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the values that are in force."""
    with pytest.raises(SystemExit) as stop:
        parse(Toy, ["--config", "tiny", "--help"], presets, prog="triform toy train")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "triform toy train",
        "Train a toy.",
        "--epochs INT",
        "(default: 3)",
        "--no_use_amp, --no_amp",
        "--training.patience",
        "--stopping.patience",
        "--stopping.enabled",
        "--inner.project",
        "{adam,sgd,CosineAnnealing}",
        "large, tiny",
    ):
        assert words in text
    with pytest.raises(SystemExit):
        parse(Needy, ["-h"])


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    """No torch and no numpy behind `--help`."""
    program = (
        "import sys; from triform.base.settings.config import parse\n"
        "from triform.engine.config import SystemConfig\n"
        "try: parse(SystemConfig, ['--help'])\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join({'torch', 'numpy', 'accelerate'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and "--epochs" in done.stdout
