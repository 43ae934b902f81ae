"""`triform doctor`: what is installed, what works on this machine, what is missing."""

import importlib.metadata
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import psutil
import torch

from triform.base.config import Settings, parse
from triform.base.logging import write_answer
from triform.base.paths import cache_dir
from triform.base.tables import columns
from triform.engine.device import GIGABYTE, describe_device, has_fast_bf16, processor_name
from triform.engine.machine import describe_machine, package_version
from triform.engine.selfcheck import check_gradients

LITTLE_MEMORY_GB = 4.0
LITTLE_DISK_GB = 5.0
REQUIREMENT = re.compile(r"""^([\w.\-]+).*?(?:;.*?extra == ['"]([\w\-]+)['"])?$""")

Status = Literal["ok", "warning", "missing", "wrong"]
Finding = dict[str, str]


class DoctorSettings(Settings):
    """Examine this machine: versions, extras, processor, memory, disk. With --json as data."""


def main(argv: Sequence[str]) -> int:
    """Run `triform doctor`.

    Returns:
        0 where everything that is needed is there and works, else 1.
    """
    as_json = "--json" in argv
    parse(DoctorSettings, [word for word in argv if word != "--json"], prog="triform doctor")
    findings = examine()
    if as_json:
        write_answer({"findings": findings, "machine": describe_machine()}, as_json=True)
    else:
        write_answer(columns([[f["check"], f["status"], f["detail"]] for f in findings]))
        for finding in findings:
            if finding["advice"]:
                write_answer(f"{finding['check']}: {finding['advice']}")
    return int(any(finding["status"] == "wrong" for finding in findings))


def examine() -> list[Finding]:
    """Every check, in the order of the table."""
    return [
        *check_packages(),
        *check_processor(),
        *check_gpus(),
        check_memory(),
        *check_disk(),
    ]


def check_packages() -> list[Finding]:
    """Versions of what is needed; what the extras lack, and how to get it."""
    needed, extras = requirements()
    absent = [name for name in needed if package_version(name) is None]
    found = ", ".join(f"{name} {package_version(name) or '?'}" for name in ("triform", "torch"))
    findings = [
        _finding("packages", "ok", f"{found}, and {len(needed) - 1} more")
        if not absent
        else _finding(
            "packages", "wrong", f"missing: {', '.join(absent)}", "pip install triform again"
        )
    ]
    for extra, names in extras.items():
        absent = [name for name in names if package_version(name) is None]
        findings.append(
            _finding(
                f"extra {extra}",
                "missing" if absent else "ok",
                f"without {', '.join(absent)}" if absent else ", ".join(names),
                f"pip install 'triform[{extra}]'" if absent else "",
            )
        )
    return findings


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Packages that Triform needs, and those of each extra, as it was installed."""
    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    try:
        lines = importlib.metadata.requires("triform") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    for line in lines:
        match = REQUIREMENT.match(line)
        if match is None:
            continue
        name, extra = match.groups()
        (extras.setdefault(extra, []) if extra else needed).append(name)
    return needed, extras


def check_processor() -> list[Finding]:
    """Number formats of the processor, and whether bf16 gradients are right."""
    device = torch.device("cpu")
    fast = has_fast_bf16(device)
    precision = "bf16 in hardware" if fast else "no bf16 in hardware: auto means float32"
    findings = [
        _finding(
            "processor",
            "ok",
            f"{processor_name()}, {torch.get_num_threads()} threads, {precision}",
        )
    ]
    return findings + _gradient_findings(device)


def check_gpus() -> list[Finding]:
    """The GPUs that torch sees."""
    if not torch.cuda.is_available():
        return [_finding("gpu", "ok", "none; everything runs on the processor")]
    findings = []
    for index in range(torch.cuda.device_count()):
        device = torch.device("cuda", index)
        findings += [_finding(f"gpu {index}", "ok", describe_device(device))]
        findings += _gradient_findings(device)
    return findings


def check_memory() -> Finding:
    """Memory that is free now."""
    memory = psutil.virtual_memory()
    free, total = memory.available / GIGABYTE, memory.total / GIGABYTE
    little = free < LITTLE_MEMORY_GB
    return _finding(
        "memory",
        "warning" if little else "ok",
        f"{free:.1f} of {total:.1f} GB free",
        "close other programs, or lower --batch_size" if little else "",
    )


def check_disk() -> list[Finding]:
    """Room for runs (here) and for the cache."""
    findings = []
    for name, folder in (("disk here", Path.cwd()), ("disk of the cache", cache_dir())):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free / GIGABYTE
        little = free < LITTLE_DISK_GB
        findings.append(
            _finding(
                name,
                "warning" if little else "ok",
                f"{free:.1f} GB free at {folder}",
                f"free some, or set TRIFORM_CACHE; {LITTLE_DISK_GB:g} GB are comfortable"
                if little
                else "",
            )
        )
    return findings


def _gradient_findings(device: torch.device) -> list[Finding]:
    """The bf16 self-check as findings."""
    findings = []
    for check in check_gradients(device):
        side = check.map_size
        findings.append(
            _finding(
                f"bf16 gradient of a 3D convolution on {side}x{side}x{side}, {device}",
                "ok" if check.is_right else "warning",
                f"{check.error:.2g} off float32",
                ""
                if check.is_right
                else "wrong on this machine; Triform's own networks keep such layers in float32, "
                "for yours use torch.autocast(..., enabled=False) or --precision float32",
            )
        )
    return findings


def _finding(check: str, status: Status, detail: str, advice: str = "") -> Finding:
    return {"check": check, "status": status, "detail": detail, "advice": advice}
