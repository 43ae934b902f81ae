"""Download of data from Debian packages, without installing them.

Needs only Python and Debian's tools, so that it runs before the project is set up:
`python -m triform.datasets.debian FOLDER` downloads the furniture of Sweet Home 3D.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triform.base.errors import UserError


@dataclass(frozen=True)
class Package:
    """A Debian package of data.

    Attributes:
        name: of the package.
        pattern: glob pattern of the data files.
        installed_folder: their folder if the package is installed.
        sha256: of known versions; others are compared with the (signed) package index.
        alternative: how to get the data without the package.
    """

    name: str
    pattern: str
    installed_folder: Path
    sha256: Mapping[str, str]
    alternative: str


FURNITURE = Package(
    "sweethome3d-furniture",
    "*.sh3f",
    Path("/usr/share/sweethome3d/furniture"),
    # Debian 12
    {"1.8-1": "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668"},
    "download the libraries (.sh3f) from https://www.sweethome3d.com/import-models/ "
    "and give their folder instead",
)


def fetch(package: Package, folder: Path) -> Path:
    """Download the data of a package into a folder, unless they are there already.

    Returns:
        The folder.

    Raises:
        UserError: apt is missing, no such package, no connection, or a wrong checksum.
    """
    if any(folder.glob(package.pattern)):
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UserError(
            f"{package.name}: this system has no apt-get and dpkg-deb; {package.alternative}"
        )
    folder = folder.absolute()  # Debian's tools run in another folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary)
        os.chmod(work, 0o755)  # apt downloads as another user
        archive = _download(package, work)
        _run(package, ["dpkg-deb", "-x", str(archive), str(work / "content")], work)
        data_files = sorted((work / "content").rglob(package.pattern))
        if not data_files:
            raise UserError(
                f"{archive.name}: no {package.pattern} files in it; {package.alternative}"
            )
        ready = work / "ready"
        ready.mkdir()
        copyright_files = (work / "content").rglob("copyright")
        for path in [*data_files, *copyright_files]:
            shutil.move(path, ready / path.name)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        if folder.exists():
            raise UserError(
                f"{folder}: exists, but has no {package.pattern} files; "
                "remove it or choose another folder"
            )
        os.replace(ready, folder)
    return folder


def _download(package: Package, work: Path) -> Path:
    """Download the package; without a package index, with a temporary one (needs no root)."""
    if _try(["apt-get", "-qq", "download", package.name], work):
        index: list[str] = []
    else:
        for name in ("lists/partial", "archives/partial"):
            (work / name).mkdir(parents=True)
        index = [
            f"-oDir::State::Lists={work}/lists",
            f"-oDir::Cache={work}",
            "-oDebug::NoLocking=1",
        ]
        _run(package, ["apt-get", "-qq", *index, "update"], work)
        _run(package, ["apt-get", "-qq", *index, "download", package.name], work)
    archive = next(work.glob(f"{package.name}_*.deb"), None)
    if archive is None:
        raise UserError(f"{package.name}: apt-get downloaded nothing; {package.alternative}")
    version = archive.name.split("_")[1].replace("%3a", ":")
    record = _run(package, ["apt-cache", *index, "show", f"{package.name}={version}"], work)
    index_sums = re.findall(r"^SHA256: ([0-9a-f]{64})$", record, re.MULTILINE)
    expected = package.sha256.get(version) or (index_sums[0] if index_sums else "")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != expected:
        raise UserError(
            f"{archive.name}: its sha256 is {digest}, "
            f"{expected or 'one from the index'} is expected; {package.alternative}"
        )
    return archive


def _try(command: Sequence[str], work: Path) -> bool:
    return subprocess.run(command, cwd=work, capture_output=True, check=False).returncode == 0


def _run(package: Package, command: Sequence[str], work: Path) -> str:
    result = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        messages = lines or [f"exit status {result.returncode}"]
        raise UserError(
            f"{package.name}: {command[0]} failed: {messages[-1]}; {package.alternative}"
        )
    return result.stdout


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetch(FURNITURE, Path(sys.argv[1]))}\n")
    except UserError as error:
        sys.exit(f"triform: {error}")
