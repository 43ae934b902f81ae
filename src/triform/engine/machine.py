"""Describe this machine: versions, processor, memory. For `environment.json` and the doctor."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from triform.engine.device import has_fast_bf16, processor_name
from triform.engine.packages import GIGABYTE, package_version

PACKAGES = (
    *("triform", "torch", "torchvision", "accelerate", "safetensors", "numpy", "scipy", "numba"),
    *("pydantic", "trimesh", "transformers", "tokenizers"),
)


def describe_machine() -> dict[str, Any]:
    """Versions and hardware that results may depend on, as plain data."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := package_version(name))},
        "git_revision": git_revision(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "fast_bf16": has_fast_bf16(torch.device("cpu")),
        "memory_gb": round(psutil.virtual_memory().total / GIGABYTE, 1),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def git_revision() -> str | None:
    """Git commit of the running code, with `+changes` if files differ from it.

    None if the code is not in a git checkout, as after an ordinary installation.
    """
    git, folder = shutil.which("git"), Path(__file__).parent
    if git is None:
        return None

    def run_git(*arguments: str) -> str | None:
        """Output of git; None if it fails. It never asks the user."""
        result = subprocess.run(
            [git, "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return result.stdout.strip() if result.returncode == 0 else None

    # A package installed into somebody else's checkout is not under its version control.
    if run_git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    revision = run_git("rev-parse", "HEAD")
    return revision and revision + (
        "+changes" if run_git("status", "--porcelain", "--", ".") else ""
    )
