"""Sweet Home 3D's furniture libraries from Debian's package, without installing it.

Needs nothing but Python and Debian's own tools, so that it also runs before the project is set up:
``python -m triform.datasets.debian FOLDER``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from triform.base.errors import UserError

PACKAGE = "sweethome3d-furniture"
INSTALLED = Path("/usr/share/sweethome3d/furniture")
# The package of Debian 12; other versions are held against the sum in the (signed) package index.
KNOWN_SHA256 = {"1.8-1": "3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668"}
_INSTEAD = (
    "download the libraries (.sh3f) from https://www.sweethome3d.com/import-models/ "
    "and give their folder instead"
)


def fetch_furniture(folder: Path) -> Path:
    """Puts the package's ``.sh3f`` files into a folder; nothing is done where they are already.

    Returns:
        The folder.

    Raises:
        UserError: no apt here, no such package, no connection, or a wrong checksum.
    """
    if any(folder.glob("*.sh3f")):
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UserError(f"{PACKAGE}: this system has no apt-get and dpkg-deb; {_INSTEAD}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary)
        os.chmod(work, 0o755)  # apt downloads as a user of its own
        package = _download(work)
        _run(["dpkg-deb", "-x", str(package), str(work / "content")], work)
        found = sorted((work / "content").rglob("*.sh3f"))
        if not found:
            raise UserError(f"{package.name}: no .sh3f files in it; {_INSTEAD}")
        ready = work / "ready"
        ready.mkdir()
        notes = (work / "content").rglob("copyright")
        for path in [*found, *notes]:
            shutil.move(path, ready / path.name)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
        if folder.exists():
            raise UserError(
                f"{folder}: is there, but holds no .sh3f files; remove it or choose another folder"
            )
        os.replace(ready, folder)
    return folder


def _download(work: Path) -> Path:
    """Downloads the package; where the index is missing, with an index of our own (no root)."""
    if _try(["apt-get", "-qq", "download", PACKAGE], work):
        index: list[str] = []
    else:
        for name in ("lists/partial", "archives/partial"):
            (work / name).mkdir(parents=True)
        index = [
            f"-oDir::State::Lists={work}/lists",
            f"-oDir::Cache={work}",
            "-oDebug::NoLocking=1",
        ]
        _run(["apt-get", "-qq", *index, "update"], work)
        _run(["apt-get", "-qq", *index, "download", PACKAGE], work)
    package = next(work.glob(f"{PACKAGE}_*.deb"), None)
    if package is None:
        raise UserError(f"{PACKAGE}: apt-get downloaded nothing; {_INSTEAD}")
    version = package.name.split("_")[1].replace("%3a", ":")
    record = _run(["apt-cache", *index, "show", f"{PACKAGE}={version}"], work)
    listed = re.findall(r"^SHA256: ([0-9a-f]{64})$", record, re.MULTILINE)
    expected = KNOWN_SHA256.get(version) or (listed[0] if listed else "")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    if digest != expected:
        raise UserError(
            f"{package.name}: its sha256 is {digest}, "
            f"{expected or 'one from the index'} is expected; {_INSTEAD}"
        )
    return package


def _try(command: Sequence[str], work: Path) -> bool:
    return subprocess.run(command, cwd=work, capture_output=True, check=False).returncode == 0


def _run(command: Sequence[str], work: Path) -> str:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [
            f"exit status {done.returncode}"
        ]
        raise UserError(f"{PACKAGE}: {' '.join(command[:1])} failed: {said[-1]}; {_INSTEAD}")
    return done.stdout


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{fetch_furniture(Path(sys.argv[1]))}\n")
    except UserError as error:
        sys.exit(f"triform: {error}")
