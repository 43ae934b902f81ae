"""The engine's settings are those that the documents describe."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from triform import systems
from triform.base.errors import UsageError, UserError
from triform.base.settings.config import Group, load, parse, to_yaml
from triform.engine import config as config_module
from triform.engine.config import (
    ConstantSchedulerConfig,
    CosineSchedulerConfig,
    EarlyStoppingConfig,
    FinetuningConfig,
    LoggingConfig,
    NoEarlyStoppingConfig,
    SchedulerConfig,
    SystemConfig,
    TrainedVerbConfig,
    TrainingConfig,
    WandbConfig,
    at_most_cores,
)

GROUPS = (TrainingConfig, FinetuningConfig, SchedulerConfig, EarlyStoppingConfig, LoggingConfig)
GROUPS += (WandbConfig,)


@pytest.mark.parametrize(
    ("group", "documented"),
    [
        (
            FinetuningConfig,
            {
                "epochs": 50,
                "lr": None,
                "lr_mode": "continue",
                "finetune_lr": 1e-5,
                "grad_clip": None,
                "use_amp": True,
                "save_every_epoch": False,
                "checkpoint_dir": None,
                "resume_from": None,
            },
        ),
        (
            SchedulerConfig,
            {"type": "ReduceLROnPlateau", "factor": 0.5, "patience": 2, "min_lr": 1e-7},
        ),
        (
            EarlyStoppingConfig,
            {
                "enabled": True,
                "patience": 5,
                "min_delta": 1e-4,
                "track_overfitting": True,
                "overfitting_gap_threshold": 0.5,
                "overfitting_patience": 3,
            },
        ),
        (
            LoggingConfig,
            {
                "tensorboard": False,
                "tensorboard_dir": "./runs",
                "use_wandb": False,
                "wandb": None,
            },
        ),
    ],
)
def test_documented_keys_and_defaults(group: type[Group], documented: dict[str, Any]) -> None:
    """Every key is there; None marks a default that a system chooses."""
    settings = group()
    for name, default in documented.items():
        assert name in group.model_fields
        assert default is None or getattr(settings, name) == default
    assert set(LoggingConfig().wandb.model_dump()) == {"project", "entity"}


@pytest.mark.parametrize(
    ("group", "name", "least", "below"),
    [
        (TrainingConfig, "epochs", 0, -1),
        (TrainingConfig, "lr", 1e-300, 0),
        (TrainingConfig, "weight_decay", 0, -1e-9),
        (TrainingConfig, "warmup_steps", 0, -1),
        (TrainingConfig, "grad_clip", 0, -1e-9),
        (TrainingConfig, "ema_decay", 0, -1e-9),
        (TrainingConfig, "max_steps", 0, -1),
        (TrainingConfig, "max_minutes", 0, -1e-9),
        (TrainingConfig, "max_nonfinite_steps", 1, 0),
        (TrainingConfig, "num_threads", 0, -1),
        (TrainingConfig, "evaluate_every", 1, 0),
        (TrainingConfig, "save_every_minutes", 0, -1e-9),
        (FinetuningConfig, "finetune_lr", 1e-300, 0),
        (SchedulerConfig, "factor", 1e-300, 0),
        (SchedulerConfig, "patience", 0, -1),
        (SchedulerConfig, "step_size", 1, 0),
        (SchedulerConfig, "min_lr", 0, -1e-9),
        (EarlyStoppingConfig, "patience", 1, 0),
        (EarlyStoppingConfig, "min_delta", 0, -1e-9),
        (EarlyStoppingConfig, "overfitting_gap_threshold", 1e-300, 0),
        (EarlyStoppingConfig, "overfitting_patience", 1, 0),
        (LoggingConfig, "log_every", 1, 0),
        (LoggingConfig, "sample_every", 0, -1),
        (SystemConfig, "seed", 0, -1),
    ],
)
def test_the_least_value_of_each_number(
    group: type[Group], name: str, least: float, below: float
) -> None:
    assert getattr(group(**{name: least}), name) == least
    with pytest.raises(ValueError, match=name):
        group(**{name: below})


@pytest.mark.parametrize(
    ("group", "name", "greatest", "above"),
    [
        (TrainingConfig, "ema_decay", 1 - 1e-12, 1),
        (SchedulerConfig, "factor", 1 - 1e-12, 1),
        (SystemConfig, "seed", 2**63 - 1, 2**63),
        (TrainedVerbConfig, "seed", 2**63 - 1, 2**63),
        (TrainedVerbConfig, "seed", 0, -1),
        (WandbConfig, "project", "p", ""),
        (LoggingConfig, "runs_dir", "r", ""),
        (LoggingConfig, "tensorboard_dir", "t", ""),
    ],
)
def test_the_greatest_value_and_the_shortest_name(
    group: type[Group], name: str, greatest: Any, above: Any
) -> None:
    assert getattr(group(**{name: greatest}), name) == greatest
    with pytest.raises(ValueError, match=name):
        group(**{name: above})


def test_every_default() -> None:
    """A changed default changes what everybody trains."""
    training = {
        "epochs": 50,
        "lr": 1e-3,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "grad_clip": 0.0,
        "use_amp": True,
        "precision": "auto",
        "ema_decay": 0.0,
        "max_steps": 0,
        "max_minutes": 0.0,
        "max_nonfinite_steps": 10,
        "num_threads": 0,
        "evaluate_every": 1,
        "fsdp": False,
        "save_every_epoch": False,
        "save_every_minutes": 10.0,
        "checkpoint_dir": "",
        "checkpoint": "",
        "resume_from": None,
        "initial_weights": "",
    }
    scheduler = {
        "type": "ReduceLROnPlateau",
        "factor": 0.5,
        "patience": 2,
        "step_size": 10,
        "min_lr": 1e-7,
    }
    stopping = {
        "enabled": True,
        "patience": 5,
        "min_delta": 1e-4,
        "track_overfitting": True,
        "overfitting_gap_threshold": 0.5,
        "overfitting_patience": 3,
    }
    logging = {
        "runs_dir": "runs",
        "log_every": 10,
        "sample_every": 1,
        "tensorboard": False,
        "tensorboard_dir": "./runs",
        "use_wandb": False,
        "wandb": {"project": "triform", "entity": None},
    }
    groups = {
        "training": training,
        "scheduler": scheduler,
        "early_stopping": stopping,
        "logging": logging,
    }
    assert SystemConfig().model_dump() == {"device": "auto", "seed": 42, **groups}
    finetuning = {**training, "lr_mode": "continue", "finetune_lr": 1e-5}
    assert FinetuningConfig().model_dump() == finetuning
    assert ConstantSchedulerConfig().model_dump() == {**scheduler, "type": "none"}
    assert CosineSchedulerConfig().model_dump() == {**scheduler, "type": "CosineAnnealingLR"}
    assert NoEarlyStoppingConfig().model_dump() == {**stopping, "enabled": False}
    assert TrainedVerbConfig().model_dump() == {"checkpoint": None, "device": "auto", "seed": 42}


def test_which_groups_show_their_name_in_flags() -> None:
    """`--scheduler.patience` and `--early_stopping.patience` are two things."""
    shown = {group for group in GROUPS if group.show_prefix}
    assert shown == {SchedulerConfig, EarlyStoppingConfig}


def test_the_rate_of_a_pretrained_part() -> None:
    """`continue` takes lr, `finetune` takes finetune_lr."""
    assert FinetuningConfig(lr=1e-3).pretrained_lr == 1e-3
    assert FinetuningConfig(lr=1e-3, lr_mode="finetune").pretrained_lr == 1e-5


def test_every_setting_has_a_sentence() -> None:
    """It is the help text."""
    groups = [TrainingConfig, FinetuningConfig, SchedulerConfig, EarlyStoppingConfig, LoggingConfig]
    for group in [*groups, SystemConfig]:
        for name, field in group.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, Group):
                continue
            assert field.description and field.description.endswith("."), f"{group}.{name}"


def test_devices() -> None:
    """What can be said, and what cannot."""
    for name in ("auto", "cpu", "gpu", "cuda", "cuda:3"):
        assert parse(SystemConfig, ["--device", name]).device == name
    with pytest.raises(UsageError) as caught:
        parse(SystemConfig, ["--device", "cuda:x"])
    assert str(caught.value) == (
        "--device: 'cuda:x' is not allowed: must be auto, cpu, gpu, cuda or cuda:N"
    )


def test_a_continued_run_keeps_its_settings(tmp_path: Path) -> None:
    """`--resume_from RUN` alone means that run's config; flags change it, --config replaces it."""
    run = tmp_path / "runs" / "toy" / "run_1"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 7\ntraining: {epochs: 3}\n")
    (run / "checkpoints" / "last.pth").touch()
    for source in (run, run / "checkpoints" / "last.pth"):
        config = parse(SystemConfig, ["--resume_from", str(source), "--epochs", "9"])
        assert (config.seed, config.training.epochs) == (7, 9)
        assert config.training.resume_from == str(source)
    other = tmp_path / "other.yaml"
    other.write_text("seed: 8\n")
    words = ["--resume_from", str(run), "--config", str(other)]
    assert parse(SystemConfig, words).seed == 8
    assert parse(SystemConfig, ["--resume_from", str(tmp_path / "x.pth")]).seed == 42


def test_round_trip(tmp_path: Path) -> None:
    """Also of the smallest numbers."""
    config = parse(SystemConfig, ["--scheduler.min_lr", "1e-9", "--wandb.entity", "me", "--amp"])
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load(SystemConfig, tmp_path / "config.yaml") == config


def test_no_torch_behind_the_settings() -> None:
    """Checked in the modules themselves; base/test_config.py checks a fresh process."""
    for name in (
        "triform.engine.config",
        "triform.base.settings.config",
        "triform.base.settings.flags",
    ):
        assert "torch" not in vars(sys.modules[name])


def test_default_workers_never_exceed_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert at_most_cores(4) == expected
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert at_most_cores(4) == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert at_most_cores(4) == 1


@pytest.mark.parametrize(
    ("is_explicit", "is_run", "checked"),
    [(True, False, False), (True, True, True), (False, False, True), (False, True, True)],
)
def test_models_that_the_settings_of_a_run_name_are_checked(
    is_explicit: bool, is_run: bool, checked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of a file that the user wrote, nor those that a flag replaces."""

    class Named(SystemConfig):
        named_models: ClassVar = {
            ("model", "encoder"): ("text", "--encoder"),
            ("model", "weights"): ("file of weights", "--weights"),
            ("other", "encoder"): ("text", "--other"),
        }

    calls: list[Any] = []
    for name in ("check_named", "check_named_file"):
        monkeypatch.setattr(
            config_module, name, lambda *words, name=name, **more: calls.append((name, words, more))
        )
    path = tmp_path / "config.yaml"
    if is_run:
        (tmp_path / "training.log").touch()
    values: dict[str, Any] = {"model": {"encoder": "a", "weights": "b"}}
    Named.check_file(values, {}, path, is_explicit=is_explicit)
    expected = [
        ("check_named", ("a", "text"), {"source": path, "flag": "--encoder"}),
        ("check_named_file", ("b",), {"source": path, "flag": "--weights"}),
    ]
    assert calls == (expected if checked else [])
    calls.clear()
    flags = {("model", "encoder"): "mine"}
    Named.check_file(values, flags, path, is_explicit=is_explicit)
    assert calls == (expected[1:] if checked else [])
    calls.clear()
    for wrong in ({}, {"model": None}, {"model": {"encoder": "", "weights": 3}}):
        Named.check_file(wrong, {}, path, is_explicit=is_explicit)
    Named.check_file(values, {}, tmp_path / "mine.yaml", is_explicit=True)
    assert calls == []


@pytest.mark.parametrize("system", ["vae", "text_to_image", "shape_flow", "shap_e", "retrieval"])
def test_initial_weights_that_a_run_of_a_stranger_names_are_refused(
    system: str, tmp_path: Path
) -> None:
    """Not when it is resumed, when nothing is read from them; under the old name as well."""
    config = systems.load(system).config.Config
    run = tmp_path / "run"
    run.mkdir()
    (run / "training.log").touch()
    path = run / "config.yaml"
    for values in ({"training": {"initial_weights": "a.pth"}}, {"model": {"init": "a.pth"}}):
        if "model" in values and system not in ("shap_e", "retrieval"):
            continue
        path.write_text(yaml.safe_dump(values))
        with pytest.raises(UserError, match=r"names the file of weights 'a\.pth'"):
            parse(config, ["--config", str(path)])
        named = parse(config, ["--config", str(path), "--initial_weights", "b.pth"])
        assert named.training.initial_weights == "b.pth"
        resumed = parse(config, ["--resume_from", str(run)])
        assert resumed.training.initial_weights == "a.pth"
    path.write_text("model: {init: a.pth}\ntraining: 3\n")
    with pytest.raises(UsageError, match="training"):
        parse(config, ["--config", str(path)])
    path.write_text(yaml.safe_dump({"training": {"initial_weights": "shipped"}}))
    assert parse(config, ["--config", str(path)]).training.initial_weights == "shipped"
