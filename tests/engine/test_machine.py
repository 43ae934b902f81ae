"""What is written down about a machine, on one that is known."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from triform.engine import machine
from triform.engine.machine import describe_machine, git_revision


def test_every_line_of_a_known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "9.1", "numpy": "3"}
    monkeypatch.setattr(machine, "package_version", versions.get)
    monkeypatch.setattr(machine, "git_revision", lambda: "abc")
    monkeypatch.setattr(machine, "processor_name", lambda: "Chip")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 12)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    asked: list[torch.device] = []
    monkeypatch.setattr(machine, "has_fast_bf16", lambda device: bool(asked.append(device)) or True)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: SimpleNamespace(total=16.46e9))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
    monkeypatch.setattr(machine.platform, "python_version", lambda: "3.99")
    monkeypatch.setattr(machine.platform, "platform", lambda: "Linux-9")
    monkeypatch.setattr(sys, "argv", ["/some/where/triform", "toy", "train"])
    assert describe_machine() == {
        "python": "3.99",
        "platform": "Linux-9",
        "packages": {"torch": "9.1", "numpy": "3"},
        "git_revision": "abc",
        "processor": "Chip",
        "cores": 12,
        "threads": 5,
        "fast_bf16": True,
        "memory_gb": 16.5,
        "gpus": ["GPU 0", "GPU 1"],
        "command": ["triform", "toy", "train"],
    }
    assert asked == [torch.device("cpu")]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"ls-files": "machine.py\n", "rev-parse": "abc\n", "status": ""}, "abc"),
        ({"ls-files": "machine.py", "rev-parse": "abc", "status": " M x\n"}, "abc+changes"),
        ({"ls-files": None, "rev-parse": "abc", "status": ""}, None),
        ({"ls-files": "machine.py", "rev-parse": None, "status": " M x"}, None),
    ],
)
def test_the_commit_of_the_running_code(
    outputs: dict[str, Any], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where git knows this very file; changes of it are named."""
    folder, calls = str(Path(machine.__file__).parent), []

    def run(command: list[str], **options: Any) -> Any:
        calls.append(command)
        assert command[:3] == ["/bin/git", "-C", folder]
        assert options == {
            "capture_output": True,
            "text": True,
            "timeout": 20,
            "stdin": subprocess.DEVNULL,
            "check": False,
        }
        text = outputs[command[3]]
        return SimpleNamespace(stdout=text, returncode=int(text is None))

    monkeypatch.setattr(machine.shutil, "which", {"git": "/bin/git"}.get)
    monkeypatch.setattr(subprocess, "run", run)
    assert git_revision() == expected
    words = [call[3:] for call in calls]
    assert words[0] == ["ls-files", "--error-unmatch", "machine.py"]
    if outputs["ls-files"]:
        assert words[1] == ["rev-parse", "HEAD"]
    if expected:
        assert words[2] == ["status", "--porcelain", "--", "."]


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *words, **more: pytest.fail("called"))
    assert git_revision() is None
