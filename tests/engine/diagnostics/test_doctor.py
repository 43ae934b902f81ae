"""`triform doctor`."""

import json
import math
from types import SimpleNamespace

import psutil
import pytest
import torch

from triform.base.errors import UsageError
from triform.engine.diagnostics import accelerators, doctor
from triform.engine.diagnostics.gradient_check import GradientCheck, check_gradients, gradient_error

CPU = torch.device("cpu")


def test_the_screen_and_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that was promised; advice for what is not as it should be."""
    assert doctor.main([]) in (0, 1)
    text = capsys.readouterr().out
    for word in ("packages", "torch", "processor", "memory", "disk here", "2x2x2", "4x4x4"):
        assert word in text
    doctor.main(["--json"])
    data = json.loads(capsys.readouterr().out)
    assert data["machine"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    for finding in data["findings"]:
        assert finding["status"] in ("ok", "warning", "missing", "wrong")
        assert bool(finding["advice"]) == (finding["status"] != "ok")
    with pytest.raises(UsageError, match="unknown flag --jsno"):
        doctor.main(["--jsno"])


def test_bf16_gradients_on_ordinary_maps_are_right() -> None:
    """Where the fault never showed; 2x2x2 may be anything, but never raises."""
    assert gradient_error(CPU, 4, 16, 2) < 0.02
    checks = check_gradients(CPU)
    assert [check.map_size for check in checks] == [2, 4] and checks[1].is_correct


def test_garbage_is_never_right() -> None:
    """nan compares as false with everything, which must not look like a small error."""
    for error in (math.nan, math.inf, 0.9, 11.0):
        assert not GradientCheck(2, error).is_correct
    assert GradientCheck(2, 0.01).is_correct


def test_a_wrong_gradient_is_a_warning_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user learns what to do."""
    monkeypatch.setattr(
        accelerators, "check_gradients", lambda device: [GradientCheck(2, math.nan)]
    )
    finding = accelerators.check_processor()[-1]
    assert finding["status"] == "warning" and "--precision float32" in finding["advice"]


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A needed one is wrong, an extra's is missing, each with the command that brings it."""
    lines = [
        "torch>=2.6",
        "no-such-package<3,>=1",
        'pytest>=8; extra == "dev"',
        "nothing_here; extra == 'wandb'",
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    assert doctor.requirements() == (
        ["torch", "no-such-package"],
        {"dev": ["pytest"], "wandb": ["nothing_here"]},
    )
    needed, dev, wandb = doctor.check_packages()
    assert needed["status"] == "wrong" and "no-such-package" in needed["detail"]
    assert dev["status"] == "ok"
    assert wandb["status"] == "missing" and wandb["advice"] == "pip install 'triform[wandb]'"


def test_little_room_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and disk."""
    memory = SimpleNamespace(available=1e9, total=8e9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert doctor.check_memory()["status"] == "warning"
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1e9))
    assert [finding["status"] for finding in doctor.check_disk()] == ["warning", "warning"]
