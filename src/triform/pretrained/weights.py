"""The weights that ship with the project."""

import difflib
import json
from pathlib import Path

from triform.base.checksum import file_sha256
from triform.base.errors import UserError

FOLDER = Path(__file__).parent / "weights"
CHECKSUMS = "sha256.json"


def names() -> list[str]:
    """Names of the shipped weights, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def shipped(name: str) -> Path:
    """Path of shipped weights whose contents were checked.

    `weights/sha256.json` holds what each file must hash to.

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
        nearest = difflib.get_close_matches(name, checksums, n=1)
        hint = f", perhaps you meant {nearest[0]}" if nearest else ""
        raise UserError(
            f"no weights named {name!r} ship with this version{hint}; "
            f"there are: {', '.join(sorted(checksums)) or 'none'}"
        )
    if (seen := file_sha256(path)) != checksums[name]:
        raise UserError(
            f"{path}: damaged (sha256 {seen[:16]}..., expected {checksums[name][:16]}...): "
            "install the package again"
        )
    return path
