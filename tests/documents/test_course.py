"""The commands for the course's chapters, with its numbers as defaults."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from triform import systems
from triform.base.settings.config import parse

from .conftest import TABLES, run_in

TEXT = TABLES.read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(command)[1:]
    for command in re.findall("`triform ([^`]*)`", TEXT.partition("\n## The other documents")[2])
    for command in [f"triform {command}"]
]
TRAINED = [words for words in COMMANDS if words[1] == "train" and words[0] != "captioner"]
DOCUMENTED: dict[str, dict[str, Any]] = {
    "maml": {"inner_steps": 5, "inner_lr": 0.01, "lr": 0.001, "n_way": 5, "n_shot": 1},
    "protonet": {"n_way": 5, "n_shot": 1, "n_query": 15},
    "dqn": {"replay_size": 10_000, "gamma": 0.99, "epsilon_min": 0.01, "epsilon_decay": 0.995},
    "dcgan": {"lr": 2e-4, "beta1": 0.5},
    "diffusion": {"timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02},
    "vae": {"beta": 1.0},
}


def values(settings: dict[str, Any]) -> dict[str, Any]:
    """Name -> value of all settings, without the names of their groups."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= values(value) if isinstance(value, dict) else {name: value}
    return flat


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_understood(words: list[str]) -> None:
    """Up to the settings, which need no data."""
    entry = systems.load(words[0])
    images = ["--images", "x"]
    others = {"translate": images, "classify": [*images, "--classes", "a", "b"]}
    required = others.get(words[1], [])
    if words[:2] == ["captioner", "train"]:
        words = words[:2]  # its file is in the test of its document
    parse(entry.config.VERBS[words[1]], [*words[2:], *required], entry.presets)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_defaults_are_those_of_the_course(name: str) -> None:
    config = values(systems.load(name).config.Config().model_dump())
    assert DOCUMENTED[name].items() <= config.items()


@pytest.mark.slow
@pytest.mark.parametrize("words", TRAINED, ids=" ".join)
def test_every_chapter_trains(words: list[str], tmp_path: Path) -> None:
    """One epoch of the small preset, with the flags of the command."""
    flags = [word for word in words if word not in ("--config", "cartpole")]
    run_in(tmp_path, [*flags, "--config", "tiny", "--epochs", "1", "--device", "cpu"])
    assert len(list((tmp_path / "runs" / words[0]).glob("run_*/checkpoints/best*"))) == 1
