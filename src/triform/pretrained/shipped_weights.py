"""The weights that ship with the project."""

import json
from pathlib import Path

from triform.base.checksum import file_sha256
from triform.base.errors import UserError
from triform.base.settings.nearest import nearest

FOLDER = Path(__file__).parent / "weights"
CHECKSUMS = "sha256.json"


def names() -> list[str]:
    """Names of the shipped weights, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def shipped(name: str) -> Path:
    """Path of shipped weights, checked against `weights/sha256.json`.

    Args:
        name: Name without the suffix.

    Raises:
        UserError: There are no such weights, or the file is damaged.
    """
    path = FOLDER / f"{name}.safetensors"
    checksums: dict[str, str] = {}
    if (FOLDER / CHECKSUMS).is_file():
        checksums = json.loads((FOLDER / CHECKSUMS).read_text(encoding="utf-8"))
    if name not in checksums or not path.is_file():
        raise UserError(
            f"no weights named {name!r} ship with this version{nearest(name, checksums)}; "
            f"there are: {', '.join(sorted(checksums)) or 'none'}"
        )
    if (digest := file_sha256(path)) != checksums[name]:
        raise UserError(
            f"{path}: damaged (sha256 {digest[:16]}..., expected {checksums[name][:16]}...): "
            "install the package again"
        )
    return path
