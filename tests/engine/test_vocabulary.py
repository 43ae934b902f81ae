"""The engine knows no domain, and nothing above it."""

import ast
import re
from pathlib import Path

ENGINE = Path(__file__).parents[2] / "src" / "triform" / "engine"
WORDS = (
    "image|images|caption|captions|noise|noises|discriminator|discriminators|episode|episodes|"
    "env|envs|mesh|meshes|token|tokens|voxel|voxels|pixel|pixels|prompt|prompts"
)

TORCH_NAMES = "device_mesh|mesh="
"""A DeviceMesh is torch's arrangement of processes."""


def test_no_word_of_any_domain() -> None:
    """Nor as a part of a name."""
    files = sorted(ENGINE.rglob("*.py"))
    assert len(files) > 20
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            line = re.sub(TORCH_NAMES, "", line.lower())
            found = re.search(rf"(?<![a-zA-Z])({WORDS})(?![a-zA-Z])", line)
            assert found is None, f"{path.name}:{number}: {found and found[0]!r}"


def test_no_system_is_known_by_name() -> None:
    """No `if system.name == ...`."""
    systems = {path.parent.name for path in (ENGINE.parent / "systems").glob("*/config.py")}
    for path in ENGINE.rglob("*.py"):
        strings = {
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not strings & systems


def test_only_processes_knows_accelerate_and_only_update_calls_backward() -> None:
    """One place for each dangerous thing."""
    for path in ENGINE.rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        assert ("import Accelerator" in code) == (path.name == "processes.py")
        assert (".backward(" in code) == (path.name == "update.py")
        assert "zero_grad" not in code or path.name == "update.py"
