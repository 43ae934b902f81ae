"""`triform doctor`: check the installation and this machine."""

import importlib.metadata
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from triform.base.settings.command import CommandResult, Verb, run_verb
from triform.base.settings.config import Settings
from triform.base.text_table import format_columns
from triform.engine.diagnostics.findings import Finding, finding
from triform.engine.packages import GIGABYTE, package_version

MIN_MEMORY_GB = 4.0
MIN_DISK_GB = 5.0
REQUIREMENT = re.compile(r"""^([\w.\-]+).*?(?:;.*?extra == ['"]([\w\-]+)['"])?$""")


class DoctorSettings(Settings):
    """Examine this machine: versions, extras, processor, memory, disk."""


def main(argv: Sequence[str]) -> int:
    """Run `triform doctor`; returns 0 if everything required is installed and works."""
    return run_verb("triform doctor", Verb(DoctorSettings, doctor), argv)


def doctor(settings: DoctorSettings) -> CommandResult:
    """Run every check and describe the machine."""
    from triform.engine.machine import describe_machine

    findings = examine()
    lines = [format_columns([[f["check"], f["status"], f["detail"]] for f in findings])]
    lines += [f"{result['check']}: {result['advice']}" for result in findings if result["advice"]]
    data = {"findings": findings, "machine": describe_machine()}
    return CommandResult(data, "\n".join(lines), int(any(f["status"] == "wrong" for f in findings)))


def examine() -> list[Finding]:
    """Every check, in the order of the table."""
    findings = check_packages()
    if package_version("torch") is not None:
        # Importing torch takes seconds and must not be needed for the help screen.
        from triform.engine.diagnostics.accelerators import check_gpus, check_processor

        findings += [*check_processor(), *check_gpus()]
    return [*findings, check_memory(), *check_disk()]


def check_packages() -> list[Finding]:
    """Versions of required packages, and missing packages of the extras."""
    required, extras = requirements()
    missing = [name for name in required if package_version(name) is None]
    versions = ", ".join(f"{name} {package_version(name) or '?'}" for name in ("triform", "torch"))
    findings = [
        finding("packages", "ok", f"{versions}, and {len(required) - 1} more")
        if not missing
        else finding(
            "packages", "wrong", f"missing: {', '.join(missing)}", "pip install triform again"
        )
    ]
    for extra, names in extras.items():
        missing = [name for name in names if package_version(name) is None]
        findings.append(
            finding(
                f"extra {extra}",
                "missing" if missing else "ok",
                f"without {', '.join(missing)}" if missing else ", ".join(names),
                f"pip install 'triform[{extra}]'" if missing else "",
            )
        )
    return findings


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Required packages of the installation, and those of each extra."""
    required: list[str] = []
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
        (extras.setdefault(extra, []) if extra else required).append(name)
    return required, extras


def check_memory() -> Finding:
    """Free memory."""
    import psutil  # late: help needs settings only

    memory = psutil.virtual_memory()
    free, total = memory.available / GIGABYTE, memory.total / GIGABYTE
    is_low = free < MIN_MEMORY_GB
    return finding(
        "memory",
        "warning" if is_low else "ok",
        f"{free:.1f} of {total:.1f} GB free",
        "close other programs, or lower --batch_size" if is_low else "",
    )


def check_disk() -> list[Finding]:
    """Free disk space for runs (here) and for the cache."""
    from triform.base.paths import cache_dir  # late: help needs settings only

    findings = []
    for name, folder in (("disk here", Path.cwd()), ("disk of the cache", cache_dir())):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free / GIGABYTE
        is_low = free < MIN_DISK_GB
        findings.append(
            finding(
                name,
                "warning" if is_low else "ok",
                f"{free:.1f} GB free at {folder}",
                f"free some, or set TRIFORM_CACHE; {MIN_DISK_GB:g} GB are comfortable"
                if is_low
                else "",
            )
        )
    return findings
