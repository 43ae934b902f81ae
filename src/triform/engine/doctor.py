"""`triform doctor`: what is installed, what works on this machine, what is missing."""

import importlib.metadata
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import psutil

from triform.base.config import Settings, parse
from triform.base.logging import write_answer
from triform.base.paths import cache_dir
from triform.base.tables import columns
from triform.engine.packages import GIGABYTE, package_version

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
        from triform.engine.machine import describe_machine

        write_answer({"findings": findings, "machine": describe_machine()}, as_json=True)
    else:
        write_answer(columns([[f["check"], f["status"], f["detail"]] for f in findings]))
        for found in findings:
            if found["advice"]:
                write_answer(f"{found['check']}: {found['advice']}")
    return int(any(found["status"] == "wrong" for found in findings))


def examine() -> list[Finding]:
    """Every check, in the order of the table."""
    findings = check_packages()
    if package_version("torch") is not None:
        # torch takes seconds, and who only asks for help or lacks it need not have it
        from triform.engine.accelerators import check_gpus, check_processor

        findings += [*check_processor(), *check_gpus()]
    return [*findings, check_memory(), *check_disk()]


def check_packages() -> list[Finding]:
    """Versions of what is needed; what the extras lack, and how to get it."""
    needed, extras = requirements()
    absent = [name for name in needed if package_version(name) is None]
    found = ", ".join(f"{name} {package_version(name) or '?'}" for name in ("triform", "torch"))
    findings = [
        finding("packages", "ok", f"{found}, and {len(needed) - 1} more")
        if not absent
        else finding(
            "packages", "wrong", f"missing: {', '.join(absent)}", "pip install triform again"
        )
    ]
    for extra, names in extras.items():
        absent = [name for name in names if package_version(name) is None]
        findings.append(
            finding(
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


def check_memory() -> Finding:
    """Memory that is free now."""
    memory = psutil.virtual_memory()
    free, total = memory.available / GIGABYTE, memory.total / GIGABYTE
    little = free < LITTLE_MEMORY_GB
    return finding(
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
            finding(
                name,
                "warning" if little else "ok",
                f"{free:.1f} GB free at {folder}",
                f"free some, or set TRIFORM_CACHE; {LITTLE_DISK_GB:g} GB are comfortable"
                if little
                else "",
            )
        )
    return findings


def finding(check: str, status: Status, detail: str, advice: str = "") -> Finding:
    """One line of the answer."""
    return {"check": check, "status": status, "detail": detail, "advice": advice}
